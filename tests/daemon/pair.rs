//! The commonest arrangement: one fake site named `muc` and a daemon in front of it.

use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, FakeSite, Response, eventually, site};

/// Keys that bring a lost channel back fast and take no test's time for it.
pub const BRISK: &str = "'connect_retry': 0.1, ";

/// The daemon is dropped first: a site that goes away under it would only fill its log.
pub struct Pair {
    pub daemon: Daemon,
    pub site: FakeSite,
}

impl Pair {
    /// A daemon with these keys for the site, in front of a site that behaves.
    #[track_caller]
    pub fn start(keys: &str) -> Pair {
        Pair::with(FakeSite::start(), "", keys)
    }

    /// The same with global variables and a site of any kind.
    #[track_caller]
    pub fn with(fake: FakeSite, globals: &str, keys: &str) -> Pair {
        let text = format!(
            "{globals}\n{}",
            site("muc", &fake, &format!("{BRISK}{keys}"))
        );
        let daemon = Daemon::start(&text);
        Pair { daemon, site: fake }
    }

    /// A new client of the site.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.daemon.client("muc")
    }

    /// One query on a connection of its own.
    #[track_caller]
    pub fn ask(&self, lines: impl AsRef<[u8]>) -> Response {
        self.client().ask(lines)
    }

    /// A new client whose query the site holds back until it is told to release it. Where no
    /// channel is free, the query waits for one.
    #[track_caller]
    pub fn holder(&self) -> Client {
        let client = self.client();
        client.send(kept_and_framed("GET hosts\nTest-Hold: on"));
        client
    }

    /// Waits until queries are answered again.
    #[track_caller]
    pub fn await_answers(&self) {
        eventually("a query is answered", || {
            self.ask("GET hosts\nFilter: is_it = back").code == 200
        });
    }

    /// The states that the site has come to, in order, as the log tells them.
    pub fn states(&self) -> Vec<String> {
        let state = |line: String| {
            let (_, rest) = line.split_once("site muc: ")?;
            let (what, _) = rest.split_once(" (was ")?;
            Some(what.split(':').next()?.to_owned())
        };
        self.daemon.log().into_iter().filter_map(state).collect()
    }

    /// Asserts that the next clients get their own right answers, one on each channel at least.
    #[track_caller]
    pub fn expect_unharmed(&self) {
        for number in 0..8 {
            let name = format!("unharmed{number}");
            self.ask(format!("GET hosts\nFilter: name = {name}"))
                .expect(rewritten("GET hosts", &format!("Filter: name = {name}\n")));
        }
    }
}

/// The request that the site must receive for a query: the first line, the two lines of the proxy,
/// the other lines as they came. The fake site answers with it too.
pub fn rewritten(first: &str, rest: &str) -> Vec<u8> {
    format!("{first}\nResponseHeader: fixed16\nKeepAlive: on\n{rest}\n").into_bytes()
}

/// A query that is told apart from others.
pub const QUERY: &str = "GET hosts\nFilter: name = asked";

/// What it is answered.
pub fn right_answer() -> Vec<u8> {
    rewritten("GET hosts", "Filter: name = asked\n")
}

/// Asserts that this client gets its own right answer.
#[track_caller]
pub fn expect_answers(client: &Client) {
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
}

/// Asserts that a [holder](Pair::holder) gets the answer to what was held back.
#[track_caller]
pub fn expect_held(client: &Client) {
    let answer = rewritten("GET hosts", "Test-Hold: on\n");
    client.read_response().expect(answer);
}
