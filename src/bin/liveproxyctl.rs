//! Asks and orders a daemon that runs. All of it stands in `liveproxyd::ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(liveproxyd::ctl::run(std::env::args_os().skip(1)))
}
