//! The daemon's own socket is asked like any other: by every kind of client, within bounds, and
//! by those only who may.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::pair::Pair;
use crate::support::{Client, Console, Daemon, eventually};

/// Clients that the control socket has at a time.
const PLACES: usize = 100;

/// A user and a group that nobody has.
pub const STRANGER: &str = "65534";

#[test]
fn a_client_of_each_kind_gets_its_answer_in_its_form() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let query = "GET sites\nColumns: name\n";
    // Framed and kept: several on one connection, also in one write.
    let kept = console.client();
    for _ in 0..3 {
        kept.ask(query).expect("muc\n");
    }
    let framed = format!("{query}ResponseHeader: fixed16\nKeepAlive: on\n\n");
    kept.send(framed.repeat(2));
    kept.read_response().expect("muc\n");
    kept.read_response().expect("muc\n");
    kept.expect_open();
    // Framed, and closed behind the answer.
    let framed = console.client();
    framed.send(format!("{query}ResponseHeader: fixed16\n\n"));
    framed.read_response().expect("muc\n");
    assert!(framed.at_end());
    // Bare.
    let bare = console.client();
    bare.send(format!("{query}\n"));
    assert_eq!(bare.read_to_end(), b"muc\n");
    // Bare and kept: the answers are not told apart, as with every core.
    let both = console.client();
    both.send(format!("{query}KeepAlive: on\n\n").repeat(2));
    assert_eq!(both.read_exactly(8), b"muc\nmuc\n");
    both.expect_open();
    // Without a blank line, its end said instead.
    let half = console.client();
    half.send(query);
    half.half_close();
    assert_eq!(half.read_to_end(), b"muc\n");
    // One byte after the other.
    let slow = console.client();
    for byte in format!("{query}\n").bytes() {
        slow.send([byte]);
    }
    assert_eq!(slow.read_to_end(), b"muc\n");
}

#[test]
fn an_error_has_its_code_and_a_kept_client_goes_on() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let client = console.client();
    for (query, code, words) in [
        ("GET nothing", 404, "nothing"),
        ("GET sites\nColumns: nme", 400, "nme"),
        ("GET sites\nNonsense: on", 400, "Nonsense"),
        ("GET sites\nFilter: clients = many", 400, "many"),
        ("GET sites\nAnd: 2", 400, "And"),
    ] {
        client.ask(query).expect_error(code, words);
    }
    client.ask("GET sites\nColumns: name").expect("muc\n");
    // Unframed, the code stands in front of the text and the end behind it.
    let bare = console.client();
    bare.send("GET nothing\nKeepAlive: on\n\n");
    let text = String::from_utf8(bare.read_to_end()).unwrap();
    assert!(text.starts_with("404: ") && text.ends_with('\n'), "{text}");
    // What is no request at all is refused before anybody looks at tables.
    let client = console.client();
    client.send("GARBAGE\nResponseHeader: fixed16\n\n");
    assert!(!client.read_to_end().is_empty());
    let many = "Filter: name = x\n".repeat(1_001);
    console
        .ask(&format!("GET sites\n{many}"))
        .expect_error(413, "more headers");
}

#[test]
fn every_column_that_is_declared_is_answered_in_its_type() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    // An event, and a client and a channel that are at work.
    let held = pair.client();
    held.send("GET hosts\nTest-Hold: on\n\n");
    pair.site.await_stalled(1);
    let console = pair.daemon.console();
    let columns = console.rows("GET columns\nColumns: table name type");
    assert!(columns.len() > 100, "{}", columns.len());
    for column in columns {
        let [table, name, kind] = column
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect::<Vec<_>>()[..]
        else {
            panic!("{column:?}")
        };
        let rows = console.rows(&format!("GET {table}\nColumns: {name}"));
        assert!(!rows.is_empty(), "{table} has no row");
        for row in rows {
            let fits = match kind {
                "string" => row[0].is_string(),
                "int" | "time" => row[0].is_i64() || row[0].is_u64(),
                "float" => row[0].is_number(),
                "list" => row[0].is_array(),
                other => panic!("{table}.{name} is a {other}"),
            };
            assert!(fits, "{table}.{name} is no {kind}: {row:?}");
        }
    }
    pair.site.release();
}

#[test]
fn a_large_answer_waits_for_a_client_that_takes_it_slowly() {
    let sites: String = (0..300)
        .map(|number| format!("sites['site{number}'] = {{'socket': '/nowhere/at/all{number}'}}\n"))
        .collect();
    let daemon = Daemon::start(&format!("sites = {{}}\n{sites}"));
    let console = daemon.console();
    let slow = console.client();
    slow.send("GET sites\nOutputFormat: json\nResponseHeader: fixed16\nKeepAlive: on\n\n");
    // Others are answered meanwhile, and it finds its answer whole.
    for _ in 0..20 {
        assert_eq!(console.rows("GET sites\nColumns: name").len(), 300);
    }
    let first = slow.read_exactly(1);
    assert_eq!(first, b"2");
    let rest = String::from_utf8(slow.read_exactly(15)).unwrap();
    let length: usize = rest[3..].trim().parse().unwrap();
    assert!(length > 100_000, "{length}");
    let body = slow.read_exactly(length);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    // One more: the names of the columns.
    assert_eq!(rows.len(), 301);
    slow.ask("GET sites\nColumns: name\nLimit: 1")
        .expect("site0\n");
}

#[test]
fn an_order_is_taken_though_all_places_are_taken() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let crowd: Vec<Client> = (0..PLACES).map(|_| console.client()).collect();
    for client in &crowd {
        client.ask("GET sites\nColumns: name").expect("muc\n");
    }
    let further = console.client();
    further.send("GET sites\nResponseHeader: fixed16\n\n");
    further
        .read_response()
        .expect_error(502, "Too many clients");
    console.order("DISABLE_SITE;muc;crowded");
    pair.ask("GET hosts").expect_error(502, "crowded");
    drop(crowd);
    eventually("there is room again", || {
        let client = console.client();
        client.send("GET sites\nColumns: state\nResponseHeader: fixed16\n\n");
        client.read_response().body == b"disabled\n"
    });
}

#[test]
fn what_a_site_says_of_itself_breaks_no_answer() {
    let pair = Pair::start("'channels': 1, 'heartbeat': (1, 30.0)");
    let trap = "x\";\n[evil]\u{1b}[2J";
    pair.site.identify(crate::support::site::Identity {
        program_start: 5,
        program_version: trap.to_owned(),
        livestatus_version: "1".to_owned(),
    });
    let console = pair.daemon.console();
    eventually("the new name is known", || {
        console.text("muc", "program_version").starts_with('x')
    });
    let line = console.ask("GET sites\nColumns: name program_version state");
    assert_eq!(line.text().matches('\n').count(), 1, "{line:?}");
    assert!(!line.text().contains('\u{1b}'), "{line:?}");
}

/// Runs a script of Python as another user of this group; nothing where that is not possible.
pub fn as_other(group: &str, script: &str, path: &std::path::Path) -> Option<Output> {
    let run = |script: &str| {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={STRANGER}"));
        command.arg(format!("--regid={group}"));
        // By its path: what the tests' user has in front may be closed to others.
        command.args(["--clear-groups", "/usr/bin/python3", "-c", script]);
        command.arg(path).output()
    };
    if !run("pass").is_ok_and(|probe| probe.status.success()) {
        println!("SKIPPED: the tests' user cannot become another one, or there is no Python");
        return None;
    }
    Some(run(script).unwrap())
}

/// Gives an order and asks behind it, then gives an order alone; prints what comes.
const TALK: &str = "\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'COMMAND [1] SHUTDOWN\\n\\nGET sites\\nColumns: name\\nResponseHeader: fixed16\\nKeepAlive: on\\n\\n')
s.sendall(b'GET sites\\nColumns: name\\n\\n')
s.shutdown(socket.SHUT_WR)
print(s.makefile().read(), end='')
t = socket.socket(socket.AF_UNIX)
t.connect(sys.argv[1])
t.sendall(b'COMMAND [1] SHUTDOWN\\n\\n')
t.shutdown(socket.SHUT_WR)
print(t.makefile().read(), end='')
";

#[test]
fn another_user_of_the_group_may_read_and_not_order_and_a_stranger_may_not_even_connect() {
    let mut pair = Pair::start("'channels': 1");
    let console: Console = pair.daemon.console();
    let mode = std::fs::metadata(console.path()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o660);
    // The root of the test is for its own user alone; its folders are not what is tested.
    let root = pair.daemon.root().to_owned();
    for folder in [root.clone(), root.join("tmp"), root.join("tmp/run")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let Some(reader) = as_other("0", TALK, console.path()) else {
        return;
    };
    let text = String::from_utf8_lossy(&reader.stdout).into_owned();
    assert!(reader.status.success(), "{reader:?}");
    let told = "Only the daemon's own user and root may give orders";
    // In place of the next answer, and where its end is awaited with its code.
    assert!(text.starts_with("502 ") && text.contains(told), "{text}");
    assert!(text.contains("\nmuc\n"), "{text}");
    assert!(text.contains(&format!("403: {told}")), "{text}");
    pair.daemon.wait_log("refused to user 65534: shut down");
    assert!(pair.daemon.runs());
    let stranger = as_other(STRANGER, TALK, console.path()).unwrap();
    assert!(!stranger.status.success());
    let text = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(text.contains("PermissionError"), "{text}");
}
