//! Waiting for a condition with a bounded deadline. Nothing here knows what is waited for.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails. Only a hang gets near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition: short against a test, long against a system call.
const STEP: Duration = Duration::from_millis(5);

/// Multiplies every deadline of the tests, for slow or crowded machines: `2` doubles them.
const STRETCH_VARIABLE: &str = "LIVEPROXYD_TEST_STRETCH";

/// A deadline of the tests, multiplied by `LIVEPROXYD_TEST_STRETCH` when that is set.
pub fn stretched(duration: Duration) -> Duration {
    let factor = match std::env::var(STRETCH_VARIABLE) {
        Ok(text) => text
            .parse::<f64>()
            .unwrap_or_else(|_| panic!("{STRETCH_VARIABLE} must be a number, it is {text:?}")),
        Err(_) => 1.0,
    };
    duration.mul_f64(factor)
}

/// Returns as soon as `holds` does; fails the test, naming `what`, when that does not come.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    awaited(what, || holds().then_some(()));
}

/// Like [`eventually`], and gives what was found.
#[track_caller]
pub fn awaited<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + stretched(PATIENCE);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(STEP);
    }
}
