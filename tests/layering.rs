//! Guards the layers: the pure modules stay pure, only some may touch sockets,
//! and `unsafe` has one home.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// All source files below `src/NAME` or `src/NAME.rs`, as (path, code without comments and tests).
fn sources(name: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let file = src.join(format!("{name}.rs"));
    if file.exists() {
        found.push(file);
    }
    collect(&src.join(name), &mut found);
    assert!(!found.is_empty(), "there is no module {name}");
    let code = |path: &PathBuf| code_of(&fs::read_to_string(path).unwrap());
    found
        .iter()
        .map(|path| (path.clone(), code(path)))
        .collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code before the tests, without comments.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn assert_none(module: &str, forbidden: &[&str]) {
    for (path, code) in sources(module) {
        for word in forbidden {
            assert!(!code.contains(word), "{} uses {word}", path.display());
        }
    }
}

const SOCKETS: &[&str] = &[
    "mio::",
    "socket2",
    "UnixStream",
    "UnixListener",
    "TcpStream",
    "std::os",
];
/// What a file is known by comes from `std::os`.
const SOCKETS_OF_TLS: &[&str] = &["mio::", "socket2", "TcpStream", "UnixStream"];
const CLOCK: &[&str] = &["Instant::now", "SystemTime", "elapsed()"];
const OTHER_EFFECTS: &[&str] = &[
    "log::",
    "println!",
    "std::env",
    "std::process",
    "std::thread",
];

#[test]
fn protocol_and_policy_are_pure() {
    for module in [
        "proto",
        "pool",
        "ids",
        "memory",
        "slots",
        "timers",
        "counters",
        "report",
        "console",
        "state_file",
    ] {
        assert_none(module, SOCKETS);
        assert_none(module, CLOCK);
        assert_none(module, OTHER_EFFECTS);
        assert_none(
            module,
            &["std::fs", "std::net", "crate::reactor", "crate::stream"],
        );
    }
}

#[test]
fn the_configuration_touches_nothing_but_its_files() {
    for (path, code) in sources("config") {
        let may_read = path.ends_with("config/files.rs");
        let disk: &[&str] = if may_read {
            &[]
        } else {
            &["std::fs", "std::os", "File::"]
        };
        let sockets = SOCKETS.iter().filter(|word| **word != "std::os");
        for word in sockets.chain(CLOCK).chain(OTHER_EFFECTS).chain(disk) {
            assert!(!code.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn importing_touches_the_disk_in_one_file() {
    let disk = ["std::fs", "std::io", "File::", "print!(", "println!("];
    for (path, code) in sources("import") {
        let may_write = path.ends_with("import/command.rs");
        let disk: &[&str] = if may_write { &[] } else { &disk };
        for word in SOCKETS.iter().chain(CLOCK).chain(disk) {
            assert!(!code.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn the_response_does_not_know_the_event_library() {
    for module in ["query", "response"] {
        assert_none(module, &["mio::", "socket2", "Instant::now", "log::"]);
    }
}

#[test]
fn the_loop_alone_reads_the_clock() {
    for module in ["client", "channel", "query", "response", "stream", "listen"] {
        assert_none(module, CLOCK);
    }
}

/// A clock that is set must change no deadline: the time of day is for people, and asked for
/// where something is shown. The demonstration plays a core, which has a clock of its own.
#[test]
fn the_time_of_day_is_only_shown() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let mut showing = 0;
    for path in files {
        let code = code_of(&fs::read_to_string(&path).unwrap());
        let shows = [
            "sys.rs",
            "logging.rs",
            "reactor/reporting.rs",
            "reactor/history.rs",
        ];
        let shows = shows.iter().any(|end| path.ends_with(end));
        let is_other_program =
            path.starts_with(src.join("ctl")) || path.starts_with(src.join("demo"));
        let asks = ["SystemTime", "UNIX_EPOCH", "since_epoch("].iter();
        let asks = asks.filter(|word| code.contains(**word)).count() > 0;
        showing += usize::from(shows && asks);
        assert!(shows || is_other_program || !asks, "{}", path.display());
    }
    assert_eq!(showing, 4, "what shows the time was not found");
}

#[test]
fn only_the_stream_reads_and_writes_sockets_of_clients_and_channels() {
    for module in ["client", "channel", "query", "response", "reactor"] {
        assert_none(module, &["TcpStream", ".recv(", ".send_to("]);
    }
}

/// TLS is lent the socket's bytes, and the loop knows only its sessions.
#[test]
fn tls_has_no_socket_and_only_the_stream_and_the_loop_know_it() {
    assert_none("tls", SOCKETS_OF_TLS);
    assert_none("tls", CLOCK);
    for module in [
        "client", "channel", "query", "response", "pool", "proto", "listen",
    ] {
        assert_none(module, &["rustls", "tls::"]);
    }
    for module in ["reactor", "stream", "startup", "config"] {
        assert_none(module, &["rustls"]);
    }
}

#[test]
fn the_demonstration_and_the_data_path_do_not_know_each_other() {
    let data_path = [
        "crate::reactor",
        "crate::pool",
        "crate::query",
        "crate::channel",
    ];
    // The command starts both, and runs the loop.
    for (path, code) in sources("demo") {
        let may_know = path.ends_with("demo/command.rs");
        for word in data_path {
            assert!(may_know || !code.contains(word), "{}", path.display());
        }
    }
    for module in [
        "reactor", "pool", "proto", "client", "channel", "query", "response", "config",
    ] {
        assert_none(module, &["demo::"]);
    }
}

/// What it shows comes over the control socket, so that any other client can show it too.
#[test]
fn the_control_program_and_the_daemon_do_not_know_each_other() {
    let inside = [
        "crate::reactor",
        "crate::pool",
        "crate::query",
        "crate::channel",
        "crate::client",
        "crate::report",
        "mio::",
        "log::",
    ];
    assert_none("ctl", &inside);
    for module in [
        "reactor", "pool", "proto", "client", "channel", "query", "response", "config", "life",
        "main",
    ] {
        assert_none(module, &["ctl::"]);
    }
}

#[test]
fn unsafe_has_one_home() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    for path in files {
        let code = code_of(&fs::read_to_string(&path).unwrap());
        let has = code.contains("unsafe {") || code.contains("unsafe fn");
        assert_eq!(has, path.ends_with("sys.rs"), "{}", path.display());
    }
}

/// A guard that finds nothing because it reads nothing would hold for ever.
#[test]
fn the_guard_sees_what_it_is_to_forbid() {
    let (_, stream) = sources("stream").remove(0);
    assert!(SOCKETS.iter().any(|word| stream.contains(word)));
    let reactor = sources("reactor");
    assert!(
        reactor
            .iter()
            .any(|(_, code)| code.contains("Instant::now"))
    );
    assert!(reactor.iter().any(|(_, code)| code.contains("log::")));
}
