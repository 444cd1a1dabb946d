//! What a service manager is told (systemd's `Type=notify`): that the daemon is
//! ready, and, where there is a watchdog, that its loop still turns.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// A service manager, or nobody.
#[derive(Debug)]
pub struct Supervisor {
    /// How often it wants to hear of us, and when next.
    watchdog: Option<(Duration, Instant)>,
}

impl Supervisor {
    /// Whoever the environment names.
    pub fn find() -> Supervisor {
        // Half of the time, so that one late turn does no harm.
        let every = sd_notify::watchdog_enabled().map(|time| time / 2);
        Supervisor {
            watchdog: every.map(|every| (every, Instant::now() + every)),
        }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// The daemon serves, and this process is the one to watch.
    pub fn ready(&self) {
        tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    }

    /// It reads its configuration again.
    pub fn reloading(&self) {
        let Ok(now) = NotifyState::monotonic_usec_now() else {
            return;
        };
        tell(&[NotifyState::Reloading, now]);
    }

    /// It finishes what was asked and ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When [`Supervisor::keep_alive`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Tells the watchdog that the loop turns, if it is time.
    pub fn keep_alive(&mut self, now: Instant) {
        if let Some((every, due)) = &mut self.watchdog
            && *due <= now
        {
            *due = now + *every;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("the service manager cannot be told: {error}");
    }
}
