//! Sites given on the command line (`--site NAME=ADDRESS`), checked like those of a file.

use super::address;
use super::conflicts::{Culprit, conflicts};
use super::names::{check_name, check_socket_length};
use super::types::{Config, Limits, LogLevel, SiteConfig, Surroundings};
use super::value::quoted;

/// Reads one `NAME=tcp:HOST:PORT`, `NAME=tcp:[IPV6]:PORT` or `NAME=unix:PATH`; all other settings are defaults.
/// The error is a sentence for the command line.
fn parse_site_option(option: &str, surroundings: &Surroundings) -> Result<SiteConfig, String> {
    let (name, address) = option.split_once('=').ok_or_else(|| {
        format!(
            "expected NAME=tcp:HOST:PORT or NAME=unix:PATH, found {}",
            quoted(option)
        )
    })?;
    let refuse = |text: String| format!("site {}: {text}", quoted(name));
    check_name(name).map_err(refuse)?;
    check_socket_length(name, &surroundings.socket_dir).map_err(refuse)?;
    let address = address::from_text(address).map_err(refuse)?;
    Ok(SiteConfig::new(name, address))
}

/// A configuration that consists of such sites alone. Any error, also a name given twice or an address that leads
/// back to this daemon, refuses the whole: there is no older configuration to fall back on.
pub fn from_site_options(
    options: &[String],
    surroundings: &Surroundings,
) -> Result<Config, String> {
    let mut sites: Vec<SiteConfig> = Vec::with_capacity(options.len());
    for option in options {
        let site = parse_site_option(option, surroundings)?;
        if sites.iter().any(|other| other.name == site.name) {
            return Err(format!("site '{}' is given twice", site.name));
        }
        sites.push(site);
    }
    let conflicts = conflicts(&sites, &surroundings.socket_dir);
    for (site, conflict) in sites.iter().zip(conflicts) {
        if let Some((Culprit::Socket | Culprit::Tcp, text)) = conflict {
            return Err(format!("site '{}': {text}", site.name));
        }
    }
    Ok(Config {
        sites,
        refused: Vec::new(),
        limits: Limits::default(),
        log_level: LogLevel::default(),
        warnings: Vec::new(),
        errors: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings {
            local_core: "/r/live".into(),
            socket_dir: "/r/liveproxy".into(),
        }
    }

    fn shown(option: &str) -> String {
        let site = parse_site_option(option, &surroundings()).unwrap();
        format!("{} {}", site.name, site.address)
    }

    #[test]
    fn forms_of_the_option() {
        assert_eq!(shown("muc=tcp:10.1.1.2:6557"), "muc tcp:10.1.1.2:6557");
        assert_eq!(shown("muc=tcp:[::1]:6557"), "muc tcp:[::1]:6557");
        assert_eq!(shown("a-b=unix:/run/a=b"), "a-b unix:/run/a=b");
    }

    #[test]
    fn wrong_options_say_what_is_accepted() {
        for (option, part) in [
            ("muc", "expected NAME=tcp:HOST:PORT"),
            ("=tcp:a:1", "empty"),
            ("a/b=tcp:a:1", "'/' cannot stand"),
            ("muc=tcp:a", "port is missing"),
            ("muc=tcp:a:0", "1 to 65535"),
            ("muc=a:1", "expected 'tcp:host:port'"),
            ("muc=unix:run", "begins with '/'"),
        ] {
            let message = parse_site_option(option, &surroundings()).unwrap_err();
            assert!(message.contains(part), "{option}: {message}");
        }
        let long = format!("{}=tcp:a:1", "n".repeat(100));
        let message = parse_site_option(&long, &surroundings()).unwrap_err();
        assert!(message.contains("too long"), "{message}");
    }

    #[test]
    fn sites_are_checked_together() {
        let read = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            from_site_options(&options, &surroundings())
        };
        let config = read(&["b=tcp:h:1", "a=unix:/s"]).unwrap();
        let names: Vec<&str> = config.sites.iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(
            read(&["a=tcp:h:1", "a=tcp:h:2"])
                .unwrap_err()
                .contains("twice")
        );
        let own = read(&["a=unix:/r/liveproxy/b"]).unwrap_err();
        assert!(own.contains("own sockets"), "{own}");
    }
}
