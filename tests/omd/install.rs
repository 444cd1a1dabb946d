//! Installing into a site and into OMD, and removing all of it again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::site::{Done, OmdSite};
use crate::support::eventually;

const INIT: &str = "etc/init.d/liveproxy";
const LINK: &str = "etc/rc.d/20-liveproxy";
const ROTATE: &str = "etc/logrotate.d/liveproxy";

#[test]
fn what_install_puts_into_a_site_remove_takes_out_again() {
    let Some(site) = OmdSite::new() else { return };
    site.configure();
    let before = site.snapshot();
    let mut installed = None;
    for _ in 0..2 {
        let done = site.hook("install", &[]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.stdout.contains("omd-hook/enable"), "{done:?}");
        let now = site.snapshot();
        assert_eq!(
            installed.get_or_insert(now.clone()),
            &now,
            "the second time changes nothing"
        );
    }
    assert_eq!(
        fs::read_link(site.path(LINK)).unwrap().to_str(),
        Some("../init.d/liveproxy")
    );
    assert!(fs::metadata(site.path(LINK)).unwrap().permissions().mode() & 0o111 != 0);
    let rotate = site.read(ROTATE);
    assert!(
        rotate.contains(&format!(
            "\n{}/var/log/livepd.log {{\n",
            site.root().display()
        )),
        "{rotate}"
    );
    for _ in 0..2 {
        let done = site.hook("remove", &[]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(site.snapshot(), before);
    }
}

#[test]
fn removing_stops_the_daemon_and_leaves_configuration_and_log() {
    let Some(site) = OmdSite::new() else { return };
    site.configure();
    let conf = site.read("etc/omd/site.conf");
    site.hook("install", &[]);
    site.hook("enable", &[]).expect(0, "");
    let mut start = site.command(site.path(INIT));
    site.run(start.arg("start"))
        .expect(0, "Starting liveproxyd...OK\n");
    let pid = site.pid();
    let done = site.hook("remove", &[]);
    assert_eq!(done.code, 0, "{done:?}");
    eventually("the daemon is gone", || {
        !fs::exists(format!("/proc/{pid}/root")).unwrap()
    });
    assert!(!site.path("tmp/run/liveproxyd.pid").exists());
    assert_eq!(site.read("etc/omd/site.conf"), conf);
    assert!(!site.path("etc/check_mk/multisite.d/liveproxy.mk").exists());
    assert!(!site.path(INIT).exists());
    assert!(site.path("etc/check_mk/liveproxy.mk").exists());
    assert!(site.path("var/log/livepd.log").exists());
}

#[test]
fn logrotate_takes_the_rule() {
    let Some(site) = OmdSite::new() else { return };
    if site
        .run(site.command("sh").args(["-c", "command -v logrotate"]))
        .code
        != 0
    {
        eprintln!("left out: there is no logrotate");
        return;
    }
    site.hook("install", &[]);
    site.write("var/log/livepd.log", "a line\n");
    let state = site.path("tmp/state");
    let rotate = |site: &OmdSite| {
        let mut command = site.command("logrotate");
        site.run(
            command
                .arg("-f")
                .arg("-s")
                .arg(&state)
                .arg(site.path(ROTATE)),
        )
    };
    let done = rotate(&site);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert_eq!(site.read("var/log/livepd.log.1"), "a line\n");
}

#[test]
fn files_of_others_are_left_alone() {
    let Some(site) = OmdSite::new() else { return };
    for (name, text) in [
        (INIT, "#!/bin/sh\necho theirs\n"),
        (ROTATE, "# theirs\n"),
        (LINK, "# theirs\n"),
    ] {
        site.write(name, text);
        let before = site.snapshot();
        site.hook("install", &[]).expect_error(1, "not ours");
        assert_eq!(
            site.snapshot(),
            before,
            "nothing at all is installed beside {name}"
        );
        let done = site.hook("remove", &[]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(site.snapshot(), before, "{name}");
        fs::remove_file(site.path(name)).unwrap();
    }
}

#[test]
fn no_link_out_of_the_site_is_followed() {
    let Some(site) = OmdSite::new() else { return };
    let outside = site.outside("elsewhere");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
    for folder in ["etc/init.d", "etc/rc.d", "etc/logrotate.d"] {
        site.link(&outside, folder);
        site.hook("install", &[])
            .expect_error(1, "leads out of the site");
        assert!(fs::read_dir(&outside).unwrap().next().is_none(), "{folder}");
        fs::remove_file(site.path(folder)).unwrap();
        fs::create_dir(site.path(folder)).unwrap();
        site.write("tmp/x", "");
    }
    // What looks like ours behind the link stays as well.
    for name in ["liveproxy", "20-liveproxy"] {
        fs::write(
            outside.join(name),
            "#!/bin/sh\n# Belongs to liveproxyd.\nexit 5\n",
        )
        .unwrap();
    }
    site.link(&outside, "etc/logrotate.d");
    site.hook("remove", &[])
        .expect_error(1, "leads out of the site");
    assert!(outside.join("liveproxy").exists());
    fs::remove_file(site.path("etc/logrotate.d")).unwrap();
    fs::create_dir(site.path("etc/logrotate.d")).unwrap();
    site.link(outside.join("liveproxy"), INIT);
    site.hook("install", &[]).expect_error(1, "not ours");
    assert!(outside.join("liveproxy").exists());
}

#[test]
fn the_hook_goes_into_every_version_of_omd() {
    let Some(site) = OmdSite::new() else { return };
    let hooks = |version: &str| format!("versions/{version}/lib/omd/hooks");
    for version in ["2.3.0p1.cre", "5.10-labs"] {
        fs::create_dir_all(site.path(&hooks(version))).unwrap();
    }
    fs::create_dir_all(site.path("versions/broken")).unwrap();
    site.link("5.10-labs", "versions/default");
    site.write("tmp/x", "");
    let before = site.snapshot();
    let versions = site
        .path("versions")
        .into_os_string()
        .into_string()
        .unwrap();
    for _ in 0..2 {
        let done = site.hook("install", &["--versions", &versions]);
        assert_eq!((done.code, done.stdout.lines().count()), (0, 2), "{done:?}");
    }
    let ours = fs::read(site.outside("omd-hook/LIVEPROXY")).unwrap();
    for version in ["2.3.0p1.cre", "5.10-labs"] {
        let hook = site.path(&hooks(version)).join("LIVEPROXY");
        assert_eq!(fs::read(&hook).unwrap(), ours);
        let done: Done = site.run(site.command(&hook).arg("default"));
        done.expect(0, "off\n");
    }
    for _ in 0..2 {
        let done = site.hook("remove", &["--versions", &versions]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(site.snapshot(), before);
    }
    site.write(
        &format!("{}/LIVEPROXY", hooks("5.10-labs")),
        "#!/bin/sh\n# theirs\n",
    );
    site.hook("install", &["--versions", &versions])
        .expect_error(1, "not ours");
    site.hook("remove", &["--versions", &versions]);
    assert!(
        site.read(&format!("{}/LIVEPROXY", hooks("5.10-labs")))
            .contains("theirs")
    );
    site.hook("install", &["--versions", "/nonexistent"])
        .expect_error(1, "no version of OMD");
}

#[test]
fn what_is_no_site_is_refused() {
    let Some(site) = OmdSite::new() else { return };
    for name in ["enable", "disable", "install", "remove"] {
        let script = site.outside("omd-hook").join(name);
        let done = site.run(site.command(&script).env_remove("OMD_ROOT"));
        done.expect_error(1, "OMD_ROOT is not set");
        let done = site.run(site.command(&script).env("OMD_ROOT", site.outside("init")));
        done.expect_error(1, "no site of OMD");
    }
}
