//! The plugin's findings as lines of a local check for Checkmk's agent: a
//! service for the daemon and one for each site.

use super::Failure;
use super::check::{Picture, Site, plain};
use super::limits::{Level, Limits, What};
use super::words::many;

/// All lines. `service` is the name of the daemon's service; a site's has the
/// site behind it.
pub fn lines(picture: &Picture, limits: &Limits, service: &str) -> String {
    let mut text = daemon(picture, limits, service);
    let mut sites: Vec<&Site> = picture.sites.iter().collect();
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    for site in sites {
        text.push_str(&line(site, limits, service));
    }
    text
}

/// The daemon's line when nothing could be seen. The sites' services get stale,
/// which is what they are.
pub fn failed(failure: &Failure, level: Level, service: &str) -> String {
    format!(
        "{} \"{service}\" - {}\n",
        level as u8,
        told(&failure.to_string())
    )
}

fn daemon(picture: &Picture, limits: &Limits, service: &str) -> String {
    let all = picture.sites.len();
    let (dead, waiting) = (picture.dead(), picture.waiting());
    let mut level = limits.judge(What::Dead, dead as f64, all as f64);
    let mut parts = vec![format!("{}, {}", picture.version, many(all as u64, "site"))];
    if dead > 0 {
        parts.push(format!("{dead} not reachable"));
    }
    if !picture.config_error.is_empty() {
        level = level.max(Level::Warning);
        parts.push(format!(
            "the configuration is wrong: {}",
            picture.config_error
        ));
    }
    let metrics = [
        format!("sites={all}"),
        format!(
            "dead={dead};{};0;{all}",
            limits.ends(What::Dead, all as f64)
        ),
        format!("waiting={waiting};;;0"),
        format!(
            "response_memory={};;;0;{}",
            picture.memory[0], picture.memory[1]
        ),
    ];
    format!(
        "{} \"{service}\" {} {}\n",
        level as u8,
        metrics.join("|"),
        told(&parts.join("; "))
    )
}

fn line(site: &Site, limits: &Limits, service: &str) -> String {
    let [busy, open, configured] = site.channels;
    let metrics = [
        format!("channels={open};;;0;{configured}"),
        format!("channels_busy={busy};;;0;{configured}"),
        format!(
            "busy={};{};0;100",
            site.busy(),
            limits.ends(What::Busy, 100.0)
        ),
        format!(
            "waiting={};{};0",
            site.waiting,
            limits.ends(What::Waiting, 0.0)
        ),
        format!("clients={};;;0", site.clients),
        format!("response_time={:.3};;;0", site.response_time),
    ];
    let text = match site.is_dead() {
        true => site.told.clone(),
        false => format!("{}, {busy} of {open} channels at work", site.told),
    };
    format!(
        "{} \"{service} {}\" {} {}\n",
        site.level(limits) as u8,
        site.name,
        metrics.join("|"),
        told(&text)
    )
}

/// In these lines a backslash begins a sequence of its own.
fn told(text: &str) -> String {
    plain(text).replace('\\', "/")
}
