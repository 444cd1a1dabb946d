//! The command `--demo`: the two sites, and a daemon in front of them that keeps
//! everything in a folder of its own. The one place that knows both sides.

use super::DemoSites;
use crate::cli::Arguments;
use crate::config::{self, LogLevel};
use crate::life;
use crate::logging::{self, Output};
use crate::places::Places;
use crate::reactor::{Call, note_signals};
use crate::{startup, sys};
use std::fs;
use std::path::PathBuf;

/// Why it is not restarted.
const NO_RESTART: &str = "Not restarted: the demonstration ends with this process";

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

/// Serves the demonstration sites until it is told to stop, and says how to ask them.
///
/// # Errors
/// One line for a person, when it cannot be started or the loop cannot go on.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let demo_sites = DemoSites::start()
        .map_err(|error| format!("cannot start the demonstration: {}", sys::words(&error)))?;
    let folder = DemoFolder::make()?;
    let places = Places::of_omd_site(&folder.0);
    let sites = demo_sites.addresses();
    let options = sites.map(|(name, address)| format!("{name}=tcp:{address}"));
    let mut config = config::from_site_options(&options, &places.surroundings())?;
    // What is printed here is not to be lost among the log's lines.
    config.log_level = LogLevel::Warning;
    let output = Output::foreground().map_err(|error| sys::words(&error))?;
    logging::start(output, life::level(arguments, &config));
    startup::make_places(&places)?;
    let mut reactor = startup::build(config, &places, None, note_signals()?)?;
    reactor.note_configured(Ok(()));
    reactor.refuse_restarts(NO_RESTART);
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
        match reactor.run(None)? {
            Call::Stop | Call::Reload { terminal: true } => return Ok(()),
            // There is no file that could have changed.
            Call::Reload { terminal: false } => reactor.note_configured(Ok(())),
            Call::MakeRoom | Call::WriteState | Call::Restart | Call::Due | Call::Finished => {}
        }
    }
}
