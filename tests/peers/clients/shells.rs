//! The clients of shell scripts, `socat` and `nc`: they send what they are given,
//! end their side of the connection, and print what comes until the other side
//! ends too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{SITE, Scene, in_front_of, socket_of};
use crate::icinga2_site::{Transport, command, icinga2};
use crate::support::client::assert_same;
use crate::support::site::payload;
use crate::support::{awaited, eventually};

/// The two programs; each must end because the proxy closes.
const SHELLS: [Shell; 2] = [Shell::Socat, Shell::Netcat];

/// What may stand behind the last line of a request.
const ENDS: [&str; 2] = ["", "\n"];

#[derive(Clone, Copy, Debug)]
enum Shell {
    Socat,
    Netcat,
}

impl Shell {
    fn command(self, socket: &Path) -> Command {
        match self {
            Shell::Socat => {
                let mut command = Command::new("socat");
                let address = format!("UNIX-CONNECT:{}", socket.display());
                // After the end of its input it waits for the other side, by default half a
                // second. A minute is longer than this test waits for it: only the end of the
                // connection ends it in time.
                command.args(["-t", "60", "-"]).arg(address);
                command
            }
            Shell::Netcat => {
                let mut command = Command::new("nc");
                command.args(["-N", "-U"]).arg(socket);
                command
            }
        }
    }

    /// What it prints for this input.
    #[track_caller]
    fn print(self, socket: &Path, input: &str) -> Vec<u8> {
        self.start(socket, input).finish()
    }

    /// Starts it and gives it its input.
    #[track_caller]
    fn start(self, socket: &Path, input: &str) -> Started {
        let mut child = self
            .command(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{self:?}: {error}; tests/run installs it"));
        let mut output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut output, &mut bytes).unwrap();
            bytes
        });
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(input.as_bytes()).unwrap();
        drop(pipe);
        Started {
            shell: self,
            child: Ended(child),
            reader,
        }
    }
}

/// A running program that has been given all of its input.
struct Started {
    shell: Shell,
    child: Ended,
    reader: std::thread::JoinHandle<Vec<u8>>,
}

impl Started {
    /// All that it printed, when it has ended.
    #[track_caller]
    fn finish(mut self) -> Vec<u8> {
        let what = format!("{:?} ends", self.shell);
        let status = awaited(&what, || self.child.0.try_wait().unwrap());
        assert!(status.success(), "{:?}: {status}", self.shell);
        self.reader.join().unwrap()
    }
}

/// A child that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both programs, each with and without a blank line behind the request.
fn each_way(mut ask: impl FnMut(Shell, &str)) {
    for shell in SHELLS {
        for end in ENDS {
            ask(shell, end);
        }
    }
}

#[test]
fn rows_are_those_of_icinga2() {
    let icinga2 = icinga2();
    let at_site = socket_of(&icinga2);
    let queries = [
        "GET hosts\nColumns: name state plugin_output\n",
        "GET services\nColumns: description long_plugin_output\n",
        "GET hosts\nColumns: name\nFilter: name = host7\nResponseHeader: fixed16\n",
    ];
    // icinga2 itself answers only what has the blank line.
    let direct = |query: &&str| Shell::Socat.print(&at_site, &format!("{query}\n"));
    let wanted: Vec<_> = queries.iter().map(direct).collect();
    assert!(wanted[1].len() > 2_000_000, "{} bytes", wanted[1].len());
    assert_same(&wanted[2], b"200           6\nhost7\n");

    let daemon = in_front_of(&icinga2);
    each_way(|shell, end| {
        for (query, wanted) in queries.iter().zip(&wanted) {
            let found = shell.print(&daemon.socket(SITE), &format!("{query}{end}"));
            assert_same(&found, wanted);
        }
    });
}

#[test]
fn rows_are_those_of_the_fake_site() {
    let scene = Scene::ready();
    each_way(|shell, end| {
        for size in [0, 1, 70_000, 3_000_000] {
            let query = format!("GET hosts\nTest-Nonce: {shell:?}\nTest-Size: {size}\n{end}");
            let wanted = payload(&format!("{shell:?}"), size);
            assert_same(&shell.print(&scene.socket(), &query), &wanted);
        }
    });
}

/// A person at the terminal needs the text of an error, also where the site
/// itself would print nothing.
#[test]
fn errors_are_printed() {
    let icinga2 = icinga2();
    let daemon = in_front_of(&icinga2);
    each_way(|shell, end| {
        let found = shell.print(&daemon.socket(SITE), &format!("GET nothing\n{end}"));
        assert_same(&found, b"Table 'nothing' does not exist.");
    });

    let scene = Scene::ready();
    each_way(|shell, end| {
        scene.answer_next(452, "no such column\n");
        let found = shell.print(&scene.socket(), &format!("GET hosts\n{end}"));
        assert_same(&found, b"no such column\n");
    });
}

#[track_caller]
fn assert_line(found: &[u8], beginning: &str) {
    let text = String::from_utf8_lossy(found);
    assert!(text.starts_with(beginning), "{text:?}");
    assert_eq!(text.find('\n'), Some(text.len() - 1), "{text:?}");
}

#[test]
fn a_dead_site_is_printed() {
    let scene = Scene::dead();
    each_way(|shell, end| {
        let found = shell.print(&scene.socket(), &format!("GET hosts\n{end}"));
        assert_line(&found, "502: Site muc is not reachable: Connection refused");
        let found = shell.print(&scene.socket(), &format!("COMMAND [1] SOME;x\n{end}"));
        assert_line(&found, "502: ");
        assert_line(&found[5..], "Site muc is not reachable: Connection refused");
    });
}

#[test]
fn a_busy_site_is_printed() {
    let (scene, _holders) = Scene::busy();
    each_way(|shell, end| {
        let found = shell.print(&scene.socket(), &format!("GET hosts\n{end}"));
        assert_line(&found, "502: All 2 channels busy, timeout waiting");
    });
}

#[test]
fn commands_take_effect_at_icinga2() {
    let icinga2 = icinga2();
    let daemon = in_front_of(&icinga2);
    let direct = icinga2.direct(Transport::Unix);
    let mut hosts = (10..).map(|number| format!("host{number}"));
    each_way(|shell, end| {
        let host = hosts.next().unwrap();
        let query = format!("GET hosts\nColumns: notifications_enabled\nFilter: name = {host}\n");
        let enabled = || direct.ask(query.as_bytes()).text();
        assert_eq!(enabled(), "1\n", "{host}");
        let line = command(&format!("DISABLE_HOST_NOTIFICATIONS;{host}"));
        let found = shell.print(&daemon.socket(SITE), &format!("{line}\n{end}"));
        assert_same(&found, b"");
        eventually(&format!("{host} has no notifications"), || {
            enabled() == "0\n"
        });
    });
}

/// What it prints is nothing, and when it has ended the command is at the site.
#[test]
fn commands_arrive_before_the_end() {
    let scene = Scene::ready();
    let mut wanted = Vec::new();
    each_way(|shell, end| {
        let line = format!("COMMAND [{}] SOME;{}", now(), wanted.len());
        let found = shell.print(&scene.socket(), &format!("{line}\n{end}"));
        assert_same(&found, b"");
        wanted.push(line);
        assert_eq!(scene.fake.commands(), wanted);
    });
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since_1970.as_secs()
}

#[test]
fn a_refused_command_is_printed() {
    let scene = Scene::ready();
    each_way(|shell, end| {
        let line = format!("COMMAND [1] NO_SUCH_COMMAND;x\n{end}");
        let found = shell.print(&scene.socket(), &line);
        assert_same(&found, b"400: Unknown command 'NO_SUCH_COMMAND'\n");
    });
    assert_eq!(scene.fake.commands().len(), SHELLS.len() * ENDS.len());
}

/// It waits as long as its command does, and no longer.
#[test]
fn a_command_for_a_busy_site_is_waited_for() {
    for shell in SHELLS {
        let (scene, _holders) = Scene::busy();
        let mut started = shell.start(&scene.socket(), "COMMAND [1] SOME;x\n");
        // Longer than the site may keep a query waiting.
        let refused = scene.daemon.client(SITE).ask("GET hosts");
        refused.expect_error(502, "channels busy");
        assert!(started.child.0.try_wait().unwrap().is_none(), "{shell:?}");
        assert!(scene.fake.commands().is_empty());
        scene.fake.release();
        assert_same(&started.finish(), b"");
        assert_eq!(scene.fake.commands(), ["COMMAND [1] SOME;x"]);
    }
}

/// Not one byte of a line without its end is ever given to the site.
#[test]
fn a_command_without_a_line_end_is_not_carried_out() {
    let scene = Scene::ready();
    for shell in SHELLS {
        let _ = shell.print(&scene.socket(), "COMMAND [1] DANGEROUS;x");
        let _ = shell.print(&scene.socket(), "COMMAND [1] SOME;x\n");
        assert_eq!(scene.fake.commands().last().unwrap(), "COMMAND [1] SOME;x");
    }
    assert_eq!(scene.fake.commands().len(), SHELLS.len());
}
