//! The text of the state file, in the layout that Checkmk's proxy has made
//! known. Programs count the lines `  State:                   ready`, so
//! labels and blanks stay as they are; what we have to say beyond that stands
//! on further lines of the same form, and only where there is something to say.

use crate::counters::Counter;
use crate::report::{ChannelReport, ClientReport, DaemonReport, Report, SiteReport};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

/// What heads the file.
const HEAD: &str = "----------------------------------------------\nCurrent state:\n";

/// The whole file. `date` writes a point in time, in seconds since 1970, as
/// local time: `2026-11-20 17:52:24`.
pub fn render(report: &Report, date: &dyn Fn(f64) -> String) -> String {
    let mut page = Page {
        text: HEAD.to_string(),
        now: report.now,
        date,
    };
    page.failed_reload(&report.daemon);
    let channels = by_site(&report.channels, |channel| &channel.site);
    let clients = by_site(&report.clients, |client| &client.site);
    for site in &report.sites {
        let of_site = site.name.as_str();
        let channels = channels.get(of_site).map_or(&[][..], Vec::as_slice);
        let clients = clients.get(of_site).map_or(&[][..], Vec::as_slice);
        page.site(site, channels, clients);
    }
    page.text
}

/// Sorted out once: to look through all channels for each of many sites would
/// hold up the loop.
fn by_site<T>(all: &[T], site: impl Fn(&T) -> &str) -> HashMap<&str, Vec<&T>> {
    let mut sorted: HashMap<&str, Vec<&T>> = HashMap::new();
    for one in all {
        sorted.entry(site(one)).or_default().push(one);
    }
    sorted
}

struct Page<'a> {
    text: String,
    now: f64,
    date: &'a dyn Fn(f64) -> String,
}

impl Page<'_> {
    fn failed_reload(&mut self, daemon: &DaemonReport) {
        if daemon.config_error.is_empty() {
            return;
        }
        let since = self.moment(daemon.config_error_since);
        if daemon.config_in_part {
            let value = format!("{since}, the rest of the configuration is in use");
            self.label("Started with errors", &value);
        } else {
            let used = (self.date)(daemon.configured);
            let value = format!("{since}, the configuration of {used} stays in use");
            self.label("Last reload failed", &value);
        }
        for problem in daemon.config_error.lines() {
            self.label("Configuration error", problem);
        }
    }

    fn site(&mut self, site: &SiteReport, channels: &[&ChannelReport], clients: &[&ClientReport]) {
        let _ = writeln!(self.text, "[{}]", one_line(&site.name));
        // Checkmk's proxy calls a site that it lost `starting`. Programs look
        // for `ready` alone, so we can say that it is dead.
        self.label("State", site.state);
        self.label("State dump time", &self.moment(self.now));
        self.label("Last reset", &self.moment(site.last_reset));
        self.label(
            "Site's last reload",
            &self.moment(site.program_start as f64),
        );
        self.label(
            "Last failed connect",
            &self.moment(site.last_failed_connect),
        );
        let error = match site.last_failed_error.is_empty() {
            true => "None",
            false => &site.last_failed_error,
        };
        self.label("Last failed error", error);
        // Responses are not kept yet.
        self.label("Cached responses", "0");
        self.troubles(site);

        self.line("  Channels:");
        for channel in channels {
            self.channel(channel);
        }
        self.line("  Clients:");
        for client in clients {
            self.client(client);
        }
        self.line("  Heartbeat:");
        let received = site.counters.get(Counter::Heartbeats);
        let _ = writeln!(self.text, "    heartbeats received: {received}");
        let _ = match site.heartbeat_out {
            Some(since) => writeln!(self.text, "    out since {since:.1}s"),
            None => writeln!(self.text, "    next in {:.1}s", site.next_heartbeat),
        };
        // Nobody here collects inventories; readers expect the block.
        self.line("  Inventory:");
        self.line("    State: not running");
        self.line("    Last update: Never");
    }

    /// What a person who looks for a fault wants to know.
    fn troubles(&mut self, site: &SiteReport) {
        if !site.reason.is_empty() {
            let since = self.moment(site.since);
            self.label("Reason", &format!("{}, since {since}", site.reason));
        }
        if site.channels_limit > 0 {
            let (limit, wanted) = (site.channels_limit, site.channels_configured);
            let value = format!("answers on {limit} of {wanted} channels");
            self.label("Channels limited", &value);
        }
        if site.waiting > 0 {
            let (waiting, oldest) = (site.waiting, site.oldest_wait.as_secs_f64());
            let value = format!("{waiting}, the first for {oldest:.1}s");
            self.label("Waiting queries", &value);
        }
        if site.slow_readers > 0 {
            let (readers, bytes) = (site.slow_readers, site.memory);
            let value = format!("{readers}, {bytes} bytes of responses held");
            self.label("Slow readers", &value);
        }
    }

    fn channel(&mut self, channel: &ChannelReport) {
        let client = match channel.client {
            0 => "none".to_string(),
            number => number.to_string(),
        };
        let since = self.moment(channel.since);
        let (descriptor, state) = (channel.descriptor, channel.state);
        let _ = writeln!(
            self.text,
            "     {descriptor:3} - {state:<18}-  client: {client:>4} - since: {since}"
        );
    }

    fn client(&mut self, client: &ClientReport) {
        let channel = match client.channel {
            -1 => "none".to_string(),
            number => number.to_string(),
        };
        let since = self.moment(client.since);
        let (descriptor, state) = (client.descriptor, client.state);
        let _ = writeln!(
            self.text,
            "     {descriptor:3} - {state:<18}- channel: {channel:>4} - since: {since}"
        );
    }

    /// A labelled line; the value begins in column 28.
    fn label(&mut self, label: &str, value: &str) {
        let label = format!("{label}:");
        let _ = writeln!(self.text, "  {label:<25}{}", one_line(value));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A point in time and its age.
    fn moment(&self, time: f64) -> String {
        if time <= 0.0 {
            return "Never".into();
        }
        format!("{} ({})", (self.date)(time), age(self.now - time))
    }
}

/// `0:02:25`, `1 day, 0:00:00`; fractions are cut off.
fn age(seconds: f64) -> String {
    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let (days, seconds) = (age.as_secs() / 86_400, age.as_secs() % 86_400);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let time = format!("{hours}:{minutes:02}:{:02}", seconds % 60);
    match days {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

/// The text on one line, and with single blanks: what a site says must not
/// look like one of our lines to a program that counts them.
fn one_line(text: &str) -> String {
    let is_gap = |letter: char| letter.is_control() || letter.is_whitespace();
    let words = text.split(is_gap).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2021-12-01 00:00:00 is 0 here, and all times are of that day.
    fn date(time: f64) -> String {
        let seconds = time as u64;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        format!("2021-12-01 {hours:02}:{minutes:02}:{:02}", seconds % 60)
    }

    fn at(hours: u32, minutes: u32, seconds: f64) -> f64 {
        f64::from(hours * 3_600 + minutes * 60) + seconds
    }

    fn channel(descriptor: i32, since: f64) -> ChannelReport {
        ChannelReport {
            site: "remote1".into(),
            state: "ready",
            descriptor,
            since,
            ..ChannelReport::default()
        }
    }

    /// The published example but for two lines: nothing is cached and there
    /// are no inventories.
    #[test]
    fn a_running_site_looks_as_published() {
        let mut site = SiteReport {
            name: "remote1".into(),
            state: "ready",
            last_reset: at(14, 58, 49.9),
            program_start: at(14, 26, 0.0) as u64,
            next_heartbeat: 0.2,
            ..SiteReport::default()
        };
        site.counters.add_many(Counter::Heartbeats, 29);
        let report = Report {
            now: at(15, 1, 15.2),
            sites: vec![site],
            channels: vec![
                channel(9, at(15, 1, 0.5)),
                channel(10, at(15, 1, 10.5)),
                channel(11, at(15, 0, 55.5)),
                channel(12, at(15, 1, 5.5)),
                channel(13, at(15, 0, 50.5)),
            ],
            ..Report::default()
        };
        let want = "\
----------------------------------------------
Current state:
[remote1]
  State:                   ready
  State dump time:         2021-12-01 15:01:15 (0:00:00)
  Last reset:              2021-12-01 14:58:49 (0:02:25)
  Site's last reload:      2021-12-01 14:26:00 (0:35:15)
  Last failed connect:     Never
  Last failed error:       None
  Cached responses:        0
  Channels:
       9 - ready             -  client: none - since: 2021-12-01 15:01:00 (0:00:14)
      10 - ready             -  client: none - since: 2021-12-01 15:01:10 (0:00:04)
      11 - ready             -  client: none - since: 2021-12-01 15:00:55 (0:00:19)
      12 - ready             -  client: none - since: 2021-12-01 15:01:05 (0:00:09)
      13 - ready             -  client: none - since: 2021-12-01 15:00:50 (0:00:24)
  Clients:
  Heartbeat:
    heartbeats received: 29
    next in 0.2s
  Inventory:
    State: not running
    Last update: Never
";
        assert_eq!(render(&report, &date), want);
    }

    /// The published example but for `dead`, which is `starting` there, its
    /// reason, and the inventory.
    #[test]
    fn a_stopped_site_looks_as_published_but_is_called_dead() {
        let site = SiteReport {
            name: "remote1".into(),
            state: "dead",
            reason: "Connection refused".into(),
            since: at(16, 11, 29.0),
            last_reset: at(16, 11, 29.0),
            program_start: at(16, 11, 29.0) as u64,
            last_failed_connect: at(16, 11, 33.5),
            last_failed_error: "Connection refused".into(),
            next_heartbeat: -1.0,
            ..SiteReport::default()
        };
        let report = Report {
            now: at(16, 11, 35.0),
            sites: vec![site],
            ..Report::default()
        };
        let want = "\
----------------------------------------------
Current state:
[remote1]
  State:                   dead
  State dump time:         2021-12-01 16:11:35 (0:00:00)
  Last reset:              2021-12-01 16:11:29 (0:00:06)
  Site's last reload:      2021-12-01 16:11:29 (0:00:06)
  Last failed connect:     2021-12-01 16:11:33 (0:00:01)
  Last failed error:       Connection refused
  Cached responses:        0
  Reason:                  Connection refused, since 2021-12-01 16:11:29 (0:00:06)
  Channels:
  Clients:
  Heartbeat:
    heartbeats received: 0
    next in -1.0s
  Inventory:
    State: not running
    Last update: Never
";
        assert_eq!(render(&report, &date), want);
    }

    #[test]
    fn troubles_stand_on_lines_of_their_own() {
        let site = SiteReport {
            name: "muc".into(),
            state: "busy",
            channels_configured: 10,
            channels_limit: 4,
            waiting: 3,
            oldest_wait: Duration::from_millis(1_240),
            slow_readers: 2,
            memory: 7_000,
            heartbeat_out: Some(0.34),
            ..SiteReport::default()
        };
        let working = ChannelReport {
            site: "muc".into(),
            state: "busy",
            descriptor: 1_012,
            client: 12_345,
            since: 100.0,
            ..ChannelReport::default()
        };
        let client = |channel| ClientReport {
            site: "muc".into(),
            state: "wait_for_response",
            descriptor: 14,
            channel,
            since: 100.0,
            ..ClientReport::default()
        };
        let report = Report {
            now: 101.5,
            daemon: DaemonReport {
                configured: 60.0,
                config_error: "liveproxy.mk:3:7: not a number\nb.mk:1:1: no bracket".into(),
                config_error_since: 90.0,
                ..DaemonReport::default()
            },
            sites: vec![site],
            channels: vec![working],
            clients: vec![client(3), client(-1)],
        };
        let text = render(&report, &date);
        let want = "\
----------------------------------------------
Current state:
  Last reload failed:      2021-12-01 00:01:30 (0:00:11), the configuration of 2021-12-01 00:01:00 stays in use
  Configuration error:     liveproxy.mk:3:7: not a number
  Configuration error:     b.mk:1:1: no bracket
[muc]
";
        assert!(text.starts_with(want), "{text}");
        let want = "
  Channels limited:        answers on 4 of 10 channels
  Waiting queries:         3, the first for 1.2s
  Slow readers:            2, 7000 bytes of responses held
  Channels:
     1012 - busy              -  client: 12345 - since: 2021-12-01 00:01:40 (0:00:01)
  Clients:
      14 - wait_for_response - channel:    3 - since: 2021-12-01 00:01:40 (0:00:01)
      14 - wait_for_response - channel: none - since: 2021-12-01 00:01:40 (0:00:01)
  Heartbeat:
    heartbeats received: 0
    out since 0.3s
";
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn what_the_daemon_could_not_start_with_is_told_from_a_failed_reload() {
        let daemon = DaemonReport {
            configured: 60.0,
            config_error: "liveproxy.mk:3:7: not a number".into(),
            config_error_since: 60.0,
            config_in_part: true,
            ..DaemonReport::default()
        };
        let report = Report {
            now: 101.5,
            daemon,
            ..Report::default()
        };
        let text = render(&report, &date);
        let want = "
  Started with errors:     2021-12-01 00:01:00 (0:00:41), the rest of the configuration is in use
  Configuration error:     liveproxy.mk:3:7: not a number
";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn without_sites_there_is_the_head_alone() {
        let text = render(&Report::default(), &date);
        assert_eq!(text.len(), 62);
    }

    #[test]
    fn no_text_from_outside_looks_like_a_ready_site() {
        let trap = "x\n  State:                   ready\n";
        let site = SiteReport {
            name: "muc".into(),
            state: "dead",
            reason: trap.into(),
            last_failed_error: trap.into(),
            ..SiteReport::default()
        };
        let daemon = DaemonReport {
            config_error: trap.into(),
            ..DaemonReport::default()
        };
        let report = Report {
            daemon,
            sites: vec![site],
            ..Report::default()
        };
        let text = render(&report, &date);
        assert!(!text.contains("State:                   ready"), "{text}");
        assert!(text.contains("x State: ready"), "{text}");
    }

    #[test]
    fn ages_are_written_as_python_writes_them() {
        for (seconds, want) in [
            (-3.0, "0:00:00"),
            (59.99, "0:00:59"),
            (86_399.0, "23:59:59"),
            (86_400.0, "1 day, 0:00:00"),
            (200_000.0, "2 days, 7:33:20"),
            (f64::NAN, "0:00:00"),
        ] {
            assert_eq!(age(seconds), want);
        }
    }
}
