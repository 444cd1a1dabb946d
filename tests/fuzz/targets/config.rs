//! The reader of configuration files.

use std::collections::BTreeSet;

use liveproxyd::config::{Config, Problem, Source, read, show_config};

use super::{BETWEEN_FILES, surroundings};

pub const WORDS: &[&str] = &[
    "sites = {",
    "sites.update({",
    "sites = locals().setdefault('sites', {})\n",
    "sites['muc'] = ",
    "sites['muc']['tcp'] = ",
    "sites['muc'].update({",
    "globals().setdefault(",
    "'muc': {",
    "'socket': ",
    "('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('plain_text', {})})",
    "('encrypted', {'verify': True, 'ca_file_path': '/ca'})",
    "('tcp6', {'address': ('fe80::1%eth0', 6557)})",
    "('unix', {'path': '/run/x'})",
    "('local', None)",
    "'tcp:host:6557'",
    "'unix:/run/x'",
    "None",
    "'channels': 5, ",
    "'heartbeat': (5, '50%'), ",
    "'heartbeat': 10, ",
    "'channel_timeout': 0.5, ",
    "'query_timeout': 1e3, ",
    "'tcp': {'port': 6560, 'only_from': ['10.0.0.0/8', '::/0'], 'tls': True}, ",
    "liveproxyd_default_connection_params = ",
    "liveproxyd_log_levels = {'cmk.liveproxyd': 10}\n",
    "max_query = 1024\n",
    "max_clients_total = ",
    "# -*- coding: latin-1 -*-\n",
    "# coding: utf-8\n",
    "\u{feff}",
    "\\\n",
    "\\N{BULLET}",
    "\\u00fc",
    "\\x41",
    "\\777",
    "r'",
    "b'",
    "u'",
    "'''",
    "\"\"\"",
    "0x1f",
    "1_000",
    "0o17",
    "1e400",
    "-",
    " += ",
    " + ",
    "; ",
    "True",
    "}})\n",
    "})\n",
    "((((((((",
    "[[[[[[[[",
    "{'a':{'a':",
    "\x1c",
];

pub fn run(input: &[u8]) {
    let files = || input.split(|byte| *byte == BETWEEN_FILES);
    let sources: Vec<Source> = files()
        .enumerate()
        .map(|(number, text)| Source::new(format!("{number}.mk"), text))
        .collect();
    let config = match read(&sources, &surroundings()) {
        Ok(config) => config,
        Err(problem) => return check_problem(&problem, &sources),
    };
    for problem in config.errors.iter().chain(&config.warnings) {
        check_problem(problem, &sources);
    }
    check_names(&config);
    check_shown(&config);
    check_line_ends(&config, &sources);
}

/// It is one line, and leads to a place in one of the files.
fn check_problem(problem: &Problem, sources: &[Source]) {
    assert!(!problem.text.is_empty());
    let line = problem.to_string();
    assert!(!line.contains('\n'), "{line:?}");
    let Some(place) = &problem.place else { return };
    let source = sources.iter().find(|source| source.path == place.path);
    let text = &source.expect("a problem in no file").text;
    // A carriage return alone ends a line too.
    let ends = text.iter().filter(|byte| b"\r\n".contains(byte)).count();
    assert!((1..=ends + 1).contains(&place.line), "{line}");
    assert!((1..=text.len() + 1).contains(&place.column), "{line}");
    if let Some(shown) = problem.excerpt_lines() {
        assert_eq!(shown.lines().count(), 2, "{shown:?}");
    }
}

/// The name of a site is that of a file.
fn check_names(config: &Config) {
    let sites = config.sites.iter().map(|site| site.name.as_str());
    let refused = config.refused.iter().map(|site| site.name.as_str());
    let mut seen = BTreeSet::new();
    for name in sites.chain(refused) {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(fits), "{name:?}");
        assert!(seen.insert(name), "{name} twice");
    }
    assert!(config.refused.len() <= config.errors.len());
    for site in &config.sites {
        assert!((1..=50).contains(&site.channels) && site.max_clients >= 1);
        assert!(!site.query_timeout.is_zero() && !site.connect_retry.is_zero());
    }
}

/// What is shown reads back to the same.
fn check_shown(config: &Config) {
    let text = show_config(config);
    let again = read(&[Source::new("shown.mk", text.as_str())], &surroundings());
    let again = again.unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    let errors: Vec<String> = again.errors.iter().map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{errors:?}\n{text}");
    assert_eq!(again.limits, config.limits);
    assert_eq!(again.log_level, config.log_level);
    let mut sites = config.sites.clone();
    for site in &mut sites {
        site.channels_from_site = true;
    }
    assert_eq!(again.sites, sites, "{text}");
}

/// Files from another system have other line ends.
fn check_line_ends(config: &Config, sources: &[Source]) {
    let has_returns = |source: &Source| source.text.contains(&b'\r');
    if sources.iter().any(has_returns) {
        return;
    }
    let foreign: Vec<Source> = sources
        .iter()
        .map(|source| {
            let lines: Vec<&[u8]> = source.text.split(|byte| *byte == b'\n').collect();
            Source::new(&*source.path, lines.join(&b"\r\n"[..]))
        })
        .collect();
    let again = read(&foreign, &surroundings()).expect("other line ends are an error");
    assert_eq!(again.sites, config.sites);
    assert_eq!(again.errors.len(), config.errors.len());
}
