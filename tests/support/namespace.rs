//! Networks of a test's own, in which addresses can vanish and packets get lost. They need root,
//! `ip`, `nsenter` and `unshare`; where something is missing there are none, and the test says so.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::daemon::{Builder, Daemon};

/// Says on standard output which way a test goes.
fn say<T>(made: Option<T>, instead: &str) -> Option<T> {
    match made {
        Some(_) => println!("in network namespaces"),
        None => println!("this machine allows no network namespaces: {instead}"),
    }
    made
}

/// A network namespace with loopback in it. It ends with the process that holds it, and that
/// process ends with the test, however the test ends.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one. Nothing, and a line that says what `test` does instead, where the machine does
    /// not allow it.
    pub fn or_say(instead: &str) -> Option<Namespace> {
        say(Namespace::new(), instead)
    }

    fn new() -> Option<Namespace> {
        // It waits for the end of its input, which comes when this process ends.
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let output = holder.stdout.take().unwrap();
        let read = BufReader::new(output).read_line(&mut said);
        let namespace = Namespace { holder };
        let made = read.is_ok() && said == "made\n";
        (made && namespace.can("ip link set lo up")).then_some(namespace)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    /// The words that put a program into it when they stand before its name.
    pub fn wrapper(&self) -> Vec<String> {
        let net = format!("--net={}", self.path().display());
        vec!["nsenter".to_owned(), net]
    }

    /// Like [`Namespace::or_say`], where a program can be shown other files than there are.
    pub fn with_other_files_or_say(instead: &str) -> Option<Namespace> {
        let network = Namespace::new();
        let may =
            |network: &Namespace| network.can("unshare --mount mount --bind /etc/hosts /etc/hosts");
        say(network.filter(may), instead)
    }

    /// Starts a daemon in it for which a file with this text stands at `place`. Returns where that
    /// file really is.
    #[track_caller]
    pub fn start_with_file(&self, builder: Builder, place: &str, text: &str) -> (Daemon, PathBuf) {
        let file = builder.root().file("shown");
        std::fs::write(&file, text).unwrap();
        let script = format!("mount --bind {} {place} && exec \"$@\"", file.display());
        let words = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let words = words.map(str::to_owned);
        let wrapper = self.wrapper().into_iter().chain(words);
        (builder.wrapped(wrapper).start(), file)
    }

    /// Whether these commands of the shell succeed in it.
    pub fn can(&self, script: &str) -> bool {
        let wrapper = self.wrapper();
        let status = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-e", "-c", script])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// Runs commands of the shell in it.
    #[track_caller]
    pub fn run(&self, script: &str) {
        assert!(self.can(script), "failed: {script}");
    }

    /// Makes sockets in it: a socket stays in the network in which it was made.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(self.path()).unwrap();
        std::thread::scope(|scope| {
            let acting = scope.spawn(move || {
                enter(&file);
                act()
            });
            acting.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Moves this thread into a network namespace.
fn enter(namespace: &std::fs::File) {
    use std::os::fd::AsRawFd;
    // The only system call of the tests that no crate offers them.
    #[allow(unsafe_code)]
    // SAFETY: takes two numbers and touches no memory; the descriptor is open.
    let outcome = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

/// Makes a router of a network.
const FORWARD: &str = "echo 1 >/proc/sys/net/ipv4/ip_forward";

/// Two networks with a router between them that can lose every packet.
#[derive(Debug)]
pub struct BlackHole {
    /// Where the daemon runs.
    pub near: Namespace,
    /// Where the site is.
    pub far: Namespace,
    router: Namespace,
}

impl BlackHole {
    /// The address of the site's side.
    pub const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 6);

    /// A line that loses nothing yet; what is done where there can be none is told as by
    /// [`Namespace::or_say`].
    pub fn or_say(instead: &str) -> Option<BlackHole> {
        say(BlackHole::new(), instead)
    }

    fn new() -> Option<BlackHole> {
        let [near, far, router] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        let connect = |name: &str, end: &Namespace, own: &str, router_s: &str| {
            let pid = end.holder.id();
            let begun = router.can(&format!(
                "ip link add {name} type veth peer name line netns {pid}
                 ip address add {router_s}/30 dev {name}
                 ip link set {name} up"
            ));
            let complete = end.can(&format!(
                "ip address add {own}/30 dev line
                 ip link set line up
                 ip route add default via {router_s}"
            ));
            begun && complete
        };
        let connected = connect("near", &near, "192.0.2.2", "192.0.2.1")
            && connect("far", &far, &BlackHole::FAR.to_string(), "192.0.2.5");
        let hole = BlackHole { near, far, router };
        (connected && hole.router.can(FORWARD)).then_some(hole)
    }

    /// Lets packets through.
    pub fn pass(&self) {
        self.router.run(FORWARD);
    }

    /// Loses every packet in both directions from now on, without a word to anybody.
    pub fn swallow(&self) {
        self.router.run("echo 0 >/proc/sys/net/ipv4/ip_forward");
    }
}
