//! Limits of the monitoring plugin: what is watched, and the ranges of the
//! Monitoring Plugins guidelines.

use std::fmt;

/// What has limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Sites that are not reachable.
    Dead,
    /// Queries that wait for a channel.
    Waiting,
    /// Channels at work, in percent of those open.
    Busy,
}

/// How well it is; the exit code of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Well.
    Ok = 0,
    /// Somebody should look.
    Warning = 1,
    /// Somebody must look.
    Critical = 2,
    /// Nobody knows.
    Unknown = 3,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Critical => "CRITICAL",
            Level::Unknown => "UNKNOWN",
        })
    }
}

/// Values that are well: those from `start` to `end`, or, `inside`, all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
    /// Whether the ends are percents of all there are.
    is_part: bool,
}

impl Range {
    fn read(text: &str) -> Option<Range> {
        let (text, is_part) = match text.strip_suffix('%') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (text, inside) = match text.strip_prefix('@') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        let (start, end) = match text.split_once(':') {
            None => (0.0, number(text)?),
            Some((start, end)) => (
                match start {
                    "~" => f64::NEG_INFINITY,
                    "" => 0.0,
                    start => number(start)?,
                },
                match end {
                    "" => f64::INFINITY,
                    end => number(end)?,
                },
            ),
        };
        (start <= end).then_some(Range {
            start,
            end,
            inside,
            is_part,
        })
    }

    /// In things, where so many are all of them.
    fn of(self, all: f64) -> Range {
        let scale = |end: f64| match self.is_part && end.is_finite() {
            true => end * all / 100.0,
            false => end,
        };
        Range {
            start: scale(self.start),
            end: scale(self.end),
            inside: self.inside,
            is_part: false,
        }
    }

    fn alerts(self, value: f64) -> bool {
        (self.start..=self.end).contains(&value) == self.inside
    }

    /// Its upper end, if it has no other.
    fn only_end(self) -> Option<f64> {
        (self.start == 0.0 && !self.inside && self.end.is_finite()).then_some(self.end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        match self.start {
            0.0 if self.end.is_finite() => {}
            f64::NEG_INFINITY => f.write_str("~:")?,
            start => write!(f, "{start}:")?,
        }
        match self.end.is_finite() {
            true => write!(f, "{}", self.end),
            false => Ok(()),
        }
    }
}

/// All limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    warning: Vec<(What, Range)>,
    critical: Vec<(What, Range)>,
}

impl Limits {
    /// From the options; without any, a dead site is worth a look and half of
    /// them dead are worth a night. The error is one line for a person.
    pub fn read(warning: &[String], critical: &[String]) -> Result<Limits, String> {
        let all = |texts: &[String]| -> Result<Vec<_>, String> {
            texts.iter().map(|text| limit(text)).collect()
        };
        if warning.is_empty() && critical.is_empty() {
            return Ok(Limits {
                warning: vec![limit("dead=0")?],
                critical: vec![limit("dead=50%")?],
            });
        }
        Ok(Limits {
            warning: all(warning)?,
            critical: all(critical)?,
        })
    }

    /// How well a value is; `all` is what percents are of.
    pub fn judge(&self, what: What, value: f64, all: f64) -> Level {
        let alerts = |limits: &[(What, Range)]| {
            let mut ours = limits.iter().filter(|(of, _)| *of == what);
            ours.any(|(_, range)| range.of(all).alerts(value))
        };
        match (alerts(&self.critical), alerts(&self.warning)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Ok,
        }
    }

    /// `WARNING;CRITICAL` for performance data.
    pub fn ranges(&self, what: What, all: f64) -> String {
        let shown = |range: Range| Some(range.to_string());
        self.shown(what, all, shown)
    }

    /// The same where only numbers are understood.
    pub fn ends(&self, what: What, all: f64) -> String {
        let shown = |range: Range| range.only_end().map(|end| end.to_string());
        self.shown(what, all, shown)
    }

    fn shown(&self, what: What, all: f64, shown: impl Fn(Range) -> Option<String>) -> String {
        let first = |limits: &[(What, Range)]| {
            let mut ours = limits.iter().filter(|(of, _)| *of == what);
            ours.next()
                .and_then(|(_, range)| shown(range.of(all)))
                .unwrap_or_default()
        };
        format!("{};{}", first(&self.warning), first(&self.critical))
    }
}

fn limit(text: &str) -> Result<(What, Range), String> {
    let wrong = || format!("'{text}' is no limit like dead=0, dead=50%, waiting=10 or busy=80");
    let (what, range) = text.split_once('=').ok_or_else(wrong)?;
    let what = match what {
        "dead" => What::Dead,
        "waiting" => What::Waiting,
        "busy" => What::Busy,
        _ => return Err(wrong()),
    };
    let range = Range::read(range).ok_or_else(wrong)?;
    match (what, range.is_part) {
        // A busy=80% means what busy=80 does.
        (What::Busy, _) => Ok((
            what,
            Range {
                is_part: false,
                ..range
            },
        )),
        (What::Waiting, true) => Err(format!("'{text}': waiting queries are no part of anything")),
        _ => Ok((what, range)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_the_guidelines_say() {
        for (text, alerting, well) in [
            ("10", &[-1.0, 10.5][..], &[0.0, 10.0][..]),
            ("10:", &[9.0, -1.0], &[10.0, 1e9]),
            ("~:10", &[10.1], &[-1e9, 10.0]),
            ("10:20", &[9.9, 20.1], &[10.0, 20.0]),
            ("@10:20", &[10.0, 20.0], &[9.9, 20.1]),
            (":5", &[6.0], &[0.0]),
        ] {
            let range = Range::read(text).unwrap();
            assert!(alerting.iter().all(|value| range.alerts(*value)), "{text}");
            assert!(!well.iter().any(|value| range.alerts(*value)), "{text}");
        }
        for text in ["", "x", "20:10", "1:2:3", "inf", "%", "@"] {
            assert_eq!(Range::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["10", "10:", "~:10", "10:20", "@10:20", "@5", "0.5"] {
            assert_eq!(Range::read(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn parts_are_of_all_sites() {
        let limits = Limits::read(&[], &[]).unwrap();
        let judged = |dead| limits.judge(What::Dead, dead, 4.0);
        assert_eq!(
            [judged(0.0), judged(1.0), judged(2.0), judged(3.0)],
            [Level::Ok, Level::Warning, Level::Warning, Level::Critical]
        );
        assert_eq!(limits.ranges(What::Dead, 3.0), "0;1.5");
        assert_eq!(limits.ranges(What::Busy, 100.0), ";");
    }

    #[test]
    fn given_limits_replace_the_usual_ones() {
        let limits = Limits::read(&["busy=80%".into()], &["busy=~:95".into()]).unwrap();
        assert_eq!(limits.judge(What::Dead, 9.0, 9.0), Level::Ok);
        assert_eq!(limits.judge(What::Busy, 81.0, 100.0), Level::Warning);
        assert_eq!(limits.ranges(What::Busy, 100.0), "80;~:95");
        assert_eq!(limits.ends(What::Busy, 100.0), "80;");
        for text in ["dead", "dead=", "idle=1", "waiting=5%"] {
            assert!(Limits::read(&[text.into()], &[]).is_err(), "{text}");
        }
    }
}
