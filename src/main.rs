//! The command line's commands, and the exit code. What each of them does stands
//! in the library.

use liveproxyd::cli::{self, Command};
use liveproxyd::{demo, import, life, process};
use std::io::Write;
use std::process::ExitCode;

/// Exit code for a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
        Ok(Command::Check(arguments)) => life::check(&arguments),
        Ok(Command::Serve(arguments)) => life::serve(&arguments),
        Ok(Command::Demo(arguments)) => demo::run(&arguments),
        Ok(Command::Import(arguments, file)) => import::run(&arguments, &file),
        Err(text) => {
            process::complain(&format!("liveproxyd: {text} (try --help)"));
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            process::complain(&format!("liveproxyd: {text}"));
            ExitCode::FAILURE
        }
    }
}
