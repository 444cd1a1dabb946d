//! Processes that are measured, and what the system says of them.

use crate::Failure;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So long a process may take to be ready, valgrind's included.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// Which processor a process gets, where there is more than one: what is
/// measured has one for itself, and all else shares the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Site and load.
    Beside,
    /// What is measured.
    Alone,
}

/// Starts a command line there; without `taskset`, anywhere.
pub fn command(place: Place, words: &[&str]) -> Command {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let has_taskset = fs::exists("/usr/bin/taskset").unwrap_or(false);
    let mut command;
    if processors > 1 && has_taskset {
        let number = if place == Place::Alone { "1" } else { "0" };
        command = Command::new("taskset");
        command.args(["-c", number]).args(words);
    } else {
        command = Command::new(words[0]);
        command.args(&words[1..]);
    }
    command
}

/// A process that ends with this value.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Takes over a process that was started.
    pub fn new(child: Child) -> Running {
        Running(child)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end as an administrator would, and waits for that.
    pub fn end(mut self) -> Result<(), Failure> {
        signal(self.id(), "TERM")?;
        await_that("a process to end", || Ok(self.0.try_wait()?.is_some()))
    }

    /// Fails if it has ended already.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("a process ended by itself: {status}").into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal to one process.
pub fn signal(id: u32, name: &str) -> Result<(), Failure> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("kill -{name} {id}: {status}").into()),
    }
}

/// Waits until something is so.
pub fn await_that(
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > end {
            return Err(format!("waited in vain for {what}").into());
        }
        sleep(LOOK);
    }
    Ok(())
}

/// This program, for a process of its own.
fn own_program() -> Result<String, Failure> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

/// A site's process, and the ports that it listens on.
#[derive(Debug)]
pub struct Site {
    /// The first port.
    pub port: u16,
    ports: u16,
    _process: Running,
}

impl Site {
    /// One that answers after so many milliseconds on so many ports.
    pub fn start(ports: u16, delay: u64, tls: bool) -> Result<Site, Failure> {
        let program = own_program()?;
        // Somebody else may have one of them: then others are tried.
        for attempt in 0..20_u16 {
            let port = 11_000 + (std::process::id() as u16 % 500) * 20 + attempt * 500;
            let (first, count) = (port.to_string(), ports.to_string());
            let delay = delay.to_string();
            let mut words = vec![&*program, "site", &first, &count, &delay];
            if tls {
                words.push("tls");
            }
            let mut child = command(Place::Beside, &words)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let output = child.stdout.take().ok_or("no output")?;
            let process = Running::new(child);
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line)?;
            if line == "listening\n" {
                return Ok(Site {
                    port,
                    ports,
                    _process: process,
                });
            }
        }
        Err("the site finds no free ports".into())
    }

    /// How many connections have answered a heartbeat.
    pub fn census(&self) -> Result<usize, Failure> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port + self.ports))?;
        socket.write_all(crate::line::CENSUS.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        Ok(answer.trim_end().parse()?)
    }
}

/// Lets the load generator run in a process of its own.
pub fn ask(plan: &crate::load::Plan, targets: &[String]) -> Result<crate::load::Outcome, Failure> {
    let program = own_program()?;
    let numbers = [
        plan.clients.to_string(),
        plan.per_connection.to_string(),
        plan.bytes.to_string(),
        plan.count.to_string(),
        plan.seconds.to_string(),
    ];
    let mut words = vec![&*program, "load"];
    words.extend(numbers.iter().map(String::as_str));
    words.extend(targets.iter().map(String::as_str));
    let output = command(Place::Beside, &words)
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    crate::load::Outcome::parse(text.trim_end()).ok_or_else(|| "the load failed".into())
}

/// Processor time that a process has used, in microseconds.
pub fn processor_time(id: u32) -> Result<f64, Failure> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(nanos as f64 / 1000.0)
}

/// A line of `/proc/ID/status`, in KiB.
pub fn memory(id: u32, name: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().strip_suffix(" kB"));
    Ok(value.ok_or("no such line in /proc")?.trim().parse()?)
}

/// Whether a program can be run.
pub fn exists(program: &str) -> bool {
    let places = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    places
        .split(':')
        .any(|place| std::path::Path::new(place).join(program).exists())
}
