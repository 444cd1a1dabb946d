//! The daemon's start: command line, configuration, sockets, loop, and the
//! exit code. What each of them does stands in the library.

use liveproxyd::cli::{self, Arguments, Command};
use liveproxyd::config::{self, Config, Problem};
use liveproxyd::demo::DemoSites;
use liveproxyd::logging::{self, Output};
use liveproxyd::places::Places;
use liveproxyd::process::{self, PidFile, Report};
use liveproxyd::reactor::Reactor;
use liveproxyd::{startup, sys};
use log::LevelFilter;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code for a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            Ok(())
        }
        Ok(Command::Check(arguments)) => check(&arguments),
        Ok(Command::Serve(arguments)) => serve(&arguments),
        Ok(Command::Demo(arguments)) => demo(&arguments),
        Err(text) => {
            eprintln!("liveproxyd: {text} (try --help)");
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("liveproxyd: {text}");
            ExitCode::FAILURE
        }
    }
}

fn check(arguments: &Arguments) -> Result<(), String> {
    let places = Places::find(arguments)?;
    let config = read_config(arguments, &places)?;
    if !config.errors.is_empty() {
        return Err("the configuration has errors".into());
    }
    print!("{}", config::show_config(&config));
    Ok(())
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let places = Places::find(arguments)?;
    let config = read_config(arguments, &places)?;
    if config.sites.is_empty() && !config.errors.is_empty() {
        return Err("none of the configured sites can be served".into());
    }
    let (output, report) = match arguments.foreground {
        true => (Output::Foreground, Report::to_terminal()),
        false => {
            // Opened while there is still a terminal to complain on.
            let output = open_log(&places)?;
            (output, process::daemonize()?)
        }
    };
    let pid_file = startup::make_places(&places).and_then(|()| PidFile::take(&places.pid_file));
    // Only with the lock is it certain that the log is ours to write to.
    let pid_file = pid_file.unwrap_or_else(|text| report.fail(&text));
    start_log(output, arguments, &config);
    log_problems(&config, &places);
    let sites = config.sites.len();
    let reactor = match startup::build(config, &places) {
        Ok(reactor) => reactor,
        Err(text) => {
            log::error!("{text}");
            drop(pid_file);
            report.fail(&text);
        }
    };
    let plural = if sites == 1 { "" } else { "s" };
    log::info!(
        "liveproxyd {} is serving {sites} site{plural}",
        env!("CARGO_PKG_VERSION")
    );
    report.ready();
    run(reactor)
}

fn open_log(places: &Places) -> Result<Output, String> {
    Output::file(&places.log_file).map_err(|error| {
        let (path, words) = (places.log_file.display(), sys::words(&error));
        format!("cannot log to {path}: {words}")
    })
}

fn start_log(output: Output, arguments: &Arguments, config: &Config) {
    let level = match (arguments.debug, arguments.verbose) {
        (true, _) => LevelFilter::Trace,
        (false, true) => LevelFilter::Debug,
        (false, false) => logging::filter(config.log_level),
    };
    logging::start(output, level);
}

fn log_problems(config: &Config, places: &Places) {
    for problem in &config.errors {
        log::error!("{problem}");
    }
    for problem in &config.warnings {
        log::warn!("{problem}");
    }
    if config.sites.is_empty() && config.refused.is_empty() {
        log::warn!("no site is configured in {}", places.config);
    }
}

fn run(mut reactor: Reactor) -> Result<(), String> {
    let result = reactor.run();
    reactor.close();
    result.map_err(|error| {
        let text = format!("the event loop failed: {}", sys::words(&error));
        log::error!("{text}");
        text
    })
}

/// Reads the configuration and says on standard error what is wrong with it.
fn read_config(arguments: &Arguments, places: &Places) -> Result<Config, String> {
    let tell = |problems: &[Problem], kind: &str| {
        for problem in problems {
            match &problem.place {
                Some(_) => eprintln!("{problem}{kind}"),
                None => eprintln!("liveproxyd: {problem}{kind}"),
            }
            if let Some(lines) = problem.excerpt_lines() {
                eprintln!("{lines}");
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

/// A folder that is there as long as the demonstration.
struct DemoFolder(PathBuf);

impl DemoFolder {
    fn make() -> Result<DemoFolder, String> {
        let path = std::env::temp_dir().join(format!("liveproxyd-demo-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| format!("cannot make {}: {}", path.display(), sys::words(&error)))?;
        Ok(DemoFolder(path))
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn demo(arguments: &Arguments) -> Result<(), String> {
    let demo_sites = DemoSites::start()
        .map_err(|error| format!("cannot start the demonstration: {}", sys::words(&error)))?;
    let folder = DemoFolder::make()?;
    let places = Places::of_omd_site(&folder.0);
    let sites = demo_sites.addresses();
    let options = sites.map(|(name, address)| format!("{name}=tcp:{address}"));
    let config = config::from_site_options(&options, &places.surroundings())?;
    let level = match (arguments.debug, arguments.verbose) {
        (true, _) => LevelFilter::Trace,
        (false, true) => LevelFilter::Debug,
        (false, false) => LevelFilter::Warn,
    };
    logging::start(Output::Foreground, level);
    startup::make_places(&places)?;
    let mut reactor = startup::build(config, &places)?;
    reactor.end_with_terminal();
    let [first, second] = sites.map(|(name, _)| places.socket_dir.join(name));
    let (first, second) = (first.display(), second.display());
    println!("Two demonstration sites are served on these sockets, until Ctrl-C:\n");
    println!("    {first}\n    {second}\n");
    println!("Ask them from another terminal:\n");
    println!("    printf 'GET hosts\\nColumns: name state plugin_output\\n' | nc -NU {first}");
    println!(
        "    printf 'GET services\\nFilter: state > 0\\nColumns: host_name description plugin_output\\n\
         OutputFormat: json\\n' | socat - UNIX-CONNECT:{second}\n"
    );
    run(reactor)
}
