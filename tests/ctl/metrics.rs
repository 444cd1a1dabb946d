//! Text for Prometheus, and the dashboard that is made for it.

use crate::fake::{Fake, Run, command};
use crate::support::Root;
use crate::tables::{four_sites, site, with};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Names of all series, with the kind that was declared for them.
fn kinds(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn values_stand_beside_their_sites() {
    let fake = Fake::start(four_sites());
    let out = fake.run(&["metrics"]).well();
    for line in [
        "liveproxyd_up 1",
        "liveproxyd_build_info{version=\"liveproxyd 0.1.0\"} 1",
        "liveproxyd_config_wrong 0",
        "liveproxyd_response_memory_limit_bytes 134217728",
        "liveproxyd_site_up{site=\"ber\"} 0",
        "liveproxyd_site_up{site=\"par\"} 1",
        "liveproxyd_site_state{site=\"ber\",state=\"dead\"} 1",
        "liveproxyd_site_state{site=\"ber\",state=\"ready\"} 0",
        "liveproxyd_site_queries_waiting{site=\"par\"} 35",
        "liveproxyd_site_queries_total{site=\"muc\"} 12345",
        "liveproxyd_site_received_bytes_total{site=\"muc\"} 9007199254740993",
        "# HELP liveproxyd_site_deaths_total Times that the site was declared dead.",
        "# TYPE liveproxyd_site_deaths_total counter",
        "# TYPE liveproxyd_site_response_time_seconds histogram",
        "liveproxyd_site_response_time_seconds_bucket{site=\"muc\",le=\"0.001\"} 0",
        "liveproxyd_site_response_time_seconds_bucket{site=\"muc\",le=\"0.05\"} 2",
        "liveproxyd_site_response_time_seconds_bucket{site=\"muc\",le=\"+Inf\"} 3",
        "liveproxyd_site_response_time_seconds_sum{site=\"muc\"} 61.5",
        "liveproxyd_site_response_time_seconds_count{site=\"muc\"} 3",
    ] {
        assert!(out.lines().any(|found| found == line), "no {line} in {out}");
    }
}

#[test]
fn the_form_is_that_of_prometheus() {
    let strange = with(site("muc"), [("address", json!("unix:/a\\b\"c"))]);
    let fake = Fake::start(vec![strange, site("ber")]);
    let out = fake.run(&["metrics"]).well();
    assert!(out.contains("address=\"unix:/a\\\\b\\\"c\","), "{out}");
    let kinds = kinds(&out);
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in out.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(
                help.ends_with('.') && seen.insert(name.to_owned()),
                "{line}"
            );
            current = name.to_owned();
            continue;
        }
        if line.starts_with("# TYPE ") {
            continue;
        }
        // All series of a metric stand together below its head.
        let series = line.split(['{', ' ']).next().unwrap();
        let rest = series.strip_prefix(current.as_str()).unwrap_or("another");
        let is_own = match kinds[&current].as_str() {
            "histogram" => ["_bucket", "_sum", "_count"].contains(&rest),
            "counter" => rest.is_empty() && current.ends_with("_total"),
            _ => rest.is_empty() && !current.ends_with("_total"),
        };
        assert!(is_own, "{line} below {current}");
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(seen.len() > 40);
}

#[test]
fn without_a_daemon_the_metrics_say_that_it_is_down() {
    let root = Root::new();
    let run = Run::of(command(&root, &["metrics"]).output().unwrap());
    assert_eq!(run.code, 3);
    assert!(run.err.contains("does not run"));
    assert!(run.out.ends_with("liveproxyd_up 0\n"), "{run:?}");
    // The collector must not go on with the last figures.
    let file = root.file("liveproxyd.prom");
    fs::write(&file, "liveproxyd_up 1\n").unwrap();
    let option = format!("--output={}", file.display());
    let run = Run::of(command(&root, &["metrics", &option]).output().unwrap());
    run.failed(3, "does not run");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .ends_with("liveproxyd_up 0\n")
    );
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let fake = Fake::start(four_sites());
    let file = fake.root.file("liveproxyd.prom");
    let option = format!("--output={}", file.display());
    assert_eq!(fake.run(&["metrics", &option]).well(), "");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, fake.run(&["metrics"]).well());
    let names = fs::read_dir(fake.root.path()).unwrap();
    let left = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        !left
            .into_iter()
            .any(|name| name.contains("tmp") && name != "tmp")
    );
    let run = fake.run(&["metrics", "-o", "/nowhere/x.prom"]);
    run.failed(1, "cannot write /nowhere/x.prom: No such file or directory");
}

/// Collects what stands under `expr` anywhere.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr" | "query" | "definition", Value::String(text)) => {
                        found.push(text.clone())
                    }
                    (_, value) => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn each_metric_of_the_dashboard_exists() {
    let fake = Fake::start(four_sites());
    let kinds = kinds(&fake.run(&["metrics"]).well());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/doc/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut texts = Vec::new();
    expressions(&dashboard, &mut texts);
    let mut used = BTreeSet::new();
    for text in &texts {
        let is_inside = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let words = text.split(|character| !is_inside(character));
        used.extend(words.filter(|word| word.starts_with("liveproxyd_")));
    }
    assert!(used.len() >= 10, "{used:?}");
    for name in used {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .filter(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(base), "{name} is no metric");
    }
    let ids: Vec<i64> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
