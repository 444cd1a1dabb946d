//! The command line: which daemon is meant, which command, and the help texts.

use super::Failure;
use super::commands::{Act, COMMANDS, Declared};
use crate::cli::Arguments;
use getopts::{Options, ParsingStyle};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Print this text and end well.
    Print(String),
    /// Do this with the daemon at these places.
    Do(Box<Arguments>, Act),
}

/// The options that say which daemon is meant; every command takes them too.
fn place_options() -> Options {
    let mut options = Options::new();
    options
        .optopt(
            "r",
            "root",
            "root of the OMD site (default: $OMD_ROOT)",
            "DIR",
        )
        .optopt("", "control-socket", "socket of the daemon itself", "PATH")
        .optopt("", "socket-dir", "folder of the sites' sockets", "DIR")
        .optflag("h", "help", "print this");
    options
}

/// A command line that is wrong: what is said, in one line.
#[derive(Debug)]
pub struct Wrong {
    /// The command that it is about, if that is known.
    pub command: Option<&'static str>,
    text: String,
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Failure {
        Failure::Usage(match wrong.command {
            Some(name) => format!("{name}: {}", wrong.text),
            None => wrong.text,
        })
    }
}

/// Reads the arguments, without the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Wrong> {
    let nothing = |text| Wrong {
        command: None,
        text,
    };
    let mut options = place_options();
    options
        .optflag("V", "version", "print the version")
        .parsing_style(ParsingStyle::StopAtFirstFree);
    let before = options
        .parse(arguments)
        .map_err(|error| nothing(error.to_string()))?;
    if before.opt_present("version") {
        let version = concat!("liveproxyctl ", env!("CARGO_PKG_VERSION"), "\n");
        return Ok(Command::Print(version.into()));
    }
    if before.opt_present("help") {
        return Ok(Command::Print(help(&options)));
    }
    let (name, rest) = match before.free.split_first() {
        None => return Err(nothing("no command".into())),
        Some((name, rest)) if name == "help" => match rest.first() {
            None => return Ok(Command::Print(help(&options))),
            Some(name) => {
                let command = found(name).map_err(nothing)?;
                return Ok(Command::Print(command.help()));
            }
        },
        Some((name, rest)) => (name, rest),
    };
    let command = found(name).map_err(nothing)?;
    let wrong = |text| Wrong {
        command: Some(command.name),
        text,
    };
    let matches = command
        .options()
        .parse(rest)
        .map_err(|error| wrong(error.to_string()))?;
    if matches.opt_present("help") {
        return Ok(Command::Print(command.help()));
    }
    let act = (command.read)(&matches).map_err(wrong)?;
    let path = |option| {
        let given = matches.opt_str(option).or(before.opt_str(option));
        given.map(PathBuf::from)
    };
    let arguments = Arguments {
        root: path("root"),
        control_socket: path("control-socket"),
        socket_dir: path("socket-dir"),
        ..Arguments::default()
    };
    Ok(Command::Do(Box::new(arguments), act))
}

fn found(name: &str) -> Result<&'static Declared, String> {
    let command = COMMANDS.iter().find(|command| command.name == name);
    command.ok_or_else(|| format!("there is no command '{name}'"))
}

impl Declared {
    fn options(&self) -> Options {
        let mut options = place_options();
        (self.options)(&mut options);
        options
    }

    fn help(&self) -> String {
        let Declared {
            name,
            arguments,
            meaning,
            ..
        } = self;
        let blank = if arguments.is_empty() { "" } else { " " };
        let mut brief =
            format!("Usage: liveproxyctl {name} [OPTIONS]{blank}{arguments}\n\n{meaning}");
        if !self.more.is_empty() {
            brief = format!("{brief}\n\n{}", self.more);
        }
        self.options().usage(&brief)
    }
}

fn help(options: &Options) -> String {
    let mut brief = String::from(
        "Usage: liveproxyctl [OPTIONS] COMMAND [ARGUMENTS]\n\n\
         Asks a liveproxyd that runs how it is, and gives it orders.\n\nCommands:\n",
    );
    for command in COMMANDS {
        let form = format!("{} {}", command.name, command.arguments);
        brief.push_str(&format!("    {form:<24} {}\n", command.meaning));
    }
    brief.push_str(
        "\nliveproxyctl COMMAND --help tells more.\n\
         Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no daemon runs.",
    );
    options.usage(&brief)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(arguments: &[&str]) -> Result<Command, String> {
        let result = parse(arguments.iter().map(OsString::from));
        result.map_err(|wrong| Failure::from(wrong).to_string())
    }

    fn act(arguments: &[&str]) -> Act {
        match run(arguments) {
            Ok(Command::Do(_, act)) => act,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_and_their_arguments_are_read() {
        assert_eq!(act(&["status", "-j"]), Act::Status { json: true });
        let names = vec!["muc".into(), "ber".into()];
        assert_eq!(
            act(&["sites", "muc", "ber"]),
            Act::Sites { names, json: false }
        );
        assert_eq!(
            act(&["disable", "muc", "planned", "work"]),
            Act::Disable {
                site: "muc".into(),
                reason: "planned work".into()
            }
        );
        assert_eq!(
            act(&["query", "muc", "GET hosts", "Limit: 1", "--format", "json"]),
            Act::Query {
                site: "muc".into(),
                lines: vec!["GET hosts".into(), "Limit: 1".into()],
                format: Some("json".into())
            }
        );
        let interval = Duration::from_millis(500);
        assert_eq!(act(&["top", "-i", "0.5"]), Act::Top { interval });
    }

    #[test]
    fn the_place_may_stand_before_and_behind_the_command() {
        for arguments in [["-r", "/x", "reload"], ["reload", "-r", "/x"]] {
            let Ok(Command::Do(places, Act::Reload)) = run(&arguments) else {
                panic!("not read: {arguments:?}");
            };
            assert_eq!(places.root, Some("/x".into()));
        }
    }

    #[test]
    fn wrong_command_lines_are_told() {
        for (arguments, words) in [
            (&[][..], "no command"),
            (&["stats"], "'stats'"),
            (&["--wrong"], "wrong"),
            (&["sites", "--wrong"], "sites: "),
            (&["channels", "a", "b"], "'b'"),
            (&["channels", "../x"], "'../x'"),
            (&["enable"], "which site"),
            (&["disable", "muc"], "reason"),
            (&["disable", "muc", "a\nSHUTDOWN"], "one line"),
            (&["query", "muc", "--format", "xml"], "'xml'"),
            (&["query", "a/b"], "'a/b'"),
            (&["status", "muc"], "'muc'"),
            (&["events", "muc"], "'muc'"),
            (&["reload", "now"], "'now'"),
            (&["events", "-n", "many"], "'many'"),
            (&["top", "-i", "0"], "--interval"),
            (&["top", "-i", "NaN"], "--interval"),
            (&["check", "-w", "dead"], "dead"),
            (&["check", "--service", "x"], "--local"),
            (&["check", "-l", "--service", "a\"b"], "quotes"),
        ] {
            let error = run(arguments).unwrap_err();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn each_command_has_a_help_that_names_its_options() {
        let Ok(Command::Print(all)) = run(&["--help"]) else {
            panic!("no help");
        };
        for command in COMMANDS {
            assert!(all.contains(command.meaning));
            for arguments in [[command.name, "-h"], ["help", command.name]] {
                let Ok(Command::Print(text)) = run(&arguments) else {
                    panic!("no help for {}", command.name);
                };
                assert!(text.contains(command.meaning) && text.contains("--control-socket"));
            }
        }
        assert!(all.lines().all(|line| line.chars().count() <= 110), "{all}");
    }
}
