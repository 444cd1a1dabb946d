//! The hook that OMD calls for `omd config set LIVEPROXY on`, and its stand-ins for people without root's rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::site::{Done, OmdSite, is_root, project};

const SWITCH: &str = "etc/check_mk/multisite.d/liveproxy.mk";
const CONF: &str = "etc/omd/site.conf";

fn switch(truth: &str) -> String {
    format!(
        "# Set by OMD hook LIVEPROXY, do not change here!\nliveproxy = {truth}\nliveproxyd_enabled = {truth}\n"
    )
}

#[test]
fn the_hook_answers_what_omd_asks() {
    let Some(site) = OmdSite::new() else { return };
    site.hook("LIVEPROXY", &["default"]).expect(0, "off\n");
    site.hook("LIVEPROXY", &["depends"]).expect(0, "");
    let choices = site.hook("LIVEPROXY", &["choices"]);
    let values: Vec<&str> = choices
        .stdout
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(values, ["on", "off"]);
    let text = fs::read_to_string(project().join("omd-hook/LIVEPROXY")).unwrap();
    for head in ["\n# Alias: ", "\n# Menu: ", "\n# Description:\n#  "] {
        assert!(text.contains(head), "{head}");
    }
}

#[test]
fn setting_writes_both_switches_of_the_gui() {
    let Some(site) = OmdSite::new() else { return };
    for (value, truth) in [("on", "True"), ("on", "True"), ("off", "False")] {
        site.hook("LIVEPROXY", &["set", value]).expect(0, "");
        assert_eq!(site.read(SWITCH), switch(truth));
        let mode = fs::metadata(site.path(SWITCH))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }
    site.hook("LIVEPROXY", &["set", "maybe"])
        .expect_error(1, "neither on nor off");
    assert_eq!(site.read(SWITCH), switch("False"));
    fs::remove_dir_all(site.path("etc/check_mk")).unwrap();
    site.hook("LIVEPROXY", &["set", "on"]).expect(0, "");
    assert_eq!(site.read(SWITCH), switch("True"));
}

/// OMD takes what the hook prints for the value to keep, and ignores its exit code.
#[test]
fn the_hook_stays_off_while_another_proxy_is_on() {
    let Some(site) = OmdSite::new() else { return };
    let hook = site.outside("omd-hook/LIVEPROXY");
    let by_environment = |site: &OmdSite, value: &str| {
        let mut command = site.command(&hook);
        site.run(command.args(["set", "on"]).env("CONFIG_LIVEPROXYD", value))
    };
    let expect_refused = |done: Done| {
        done.expect(0, "off\n");
        assert!(done.stderr.contains("LIVEPROXYD is on"), "{done:?}");
        assert_eq!(site.read(SWITCH), switch("False"));
    };
    by_environment(&site, "off").expect(0, "");
    assert_eq!(site.read(SWITCH), switch("True"));
    expect_refused(by_environment(&site, "on"));
    site.set("CONFIG_LIVEPROXYD='on'");
    expect_refused(site.hook("LIVEPROXY", &["set", "on"]));
}

#[test]
fn nothing_is_written_through_a_link_out_of_the_site() {
    let Some(site) = OmdSite::new() else { return };
    let outside = site.outside("elsewhere");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
    let untouched = || fs::read_dir(&outside).unwrap().next().is_none();

    site.link(&outside, "etc/check_mk/multisite.d");
    site.hook("LIVEPROXY", &["set", "on"])
        .expect_error(1, "leads out of the site");
    site.hook("enable", &[])
        .expect_error(1, "leads out of the site");
    assert!(untouched());
    assert!(!site.read(CONF).contains("LIVEPROXY"));

    fs::remove_file(site.path("etc/check_mk/multisite.d")).unwrap();
    fs::create_dir_all(site.path("etc/check_mk/multisite.d")).unwrap();
    site.link(outside.join("file"), SWITCH);
    site.give_to_user();
    site.hook("LIVEPROXY", &["set", "on"])
        .expect_error(1, "symbolic link");
    assert!(untouched());
}

#[test]
fn without_root_a_site_is_switched_on_and_off() {
    let Some(site) = OmdSite::new() else { return };
    let before = site.read(CONF);
    fs::set_permissions(site.path(CONF), fs::Permissions::from_mode(0o640)).unwrap();
    for _ in 0..2 {
        site.hook("enable", &[]).expect(0, "");
        assert_eq!(site.read(CONF), format!("{before}CONFIG_LIVEPROXY='on'\n"));
        assert_eq!(site.read(SWITCH), switch("True"));
    }
    for _ in 0..2 {
        site.hook("disable", &[]).expect(0, "");
        assert_eq!(site.read(CONF), format!("{before}CONFIG_LIVEPROXY='off'\n"));
        assert_eq!(site.read(SWITCH), switch("False"));
    }
    let mode = fs::metadata(site.path(CONF)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "site.conf keeps its rights");
}

#[test]
fn without_root_too_nothing_is_switched_on_beside_another_proxy() {
    let Some(site) = OmdSite::new() else { return };
    site.set("CONFIG_LIVEPROXYD='on'");
    let before = site.read(CONF);
    // The shell may still have what was set long ago.
    let mut command = site.command(site.outside("omd-hook/enable"));
    let done = site.run(command.env("CONFIG_LIVEPROXYD", "off"));
    done.expect_error(1, "LIVEPROXYD is on");
    assert_eq!(site.read(CONF), before);
    assert_eq!(site.read(SWITCH), switch("False"));
}

#[test]
fn every_script_explains_itself_and_refuses_what_it_does_not_know() {
    let Some(site) = OmdSite::new() else { return };
    let before = site.snapshot();
    for name in ["LIVEPROXY", "enable", "disable", "install", "remove"] {
        for option in ["-h", "--help"] {
            let done = site.hook(name, &[option]);
            assert_eq!(done.code, 0, "{done:?}");
            assert!(
                done.stdout.starts_with(&format!("Usage: {name}")),
                "{done:?}"
            );
        }
        let done = site.hook(name, &["stray"]);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done:?}");
        assert!(
            done.stderr.contains("--help") || done.stderr.contains("Usage"),
            "{done:?}"
        );
    }
    assert_eq!(site.snapshot(), before);
}

#[test]
fn root_writes_nothing_into_a_site() {
    let Some(site) = OmdSite::new() else { return };
    if !is_root() {
        eprintln!("left out: the test does not run as root");
        return;
    }
    let before = site.snapshot();
    for name in ["enable", "disable"] {
        let mut command = std::process::Command::new(site.outside("omd-hook").join(name));
        let done = site.run(command.env("OMD_ROOT", site.root()));
        done.expect_error(1, "root writes nothing");
    }
    assert_eq!(site.snapshot(), before);
}
