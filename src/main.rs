//! The command line's commands, and the exit code. What each of them does stands
//! in the library.

use liveproxyd::cli::{self, Arguments, Command};
use liveproxyd::config;
use liveproxyd::demo::DemoSites;
use liveproxyd::import;
use liveproxyd::life;
use liveproxyd::logging::{self, Output};
use liveproxyd::places::Places;
use liveproxyd::reactor::{Call, note_signals};
use liveproxyd::{process, startup, sys};
use log::LevelFilter;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
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
        Ok(Command::Demo(arguments)) => demo(&arguments),
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
    let output = Output::foreground().map_err(|error| sys::words(&error))?;
    logging::start(output, level);
    startup::make_places(&places)?;
    let mut reactor = startup::build(config, &places, None, note_signals()?)?;
    reactor.show()?;
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
    loop {
        if let Call::Stop | Call::Reload { terminal: true } = reactor.run(None)? {
            return Ok(());
        }
    }
}
