//! The life of the daemon: how it starts, is told to change, is followed by
//! another one, and ends. The loop serves; what concerns the process as a whole
//! is decided here.

use crate::cli::Arguments;
use crate::config::{self, Config, Problem};
use crate::logging::{self, Output};
use crate::places::Places;
use crate::predecessor::{self, OTHER_STOPS, Predecessor};
use crate::process::{self, PidFile, Report};
use crate::reactor::{self, Call, Reactor};
use crate::replace::replace;
use crate::successor::{Origin, Successor};
use crate::supervisor::Supervisor;
use crate::{startup, state_file, sys};
use log::LevelFilter;
use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// So long channels are left to a daemon that wants to take over; if it has not
/// done so by then, it will not.
const ROOM_LASTS: Duration = Duration::from_secs(15);

/// When the state file is written for the first time.
const FIRST_STATE: Duration = Duration::from_secs(1);

/// How often the state file is written.
const STATE_EVERY: Duration = Duration::from_secs(5);

/// Why one that somebody started by hand is not restarted.
const NO_RESTART: &str =
    "Not restarted: it runs in the foreground, where nobody would look after a new process";

/// A daemon that serves.
struct Life<'a> {
    arguments: &'a Arguments,
    places: &'a Places,
    reactor: Reactor,
    supervisor: Supervisor,
    /// Given up when the daemon begins to stop: from then on another one may start.
    pid_file: Option<PidFile>,
    /// Until when channels are left to a daemon that takes over.
    room_until: Option<Instant>,
    /// Another daemon served before.
    has_followed: bool,
    /// What was said about the configuration and need not be said again.
    said: HashSet<String>,
    /// How to start another one like this.
    origin: Origin,
    /// One that was started to take over.
    successor: Option<Successor>,
    /// When the state file is to be written next.
    state_due: Instant,
    /// It could not be written, and that was said.
    state_failed: bool,
}

/// Prints what would be served, or what is wrong with it.
pub fn check(arguments: &Arguments) -> Result<(), String> {
    let places = Places::find(arguments)?;
    let config = read_config(arguments, &places)?;
    if !config.errors.is_empty() {
        return Err("the configuration has errors".into());
    }
    if let Some(text) = nothing_to_serve(&config, &places) {
        process::complain(&format!("liveproxyd: {text} (warning)"));
    }
    // Whoever reads it may have seen enough before its end.
    let _ = io::stdout().write_all(config::show_config(&config).as_bytes());
    Ok(())
}

/// Serves until it is told to stop. The error is one line for a person.
pub fn serve(arguments: &Arguments) -> Result<(), String> {
    let origin = Origin::note();
    let places = Places::find(arguments)?;
    let config = read_config(arguments, &places)?;
    if config.sites.is_empty() && !config.errors.is_empty() {
        return Err("none of the configured sites can be served".into());
    }
    if !config.errors.is_empty() {
        process::complain("liveproxyd: it starts all the same, without what is wrong");
    }
    let (output, report) = match arguments.foreground {
        true => {
            let output = Output::foreground();
            let cannot = |error| format!("cannot log to standard output: {}", sys::words(&error));
            (output.map_err(cannot)?, Report::to_terminal())
        }
        false => {
            // Opened while there is still a terminal to complain on.
            let output = open_log(&places)?;
            (output, process::daemonize()?)
        }
    };
    match start(arguments, &places, config, output, origin) {
        Ok(mut life) => {
            life.supervisor.ready();
            report.ready();
            if life.has_followed {
                // It may have changed while the other one still served.
                life.take_in_changes();
                life.reactor.forget_predecessor();
            }
            life.run()
        }
        Err(text) => {
            // Goes nowhere as long as the log is not ours.
            log::error!("{text}");
            report.fail(&text)
        }
    }
}

fn start<'a>(
    arguments: &'a Arguments,
    places: &'a Places,
    config: Config,
    output: Output,
    origin: Origin,
) -> Result<Life<'a>, String> {
    startup::make_places(places)?;
    // Before our number can be read: who finds it may use it at once.
    let signals = reactor::note_signals()?;
    let (mut pid_file, predecessor) = predecessor::claim(places, arguments.takeover)?;
    // Only with the lock is it certain that the log is ours to write to.
    logging::start(output, level(arguments, &config));
    log_problems(&config, places);

    let sites = config.sites.len();
    let problems = in_one_line(&config.errors);
    let said = config.warnings.iter().map(Problem::to_string).collect();
    let other = predecessor.map(Predecessor::pid);
    let supervisor = Supervisor::find();
    let mut reactor = startup::build(config, places, other, signals)?;
    reactor.log_slow_queries(arguments.slow_queries);
    if arguments.debug {
        reactor.fail_loudly();
    }
    if arguments.foreground && !supervisor.is_there() {
        reactor.refuse_restarts(NO_RESTART);
    }
    match problems.is_empty() {
        true => reactor.note_configured(Ok(())),
        false => reactor.note_configured_in_part(problems),
    }

    match predecessor {
        None => reactor.show()?,
        Some(other) => take_over(other, &mut reactor, &mut pid_file, places, &supervisor)?,
    }
    let plural = if sites == 1 { "" } else { "s" };
    log::info!(
        "liveproxyd {} is serving {sites} site{plural}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(Life {
        arguments,
        places,
        reactor,
        supervisor,
        pid_file: Some(pid_file),
        room_until: None,
        has_followed: predecessor.is_some(),
        said,
        origin,
        successor: None,
        // By then it is known how most sites are.
        state_due: Instant::now() + FIRST_STATE,
        state_failed: false,
    })
}

/// Proves that it can serve, and takes the place of another daemon, which then ends.
fn take_over(
    other: Predecessor,
    reactor: &mut Reactor,
    pid_file: &mut PidFile,
    places: &Places,
    supervisor: &Supervisor,
) -> Result<(), String> {
    other.prove(reactor)?;
    let other = other.still_there(&places.pid_file)?;
    reactor.show()?;
    pid_file.move_to(&places.pid_file)?;
    // Before the other one ends: its end would be taken for ours.
    supervisor.ready();
    predecessor::follow(other, reactor);
    Ok(())
}

impl Life<'_> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            let call = self
                .reactor
                .run(self.due())
                .inspect_err(|text| log::error!("{text}"))?;
            match call {
                Call::Stop if self.pid_file.is_some() => self.stop(),
                Call::Stop => {
                    log::warn!("stopping at once");
                    return Ok(());
                }
                Call::Reload { .. } => self.reload(),
                Call::MakeRoom => self.make_room(),
                Call::WriteState => self.write_state(),
                Call::Restart => self.restart(),
                Call::Due => self.see_what_is_due(),
                Call::Finished => {
                    log::info!("stopped");
                    return Ok(());
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let state = self.pid_file.as_ref().map(|_| self.state_due);
        let successor = self.successor.as_ref().map(|successor| successor.due);
        let due = [self.room_until, self.supervisor.due(), state, successor];
        due.into_iter().flatten().min()
    }

    fn see_what_is_due(&mut self) {
        let now = Instant::now();
        self.supervisor.keep_alive(now);
        if self.state_due <= now {
            self.write_state();
        }
        self.look_after_successor(now);
        if self.room_until.take_if(|until| *until <= now).is_some() {
            log::warn!("no other daemon has taken over: all channels are kept again");
            self.reactor.keep_all_channels();
            // It may have died with our sockets already replaced.
            self.reload();
        }
    }

    fn stop(&mut self) {
        // Where another one has taken over, the service as a whole does not stop.
        let is_followed = !self.pid_file.as_ref().is_some_and(PidFile::is_in_place);
        if !is_followed {
            self.supervisor.stopping();
            // Who counts the sites that are ready must not count ours.
            let _ = std::fs::remove_file(&self.places.state_file);
        }
        if self.room_until.take().is_some() {
            // Those who come now need channels as well.
            self.reactor.keep_all_channels();
            self.reactor.share_sites(OTHER_STOPS);
        }
        self.reactor.stop(is_followed);
        // Not before the sockets: who starts next is to find none of them.
        self.pid_file = None;
        log::info!("stopping: what was asked is answered, nothing new is taken");
    }

    fn make_room(&mut self) {
        log::info!("another daemon is about to take over: half of the idle channels are closed");
        self.room_until = Some(Instant::now() + ROOM_LASTS);
        self.reactor.share_sites(ROOM_LASTS);
        self.reactor.make_room();
    }

    fn reload(&mut self) {
        logging::reopen();
        if self.pid_file.is_none() {
            return;
        }
        self.supervisor.reloading();
        self.take_in_changes();
        self.supervisor.ready();
        self.write_state();
    }

    /// Serves what the configuration says now.
    fn take_in_changes(&mut self) {
        match self.read_again() {
            Ok(text) => {
                log::info!("configuration read again: {text}");
                self.reactor.note_configured(Ok(()));
            }
            Err(problems) => {
                self.reactor.note_configured(Err(in_one_line(&problems)));
                for problem in &problems {
                    log::error!("{problem}");
                }
                log::error!("the configuration stays as it was, because the new one has errors");
            }
        }
    }

    /// Writes how everything is. That it cannot be written is said once.
    fn write_state(&mut self) {
        self.state_due = Instant::now() + STATE_EVERY;
        if self.pid_file.is_none() {
            return;
        }
        let text = state_file::render(&self.reactor.report(), &sys::local_time);
        let file = &self.places.state_file;
        match replace(file, &text) {
            Ok(()) if self.state_failed => {
                self.state_failed = false;
                log::info!("{} is written again", file.display());
            }
            Ok(()) => {}
            Err(error) if !self.state_failed => {
                self.state_failed = true;
                log::warn!("cannot write {}: {}", file.display(), sys::words(&error));
            }
            Err(_) => {}
        }
    }

    /// Starts a process that is to take over.
    fn restart(&mut self) {
        if self.pid_file.is_none() {
            return;
        }
        if self.successor.is_some() {
            log::info!("a new process is about to take over already");
            return;
        }
        match self.origin.follow(self.arguments.foreground) {
            Ok(successor) => {
                log::info!("a new process was started, to take over");
                self.successor = Some(successor);
            }
            Err(text) => self.not_restarted(text),
        }
    }

    fn not_restarted(&mut self, why: String) {
        log::error!("not restarted: {why}");
        self.reactor.note_not_restarted(why);
    }

    fn look_after_successor(&mut self, now: Instant) {
        let ended = self.successor.as_mut().and_then(|one| one.ended(now));
        if let Some(result) = ended {
            self.successor = None;
            if let Err(text) = result {
                self.not_restarted(format!("the new process has failed: {text}"));
            }
        }
    }

    /// Reads the configuration and puts it into effect, if all of it is good.
    fn read_again(&mut self) -> Result<String, Vec<Problem>> {
        let mut config = startup::read_config(self.arguments, self.places)?;
        if !config.errors.is_empty() {
            return Err(config.errors);
        }
        for problem in &config.warnings {
            if self.said.insert(problem.to_string()) {
                log::warn!("{problem}");
            }
        }
        let alone = |text| vec![Problem::without_place(text)];
        startup::make_places(self.places).map_err(alone)?;
        startup::fit_descriptors(&mut config);
        let level = level(self.arguments, &config);
        let changes = self.reactor.configure(config).map_err(alone)?;
        log::set_max_level(level);
        Ok(changes.to_string())
    }
}

fn in_one_line(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}

fn open_log(places: &Places) -> Result<Output, String> {
    Output::file(&places.log_file).map_err(|error| {
        let (path, words) = (places.log_file.display(), sys::words(&error));
        format!("cannot log to {path}: {words}")
    })
}

/// What is logged: the command line wins over the configuration.
pub(crate) fn level(arguments: &Arguments, config: &Config) -> LevelFilter {
    match (arguments.debug, arguments.verbose) {
        (true, _) => LevelFilter::Trace,
        (false, true) => LevelFilter::Debug,
        (false, false) => logging::filter(config.log_level),
    }
}

fn log_problems(config: &Config, places: &Places) {
    for problem in &config.errors {
        log::error!("{problem}");
    }
    for problem in &config.warnings {
        log::warn!("{problem}");
    }
    if let Some(text) = nothing_to_serve(config, places) {
        log::warn!("{text}");
    }
}

/// That there are no sites is no error, but seldom meant: the file may have another name or place.
fn nothing_to_serve(config: &Config, places: &Places) -> Option<String> {
    let is_empty = config.sites.is_empty() && config.refused.is_empty();
    is_empty.then(|| format!("no site is configured in {}", places.config))
}

/// Reads the configuration and says on standard error what is wrong with it.
fn read_config(arguments: &Arguments, places: &Places) -> Result<Config, String> {
    let tell = |problems: &[Problem], kind: &str| {
        for problem in problems {
            match &problem.place {
                Some(_) => process::complain(&format!("{problem}{kind}")),
                None => process::complain(&format!("liveproxyd: {problem}{kind}")),
            }
            if let Some(lines) = problem.excerpt_lines() {
                process::complain(&lines);
            }
        }
    };
    match startup::read_config(arguments, places) {
        Ok(config) => {
            tell(&config.errors, "");
            tell(&config.warnings, " (warning)");
            Ok(config)
        }
        Err(problems) => {
            tell(&problems, "");
            Err("the configuration cannot be read".into())
        }
    }
}
