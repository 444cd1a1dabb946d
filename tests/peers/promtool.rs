//! `liveproxyctl metrics` in the eyes of Prometheus' own tool, which knows the format and the conventions for names.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::{Daemon, FakeSite, Root, Spec, site};
use liveproxyd::counters::{CLASSES, COUNTERS};

/// Numbers of `status`, and of `sites` besides the counters.
const STATUS: [&str; 5] = [
    "program_start",
    "last_reload",
    "request_memory",
    "response_memory",
    "response_memory_limit",
];
const SITES: [&str; 11] = [
    "since",
    "channels_configured",
    "channels_open",
    "channels_busy",
    "clients",
    "waiting",
    "oldest_wait",
    "slow_readers",
    "memory",
    "heartbeat_last",
    "response_time_sum",
];

fn table(name: &str) -> Value {
    let mut columns: Vec<(String, Value)> = vec![("program_version".into(), json!("x \\ \"1\""))];
    let mut numbers = |names: &[&str]| {
        let values = names.iter().map(|name| ((*name).to_owned(), json!(3)));
        columns.extend(values);
    };
    if name == "status" {
        numbers(&STATUS);
        columns.push(("config_error".into(), json!("")));
    } else {
        numbers(&SITES);
        numbers(&[
            "waiting_time_sum",
            "response_time_count",
            "waiting_time_count",
        ]);
        numbers(&COUNTERS.map(|counter| counter.name));
        for (name, value) in [
            ("name", json!("muc")),
            ("state", json!("ready")),
            ("address", json!("unix:/a\\b\"c")),
            ("livestatus_version", json!("")),
            ("response_time_buckets", json!(vec![2; CLASSES.len()])),
            ("waiting_time_buckets", json!(vec![3; CLASSES.len()])),
        ] {
            columns.push((name.into(), value));
        }
    }
    let (names, values): (Vec<String>, Vec<Value>) = columns.into_iter().unzip();
    json!([names, values])
}

/// Beside the build, where `tests/run` puts it; or installed.
fn promtool() -> Command {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers/prometheus/promtool");
    Command::new(if beside.exists() {
        beside
    } else {
        "promtool".into()
    })
}

#[test]
fn prometheus_finds_nothing_to_object_to() {
    let root = Root::new();
    let listener = UnixListener::bind(root.file("tmp/run/liveproxyd.ctl")).unwrap();
    thread::spawn(move || {
        // One question for each table.
        for client in listener.incoming().take(2) {
            let mut client = client.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !request.ends_with("\n\n") && reader.read_line(&mut request).unwrap() > 0 {}
            let first = request.lines().next().unwrap();
            let body = table(first.strip_prefix("GET ").unwrap()).to_string();
            let answer = format!("200 {:11}\n{body}", body.len());
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    let metrics = Command::new(env!("CARGO_BIN_EXE_liveproxyctl"))
        .arg("metrics")
        .arg("--root")
        .arg(root.path())
        .output()
        .unwrap();
    assert!(metrics.status.success(), "{metrics:?}");
    assert!(metrics.stdout.len() > 5000);
    judge(&metrics.stdout, "");
    // The judge is awake.
    judge(
        b"# TYPE a counter\na 1\n",
        "counter metrics should have \"_total\" suffix",
    );
}

#[test]
fn nor_to_the_metrics_of_a_real_daemon() {
    let fake = FakeSite::start();
    let config = site("muc", &fake, "'channels': 2") + &site("ber", Spec::text("'/nowhere'"), "");
    let daemon = Daemon::start(&config);
    daemon.console().await_state("muc", "ready");
    daemon.console().await_state("ber", "dead");
    assert_eq!(daemon.client("muc").ask("GET hosts").code, 200);
    let metrics = Command::new(env!("CARGO_BIN_EXE_liveproxyctl"))
        .arg("metrics")
        .arg("--root")
        .arg(daemon.root())
        .output()
        .unwrap();
    assert!(metrics.status.success(), "{metrics:?}");
    let text = String::from_utf8_lossy(&metrics.stdout).into_owned();
    for line in [
        "liveproxyd_up 1",
        r#"liveproxyd_site_queries_answered_total{site="muc"} 1"#,
        r#"liveproxyd_site_up{site="ber"} 0"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no {line} in {text}"
        );
    }
    judge(&metrics.stdout, "");
}

#[track_caller]
fn judge(metrics: &[u8], wanted: &str) {
    let mut child = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: tests/run fetches it");
    child.stdin.take().unwrap().write_all(metrics).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    match wanted {
        "" => assert!(output.status.success() && said.is_empty(), "{said}"),
        wanted => assert!(!output.status.success() && said.contains(wanted), "{said}"),
    }
}
