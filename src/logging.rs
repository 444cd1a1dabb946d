//! The log: one line an event, with the local time in front, written in one
//! piece so that two processes never mix their lines.

use crate::config::LogLevel;
use crate::sys;
use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Where the log goes.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Foreground,
    /// A file that is added to.
    File(File),
}

impl Output {
    /// The file at `path`, made if it is not there.
    pub fn file(path: &Path) -> io::Result<Output> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Output::File(file))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Output::Foreground => io::stdout().lock().write_all(line),
            Output::File(file) => file.write_all(line),
        }
    }
}

/// simplelog writes a line in several pieces; this puts them together.
struct Lines {
    output: Output,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            let stamp = sys::local_time_stamp(sys::since_epoch());
            self.line.extend_from_slice(stamp.as_bytes());
            self.line.push(b' ');
        }
        self.line.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            // A full disk must not end the daemon; the line is lost.
            let _ = self.output.write(&self.line);
            self.line.clear();
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
    let lines = Lines {
        output,
        line: Vec::new(),
    };
    // Only a second call fails.
    let _ = WriteLogger::init(LevelFilter::Trace, config, lines);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        log::error!("internal error: {panic}");
        eprintln!("liveproxyd: internal error: {panic}");
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
        let mut lines = Lines {
            output: Output::file(&path).unwrap(),
            line: Vec::new(),
        };
        for piece in ["[INFO] ", "site muc: ", "ready", "\n", "[WARN] x\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert_eq!(first.get(23..), Some(" [INFO] site muc: ready"));
        assert_eq!(second.get(23..), Some(" [WARN] x\n"));
    }
}
