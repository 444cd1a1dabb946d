//! When all is over: everything works, and nothing is held or open that was not in the beginning.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Background, Client, FakeSite, eventually, stretched};
use crate::town::{Fakes, Town, USUAL_CHANNELS};

/// How much larger the daemon may be than in the beginning, in KiB. Its allocator keeps some.
const GROWTH_KB: usize = 48 * 1024;

/// How long the last trouble may last.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What the daemon has while nothing happens.
#[derive(Debug)]
pub struct Vitals {
    descriptors: usize,
    resident_kb: usize,
}

fn descriptors(pid: u32) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    entries.map_or(usize::MAX, Iterator::count)
}

fn resident_kb(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

impl Vitals {
    /// Waits until every site is reached, and looks then.
    pub fn of(background: &Background, town: &Town, fakes: &Fakes) -> Vitals {
        await_channels(background, fakes);
        await_ready(background, town);
        let pid = background.expect_pid();
        Vitals {
            descriptors: descriptors(pid),
            resident_kb: resident_kb(pid),
        }
    }
}

/// As many channels as configured, at the first place of each site; none at any other. If that does
/// not come, what the daemons say of their channels is printed.
fn await_channels(background: &Background, fakes: &Fakes) {
    let found = || -> Vec<Vec<usize>> {
        let places = fakes.iter();
        places
            .map(|places| places.iter().map(FakeSite::open_channels).collect())
            .collect()
    };
    let wanted: Vec<Vec<usize>> = fakes
        .iter()
        .map(|places| {
            let none = std::iter::repeat_n(0, places.len() - 1);
            std::iter::once(USUAL_CHANNELS).chain(none).collect()
        })
        .collect();
    let deadline = Instant::now() + stretched(PATIENCE);
    while found() != wanted {
        if Instant::now() > deadline {
            let stalled = fakes.iter().flatten().map(FakeSite::stalled);
            let stalled: Vec<usize> = stalled.collect();
            panic!(
                "channels: {:?}, wanted {wanted:?}, stalled {stalled:?}, daemons {:?}\n{}",
                found(),
                background.processes(),
                told(background, "channels", "")
            );
        }
        std::thread::sleep(LOOK);
    }
}

/// What the daemon says of itself.
fn told(background: &Background, table: &str, columns: &str) -> String {
    let client = Client::connect(background.root().file("tmp/run/liveproxyd.ctl"));
    let answer = client.ask(format!("GET {table}\n{columns}"));
    assert_eq!(answer.code, 200, "{answer:?}");
    answer.text()
}

/// The same in numbers, row by row.
fn asked(background: &Background, table: &str, columns: &str) -> Vec<Vec<u64>> {
    let text = told(background, table, &format!("Columns: {columns}\n"));
    let row = |line: &str| line.split(';').map(|cell| cell.parse().unwrap()).collect();
    text.lines().map(row).collect()
}

/// Every site is ready, nobody waits, nobody is there, and no memory is held.
fn await_ready(background: &Background, town: &Town) {
    let sites = town.houses.len() as u64;
    let channels = sites * USUAL_CHANNELS as u64;
    // The one client is the one that asks.
    let wanted = [sites, sites, channels, 0, 1, 0, 0, 0, 0];
    let columns = "sites sites_ready channels channels_busy clients waiting slow_readers \
                   request_memory response_memory";
    let mut found = Vec::new();
    let deadline = Instant::now() + stretched(PATIENCE);
    while found != [wanted] {
        assert!(Instant::now() < deadline, "{columns}: {found:?}");
        std::thread::sleep(LOOK);
        found = asked(background, "status", columns);
    }
}

/// Each query has come to one end, and only to one. (Nothing is under way.)
fn expect_balanced_counters(background: &Background) {
    let columns = "queries queries_answered queries_refused_unreachable queries_refused_busy \
                   queries_refused_timeout queries_refused_other queries_cut \
                   queries_abandoned commands_delivered commands_refused commands_not_delivered commands_unknown";
    for row in asked(background, "sites", columns) {
        let ends: u64 = row[1..].iter().sum();
        assert_eq!(ends, row[0], "{columns}: {row:?}");
    }
}

/// Expects that everything is as it was.
pub fn expect(background: &Background, town: &Town, fakes: &Fakes, before: &Vitals) {
    // An earlier daemon may have 10 s to finish.
    eventually("one daemon is left", || background.processes().len() == 1);
    for house in &town.houses {
        let name = house.name;
        let line = format!("Filter: site = {name}\nFilter: visit = last\n");
        eventually(&format!("{name} answers"), || {
            let answer = background.client(name).ask(format!("GET hosts\n{line}"));
            answer.code == 200 && answer.text().contains(&line)
        });
    }
    await_channels(background, fakes);
    await_ready(background, town);
    expect_balanced_counters(background);
    let pid = background.expect_pid();
    eventually("there are as few descriptors as before", || {
        descriptors(pid) <= before.descriptors
    });
    let resident = resident_kb(pid);
    println!(
        "resident: {} KiB before, {resident} after",
        before.resident_kb
    );
    assert!(
        resident < before.resident_kb + GROWTH_KB,
        "{before:?}, {resident} KiB in the end"
    );
    expect_only_sockets(&background.root().file("tmp/run/liveproxy"), town);
}

/// No temporary name and no socket of a site that was taken out.
fn expect_only_sockets(folder: &Path, town: &Town) {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    let wanted: Vec<&str> = town.houses.iter().map(|house| house.name).collect();
    assert_eq!(names, wanted);
}
