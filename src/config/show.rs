//! The configuration as it would run, in Python's syntax, for `--check-config`. What it writes, the reader reads
//! back to the same values.

use super::limits::LIMITS;
use super::settings::{SETTINGS, shown_truth};
use super::types::{Address, Config, Family, SiteConfig, Tls};
use super::value::quoted;
use std::fmt::Write as _;

/// The whole configuration: global variables, every site, and the refused ones as comments. Read back, `channels`
/// counts as set by each site itself; everything else is equal.
pub fn show_config(config: &Config) -> String {
    let mut out = String::new();
    let mut limits = config.limits.clone();
    for limit in &LIMITS {
        let _ = writeln!(out, "{} = {}", limit.name, (limit.field)(&mut limits));
    }
    let level = config.log_level.number();
    let _ = writeln!(out, "liveproxyd_log_levels = {{'cmk.liveproxyd': {level}}}");
    for site in &config.sites {
        let _ = write!(out, "\n{}", show_site(site));
    }
    for refused in &config.refused {
        let text = refused.problem.to_string().replace(['\n', '\r'], " ");
        let _ = writeln!(out, "\n# {} is refused: {text}", refused.name);
    }
    out
}

/// One site as an assignment, every setting with its effective value.
fn show_site(site: &SiteConfig) -> String {
    let mut out = format!("sites[{}] = {{\n", quoted(&site.name));
    let _ = writeln!(out, "    'socket': {},", show_address(&site.address));
    for setting in &SETTINGS {
        let value = setting.kind.show(site);
        let note = match setting.name == "channels" && !site.channels_from_site {
            true => "  # not set by the site itself: fewer where it serves fewer",
            false => "",
        };
        let _ = writeln!(out, "    '{}': {value},{note}", setting.name);
    }
    out.push_str("}\n");
    out
}

fn show_address(address: &Address) -> String {
    match address {
        Address::Unix(path) => {
            format!("('unix', {{'path': {}}})", quoted(&path.to_string_lossy()))
        }
        Address::Tcp {
            host,
            port,
            family,
            tls,
        } => {
            let kind = match family {
                Family::Any => "tcp",
                Family::V6 => "tcp6",
            };
            let (host, tls) = (quoted(host), show_tls(tls.as_ref()));
            format!("('{kind}', {{'address': ({host}, {port}), 'tls': {tls}}})")
        }
    }
}

fn show_tls(tls: Option<&Tls>) -> String {
    let Some(tls) = tls else {
        return "('plain_text', {})".to_string();
    };
    let ca_file = match &tls.ca_file {
        None => String::new(),
        Some(path) => format!(", 'ca_file_path': {}", quoted(&path.to_string_lossy())),
    };
    format!(
        "('encrypted', {{'verify': {}{ca_file}}})",
        shown_truth(tls.verify)
    )
}
