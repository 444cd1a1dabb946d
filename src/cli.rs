//! The command line: one table of options, from which the parser and the help
//! text come.

use getopts::{Matches, Options};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Print this text and end well.
    Print(String),
    /// Read everything and say what is wrong with it.
    Check(Arguments),
    /// Serve.
    Serve(Arguments),
    /// Serve two built-in sites.
    Demo(Arguments),
    /// Make the configuration from this file of a GUI.
    Import(Arguments, PathBuf),
}

/// The options that go with a command. Paths are as they were given.
#[derive(Debug, Default, PartialEq)]
pub struct Arguments {
    /// Stay in the foreground and log to standard output.
    pub foreground: bool,
    /// Log every channel.
    pub verbose: bool,
    /// Log every client too.
    pub debug: bool,
    /// The root of the OMD site.
    pub root: Option<PathBuf>,
    /// The only configuration file.
    pub config_file: Option<PathBuf>,
    /// The folder of configuration files.
    pub config_dir: Option<PathBuf>,
    /// Sites instead of any file.
    pub sites: Vec<String>,
    /// The folder of the sites' sockets.
    pub socket_dir: Option<PathBuf>,
    /// Permission bits of the sockets.
    pub socket_mode: Option<u32>,
    /// Group of the sockets.
    pub socket_group: Option<String>,
    /// Where to log in the background.
    pub log_file: Option<PathBuf>,
    /// The file that says how everything is.
    pub state_file: Option<PathBuf>,
    /// Where the process number stands.
    pub pid_file: Option<PathBuf>,
    /// Where the daemon itself is asked.
    pub control_socket: Option<PathBuf>,
    /// Take over from a daemon that runs.
    pub takeover: bool,
    /// Queries that take longer than this are logged.
    pub slow_queries: Option<Duration>,
    /// The certificates that sites are trusted by.
    pub ca_file: Option<PathBuf>,
    /// The certificate that ports with TLS show.
    pub tls_certificate: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optflag(
            "g",
            "foreground",
            "stay in the foreground, log to standard output",
        )
        .optflagmulti("v", "verbose", "log every channel")
        .optflag(
            "d",
            "debug",
            "log every channel, every client and every refused query; end at an internal error",
        )
        .optflag(
            "t",
            "check-config",
            "print the sites as they would run, or the errors, and end",
        )
        .optopt(
            "r",
            "root",
            "root of the OMD site (default: $OMD_ROOT)",
            "DIR",
        )
        .optopt("c", "config", "read only this file", "FILE")
        .optopt(
            "",
            "config-dir",
            "read only the files *.mk of this folder",
            "DIR",
        )
        .optmulti(
            "s",
            "site",
            "serve this site and read no file; may be repeated",
            "NAME=tcp:HOST:PORT|NAME=unix:PATH",
        )
        .optopt("", "socket-dir", "folder of the sites' sockets", "DIR")
        .optopt(
            "",
            "socket-mode",
            "permissions of the sockets, octal (default: 0660)",
            "MODE",
        )
        .optopt(
            "",
            "socket-group",
            "group of the sockets and their folder",
            "GROUP",
        )
        .optopt(
            "",
            "log-file",
            "log of the daemon in the background",
            "FILE",
        )
        .optopt(
            "",
            "state-file",
            "says how every site is, written every 5 seconds",
            "FILE",
        )
        .optopt(
            "",
            "pid-file",
            "file with the number of the process, locked",
            "FILE",
        )
        .optopt(
            "",
            "control-socket",
            "socket on which liveproxyctl asks the daemon",
            "PATH",
        )
        .optflag(
            "",
            "takeover",
            "take over from the daemon that runs, if one does, without a gap",
        )
        .optopt(
            "",
            "slow-queries",
            "log queries that take longer than this",
            "SECONDS",
        )
        .optopt(
            "",
            "import-sites",
            "make liveproxy.mk from the GUI's multisite.d/sites.mk, say what to change in the GUI, and end",
            "FILE",
        )
        .optopt(
            "",
            "ca-file",
            "trusted certificates, for channels over TLS",
            "FILE",
        )
        .optopt(
            "",
            "tls-certificate",
            "certificate that sites' TCP ports show, with its key",
            "FILE",
        )
        .optopt(
            "",
            "tls-key",
            "the key, if it stands in a file of its own",
            "FILE",
        )
        .optflag("", "demo", "try it: serve two built-in demonstration sites")
        .optflag("h", "help", "print this")
        .optflag("V", "version", "print the version");
    options
}

/// Reads the arguments, without the program's name. The error is one line for a person.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let matches = options()
        .parse(arguments)
        .map_err(|error| error.to_string())?;
    if let Some(free) = matches.free.first() {
        return Err(format!("Unexpected argument: '{free}'"));
    }
    if matches.opt_present("help") {
        let brief = "Usage: liveproxyd [OPTIONS]\n\n\
            For each monitoring site one UNIX socket, and behind it channels that stay connected.\n\
            Without --root and $OMD_ROOT: /etc/liveproxyd/*.mk, /run/liveproxyd, /var/log/liveproxyd.";
        return Ok(Command::Print(options().usage(brief)));
    }
    if matches.opt_present("version") {
        let version = concat!("liveproxyd ", env!("CARGO_PKG_VERSION"), "\n");
        return Ok(Command::Print(version.into()));
    }
    let arguments = from_matches(&matches)?;
    if let Some(file) = matches.opt_str("import-sites") {
        let others = ["demo", "check-config", "site"];
        return match others.iter().find(|name| matches.opt_present(name)) {
            Some(other) => Err(format!("--import-sites and --{other} exclude each other")),
            None => Ok(Command::Import(arguments, file.into())),
        };
    }
    match (
        matches.opt_present("demo"),
        matches.opt_present("check-config"),
    ) {
        (true, true) => Err("--demo has no configuration to check".into()),
        (true, false) => Ok(Command::Demo(arguments)),
        (false, true) => Ok(Command::Check(arguments)),
        (false, false) => Ok(Command::Serve(arguments)),
    }
}

fn from_matches(matches: &Matches) -> Result<Arguments, String> {
    let path = |name| matches.opt_str(name).map(PathBuf::from);
    let socket_mode = match matches.opt_str("socket-mode") {
        None => None,
        Some(text) => Some(
            u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| {
                    format!("--socket-mode takes an octal number like 0660, not '{text}'")
                })?,
        ),
    };
    let slow_queries = match matches.opt_str("slow-queries") {
        None => None,
        Some(text) => {
            let seconds = text.parse().ok();
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let wrong = || format!("--slow-queries takes a number of seconds, not '{text}'");
            Some(time.ok_or_else(wrong)?)
        }
    };
    let sites = matches.opt_strs("site");
    let sources = [
        matches.opt_present("config"),
        matches.opt_present("config-dir"),
        !sites.is_empty(),
    ];
    if sources.iter().filter(|given| **given).count() > 1 {
        return Err("--config, --config-dir and --site exclude each other".into());
    }
    Ok(Arguments {
        foreground: matches.opt_present("foreground"),
        verbose: matches.opt_present("verbose"),
        debug: matches.opt_present("debug"),
        root: path("root"),
        config_file: path("config"),
        config_dir: path("config-dir"),
        sites,
        socket_dir: path("socket-dir"),
        socket_mode,
        socket_group: matches.opt_str("socket-group"),
        log_file: path("log-file"),
        pid_file: path("pid-file"),
        state_file: path("state-file"),
        control_socket: path("control-socket"),
        takeover: matches.opt_present("takeover"),
        slow_queries,
        ca_file: path("ca-file"),
        tls_certificate: path("tls-certificate"),
        tls_key: path("tls-key"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn options_are_read() {
        let Ok(Command::Serve(arguments)) = run(&[
            "-gv",
            "-r",
            "/omd/sites/x",
            "-s",
            "a=unix:/a",
            "--site",
            "b=tcp:h:1",
            "--socket-mode",
            "0600",
        ]) else {
            panic!("not to be served");
        };
        assert!(arguments.foreground && arguments.verbose);
        assert_eq!(arguments.root, Some("/omd/sites/x".into()));
        assert_eq!(arguments.sites, ["a=unix:/a", "b=tcp:h:1"]);
        assert_eq!(arguments.socket_mode, Some(0o600));
    }

    #[test]
    fn wrong_options_are_told() {
        for (arguments, words) in [
            (&["--foo"][..], "foo"),
            (&["x"], "'x'"),
            (&["--root"], "root"),
            (&["--socket-mode", "rw"], "'rw'"),
            (&["--socket-mode", "1777"], "'1777'"),
            (&["-c", "x", "-s", "a=unix:/a"], "exclude"),
            (&["--demo", "-t"], "--demo"),
            (&["--slow-queries", "-1"], "'-1'"),
            (&["--slow-queries", "long"], "'long'"),
            (&["--import-sites"], "import-sites"),
            (&["--import-sites", "x", "-t"], "exclude"),
        ] {
            let error = run(arguments).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let Ok(Command::Print(text)) = run(&["-h"]) else {
            panic!("no help");
        };
        for name in [
            "--foreground",
            "--check-config",
            "--site NAME=",
            "--demo",
            "--socket-group",
        ] {
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn an_argument_that_is_not_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        assert!(parse([OsString::from_vec(vec![b'-', 0xff])]).is_err());
    }
}
