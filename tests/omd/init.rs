//! The init script of an OMD site.

use std::fs;

use crate::site::OmdSite;
use crate::support::Client;
use crate::support::eventually;

const ALL: [&str; 5] = ["start", "stop", "restart", "reload", "status"];
const PID_FILE: &str = "tmp/run/liveproxyd.pid";
const SWITCH: &str = "etc/check_mk/multisite.d/liveproxy.mk";

/// A site with a configuration, switched on.
fn switched_on() -> Option<OmdSite> {
    let site = OmdSite::new()?;
    site.configure();
    site.set("CONFIG_LIVEPROXY='on'");
    Some(site)
}

#[test]
fn switched_off_it_does_nothing_and_says_so_by_its_exit_code() {
    let Some(site) = OmdSite::new() else { return };
    site.configure();
    let before = site.snapshot();
    for command in ALL {
        site.init(command).expect(5, "");
    }
    assert_eq!(site.snapshot(), before);
}

#[test]
fn starts_tells_its_state_and_stops() {
    let Some(site) = switched_on() else { return };
    site.init("status").expect(1, "liveproxyd is stopped\n");
    site.init("start").expect(0, "Starting liveproxyd...OK\n");
    let pid = site.pid();
    site.init("status")
        .expect(0, &format!("liveproxyd is running, process {pid}\n"));
    Client::connect(site.path("tmp/run/liveproxy/muc"));
    site.init("start")
        .expect(0, "Starting liveproxyd...Already running.\n");
    assert_eq!(site.pid(), pid);
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
    assert!(!site.path(PID_FILE).exists());
    eventually("the process ends", || {
        !fs::exists(format!("/proc/{pid}/root")).unwrap()
    });
    site.init("status").expect(1, "liveproxyd is stopped\n");
    site.init("stop")
        .expect(0, "Stopping liveproxyd...Not running.\n");
}

#[test]
fn restart_starts_what_does_not_run() {
    let Some(site) = switched_on() else { return };
    site.init("restart").expect(0, "Starting liveproxyd...OK\n");
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
}

#[test]
fn restart_lets_a_new_daemon_take_over() {
    let Some(site) = switched_on() else { return };
    site.init("start").expect(0, "Starting liveproxyd...OK\n");
    let old = site.pid();
    let done = site.init("restart");
    done.expect(0, "Restarting liveproxyd...OK\n");
    assert_ne!(site.pid(), old);
    Client::connect(site.path("tmp/run/liveproxy/muc"));
    eventually("the old process ends", || {
        !fs::exists(format!("/proc/{old}/root")).unwrap()
    });
    site.init("status").expect(
        0,
        &format!("liveproxyd is running, process {}\n", site.pid()),
    );
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
}

/// What the hook or `enable` wrote counts where OMD does not know the variable.
#[test]
fn without_a_variable_the_switch_of_the_gui_counts() {
    let Some(site) = OmdSite::new() else { return };
    site.configure();
    site.hook("LIVEPROXY", &["set", "on"]).expect(0, "");
    site.init("status").expect(1, "liveproxyd is stopped\n");
    site.hook("LIVEPROXY", &["set", "off"]).expect(0, "");
    site.init("status").expect(5, "");
    site.write(SWITCH, "# liveproxy = True\nliveproxyd_enabled = True\n");
    site.init("status").expect(5, "");
    site.set("CONFIG_LIVEPROXY='on'");
    site.init("status").expect(1, "liveproxyd is stopped\n");
    site.set("CONFIG_LIVEPROXY='off'");
    site.hook("LIVEPROXY", &["set", "on"]).expect(0, "");
    site.init("status").expect(5, "");
}

/// The lock says whether a daemon runs: a number may be that of anybody by now.
#[test]
fn a_number_without_a_lock_means_nothing() {
    let Some(site) = switched_on() else { return };
    fs::create_dir(site.path("tmp/run")).unwrap();
    let mut bystander = site.bystander();
    for text in [
        format!("{}\n", bystander.pid()),
        "\n".to_string(),
        String::new(),
    ] {
        site.write(PID_FILE, &text);
        site.init("status").expect(1, "liveproxyd is stopped\n");
        site.init("reload")
            .expect(1, "Reloading liveproxyd...Not running.\n");
        assert_eq!(site.read(PID_FILE), text, "looking changes nothing");
        site.init("stop")
            .expect(0, "Stopping liveproxyd...Not running.\n");
        assert!(!site.path(PID_FILE).exists(), "left by one that was killed");
    }
    site.write(PID_FILE, &format!("{}\n", bystander.pid()));
    site.init("start").expect(0, "Starting liveproxyd...OK\n");
    assert_ne!(site.pid(), bystander.pid());
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
    assert!(bystander.runs(), "the other process has noticed nothing");
}

#[test]
fn reload_sends_the_signal_that_the_daemon_waits_for() {
    let Some(site) = switched_on() else { return };
    let told = site.path("tmp/told");
    let holder = site.holder(&format!("trap 'touch {}' HUP", told.display()));
    site.init("reload").expect(0, "Reloading liveproxyd...OK\n");
    eventually("the signal arrives", || told.exists());
    site.init("status").expect(
        0,
        &format!("liveproxyd is running, process {}\n", holder.pid()),
    );
}

#[test]
fn a_daemon_that_does_not_let_go_is_told_twice() {
    let Some(site) = switched_on() else { return };
    let mut holder = site.holder("n=0; trap 'n=$((n+1)); [ $n -lt 2 ] || exit 7' TERM");
    let mut stop = site.init_command("stop");
    let done = site.run(
        stop.env("LIVEPROXY_STOP_PATIENCE", "3")
            .env("LIVEPROXY_KILL_PATIENCE", "20"),
    );
    done.expect(0, "Stopping liveproxyd...OK (at the second attempt)\n");
    assert_eq!(holder.end(), "exit status: 7");
}

#[test]
fn a_daemon_that_is_stuck_is_killed() {
    let Some(site) = switched_on() else { return };
    let mut holder = site.holder("trap '' TERM");
    let mut stop = site.init_command("stop");
    let done = site.run(
        stop.env("LIVEPROXY_STOP_PATIENCE", "1")
            .env("LIVEPROXY_KILL_PATIENCE", "5"),
    );
    done.expect(0, "Stopping liveproxyd...OK (killed)\n");
    assert!(holder.end().contains("signal: 9"));
    assert!(!site.path(PID_FILE).exists());
}

#[test]
fn a_start_that_fails_says_why() {
    let Some(site) = switched_on() else { return };
    site.write("etc/check_mk/liveproxy.mk", "x = 1\nsites = import os\n");
    for command in ["start", "restart"] {
        let done = site.init(command);
        done.expect(1, "Starting liveproxyd...Failed\n");
        done.expect_error(1, "/etc/check_mk/liveproxy.mk:2:");
    }
    fs::remove_file(site.path("local/bin/liveproxyd")).unwrap();
    site.init("start").expect(
        1,
        "Starting liveproxyd...Failed: there is no liveproxyd in local/bin, bin or PATH\n",
    );
}

#[test]
fn a_start_with_a_bad_site_beside_a_good_one_says_what_is_wrong() {
    let Some(site) = switched_on() else { return };
    let text = "sites.update({'muc': {'socket': ('127.0.0.1', 9)}, 'ber': {'socket': 5}})\n";
    site.write("etc/check_mk/liveproxy.mk", text);
    let done = site.init("start");
    done.expect(0, "Starting liveproxyd...OK\n");
    assert!(done.stderr.contains("'ber'"), "{done:?}");
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
}

/// Both have the same pid file, so that a stop would end the other one.
#[test]
fn the_proxy_of_a_commercial_edition_is_not_touched() {
    let Some(site) = switched_on() else { return };
    site.set("CONFIG_LIVEPROXYD='on'");
    let mut theirs = site.holder(":");
    for command in ["stop", "restart", "reload", "status"] {
        site.init(command).expect(5, "");
    }
    let done = site.init("start");
    done.expect_error(1, "LIVEPROXYD is on");
    assert!(theirs.runs());
}

#[test]
fn one_that_was_switched_off_while_it_ran_can_be_stopped() {
    let Some(site) = switched_on() else { return };
    site.init("start").expect(0, "Starting liveproxyd...OK\n");
    let pid = site.pid();
    site.hook("disable", &[]).expect(0, "");
    for command in ["start", "restart", "reload"] {
        site.init(command).expect(5, "");
    }
    site.init("status")
        .expect(0, &format!("liveproxyd is running, process {pid}\n"));
    site.init("stop").expect(0, "Stopping liveproxyd...OK\n");
    site.init("status").expect(5, "");
}

#[test]
fn what_it_does_not_know_is_refused() {
    let Some(site) = switched_on() else { return };
    for argument in ["", "force-reload", "is_running"] {
        let done = site.init(argument);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done:?}");
    }
    let help = site.init("--help");
    assert!(
        help.code == 0 && help.stdout.starts_with("Usage: liveproxy start|stop"),
        "{help:?}"
    );
    let mut command = site.init_command("status");
    site.run(command.env_remove("OMD_ROOT"))
        .expect_error(1, "OMD_ROOT is not set");
}
