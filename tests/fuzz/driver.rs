//! Tries one target out: the kept inputs first, then new ones until the time or the number is over.
//! What it needs to know comes from the environment, so that `tests/fuzz/run` can say it.

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mutation::mutated;
use crate::random::Random;
use crate::targets::{TARGETS, Target};

/// Time for each target in a normal test run.
const SHORT: Duration = Duration::from_secs(2);

/// An input that takes longer is a finding. They take microseconds.
const SLOW: Duration = Duration::from_secs(10);

/// How many inputs are tried between two looks at the clock.
const BETWEEN_LOOKS: u64 = 64;

/// The inputs of a normal test run are the same every time.
const SEED: u64 = 1;

/// How long to go on, and from where.
struct Orders {
    time: Duration,
    most: u64,
    seed: u64,
    /// Only this input.
    replay: Option<PathBuf>,
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number, it is {text:?}")))
}

impl Orders {
    fn from_environment() -> Orders {
        let most = number("LIVEPROXYD_FUZZ_EXECUTIONS");
        let seconds = number("LIVEPROXYD_FUZZ_SECONDS").map(Duration::from_secs);
        let usual = if most.is_some() { Duration::MAX } else { SHORT };
        Orders {
            time: seconds.unwrap_or(usual),
            most: most.unwrap_or(u64::MAX),
            seed: number("LIVEPROXYD_FUZZ_SEED").unwrap_or(SEED),
            replay: std::env::var_os("LIVEPROXYD_FUZZ_INPUT").map(PathBuf::from),
        }
    }
}

/// Tries the target of this name.
pub fn try_out(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let orders = Orders::from_environment();
    if let Some(path) = &orders.replay {
        return (target.run)(&std::fs::read(path).unwrap());
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let seeds = kept_inputs(&corpus.join(name));
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut attempt = Attempt::new(target);
    for seed in &seeds {
        attempt.try_one(seed);
    }
    let mut random = Random::new(orders.seed);
    let start = Instant::now();
    let mut count = 0;
    while count < orders.most && start.elapsed() < orders.time {
        for _ in 0..BETWEEN_LOOKS.min(orders.most - count) {
            attempt.try_one(&mutated(&mut random, &seeds, target.words));
            count += 1;
        }
    }
    attempt.done();
    let (time, seed) = (start.elapsed(), orders.seed);
    println!("{name}: {count} executions in {time:.1?}, seed {seed}");
}

/// The files of a folder, in the order of their names.
fn kept_inputs(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Inputs on their way into a target. The one being tried stands in a file, for it may end the
/// process.
struct Attempt {
    target: &'static Target,
    path: PathBuf,
    file: File,
}

impl Attempt {
    fn new(target: &'static Target) -> Attempt {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}-{}", target.name, std::process::id()));
        let file = File::create(&path).unwrap();
        Attempt { target, path, file }
    }

    fn try_one(&mut self, input: &[u8]) {
        self.file.set_len(input.len() as u64).unwrap();
        self.file.write_all_at(input, 0).unwrap();
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let took = start.elapsed();
        if let Err(cause) = outcome {
            self.found(&said(&*cause));
        }
        if took > SLOW {
            self.found(&format!("it took {took:?}"));
        }
    }

    fn found(&self, what: &str) -> ! {
        let name = self.target.name;
        let path = self.path.display();
        panic!(
            "{name}: {what}\nthe input is kept; try it again with: tests/fuzz/run {name} {path}"
        );
    }

    fn done(self) {
        // One that is left over misleads, no more.
        let _ = std::fs::remove_file(self.path);
    }
}

fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    let text = text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_default()
}
