//! The log: one line an event, with the local time in front, written in one
//! piece so that two processes never mix their lines.

use crate::config::LogLevel;
use crate::sys;
use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set when the file is to be opened anew before the next line.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// How often it is looked whether the file was renamed away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Rights on the file: it has first lines of queries and commands in it.
const MODE: u32 = 0o640;

/// How long somebody who reads standard output and has let it fill up is waited
/// for: longer than a busy machine keeps a reader from its work, and no longer
/// than the loop may stand still unnoticed.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nobody is waited for after that. All clients wait meanwhile.
const IMPATIENCE: Duration = Duration::from_secs(60);

/// Where the log goes.
#[derive(Debug)]
pub struct Output(Kind);

#[derive(Debug)]
enum Kind {
    Foreground(Foreground),
    File(LogFile),
}

/// Standard output: a terminal that may be held, a pipe that may be full.
#[derive(Debug)]
struct Foreground {
    /// A descriptor of its own: the standard library's buffer would keep what does not fit.
    file: File,
    /// Until then its reader is not waited for.
    impatient_until: Option<Instant>,
}

impl Foreground {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        let patience = match self.impatient_until {
            Some(until) if now < until => Duration::ZERO,
            _ => PATIENCE,
        };
        if !sys::await_output(&self.file, patience)? {
            if !patience.is_zero() {
                self.impatient_until = Some(now + PATIENCE + IMPATIENCE);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = bytes.get(..sys::WHOLE).unwrap_or(bytes);
        self.file.write(piece)
    }
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// When it was last made sure that it is the one at `path`.
    looked: Instant,
}

impl Output {
    /// Standard output.
    pub fn foreground() -> io::Result<Output> {
        Ok(Output(Kind::Foreground(Foreground {
            file: io::stdout().as_fd().try_clone_to_owned()?.into(),
            impatient_until: None,
        })))
    }

    /// The file at `path`, made if it is not there and added to.
    pub fn file(path: &Path) -> io::Result<Output> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Output(Kind::File(LogFile {
            path: path.to_path_buf(),
            file: open(path)?,
            looked: Instant::now(),
        })))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Foreground(foreground) => foreground.write(bytes),
            Kind::File(log) => log.file.write(bytes),
        }
    }

    /// Makes sure that the file is the one at its path.
    fn look(&mut self) {
        let Kind::File(log) = &mut self.0 else { return };
        let asked = REOPEN.swap(false, Ordering::Relaxed);
        if !asked && log.looked.elapsed() < LOOK_EVERY {
            return;
        }
        log.looked = Instant::now();
        // Where it cannot be opened the old one is better than none.
        if !log.is_in_place()
            && let Ok(file) = open(&log.path)
        {
            log.file = file;
        }
    }
}

impl LogFile {
    fn is_in_place(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // It is made while the umask is still that of whoever starts the daemon.
    options.append(true).create(true).mode(MODE);
    // A pipe in its place would be waited for until somebody reads it.
    options.custom_flags(libc::O_NONBLOCK).open(path)
}

/// The next line goes to the file that is at the log's path by then.
pub fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

/// simplelog writes a line in several pieces; this puts them together.
struct Lines {
    output: Output,
    line: Vec<u8>,
    /// Lines that could not be written, mostly because the disk is full.
    lost: u64,
    /// The last line was written in part.
    is_torn: bool,
}

impl Lines {
    fn new(output: Output) -> Self {
        Lines {
            output,
            line: Vec::new(),
            lost: 0,
            is_torn: false,
        }
    }

    fn begin(&mut self) {
        self.line.clear();
        if self.is_torn {
            self.line.push(b'\n');
        }
        self.stamp();
        if self.lost > 0 {
            let lost = self.lost;
            self.line.extend_from_slice(
                format!("[WARN] {lost} lines could not be written\n").as_bytes(),
            );
            self.stamp();
        }
    }

    fn stamp(&mut self) {
        let stamp = sys::local_time_stamp(sys::since_epoch());
        self.line.extend_from_slice(stamp.as_bytes());
        self.line.push(b' ');
    }

    /// A full disk must not end the daemon: the line is lost, and counted.
    fn end(&mut self) {
        self.output.look();
        let mut written = 0;
        while let Some(rest) = self.line.get(written..)
            && !rest.is_empty()
        {
            match self.output.write(rest) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        if written == self.line.len() {
            (self.lost, self.is_torn) = (0, false);
        } else {
            self.lost += 1;
            self.is_torn |= written > 0;
        }
        self.line.clear();
    }
}

impl Write for Lines {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            self.begin();
        }
        self.line.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            self.end();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts to log. To be called once.
pub fn start(output: Output, level: LevelFilter) {
    let config = ConfigBuilder::new()
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Some libraries log too.
        .add_filter_allow_str("liveproxyd")
        .build();
    let lines = Lines::new(output);
    // Only a second call fails.
    let _ = WriteLogger::init(LevelFilter::Trace, config, lines);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        log::error!("internal error: {panic}");
        // Others are served on, whoever may have let this fill up.
        if sys::await_output(&io::stderr(), Duration::ZERO).unwrap_or(false) {
            crate::process::complain(&format!("liveproxyd: internal error: {panic}"));
        }
    }));
}

/// What the configuration's level means here.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug | LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Error | LogLevel::Critical => LevelFilter::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_one_stamped_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/livepd.log");
        let mut lines = Lines::new(Output::file(&path).unwrap());
        for piece in ["[INFO] ", "site muc: ", "ready", "\n", "[WARN] x\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert_eq!(first.get(23..), Some(" [INFO] site muc: ready"));
        assert_eq!(second.get(23..), Some(" [WARN] x\n"));
    }

    #[test]
    fn a_line_that_does_not_fit_on_the_disk_is_counted_and_nothing_else_happens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("livepd.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut lines = Lines::new(Output::file(&path).unwrap());
        lines.write_all(b"lost\n").unwrap();
        lines.write_all(b"lost too\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        if let Kind::File(log) = &mut lines.output.0 {
            log.looked -= LOOK_EVERY;
        }
        lines.write_all(b"[INFO] kept\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let texts: Vec<&str> = text.lines().filter_map(|line| line.get(24..)).collect();
        assert_eq!(
            texts,
            ["[WARN] 2 lines could not be written", "[INFO] kept"]
        );
    }
}
