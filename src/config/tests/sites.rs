//! Sites: fallbacks, errors, refused sites, warnings, and what `--check-config` shows.

use super::{clean, config, lines, surroundings};
use crate::config::{Config, Source, read, show_config};
use std::time::Duration;

fn errors(text: &str) -> Vec<String> {
    lines(&config(text).errors)
}

fn names(config: &Config) -> (Vec<&str>, Vec<&str>) {
    (
        config.sites.iter().map(|site| site.name.as_str()).collect(),
        config
            .refused
            .iter()
            .map(|site| site.name.as_str())
            .collect(),
    )
}

#[test]
fn a_key_falls_back_to_the_global_value_and_then_to_the_default() {
    let config = clean(
        "liveproxyd_default_connection_params = {'channels': 4, 'timeout': 1.5, 'cache': False}\n\
         sites = {'a': {'socket': '/a', 'channels': 6}, 'b': {'socket': '/b', 'timeout': 2},\n\
         'c': {'socket': '/c', 'timeout': 2, 'channel_timeout': 2.5}}",
    );
    let [a, b, c] = config.sites.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!((a.channels, b.channels), (6, 4));
    assert_eq!((a.channels_from_site, b.channels_from_site), (true, false));
    assert_eq!(a.channel_timeout, Duration::from_millis(1500));
    assert_eq!(b.channel_timeout, Duration::from_secs(2));
    assert_eq!(c.channel_timeout, Duration::from_millis(2500));
    assert!(!a.cache && !b.cache);
    assert_eq!(a.query_timeout, Duration::from_secs(120));
}

#[test]
fn a_bad_site_does_not_keep_the_good_ones_from_running() {
    let config = config(
        "sites = {'a': {'socket': '/a'},\n 'b': {'socket': '/b', 'channels': 51, 'cache': 1},\n \
         'c': {'socket': '/c'}, 'd': {}, 'e': 5}",
    );
    assert_eq!(names(&config), (vec!["a", "c"], vec!["b", "d", "e"]));
    assert_eq!(
        lines(&config.errors),
        [
            "a.mk:2:36: site 'b', 'channels': expected a whole number from 1 to 50, found 51",
            "a.mk:2:49: site 'b', 'cache': expected True or False, found 1",
            "a.mk:3:30: site 'd': 'socket' is missing; expected 'socket': ('10.1.1.2', 6557)",
            "a.mk:3:39: site 'e': expected a dictionary such as {'socket': ('10.1.1.2', 6557)}, found 5",
        ]
    );
    assert_eq!(config.refused[0].problem, config.errors[0]);
    assert_eq!(config.refused[1].problem, config.errors[2]);
    assert!(config.errors[0].excerpt_lines().unwrap().ends_with('^'));
}

#[test]
fn a_bad_global_value_leaves_the_default_and_refuses_no_site() {
    let config = config(
        "liveproxyd_default_connection_params = {'channels': '4', 'connect_retry': 2}\n\
         max_query = None\nsites = {'a': {'socket': '/a'}}",
    );
    assert_eq!(names(&config), (vec!["a"], vec![]));
    assert_eq!(config.sites[0].channels, 10);
    assert_eq!(config.sites[0].connect_retry, Duration::from_secs(2));
    assert_eq!(config.limits.max_query, 16 << 20);
    let errors = lines(&config.errors);
    assert!(
        errors[0].starts_with("a.mk:2:13: max_query: expected a whole number"),
        "{errors:?}"
    );
    assert_eq!(
        errors[1],
        "a.mk:1:53: liveproxyd_default_connection_params, 'channels': \
         expected a whole number from 1 to 50, found '4'"
    );
}

#[test]
fn a_name_that_is_no_file_name_is_an_error_alone() {
    for (name, part) in [
        ("'a/b'", "site 'a/b': '/' cannot stand"),
        ("'..'", "'.' cannot stand"),
        ("''", "is empty"),
        ("'mü'", "'ü' cannot stand"),
        ("5", "the name of a site in quotes, found 5"),
        ("b'a'", "found a bytes string"),
        (
            "'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'",
            "9 bytes too long",
        ),
    ] {
        let config = config(&format!("sites = {{{name}: {{'socket': '/a'}}}}"));
        assert_eq!(names(&config), (vec![], vec![]), "{name}");
        let errors = lines(&config.errors);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("a.mk:1:10: "), "{errors:?}");
        assert!(errors[0].contains(part), "{errors:?}");
    }
}

#[test]
fn an_address_that_leads_back_to_the_daemon_is_refused() {
    let config = config(
        "sites = {'a': {'socket': '/omd/sites/x/tmp/run/liveproxy/b'},\n\
         'b': {'socket': ('127.0.0.1', 6560)},\n'c': {'socket': '/c', 'tcp': {'port': 6560}},\n\
         'd': {'socket': '/d', 'tcp': {'port': 6560}}}",
    );
    assert_eq!(names(&config), (vec!["c"], vec!["a", "b", "d"]));
    let errors = lines(&config.errors);
    assert!(
        errors[0].starts_with("a.mk:1:26: site 'a', 'socket': /omd/"),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("a.mk:2:17: site 'b', 'socket': 127.0.0.1 port 6560"),
        "{errors:?}"
    );
    assert!(
        errors[2].starts_with("a.mk:4:30: site 'd', 'tcp': site 'c' has this port"),
        "{errors:?}"
    );
}

#[test]
fn wrong_types_of_the_variables_themselves() {
    assert_eq!(
        errors("sites = [1]"),
        [
            "a.mk:1:9: sites: expected a dictionary such as {'muc': {'socket': ...}}, found a list of 1"
        ]
    );
    assert_eq!(
        errors("liveproxyd_default_connection_params = 5"),
        ["a.mk:1:40: liveproxyd_default_connection_params: \
             expected a dictionary such as {'channels': 10}, found 5"]
    );
    assert_eq!(
        errors("sites['a'] = {'socket': 'run/live'}"),
        ["a.mk:1:25: site 'a', 'socket': \
             expected 'tcp:host:port', 'unix:/path' or '/path', found 'run/live'"]
    );
}

#[test]
fn unknown_keys_are_named_once_however_many_sites_have_them() {
    let config = config(
        "sites = {'a': {'socket': '/a', 'chanels': 3},\n'b': {'socket': '/b', 'chanels': 3, 5: 6},\n\
         'c': {'socket': ('tcp', {'address': ('h', 1), 'verify': True}), 'tcp': {'port': 1, 'x': 2}}}\n\
         liveproxyd_default_connection_params['socket'] = '/s'\n\
         liveproxyd_log_levels = {'cmk': 10}",
    );
    assert_eq!(lines(&config.errors), [""; 0]);
    let known = "channels, channel_timeout, heartbeat, query_timeout, connect_retry, cache, tcp, max_clients";
    let expected = [
        "a.mk:5:26: unknown key 'cmk' in 'liveproxyd_log_levels' is ignored; known are cmk.liveproxyd".to_string(),
        format!(
            "a.mk:4:38: unknown key 'socket' in liveproxyd_default_connection_params is ignored; known are {known}"
        ),
        format!(
            "a.mk:1:32: unknown key 'chanels' in site 'a' (and 1 more) is ignored; known are socket, {known}"
        ),
        format!("a.mk:2:37: unknown key 5 in site 'b' is ignored; known are socket, {known}"),
        "a.mk:3:47: unknown key 'verify' in site 'c', 'socket' is ignored; known are address, tls".to_string(),
        "a.mk:3:84: unknown key 'x' in site 'c', 'tcp' is ignored; known are port, only_from, tls, commands"
            .to_string(),
    ];
    assert_eq!(lines(&config.warnings), expected);
}

#[test]
fn what_is_shown_reads_back_to_the_same_configuration() {
    let original = config(
        "max_query = 100000\nliveproxyd_log_levels = {'cmk.liveproxyd': 30}\n\
         liveproxyd_default_connection_params['channels'] = 3\n\
         sites = {'a': {'socket': None, 'heartbeat': 10}, 'b': {'socket': ('h', 1), 'cache': False},\n\
         'c': {'socket': ('tcp6', {'address': ('fe80::1%eth0', 6557), 'tls': ('encrypted', {'verify': False})}),\n\
         'channel_timeout': 0.123456789, 'heartbeat': (1.5, 0.3)},\n\
         'd': {'socket': ('tcp', {'address': ('h', 2), 'tls': ('encrypted', {'ca_file_path': '/\\'\"ä\\n'})}),\n\
         'tcp': {'port': 5, 'only_from': ['10.0.0.0/8', '::1'], 'commands': False}},\n\
         'e': {'socket': '/a b\\'', 'channels': 4, 'tcp': {'port': 6, 'only_from': []}},\n\
         'bad': {'socket': 7}}",
    );
    assert_eq!(original.sites.len(), 5);
    let shown = show_config(&original);
    let mut again = clean(&shown);
    let mut expected = original.clone();
    for config in [&mut again, &mut expected] {
        for site in &mut config.sites {
            site.channels_from_site = true;
        }
    }
    assert_eq!(again.sites, expected.sites, "{shown}");
    assert_eq!(
        (again.limits, again.log_level),
        (expected.limits, expected.log_level)
    );
    assert!(shown.contains("# bad is refused: a.mk:"), "{shown}");
}

#[test]
fn a_refused_site_is_shown_as_one_comment() {
    let sources = [Source::new("a\nx = 1.mk", "sites['bad'] = 5")];
    let shown = show_config(&read(&sources, &surroundings()).unwrap());
    assert!(
        shown.contains("# bad is refused: a x = 1.mk:1:16: site 'bad'"),
        "{shown}"
    );
    clean(&shown);
}

#[test]
fn a_site_is_shown_with_every_setting() {
    let config = clean("sites['muc'] = {'socket': ('10.1.1.2', 6557), 'tcp': {'port': 6560}}");
    let shown = show_config(&config);
    let (_, site) = shown.split_once("\n\n").unwrap();
    assert_eq!(
        site,
        "sites['muc'] = {\n    \
         'socket': ('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('plain_text', {})}),\n    \
         'channels': 10,  # not set by the site itself: fewer where it serves fewer\n    \
         'channel_timeout': 5.0,\n    \
         'heartbeat': (3, '50%'),\n    \
         'query_timeout': 120.0,\n    \
         'connect_retry': 4.0,\n    \
         'cache': True,\n    \
         'tcp': {'port': 6560, 'tls': False, 'commands': True},\n    \
         'max_clients': 1000,\n\
         }\n"
    );
}

#[test]
fn a_syntax_error_is_the_only_error_of_reading() {
    let sources = [
        Source::new("a.mk", "sites = 5"),
        Source::new("b.mk", "x = "),
    ];
    let problem = read(&sources, &surroundings()).unwrap_err();
    assert!(
        problem
            .to_string()
            .starts_with("b.mk:1:5: expected a value"),
        "{problem}"
    );
}

#[test]
fn very_many_sites_are_cut_with_an_error() {
    let entries: String = (0..10_001)
        .map(|n| format!("'s{n}':{{'socket':'/s'}},"))
        .collect();
    let config = config(&format!("sites = {{{entries}}}"));
    assert_eq!(config.sites.len(), 10_000);
    let errors = lines(&config.errors);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("more than 10000 sites"), "{errors:?}");
}
