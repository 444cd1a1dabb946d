//! Configuration files read by liveproxyd and executed by Python mean the same.
//!
//! One Python process writes random files and says what it makes of each; every file is then read here. For files
//! made of supported statements both must agree on every name. For mutated ones liveproxyd may refuse what Python
//! accepts, but never read anything else into it.
//!
//! `LIVEPROXYD_TEST_SEED` repeats a run; the seed of each run is printed.

#![allow(clippy::unwrap_used)]

use liveproxyd::config::{self, Source, Surroundings, read_variables};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Files put together from supported statements.
const WRITTEN: usize = 1000;

/// Files with changed bytes. Most of these are no Python any more; about an eighth still are.
const MUTATED: usize = 6000;

const SCRIPT: &str = include_str!("python_config.py");

/// Name by name, what a file means; values as [`liveproxyd::config::Value::dump`] writes them.
type Names = BTreeMap<String, String>;

struct Record {
    is_mutated: bool,
    file: Vec<u8>,
    /// `None`: not Python, or more than data.
    python: Option<Names>,
}

#[test]
fn every_file_means_what_python_says() {
    let seed = seed();
    println!("LIVEPROXYD_TEST_SEED={seed}");
    let records = records(seed);
    assert_eq!(records.len(), WRITTEN + MUTATED);
    let mut compared = 0;
    for record in &records {
        let ours = read(&record.file);
        match (&record.python, ours, record.is_mutated) {
            (Some(python), Ok(ours), false) => assert_same(&record.file, &ours, python, seed),
            (Some(python), Ok(ours), true) => {
                compared += 1;
                assert_same(&record.file, &ours, python, seed);
            }
            (Some(_), Err(message), false) => {
                panic!("seed {seed}: refused: {message}\n{}", shown(&record.file));
            }
            (None, _, false) => panic!("Python refuses its own file:\n{}", shown(&record.file)),
            (Some(_), Err(_), true) | (None, _, true) => {}
        }
    }
    println!("{WRITTEN} written files equal, {compared} of {MUTATED} mutated ones compared");
    // Otherwise the mutations would prove nothing.
    assert!(compared > MUTATED / 20, "only {compared} compared");
}

fn assert_same(file: &[u8], ours: &Names, python: &Names, seed: u64) {
    if ours != python {
        panic!(
            "seed {seed}: read differently\n{}\nliveproxyd: {ours:#?}\nPython: {python:#?}",
            shown(file)
        );
    }
}

fn shown(file: &[u8]) -> String {
    format!(
        "--- file\n{}\n---",
        file.escape_ascii().to_string().replace("\\n", "\n")
    )
}

fn read(file: &[u8]) -> Result<Names, String> {
    let sources = [Source::new("random.mk", file)];
    check(&sources);
    let variables = read_variables(&sources).map_err(|problem| problem.to_string())?;
    let names = variables.all().iter();
    Ok(names
        .map(|variable| (variable.name.clone(), variable.node.value.dump()))
        .collect())
}

/// Random values make no sense as sites, but must not disturb the check of them either: it ends, every error has a
/// place, and what is left of the configuration can be shown and read again.
fn check(sources: &[Source]) {
    let surroundings = Surroundings {
        local_core: "/run/live".into(),
        socket_dir: "/run/liveproxy".into(),
    };
    let Ok(found) = config::read(sources, &surroundings) else {
        return;
    };
    assert!(found.errors.iter().all(|error| error.place.is_some()));
    let shown = config::show_config(&found);
    let again = config::read(&[Source::new("shown.mk", shown.as_str())], &surroundings);
    let again = again.unwrap_or_else(|problem| panic!("{problem}\n{shown}"));
    assert_eq!(
        (again.sites.len(), again.errors),
        (found.sites.len(), Vec::new()),
        "{shown}"
    );
}

fn seed() -> u64 {
    match std::env::var("LIVEPROXYD_TEST_SEED") {
        Ok(seed) => seed
            .parse()
            .expect("LIVEPROXYD_TEST_SEED is a whole number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| u64::from(now.subsec_micros())),
    }
}

fn records(seed: u64) -> Vec<Record> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("python_config.py");
    std::fs::write(&script, SCRIPT).expect("the script is written");
    let output = Command::new("python3")
        // The order of sets depends on it, and with it what is written.
        .env("PYTHONHASHSEED", "0")
        .arg(&script)
        .args([seed.to_string(), WRITTEN.to_string(), MUTATED.to_string()])
        .output()
        .expect("python3 must be installed and on the PATH for this test");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 failed: {complaint}");
    let mut rest = output.stdout.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) = record(rest);
        records.push(record);
        rest = after;
    }
    records
}

fn record(bytes: &[u8]) -> (Record, &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let header = std::str::from_utf8(&bytes[..end]).unwrap();
    let [kind, result, file, dump] = header.split(' ').collect::<Vec<_>>()[..] else {
        panic!("bad record {header}");
    };
    let (file, rest) = bytes[end + 1..].split_at(file.parse().unwrap());
    let (dump, rest) = rest.split_at(dump.parse().unwrap());
    let record = Record {
        is_mutated: kind == "mutated",
        file: file.to_vec(),
        python: (result == "ok").then(|| names(dump)),
    };
    (record, rest)
}

fn names(dump: &[u8]) -> Names {
    let dump = std::str::from_utf8(dump).unwrap();
    dump.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}
