//! Runs icinga2, with everything it writes in a directory of its own: one for all
//! tests of this process that compare responses, and others as they are wanted.
//! It knows nothing of the proxy.
//!
//! A static value is never dropped, and a test process that is killed drops
//! nothing at all. So a small shell stands between the tests and icinga2: it
//! reads a pipe that only the test process holds open, and at its end, however
//! that comes, it stops icinga2 by its process id and removes the directory.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Client, Response, Spec, eventually};

/// The port is free when it is chosen, but somebody else may take it before
/// icinga2 does. Three times in a row is not chance.
const START_ATTEMPTS: usize = 3;

/// How many hosts `icinga2.conf` makes.
const HOSTS: usize = 40;

/// The arguments are the directory, the configuration file, the port, and what
/// icinga2 is to be started with, if anything.
/// Signals from the terminal are ignored: the end of the pipe follows them, and
/// the directory must be removed after icinga2 has gone, not before. icinga2
/// changes to the user it is told to be; it is told the present one, so that
/// the tests run for root and for anybody else. Debian keeps it in `/usr/sbin`,
/// which not everybody has in the path.
const GUARD: &str = r#"
trap '' HUP INT
PATH="$PATH:/usr/sbin"
directory=$1 config=$2 port=$3
shift 3
cd "$directory" || exit 1
"$@" icinga2 daemon --config "$config" \
    --define LivePort="$port" --define LivePath="$directory/live" \
    --define ConfigDir="$directory" --define DataDir="$directory/data" \
    --define CacheDir="$directory/cache" --define LogDir="$directory/log" \
    --define SpoolDir="$directory/spool" --define InitRunDir="$directory/run" \
    --define RunAsUser="$(id -un)" --define RunAsGroup="$(id -gn)" \
    </dev/null >output 2>&1 &
icinga2=$!
cat >/dev/null
kill -TERM "$icinga2"
wait "$icinga2"
rm -rf "$directory"
"#;

/// What the tables `log` and `statehist` of icinga2 read: fixed lines, because
/// the feature that writes such a file would make the responses move.
const HISTORY: &str = "\
[1795198000] LOG ROTATION: HOURLY
[1795198000] LOG VERSION: 2.0
[1795198001] CURRENT HOST STATE: host1;UP;HARD;1;Ping ok
[1795198100] HOST ALERT: host1;DOWN;HARD;1;Köln \"weg\"; 'x'
[1795198200] SERVICE ALERT: host1;Dienst 1;WARNING;HARD;1;Größe 80 %
[1795198300] EXTERNAL COMMAND: DISABLE_NOTIFICATIONS
";

/// Bytes of a fixed16 header.
const HEADER: usize = 16;

/// What an icinga2 is started with.
pub struct Setup<'a> {
    /// A file beside this one, with a listener of either kind in it.
    pub config: &'a str,
    /// A program that starts icinga2, and its arguments; often none.
    pub launcher: &'a [&'a str],
}

/// A running icinga2. It ends when this value is dropped.
pub struct Icinga2 {
    directory: PathBuf,
    port: u16,
    guard: Child,
}

/// Which of its two listeners is meant.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// The listener on a port of the loopback address.
    Tcp,
    /// The listener on a UNIX socket.
    Unix,
}

/// The one icinga2 of this test process, started at the first call.
///
/// The caller has it alone until the guard is dropped: icinga2 serves no more
/// than two connections for each processor, from the threads that also run
/// its checks, so two tests at a time could leave each other without a response.
pub fn icinga2() -> MutexGuard<'static, Icinga2> {
    static RUNNING: OnceLock<Result<Mutex<Icinga2>, String>> = OnceLock::new();
    let start = || {
        let icinga2 = Icinga2::start(&Setup {
            config: "icinga2.conf",
            launcher: &[],
        })?;
        icinga2.settle();
        Ok(Mutex::new(icinga2))
    };
    match RUNNING.get_or_init(start) {
        Ok(icinga2) => icinga2.lock().unwrap_or_else(PoisonError::into_inner),
        Err(reason) => panic!("icinga2 does not run: {reason}"),
    }
}

/// How many channels the proxy may have while the test has a connection of its
/// own: two, and one where icinga2 serves only two connections in all.
pub fn channels() -> usize {
    let processors = available_parallelism().map_or(1, |number| number.get());
    if processors > 1 { 2 } else { 1 }
}

/// A command of the present second as a line without its end.
pub fn command(text: &str) -> String {
    format!("COMMAND [{}] {text}", now())
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since_1970.as_secs()
}

impl Icinga2 {
    /// Starts one and returns when it listens; otherwise what it has printed.
    pub fn start(setup: &Setup) -> Result<Icinga2, String> {
        let mut output = String::new();
        for _ in 0..START_ATTEMPTS {
            let icinga2 = Icinga2::spawn(setup).map_err(|error| error.to_string())?;
            if icinga2.listens() {
                return Ok(icinga2);
            }
            output = icinga2.output();
        }
        Err(output)
    }

    fn spawn(setup: &Setup) -> io::Result<Icinga2> {
        let temporary = tempfile::Builder::new().prefix("icinga2-").tempdir()?;
        let directory = temporary.path().to_owned();
        for name in ["cache", "data", "run", "spool", "log/compat/archives"] {
            std::fs::create_dir_all(directory.join(name))?;
        }
        std::fs::write(directory.join("log/compat/icinga.log"), HISTORY)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/peers")
            .join(setup.config);
        let guard = Command::new("sh")
            .args(["-c", GUARD, "icinga2-guard"])
            .arg(&directory)
            .arg(config)
            .arg(port.to_string())
            .args(setup.launcher)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // From here on the guard removes the directory.
        let _ = temporary.keep();
        Ok(Icinga2 {
            directory,
            port,
            guard,
        })
    }

    /// Waits until both listeners are there, or until icinga2 reports an error.
    fn listens(&self) -> bool {
        let mut failed = false;
        eventually("icinga2 listens", || {
            let output = self.output();
            failed = ["critical/", "not found"]
                .iter()
                .any(|words| output.contains(words));
            let both = ["Created TCP socket", "Created UNIX socket"]
                .iter()
                .all(|words| output.contains(words));
            failed || both
        });
        if !failed {
            // icinga2 says so before it listens.
            eventually("icinga2 accepts", || {
                UnixStream::connect(self.path()).is_ok()
                    && TcpStream::connect(self.address()).is_ok()
            });
        }
        !failed
    }

    /// Has every check run once, and adds what only commands can add, so that
    /// nothing changes by itself any more.
    fn settle(&self) {
        let now = now();
        let tomorrow = now + 86_400;
        let direct = self.direct(Transport::Unix);
        for host in 0..HOSTS {
            direct.command(&format!("SCHEDULE_FORCED_HOST_CHECK;host{host};{now}"));
            direct.command(&format!("SCHEDULE_FORCED_HOST_SVC_CHECKS;host{host};{now}"));
        }
        direct.command(&format!(
            "SCHEDULE_HOST_DOWNTIME;host2;{now};{tomorrow};1;0;0;anna;Umzug nach \"Süd\"; 2. Stock"
        ));
        direct.command("ADD_SVC_COMMENT;host2;Dienst 1;1;ben;Größer als üblich, 'siehe' Notiz");
        for (table, filter, count) in [
            ("hosts", "has_been_checked = 0", "0\n"),
            ("services", "has_been_checked = 0", "0\n"),
            ("downtimes", "host_name = host2", "1\n"),
            ("comments", "host_name = host2", "1\n"),
        ] {
            let query = format!("GET {table}\nStats: {filter}\n");
            eventually(&format!("icinga2 has settled: {query}"), || {
                direct.ask(query.as_bytes()).body == count.as_bytes()
            });
        }
    }

    /// What icinga2 has printed so far.
    fn output(&self) -> String {
        let bytes = std::fs::read(self.file("output")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn path(&self) -> PathBuf {
        self.file("live")
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// How the configuration of the proxy names this listener.
    pub fn spec(&self, transport: Transport) -> Spec {
        match transport {
            Transport::Tcp => Spec::from(self.address()),
            Transport::Unix => Spec::from(&self.path()),
        }
    }

    /// A connection to icinga2 itself.
    #[track_caller]
    pub fn direct(&self, transport: Transport) -> Direct {
        Direct(match transport {
            Transport::Tcp => Client::connect_tcp(self.address()),
            Transport::Unix => Client::connect(self.path()),
        })
    }
}

impl Drop for Icinga2 {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A connection to icinga2 itself, kept open from one query to the next.
pub struct Direct(Client);

impl Direct {
    /// Asks a query, given as its lines without the empty one at the end.
    #[track_caller]
    pub fn ask(&self, query: &[u8]) -> Response {
        self.send(query);
        read_response(&self.0)
    }

    /// Sends a query as [`Direct::ask`] does, and reads nothing.
    ///
    /// icinga2 stops reading a request at a bad line, so the lines that frame
    /// its response stand in front of all others.
    #[track_caller]
    pub fn send(&self, query: &[u8]) {
        let (first, rest) = query.split_at(query.iter().position(|&b| b == b'\n').unwrap() + 1);
        let framing = b"ResponseHeader: fixed16\nKeepAlive: on\n";
        self.0.send([first, framing, rest, b"\n"].concat());
    }

    /// Gives a command to icinga2, which answers none.
    #[track_caller]
    pub fn command(&self, text: &str) {
        self.0.send(format!("{}\n\n", command(text)));
    }
}

/// Reads one framed response as icinga2 writes it: the last of the 16 bytes is
/// not a line feed but the first of the query's `Separators`.
#[track_caller]
pub fn read_response(client: &Client) -> Response {
    let bytes = client.read_exactly(HEADER);
    let header: [u8; HEADER] = bytes.as_slice().try_into().unwrap();
    let fields = std::str::from_utf8(&header[..HEADER - 1]).ok();
    let numbers = fields.and_then(|text| {
        let (code, length) = text.split_at_checked(4)?;
        Some((
            code.strip_suffix(' ')?.parse().ok()?,
            length.trim_start().parse().ok()?,
        ))
    });
    let Some((code, length)) = numbers else {
        panic!("no header: {}", bytes.escape_ascii());
    };
    let body = client.read_exactly(length);
    Response { header, code, body }
}

/// Header and body of a response as they came.
pub fn whole(response: &Response) -> Vec<u8> {
    [&response.header[..], &response.body].concat()
}
