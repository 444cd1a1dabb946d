//! Files as every generation of Checkmk has written them.

use super::{clean, config, lines};
use crate::config::{Address, Heartbeat, HeartbeatTimeout, LogLevel, SiteConfig};
use std::time::Duration;

fn only_site(text: &str) -> SiteConfig {
    let config = clean(text);
    let [site] = config.sites.as_slice() else {
        panic!("not one site: {config:?}");
    };
    site.clone()
}

#[test]
fn check_mk_1_2_3_has_the_heartbeat_as_a_number_and_the_old_timeout() {
    let site = only_site(
        "sites = {\n    \"test\": {\n        \"socket\": (\"10.1.1.2\", 8787),\n        \"channels\": 3,\n\
         \"heartbeat\": 10,\n        \"timeout\": 0.5,\n    },\n}\n",
    );
    assert_eq!(site.address.to_string(), "tcp:10.1.1.2:8787");
    assert_eq!((site.channels, site.channels_from_site), (3, true));
    assert_eq!(site.channel_timeout, Duration::from_millis(500));
    assert_eq!(
        site.heartbeat,
        Heartbeat {
            interval: Duration::from_secs(10),
            timeout: HeartbeatTimeout::Percent(50)
        }
    );
}

#[test]
fn check_mk_1_4_pretty_prints_behind_a_backslash() {
    let site = only_site(
        "# Created by WATO\n# encoding: utf-8\n\nsites = \\\n{'muc': {'cache': False,\n         \
         'channel_timeout': 3.0,\n         'channels': 5,\n         'connect_retry': 4.5,\n         \
         'heartbeat': (5, 2.0),\n         'query_timeout': 60.0,\n         'socket': (u'muc.example.com', 6557)}}\n",
    );
    assert_eq!(site.address.to_string(), "tcp:muc.example.com:6557");
    assert!(!site.cache);
    assert_eq!(site.connect_retry, Duration::from_millis(4500));
    assert_eq!(site.query_timeout, Duration::from_secs(60));
    assert_eq!(
        site.heartbeat.timeout,
        HeartbeatTimeout::Fixed(Duration::from_secs(2))
    );
}

#[test]
fn check_mk_1_5_updates_a_predefined_name() {
    let config = clean(
        "sites.update({\n\"local\": {\"socket\": None},\n\"tcp\": {\"socket\": (\"127.0.0.1\", 6557)},\n\
         \"unix\": {\"socket\": \"/run/live\"},\n})\n",
    );
    let shown: Vec<String> = config.sites.iter().map(|s| s.address.to_string()).collect();
    assert_eq!(
        shown,
        [
            "unix:/omd/sites/x/tmp/run/live",
            "tcp:127.0.0.1:6557",
            "unix:/run/live"
        ]
    );
}

#[test]
fn checkmk_1_6_and_2_0_add_the_connect_timeout_of_the_gui() {
    let site = only_site(
        "sites = locals().setdefault('sites', {})\nsites.update({'muc': {'connect_timeout': 2, \
         'socket': ('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('plain_text', {})})}})\n",
    );
    assert_eq!(site.address.to_string(), "tcp:10.1.1.2:6557");
    assert_eq!(site, SiteConfig::new("muc", site.address.clone()));
}

#[test]
fn todays_checkmk_writes_two_statements() {
    let site = only_site(
        "sites = locals().setdefault('sites', {})\nsites.update({'remote1': {'socket': ('tcp', \
         {'address': ('10.1.1.2', 6557), 'tls': ('encrypted', {'verify': True})}), \
         'tcp': {'port': 6560, 'only_from': ['0.0.0.0', '::/0'], 'tls': True}}})\n",
    );
    assert_eq!(site.address.to_string(), "tcp:10.1.1.2:6557 (tls)");
    let tcp = site.tcp.unwrap();
    assert_eq!((tcp.port, tcp.tls, tcp.commands), (6560, true, true));
    assert_eq!(tcp.only_from.unwrap().len(), 2);
    assert_eq!((site.channels, site.channels_from_site), (10, false));
}

#[test]
fn an_empty_list_of_viewers_is_nobody() {
    let site = only_site(
        "sites['a'] = {'socket': ('local', None), 'tcp': {'port': 6560, 'only_from': []}}",
    );
    assert_eq!(
        site.address,
        Address::Unix("/omd/sites/x/tmp/run/live".into())
    );
    assert_eq!(site.tcp.unwrap().only_from, Some(Vec::new()));
}

#[test]
fn global_settings_of_the_gui() {
    let config = clean(
        "liveproxyd_log_levels = {'cmk.liveproxyd': 10}\n\
         liveproxyd_default_connection_params = {'channels': 5, 'heartbeat': (5, 2.0), 'channel_timeout': 3.0,\n\
         'query_timeout': 120.0, 'connect_retry': 4.0, 'cache': True}\n\
         sites['a'] = {'socket': '/a'}\nsites['b'] = {'socket': '/b', 'channels': 7}\n",
    );
    assert_eq!(config.log_level, LogLevel::Debug);
    let channels: Vec<(usize, bool)> = config
        .sites
        .iter()
        .map(|site| (site.channels, site.channels_from_site))
        .collect();
    assert_eq!(channels, [(5, false), (7, true)]);
    assert_eq!(config.sites[1].channel_timeout, Duration::from_secs(3));
}

#[test]
fn no_file_and_an_empty_file_mean_no_sites() {
    let surroundings = super::surroundings();
    let nothing = crate::config::read(&[], &surroundings).unwrap();
    assert_eq!(nothing, config(""));
    assert_eq!(nothing, clean("# nothing\n\n"));
    assert_eq!(nothing.sites.len() + nothing.refused.len(), 0);
}

#[test]
fn the_order_of_the_dictionary_is_kept() {
    let config = clean("sites.update({'b': {'socket': '/b'}})\nsites['a'] = {'socket': '/a'}");
    let names: Vec<&str> = config.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn the_gui_files_of_other_parts_are_unknown_variables() {
    let config =
        config("multisite_x = 1\nsites = {}\nmultisite_x = 2\nspare = 3\nmax_query = 100000\n");
    let warnings = lines(&config.warnings);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0]
            .starts_with("a.mk:1:1: unknown variable 'multisite_x' is ignored; known are sites,")
    );
    assert!(warnings[1].starts_with("a.mk:4:1: unknown variable 'spare'"));
}
