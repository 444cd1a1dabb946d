//! Orders: what is sent, what is waited for, what is said.

use crate::fake::{Fake, State};
use crate::tables::{NOW, four_sites, site, with};
use serde_json::{Value, json};

fn set<const N: usize>(
    state: &mut State,
    table: &'static str,
    name: &str,
    values: [(&str, Value); N],
) {
    let rows = state.tables.get_mut(table).unwrap();
    for row in rows {
        let is_it = name.is_empty() || row.contains(&("name", json!(name)));
        if is_it {
            *row = with(row.clone(), values.clone());
        }
    }
}

/// Carries out what orders ask for, at once.
fn obedient(order: &str, state: &mut State) -> String {
    match order.splitn(3, ';').collect::<Vec<_>>()[..] {
        ["DISABLE_SITE", site, reason] => {
            let values = [("state", json!("disabled")), ("reason", json!(reason))];
            set(state, "sites", site, values);
        }
        ["ENABLE_SITE", site] => {
            let values = [("state", json!("ready")), ("reason", json!(""))];
            set(state, "sites", site, values);
        }
        ["RECONNECT_SITE", _] => {}
        ["RELOAD"] => set(state, "status", "", [("last_reload", json!(NOW))]),
        ["RESTART"] => set(state, "status", "", [("pid", json!(2_000_000_002))]),
        ["SHUTDOWN"] => {}
        _ => return format!("400: Unknown command '{order}'.\n"),
    }
    String::new()
}

#[test]
fn the_state_after_an_order_is_shown() {
    let fake = Fake::with_effect(four_sites(), obedient);
    let out = fake
        .run(&["disable", "muc", "planned", "work; till noon"])
        .well();
    assert_eq!(out, "muc is disabled: planned work; till noon\n");
    assert_eq!(fake.run(&["enable", "muc"]).well(), "muc is ready\n");
    assert_eq!(fake.run(&["reconnect", "muc"]).well(), "muc is ready\n");
    let wanted = [
        "DISABLE_SITE;muc;planned work; till noon",
        "ENABLE_SITE;muc",
        "RECONNECT_SITE;muc",
    ];
    assert_eq!(fake.orders(), wanted);
}

#[test]
fn nothing_is_ordered_for_a_site_that_is_not_there_or_not_disabled() {
    let fake = Fake::with_effect(four_sites(), obedient);
    for order in [
        &["disable", "mcu", "x"][..],
        &["enable", "mcu"],
        &["reconnect", "mcu"],
    ] {
        fake.run(order).failed(1, "There is no site 'mcu'");
    }
    fake.run(&["enable", "muc"])
        .failed(1, "muc is not disabled");
    fake.run(&["reconnect", "ham"])
        .failed(1, "ham is disabled: planned work");
    assert!(fake.orders().is_empty());
}

#[test]
fn a_site_that_is_dead_after_it_was_enabled_is_shown_so() {
    let fake = Fake::with_effect(four_sites(), |order, state| {
        assert_eq!(order, "ENABLE_SITE;ham");
        let values = [
            ("state", json!("dead")),
            ("reason", json!("Connection refused")),
            ("connects_failed", json!(1)),
        ];
        set(state, "sites", "ham", values);
        String::new()
    });
    let out = fake.run(&["enable", "ham"]).well();
    assert_eq!(out, "ham is dead: Connection refused\n");
}

#[test]
fn what_the_daemon_says_to_an_order_is_the_failure() {
    let fake = Fake::with_effect(four_sites(), |_, _| {
        "403: Only root and the user omd may give orders.\n".into()
    });
    for order in [
        &["disable", "muc", "x"][..],
        &["reload"],
        &["restart"],
        &["shutdown"],
    ] {
        fake.run(order)
            .failed(1, "403: Only root and the user omd may give orders.");
    }
}

#[test]
fn a_reload_tells_what_is_in_force() {
    let fake = Fake::with_effect(four_sites(), obedient);
    let out = fake.run(&["reload"]).well();
    assert_eq!(
        out,
        "The configuration was read. Sites: 4 (1 dead, 1 busy, 1 disabled, 1 ready)\n"
    );
    let fake = Fake::with_effect(vec![site("muc")], |_, state| {
        let values = [
            ("config_error", json!("liveproxy.mk:3:7: not a number")),
            ("config_error_since", json!(NOW)),
        ];
        set(state, "status", "", values);
        String::new()
    });
    fake.run(&["reload"]).failed(
        1,
        "the configuration in force stays: liveproxy.mk:3:7: not a number",
    );
}

#[test]
fn a_site_whose_configuration_is_wrong_is_named_after_a_reload() {
    let fake = Fake::with_effect(vec![site("muc"), site("xxx")], |order, state| {
        let values = [
            ("state", json!("refused")),
            ("reason", json!("channels: 0 is less than 1")),
        ];
        set(state, "sites", "xxx", values);
        obedient(order, state)
    });
    let out = fake.run(&["reload"]).well();
    assert!(
        out.ends_with("\nxxx: channels: 0 is less than 1\n"),
        "{out}"
    );
}

#[test]
fn a_restart_is_done_when_another_process_answers() {
    let fake = Fake::with_effect(four_sites(), obedient);
    let out = fake.run(&["restart"]).well();
    assert_eq!(
        out,
        "Process 2000000002 has taken over from process 2000000001\n"
    );
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_after_a_restart() {
    let fake = Fake::with_effect(four_sites(), |order, state| {
        let error = "liveproxy.mk:3:7: site 'xxx', 'channels': not a number";
        set(state, "status", "", [("config_error", json!(error))]);
        obedient(order, state)
    });
    let out = fake.run(&["restart"]).well();
    assert_eq!(
        out,
        "Process 2000000002 has taken over from process 2000000001\n\
         The configuration is wrong: liveproxy.mk:3:7: site 'xxx', 'channels': not a number\n"
    );
}

#[test]
fn a_restart_of_which_nothing_comes_is_told_with_its_reason() {
    let fake = Fake::with_effect(four_sites(), |_, state| {
        let values = [("restart_error", json!("the new process has failed"))];
        set(state, "status", "", values);
        String::new()
    });
    fake.run(&["restart"])
        .failed(1, "process 2000000001 goes on: the new process has failed");
}

#[test]
fn a_shutdown_is_done_when_nobody_answers_any_more() {
    let fake = Fake::with_effect(four_sites(), obedient);
    fake.change(|state| state.ends_on = Some("SHUTDOWN"));
    let out = fake.run(&["shutdown"]).well();
    assert_eq!(out, "Process 2000000001 has ended\n");
    assert!(!fake.root.file("tmp/run/liveproxyd.ctl").exists());
}
