//! A scripted fake site: it answers Livestatus requests so that every byte can be checked, and
//! goes wrong exactly as told. It counts every fault when it really happens, so that a test can
//! prove that its disaster took place. It knows nothing of the daemon.

mod answer;
mod channel;
mod door;
mod fault;
mod ledger;
mod request;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tempfile::TempDir;

pub use self::answer::{Identity, noise, payload};
pub use self::fault::{Fault, Place};
pub use self::ledger::Event;

use self::channel::Channel;
use self::door::{Address, Door};
use self::ledger::Ledger;
use super::certificates;
use super::client::Client;
use super::config::Spec;
use super::patience::eventually;
use super::stream::Stream;
use super::tls::TlsStream;

/// The test binary `daemon_tls` runs the same tests as `daemon`, with every site on TCP reached
/// over TLS.
const OVER_TLS: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"daemon_tls");

/// What naemon writes to a connection that was idle for 300 s, before it closes it.
pub const IDLE_TEXT: &[u8] = b"Client connection terminated while request still incomplete\n";

/// How long the other side of a channel that is closed at once may go on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The site. Dropping it closes its listener and all of its channels.
#[derive(Debug)]
pub struct FakeSite {
    ledger: Ledger,
    door: Door,
    tls: Option<Tls>,
}

/// What a site over TLS has.
#[derive(Debug)]
struct Tls {
    server: Arc<ServerConfig>,
    /// With the file of those whom its clients are to trust.
    folder: TempDir,
}

impl Tls {
    fn new(server: Arc<ServerConfig>, trusted: &str) -> Tls {
        let folder = tempfile::Builder::new().prefix("lpca").tempdir().unwrap();
        std::fs::write(folder.path().join(CA_FILE), trusted).unwrap();
        Tls { server, folder }
    }

    /// What a site shows where the test is about something else.
    fn usual() -> Tls {
        let (authority, identity) = certificates::usual();
        Tls::new(identity.server(), &authority.pem)
    }
}

const CA_FILE: &str = "ca.crt";

impl FakeSite {
    /// A site on a free port of `127.0.0.1`.
    pub fn start() -> FakeSite {
        FakeSite::at(Address::v4())
    }

    /// A site on a free port of `::1`.
    pub fn start_v6() -> FakeSite {
        FakeSite::at(Address::v6())
    }

    /// A site on a free port of any address of the network in which this is called.
    pub fn start_on(address: IpAddr) -> FakeSite {
        FakeSite::at(Address::on(address))
    }

    /// A site on a UNIX socket.
    pub fn start_unix() -> FakeSite {
        FakeSite::at(Address::unix())
    }

    /// A site on a UNIX socket at this path.
    pub fn start_unix_at(path: &Path) -> FakeSite {
        FakeSite::at(Address::unix_at(path))
    }

    /// A site on a port of `127.0.0.1` that refuses until [`FakeSite::listen`].
    pub fn start_refusing() -> FakeSite {
        FakeSite::closed(Address::v4())
    }

    /// A site on a free port of `127.0.0.1` that speaks TLS. `trusted` is what stands in the file
    /// of trusted certificates that [`FakeSite::spec`] names.
    pub fn start_tls(server: Arc<ServerConfig>, trusted: &str) -> FakeSite {
        let mut site = FakeSite::closed(Address::v4());
        site.tls = Some(Tls::new(server, trusted));
        site.listen();
        site
    }

    /// The file of trusted certificates.
    pub fn ca_file(&self) -> PathBuf {
        let tls = self.tls.as_ref().expect("this site speaks no TLS");
        tls.folder.path().join(CA_FILE)
    }

    fn at(address: Address) -> FakeSite {
        let mut site = FakeSite::closed(address);
        site.listen();
        site
    }

    fn closed(address: Address) -> FakeSite {
        let is_tcp = matches!(address, Address::Tcp { .. });
        FakeSite {
            ledger: Ledger::default(),
            door: Door::closed(address),
            tls: (OVER_TLS && is_tcp).then(Tls::usual),
        }
    }

    /// The value of `socket` in the configuration.
    pub fn spec(&self) -> Spec {
        match self.door.address() {
            Address::Tcp { address, .. } if self.tls.is_some() => {
                Spec::encrypted(*address, &self.trust())
            }
            Address::Tcp { address, .. } => Spec::from(*address),
            Address::Unix { path, .. } => Spec::from(path),
        }
    }

    /// The same with a host's name in place of the address.
    pub fn spec_named(&self, host: &str) -> Spec {
        let port = self.tcp().port();
        match self.tls {
            Some(_) => Spec::named_encrypted(host, port, &self.trust()),
            None => Spec::named(host, port),
        }
    }

    fn trust(&self) -> String {
        format!(
            "'verify': True, 'ca_file_path': '{}'",
            self.ca_file().display()
        )
    }

    /// Whether it is on a TCP port.
    pub fn is_tcp(&self) -> bool {
        matches!(self.door.address(), Address::Tcp { .. })
    }

    /// The TCP address; a site on a UNIX socket has none.
    pub fn tcp(&self) -> SocketAddr {
        match self.door.address() {
            Address::Tcp { address, .. } => *address,
            Address::Unix { .. } => panic!("this site is on a UNIX socket"),
        }
    }

    /// The path of the UNIX socket; a site on TCP has none.
    pub fn path(&self) -> PathBuf {
        match self.door.address() {
            Address::Tcp { .. } => panic!("this site is on a TCP port"),
            Address::Unix { path, .. } => path.clone(),
        }
    }

    /// A client that asks the site directly.
    #[track_caller]
    pub fn client(&self) -> Client {
        match self.door.address() {
            Address::Tcp { address, .. } => Client::connect_tcp(*address),
            Address::Unix { path, .. } => Client::connect(path),
        }
    }

    // Verbs for the listener.

    /// Accepts connections, at the same address as before.
    pub fn listen(&mut self) {
        let ledger = self.ledger.clone();
        let server = self.tls.as_ref().map(|tls| Arc::clone(&tls.server));
        self.door.open(move |stream: Stream| {
            let stream = match (stream, &server) {
                (Stream::Tcp(stream), Some(server)) => {
                    Stream::Tls(Box::new(TlsStream::new(stream, server)))
                }
                (stream, _) => stream,
            };
            Channel::serve(&ledger, stream);
        });
    }

    /// Refuses new connections; those that are open stay.
    pub fn refuse(&mut self) {
        self.door.close();
    }

    /// Accepts new connections and closes them at once; those that are open stay.
    pub fn hang_up_at_once(&mut self) {
        let ledger = self.ledger.clone();
        self.door.open(move |stream: Stream| {
            ledger.count("closed-at-once");
            stream.shutdown(Shutdown::Write);
            // A close over unread bytes would be a reset.
            stream.set_read_timeout(Some(LAST_WORDS));
            let _ = (&stream).read_to_end(&mut Vec::new());
        });
    }

    /// Accepts new connections and resets them at once; those that are open stay.
    pub fn reset_at_once(&mut self) {
        let ledger = self.ledger.clone();
        self.door.open(move |stream: Stream| {
            ledger.count("reset-at-once");
            stream.reset_on_close();
        });
    }

    /// Neither accepts nor refuses new connections; those that are open stay.
    pub fn never_accept(&mut self) {
        self.door.stuff();
    }

    /// Takes no more channels than these at a time and closes every further one at once, as xinetd
    /// does beyond its `instances`; counted as `turned-away`.
    pub fn accept_at_most(&self, channels: usize) {
        self.ledger.lock().most_open = Some(channels);
    }

    /// How many connects hang unanswered on [`FakeSite::never_accept`] now.
    pub fn unanswered_connects(&self) -> usize {
        self.door.unanswered()
    }

    // Verbs for answers.

    /// What goes wrong with the next request that is no heartbeat; several calls make a list.
    pub fn next(&self, fault: Fault) {
        self.ledger.lock().next.push_back(fault);
    }

    /// What goes wrong with every request that is no heartbeat, after the list of
    /// [`FakeSite::next`].
    pub fn always(&self, fault: Fault) {
        self.ledger.lock().always = Some(fault);
    }

    /// What goes wrong with the next heartbeat; several calls make a list.
    pub fn next_heartbeat(&self, fault: Fault) {
        self.ledger.lock().next_heartbeats.push_back(fault);
    }

    /// What goes wrong with every heartbeat, after the list of [`FakeSite::next_heartbeat`].
    pub fn all_heartbeats(&self, fault: Fault) {
        self.ledger.lock().all_heartbeats = Some(fault);
    }

    /// What happens after the next command was read, before the barrier behind it is answered: a
    /// close, a reset or a stall, wherever its place is; several calls make a list.
    pub fn next_command(&self, fault: Fault) {
        self.ledger.lock().next_commands.push_back(fault);
    }

    /// Holds wait queries with a limit of more than 300 ms back until released; otherwise each is
    /// answered after its limit, or after 300 ms.
    pub fn hold_waits(&self, held: bool) {
        self.ledger.lock().holds_waits = held;
    }

    /// Answers everything rightly from now on; what has begun to go wrong goes on.
    pub fn behave(&self) {
        let mut state = self.ledger.lock();
        state.next.clear();
        state.always = None;
        state.next_heartbeats.clear();
        state.all_heartbeats = None;
        state.next_commands.clear();
        state.holds_waits = false;
        state.threads = None;
    }

    /// Ends all stalls: what was held back is answered.
    pub fn release(&self) {
        self.ledger.lock().releases += 1;
    }

    /// Changes what the site says of itself.
    pub fn identify(&self, identity: Identity) {
        self.ledger.lock().identity = identity;
    }

    /// Answers on that many channels at a time, the oldest: it has no threads for the others, which
    /// are accepted all the same.
    pub fn limit_threads(&self, threads: usize) {
        self.ledger.lock().threads = Some(threads);
    }

    // Verbs for channels.

    /// Writes bytes on an idle channel and closes it, as a core does after its idle time. False
    /// when no channel is idle.
    pub fn speak_on_idle(&self, bytes: &[u8]) -> bool {
        let Some(stream) = self.idle_stream() else {
            return false;
        };
        let written = (&*stream).write_all(bytes);
        stream.shutdown(Shutdown::Both);
        if written.is_ok() {
            self.ledger.count("idle-text");
        }
        written.is_ok()
    }

    /// Writes bytes on an idle channel and leaves it open. False when no channel is idle.
    pub fn babble_on_idle(&self, bytes: &[u8]) -> bool {
        let Some(stream) = self.idle_stream() else {
            return false;
        };
        let written = (&*stream).write_all(bytes);
        if written.is_ok() {
            self.ledger.count("idle-bytes");
        }
        written.is_ok()
    }

    /// Closes an idle channel. False when no channel is idle.
    pub fn close_idle(&self) -> bool {
        let Some(stream) = self.idle_stream() else {
            return false;
        };
        stream.shutdown(Shutdown::Both);
        self.ledger.count("idle-close");
        true
    }

    fn idle_stream(&self) -> Option<Arc<Stream>> {
        let state = self.ledger.lock();
        let idle = state.open.values().find(|channel| channel.idle)?;
        Some(Arc::clone(&idle.stream))
    }

    /// Closes a channel that is at work. False when none is.
    pub fn close_busy(&self) -> bool {
        let state = self.ledger.lock();
        let mut open = state.open.values();
        let busy = open.find(|channel| !channel.idle);
        busy.map(|channel| channel.stream.shutdown(Shutdown::Both))
            .is_some()
    }

    /// Closes all channels, whatever they are doing.
    pub fn close_all(&self) {
        let state = self.ledger.lock();
        for channel in state.open.values() {
            channel.stream.shutdown(Shutdown::Both);
        }
    }

    /// Resets all channels, whatever they are doing.
    pub fn reset_all(&self) {
        let state = self.ledger.lock();
        for channel in state.open.values() {
            channel.stream.reset_on_close();
            // Wakes the channel's thread without a word to the other side; its close then resets.
            channel.stream.shutdown(Shutdown::Read);
        }
    }

    // What happened.

    /// How often a fault happened, by [`Fault::name`]; also `idle-text`, `idle-bytes`,
    /// `idle-close`, `hold`, `wait`, `no-thread`, `closed-at-once`, `reset-at-once`, `hasty-answer`, `invalid-method`, `incomplete-request`, and
    /// `close-after-command` and its like.
    pub fn happened(&self, name: &str) -> usize {
        self.ledger.lock().happened.get(name).copied().unwrap_or(0)
    }

    /// Waits until a fault has happened that often.
    #[track_caller]
    pub fn await_happened(&self, name: &str, times: usize) {
        eventually(&format!("{name} happened {times} times"), || {
            self.happened(name) >= times
        });
    }

    /// How many answers are held back now by a stall or by `Test-Hold: on`.
    pub fn stalled(&self) -> usize {
        self.ledger.lock().stalled
    }

    /// Waits until exactly that many answers are held back.
    #[track_caller]
    pub fn await_stalled(&self, count: usize) {
        eventually(&format!("{count} answers are held back"), || {
            self.stalled() == count
        });
    }

    /// Channels accepted and not closed now.
    pub fn open_channels(&self) -> usize {
        self.ledger.lock().open.len()
    }

    /// Waits until exactly that many channels are open.
    #[track_caller]
    pub fn await_open(&self, count: usize) {
        eventually(&format!("{count} channels are open"), || {
            self.open_channels() == count
        });
    }

    /// Waits until exactly that many channels are open and each has answered a heartbeat, so that
    /// the daemon has all of them in use.
    #[track_caller]
    pub fn await_ready(&self, count: usize) {
        eventually(&format!("{count} channels are open and proved"), || {
            let state = self.ledger.lock();
            let proved = |channel: &usize| state.events.contains(&Event::Heartbeat(*channel));
            state.open.len() == count && state.open.keys().all(proved)
        });
    }

    /// All channels accepted since the start.
    pub fn accepted(&self) -> usize {
        self.ledger.lock().accepted
    }

    /// The most channels that were open at one time.
    pub fn max_open(&self) -> usize {
        self.ledger.lock().max_open
    }

    /// Everything in order.
    pub fn events(&self) -> Vec<Event> {
        self.ledger.lock().events.clone()
    }

    /// The bytes of every `GET` that is no heartbeat, in order of reading.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.ledger.lock().requests.clone()
    }

    /// Number of heartbeats read.
    pub fn heartbeats(&self) -> usize {
        self.ledger.lock().heartbeats
    }

    /// The commands in order of reading, each without its line end.
    pub fn commands(&self) -> Vec<String> {
        self.ledger.lock().commands.clone()
    }
}

impl Drop for FakeSite {
    fn drop(&mut self) {
        // First the flag, so that a stream accepted from now on is closed at once.
        self.ledger.lock().end_all();
        self.door.close();
    }
}
