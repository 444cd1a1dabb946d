//! The client libraries ask the daemon itself: its own socket is a Livestatus
//! server like any other to them.

use super::program::Program;
use super::{SITE, Scene};
use crate::support::FakeSite;

/// What is asked of the daemon.
const SITES: [&str; 3] = ["sites", "name state channels_open", "state = ready"];

#[track_caller]
pub fn the_daemon_itself_is_asked(program: &'static Program) {
    let scene = Scene::start(FakeSite::start(), "'channels': 2");
    scene.fake.await_ready(2);
    let console = scene.daemon.console();
    console.await_number(SITE, "channels_open", 2.0);
    let mut running = program.start(console.path());
    let wanted = match program.rows.starts_with("[[") {
        true => r#"[["muc","ready",2]]"#,
        false => r#"[{"channels_open":2,"name":"muc","state":"ready"}]"#,
    };
    // Twice: some keep their connection.
    for _ in 0..2 {
        assert_eq!(running.query(SITES).rows(), wanted, "{}", program.name);
    }
    let none = ["events", "site cause", "site = nowhere"];
    assert_eq!(running.query(none).rows(), "[]", "{}", program.name);
    let wrong = running.query(["sites", "name nonsense", ""]);
    wrong.expect_error("nonsense");
    // An error is the end of nothing.
    assert_eq!(running.query(SITES).rows(), wanted, "{}", program.name);
}
