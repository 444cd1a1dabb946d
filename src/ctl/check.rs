//! The monitoring plugin: one line, performance data, a line for each sick site.

use super::ask::{Row, table};
use super::connect::Door;
use super::limits::{Level, Limits, What};
use super::words::{ago, many};
use super::{Failure, local, print, show};
use std::cmp::Reverse;

/// A site as it is judged.
#[derive(Debug)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// What there is to be said about it: state, time, reason.
    pub told: String,
    /// Channels at work, open, and wanted.
    pub channels: [u64; 3],
    /// Clients connected.
    pub clients: u64,
    /// Queries that wait.
    pub waiting: u64,
    /// Queries so far.
    pub queries: u64,
    /// Seconds that nine of ten responses did not exceed.
    pub response_time: f64,
}

/// All that is judged.
#[derive(Debug)]
pub struct Picture {
    /// The sites, the worst first.
    pub sites: Vec<Site>,
    /// What is wrong with the configuration; empty if nothing.
    pub config_error: String,
    /// Bytes of responses, and the most that may be.
    pub memory: [u64; 2],
    /// Version of the daemon.
    pub version: String,
}

impl Site {
    fn read(row: Row<'_>, now: f64) -> Result<Site, Failure> {
        let state = row.text("state")?;
        let reason = show::reason(row)?;
        let since = ago(row.number("since")?, now);
        let mut told = state.clone();
        if !since.is_empty() {
            told.push_str(&format!(" for {since}"));
        }
        if !reason.is_empty() {
            told.push_str(&format!(": {reason}"));
        }
        Ok(Site {
            name: row.text("name")?,
            state,
            told,
            channels: [
                row.count("channels_busy")?,
                row.count("channels_open")?,
                row.count("channels_configured")?,
            ],
            clients: row.count("clients")?,
            waiting: row.count("waiting")?,
            queries: row.count("queries")?,
            response_time: row.number("response_time_p90")?,
        })
    }

    /// Whether its clients get nothing but refusals.
    pub fn is_dead(&self) -> bool {
        matches!(self.state.as_str(), "dead" | "refused")
    }

    /// Channels at work, in percent of those open.
    pub fn busy(&self) -> f64 {
        let [busy, open, _] = self.channels;
        match open {
            0 => 0.0,
            open => (busy as f64 * 100.0 / open as f64).round(),
        }
    }

    /// How well it is by itself. A disabled site is somebody's decision.
    pub fn level(&self, limits: &Limits) -> Level {
        let by_state = match self.state.as_str() {
            "dead" | "refused" => Level::Critical,
            "ready" | "starting" | "disabled" => Level::Ok,
            // Busy: it turns clients away. Others are of a later version.
            _ => Level::Warning,
        };
        by_state
            .max(limits.judge(What::Busy, self.busy(), 100.0))
            .max(limits.judge(What::Waiting, self.waiting as f64, 0.0))
    }
}

impl Picture {
    fn take(door: &Door) -> Result<Picture, Failure> {
        let daemon = table(door, "status", "")?;
        let sites = table(door, "sites", "")?;
        let row = daemon.only()?;
        let now = show::now(row)?;
        Ok(Picture {
            sites: show::worst_first(&sites)?
                .into_iter()
                .map(|row| Site::read(row, now))
                .collect::<Result<_, _>>()?,
            config_error: row.text("config_error")?,
            memory: [
                row.count("response_memory")?,
                row.count("response_memory_limit")?,
            ],
            version: row.text("program_version")?,
        })
    }

    /// Sites that are not reachable.
    pub fn dead(&self) -> usize {
        self.sites.iter().filter(|site| site.is_dead()).count()
    }

    /// Queries that wait.
    pub fn waiting(&self) -> u64 {
        self.sites.iter().map(|site| site.waiting).sum()
    }

    /// The largest part of a site's channels that is at work, in percent.
    pub fn busy(&self) -> f64 {
        self.sites.iter().map(Site::busy).fold(0.0, f64::max)
    }
}

/// Looks, and prints what a monitoring core or Checkmk's agent reads. The exit
/// code is the plugin's own.
pub fn check(door: &Door, limits: &Limits, local: Option<&str>) -> Result<u8, Failure> {
    let picture = Picture::take(door);
    if let Some(service) = local {
        print(&match &picture {
            Ok(picture) => local::lines(picture, limits, service),
            Err(failure) => local::failed(failure, level_of(failure), service),
        })?;
        return Ok(Level::Ok as u8);
    }
    let (level, text) = match &picture {
        Ok(picture) => judged(picture, limits),
        Err(failure) => (
            level_of(failure),
            format!("{}\n", plain(&failure.to_string())),
        ),
    };
    print(&format!("LIVEPROXY {level} - {text}"))?;
    Ok(level as u8)
}

/// What a core is told of a wrong command line.
pub fn misused(failure: &Failure) -> Result<u8, Failure> {
    let level = level_of(failure);
    print(&format!(
        "LIVEPROXY {level} - {}\n",
        plain(&failure.to_string())
    ))?;
    Ok(level as u8)
}

/// That nobody answers is a finding: every page of the GUI fails now, and
/// UNKNOWN would wake nobody. That this user may not ask is none.
fn level_of(failure: &Failure) -> Level {
    match failure {
        Failure::Away(_) | Failure::Silent(_) => Level::Critical,
        Failure::Denied(_) | Failure::Failed(_) | Failure::Usage(_) => Level::Unknown,
    }
}

/// What stands behind a bar would be read as performance data.
pub fn plain(text: &str) -> String {
    text.replace('|', "/")
}

fn judged(picture: &Picture, limits: &Limits) -> (Level, String) {
    /// Sites that the first line names.
    const NAMED: usize = 5;
    let all = picture.sites.len();
    let (dead, waiting, busy) = (picture.dead(), picture.waiting(), picture.busy());
    let mut parts: Vec<(Level, String)> = Vec::new();
    let mut note = |found: Level, text: String| parts.push((found, text));
    let named = |holds: &dyn Fn(&Site) -> bool| {
        let names: Vec<&str> = picture
            .sites
            .iter()
            .filter(|site| holds(site))
            .map(|site| site.name.as_str())
            .collect();
        let more = if names.len() > NAMED { ", ..." } else { "" };
        let shown = &names[..names.len().min(NAMED)];
        (names.len(), format!("{}{more}", shown.join(", ")))
    };
    if !picture.config_error.is_empty() {
        note(Level::Warning, "the configuration is wrong".into());
    }
    let found = limits.judge(What::Dead, dead as f64, all as f64);
    if dead > 0 || found > Level::Ok {
        let (_, names) = named(&Site::is_dead);
        let names = if names.is_empty() {
            names
        } else {
            format!(" ({names})")
        };
        note(
            found,
            format!(
                "{dead} of {} not reachable{names}",
                many(all as u64, "site")
            ),
        );
    }
    let (full, names) = named(&|site: &Site| site.state == "busy");
    if full > 0 {
        note(
            Level::Warning,
            format!("{full} busy, refusing clients ({names})"),
        );
    }
    let found = limits.judge(What::Waiting, waiting as f64, 0.0);
    if found > Level::Ok {
        note(
            found,
            format!("{} waiting for a channel", many(waiting, "query")),
        );
    }
    let found = limits.judge(What::Busy, busy, 100.0);
    if found > Level::Ok {
        note(
            found,
            format!("up to {busy} % of a site's channels at work"),
        );
    }
    let (disabled, names) = named(&|site: &Site| site.state == "disabled");
    if disabled > 0 {
        note(Level::Ok, format!("{disabled} disabled ({names})"));
    }
    if parts.iter().all(|(found, _)| *found == Level::Ok) && dead == 0 {
        let open: u64 = picture.sites.iter().map(|site| site.channels[1]).sum();
        let sites = many(all as u64, "site");
        let well = format!("{sites}, {} open", many(open, "channel"));
        parts.insert(0, (Level::Ok, well));
    }
    // What made it as bad as it is stands first.
    parts.sort_by_key(|(found, _)| Reverse(*found));
    let level = parts.first().map_or(Level::Ok, |(found, _)| *found);
    let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
    let mut text = plain(&texts.join("; "));
    text.push('|');
    text.push_str(&performance(picture, limits));
    text.push('\n');
    if !picture.config_error.is_empty() {
        text.push_str(&format!(
            "configuration: {}\n",
            plain(&picture.config_error)
        ));
    }
    let sick = |site: &&Site| site.state != "ready" || site.level(limits) > Level::Ok;
    for site in picture.sites.iter().filter(sick) {
        text.push_str(&format!("{}: {}\n", site.name, plain(&site.told)));
    }
    (level, text)
}

fn performance(picture: &Picture, limits: &Limits) -> String {
    let all = picture.sites.len();
    let clients: u64 = picture.sites.iter().map(|site| site.clients).sum();
    let queries: u64 = picture.sites.iter().map(|site| site.queries).sum();
    let [memory, most] = picture.memory;
    [
        format!("sites={all};;;0"),
        format!(
            "dead={};{};0;{all}",
            picture.dead(),
            limits.ranges(What::Dead, all as f64)
        ),
        format!(
            "waiting={};{};0",
            picture.waiting(),
            limits.ranges(What::Waiting, 0.0)
        ),
        format!(
            "busy={}%;{};0;100",
            picture.busy(),
            limits.ranges(What::Busy, 100.0)
        ),
        format!("clients={clients};;;0"),
        format!("queries={queries}c;;;0"),
        format!("response_memory={memory}B;;;0;{most}"),
    ]
    .join(" ")
}
