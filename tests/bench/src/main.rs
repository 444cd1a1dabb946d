//! Measures liveproxyd: against other ways of asking a site, by system calls,
//! by instructions, and with many sites. Nothing here judges; it prints.

mod calls;
mod compare;
mod daemon;
mod instructions;
mod line;
mod load;
mod process;
mod site;
mod sizes;
mod table;

use std::process::ExitCode;

/// What went wrong, for a person.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
Usage: liveproxyd-bench MEASUREMENT
       compare       liveproxyd, HAProxy and no proxy: time, latency, queries a second
       calls         system calls of a query, by strace
       instructions  instructions of a query, by callgrind
       sizes         many sites: start, memory, rest, cost of a query
and what these run as processes of their own:
       site PORT PORTS MILLISECONDS [tls]
       load CLIENTS QUERIES_PER_CONNECTION BYTES COUNT SECONDS TARGET...
A path in $LIVEPROXYD names the daemon's program, one in $BENCH_OUTPUT a file for the tables.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["compare"] => compare::run(),
        ["calls"] => calls::run(),
        ["instructions"] => instructions::run(),
        ["sizes"] => sizes::run(),
        ["site", rest @ ..] => site::run(rest),
        ["load", rest @ ..] => load::run(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("liveproxyd-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
