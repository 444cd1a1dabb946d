//! icinga2 answers Livestatus from the threads that run its checks, so what a
//! proxy keeps open there can stop the monitoring without anybody seeing it.
//! Here the checks that icinga2 really runs are counted: with nobody connected,
//! beside the proxy, and beside connections that are merely kept.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::icinga2_site::{Direct, Icinga2, Setup, Transport};
use crate::support::{Daemon, eventually, site};

/// The name of the site in the proxy.
const SITE: &str = "icinga";

/// In the daemon's log this stands behind the new state of a site, and nowhere
/// else.
const CHANGE: &str = " (was ";

/// How many executions show that all services are in their rhythm: three for
/// each of the services that `icinga2_checks.conf` has checked.
const WARM: u64 = 90;

/// A check is due at a certain time whatever the machine does, so a crowded
/// machine delays checks but loses few. The defect looked for leaves none.
const SHARE_IDLE: f64 = 0.90;

/// Under load checks and queries share the processors.
const SHARE_LOAD: f64 = 0.85;

/// What counts as "the checks have stopped".
const SHARE_STOPPED: f64 = 0.60;

/// A rate that is too low is measured once more: a machine may stand still for
/// a while, the defect stays.
const MEASUREMENTS: usize = 2;

/// How many clients ask at a time, more than the proxy has channels.
const CLIENTS: usize = 4;

/// Between two queries of a client.
const PAUSE: Duration = Duration::from_millis(50);

/// What the clients ask: as a GUI does, short answers and long ones.
const QUERIES: [&str; 5] = [
    "GET status",
    "GET services\nColumns: host_name description state plugin_output\nFilter: state != 0",
    "GET services",
    "GET services\nStats: state = 0\nStats: state = 2\nStats: has_been_checked = 0",
    "GET services\nColumns: description notes last_check next_check execution_time",
];

/// icinga2 has two threads for each processor that the system says is there,
/// however few of them it may use. So what the system says is covered, for the
/// started program alone, by a file in the present directory. Who is not root
/// has to be root in a namespace of his own for that, and then himself again.
const ONE_PROCESSOR: &str = r#"
echo 0 >processors
cover='mount --bind processors /sys/devices/system/cpu/online'
if [ "$(id -u)" = 0 ]; then
    exec unshare --mount sh -c "$cover"' && exec "$@"' one-processor "$@"
fi
exec unshare --user --map-root-user --mount sh -c "$cover"' && exec "$@"' one-processor \
    unshare --user --map-user="$(id -u)" --map-group="$(id -g)" "$@"
"#;

/// How long is measured.
struct Times {
    alone: Duration,
    idle: Duration,
    load: Duration,
}

/// An icinga2 that does nothing but run its checks.
struct Lab {
    icinga2: Icinga2,
    // Two at a time would take the processors from each other.
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    #[track_caller]
    fn start(launcher: &[&str]) -> Lab {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let setup = Setup {
            config: "icinga2_checks.conf",
            launcher,
        };
        let icinga2 = Icinga2::start(&setup)
            .unwrap_or_else(|reason| panic!("icinga2 does not run: {reason}"));
        let lab = Lab {
            icinga2,
            _alone: alone,
        };
        eventually("icinga2 runs its checks", || lab.executions() >= WARM);
        lab
    }

    /// How many checks have been executed since the start.
    fn executions(&self) -> u64 {
        let file = self.icinga2.file("executions");
        std::fs::metadata(file).map_or(0, |file| file.len())
    }

    /// Counts for this time and gives the executions per second.
    fn rate(&self, time: Duration) -> f64 {
        const STEP: Duration = Duration::from_millis(100);
        let begin = Instant::now();
        let before = self.executions();
        while begin.elapsed() < time {
            std::thread::sleep(STEP);
        }
        let executions = self.executions() - before;
        executions as f64 / begin.elapsed().as_secs_f64()
    }

    /// The rate while nobody asks icinga2 anything.
    fn rate_alone(&self, time: Duration) -> f64 {
        let alone = self.rate(time);
        println!("without the proxy: {alone:.1} checks a second");
        alone
    }
}

/// Calls `measure` until it gives a rate that is at least this share of the
/// rate `alone`.
#[track_caller]
fn assert_rate(what: &str, alone: f64, share: f64, mut measure: impl FnMut() -> f64) {
    for _ in 0..MEASUREMENTS {
        let rate = measure();
        println!(
            "{what}: {rate:.1} checks a second, {:.0} %",
            100.0 * rate / alone
        );
        if rate >= share * alone {
            return;
        }
    }
    panic!("{what}: fewer checks than {share} of {alone:.1} a second");
}

/// Several clients ask one query after the other for this time; gives the
/// number of queries. Every answer must be a good one.
fn ask_for(daemon: &Daemon, time: Duration) -> usize {
    let end = Instant::now() + time;
    let ask_on = |first: usize| {
        let client = daemon.client(SITE);
        let mut asked = 0;
        while Instant::now() < end {
            let query = QUERIES[(first + asked) % QUERIES.len()];
            let response = client.ask(query);
            assert_eq!(response.code, 200, "{query}: {response:?}");
            asked += 1;
            std::thread::sleep(PAUSE);
        }
        asked
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|first| scope.spawn(move || ask_on(first)))
            .collect();
        let asked = clients.into_iter().map(|client| client.join().unwrap());
        asked.sum()
    })
}

/// The rate while clients ask through the proxy.
fn rate_under_load(lab: &Lab, daemon: &Daemon, time: Duration) -> f64 {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| ask_for(daemon, time));
        let rate = lab.rate(time);
        println!("{} queries in {time:?}", load.join().unwrap());
        rate
    })
}

#[track_caller]
fn assert_checks_go_on(launcher: &[&str], times: &Times) {
    let lab = Lab::start(launcher);
    let alone = lab.rate_alone(times.alone);

    let daemon = Daemon::start(&site(SITE, lab.icinga2.spec(Transport::Tcp), ""));
    daemon.wait_log(&format!("site {SITE}: ready{CHANGE}"));
    let ready = daemon.log_mark();
    assert_rate("beside an idle proxy", alone, SHARE_IDLE, || {
        lab.rate(times.idle)
    });
    let response = daemon.client(SITE).ask(QUERIES[0]);
    assert_eq!(response.code, 200, "{response:?}");
    let log = daemon.log();
    let change = log[ready..].iter().find(|line| line.contains(CHANGE));
    assert_eq!(change, None, "an idle site stays ready");

    assert_rate("under load", alone, SHARE_LOAD, || {
        rate_under_load(&lab, &daemon, times.load)
    });
}

/// One of the processors that this process may use.
fn a_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    let first = list.trim().split(['-', ',']).next().unwrap();
    first.to_owned()
}

/// How many processors icinga2 finds when it is started so.
fn processors(launcher: &[&str]) -> Option<usize> {
    let question = ["getconf", "_NPROCESSORS_ONLN"];
    let words = [launcher, &question].concat();
    let (program, arguments) = words.split_first()?;
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&run.stdout).trim().parse().ok()
}

#[test]
fn checks_go_on_beside_the_proxy() {
    let times = Times {
        alone: Duration::from_secs(15),
        // Long enough for two of the connections by which the proxy sees
        // whether icinga2 lives.
        idle: Duration::from_secs(60),
        load: Duration::from_secs(15),
    };
    assert_checks_go_on(&[], &times);
}

/// Here two connections already take all threads that icinga2 has.
#[test]
fn checks_go_on_beside_the_proxy_on_one_processor() {
    let times = Times {
        alone: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        load: Duration::from_secs(10),
    };
    let processor = a_processor();
    let mut launcher = vec!["taskset", "--cpu-list", &processor];
    let alone = ["sh", "-c", ONE_PROCESSOR, "one-processor"];
    if processors(&alone) == Some(1) {
        launcher.extend(alone);
    } else {
        println!("this system does not let icinga2 believe that it has one processor");
    }
    assert_checks_go_on(&launcher, &times);
}

/// Without this the tests above could not fail: it shows that connections that
/// are merely kept stop the checks, and that the count shows it.
#[test]
fn kept_connections_stop_the_checks() {
    const TIME: Duration = Duration::from_secs(10);
    let lab = Lab::start(&[]);
    let alone = lab.rate_alone(TIME);

    let processors = processors(&[]).unwrap();
    let kept: Vec<Direct> = (0..2 * processors + 1)
        .map(|_| {
            let direct = lab.icinga2.direct(Transport::Tcp);
            // Not all of them are answered.
            direct.send(b"GET status\nColumns: program_start\n");
            direct
        })
        .collect();
    let beside = lab.rate(TIME);
    println!(
        "beside {} kept connections: {beside:.1} checks a second, {:.0} %",
        kept.len(),
        100.0 * beside / alone
    );
    assert!(
        beside < SHARE_STOPPED * alone,
        "the checks go on: {beside:.1} of {alone:.1} a second"
    );

    drop(kept);
    let stopped_at = lab.executions();
    eventually("the checks go on when the connections are gone", || {
        lab.executions() >= stopped_at + WARM
    });
}
