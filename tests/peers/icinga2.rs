//! What a client gets through the proxy is compared with what icinga2 itself
//! responds, byte for byte.

use crate::icinga2_queries::{Body, DROPPED, QUERIES, Query};
use crate::icinga2_site::{
    Direct, Icinga2, Transport, channels, command, icinga2, read_response, whole,
};
use crate::support::client::{assert_same, kept_and_framed};
use crate::support::{Client, Daemon, Response, eventually, site};

/// How often a comparison is begun anew because icinga2 itself has changed its
/// response in the meantime.
const COMPARISONS: usize = 20;

/// The name of the site in the proxy.
const SITE: &str = "icinga";

/// How a client frames its request and reads the response.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// As the GUI: a header, and the next query on the same connection.
    Kept,
    /// With a header, a connection for each query.
    Framed,
    /// Without a header: the end of the connection ends the response.
    Bare,
    /// As `unixcat`: no header, and a half-close ends the request.
    HalfClosed,
}

impl Style {
    const ALL: [Style; 4] = [Style::Kept, Style::Framed, Style::Bare, Style::HalfClosed];

    /// What a client of this style must get where icinga2, asked for a header,
    /// has given `response`. A client without a header gets the text of a
    /// refusal too, which naemon writes to it and icinga2 does not.
    fn part_of(self, response: &Response) -> Vec<u8> {
        match self {
            Style::Kept | Style::Framed => whole(response),
            Style::Bare | Style::HalfClosed => response.body.clone(),
        }
    }
}

/// The proxy with icinga2 as its only site.
struct Proxy {
    daemon: Daemon,
    kept: Client,
}

impl Proxy {
    #[track_caller]
    fn start(icinga2: &Icinga2, transport: Transport) -> Proxy {
        // A channel is always free soon; a crowded machine must not make it "busy".
        let keys = format!("'channels': {}, 'channel_timeout': 15.0", channels());
        let daemon = Daemon::start(&site(SITE, icinga2.spec(transport), &keys));
        let kept = daemon.client(SITE);
        Proxy { daemon, kept }
    }

    #[track_caller]
    fn ask(&self, lines: &[u8], style: Style) -> Vec<u8> {
        match style {
            Style::Kept => whole(&ask_kept(&self.kept, lines)),
            Style::Framed => {
                let request = [lines, b"ResponseHeader: fixed16\n\n"].concat();
                self.sent(&request).read_to_end()
            }
            Style::Bare => self.sent(&[lines, b"\n"].concat()).read_to_end(),
            Style::HalfClosed => {
                let client = self.sent(lines);
                client.half_close();
                client.read_to_end()
            }
        }
    }

    /// A new client that has sent these bytes.
    #[track_caller]
    fn sent(&self, bytes: &[u8]) -> Client {
        let client = self.daemon.client(SITE);
        client.send(bytes);
        client
    }
}

#[track_caller]
fn ask_kept(client: &Client, lines: &[u8]) -> Response {
    client.send(kept_and_framed(lines));
    read_response(client)
}

/// Calls `through` between two calls of `direct`, until both of these agree.
fn between<T: PartialEq, U>(direct: impl Fn() -> T, through: impl Fn() -> U) -> (T, U) {
    for _ in 0..COMPARISONS {
        let before = direct();
        let found = through();
        if direct() == before {
            return (before, found);
        }
    }
    panic!("icinga2 never gave the same response twice");
}

#[track_caller]
fn assert_same_for(query: &str, found: &[u8], wanted: &[u8]) {
    if found != wanted {
        eprintln!("the query of the difference: {query}");
    }
    assert_same(found, wanted);
}

#[track_caller]
fn compare(direct: &Direct, proxy: &Proxy, lines: &[u8], styles: &[Style]) {
    let (wanted, found) = between(
        || direct.ask(lines),
        || -> Vec<_> {
            styles
                .iter()
                .map(|&style| proxy.ask(lines, style))
                .collect()
        },
    );
    for (style, found) in styles.iter().zip(found) {
        let query = format!("{}, asked as {style:?}", lines.escape_ascii());
        assert_same_for(&query, &found, &style.part_of(&wanted));
    }
}

#[track_caller]
fn compare_all(transport: Transport) {
    let icinga2 = icinga2();
    let direct = icinga2.direct(transport);
    let proxy = Proxy::start(&icinga2, transport);
    for query in QUERIES {
        compare(&direct, &proxy, query.lines, &Style::ALL);
    }
}

fn short_queries() -> impl Iterator<Item = &'static Query> {
    QUERIES.iter().filter(|query| query.body != Body::Long)
}

/// Without this, a query that icinga2 refuses by mistake would still be
/// compared, and prove nothing.
#[test]
fn icinga2_responds_as_the_table_of_queries_says() {
    let icinga2 = icinga2();
    for transport in [Transport::Tcp, Transport::Unix] {
        let direct = icinga2.direct(transport);
        for query in QUERIES {
            let response = direct.ask(query.lines);
            let shown = query.lines.escape_ascii();
            assert_eq!(response.code, query.code, "{shown}");
            let length = response.body.len();
            let kind = query.body;
            assert!(kind.fits(length), "{shown}: {length} bytes for {kind:?}");
        }
    }
}

#[test]
fn responses_over_tcp_are_those_of_icinga2() {
    compare_all(Transport::Tcp);
}

#[test]
fn responses_over_a_unix_socket_are_those_of_icinga2() {
    compare_all(Transport::Unix);
}

/// All columns of all services: about 18 megabytes.
#[test]
fn a_whole_table_is_that_of_icinga2() {
    let icinga2 = icinga2();
    let direct = icinga2.direct(Transport::Tcp);
    let proxy = Proxy::start(&icinga2, Transport::Tcp);
    compare(&direct, &proxy, b"GET services\n", &[Style::Kept]);
}

#[test]
fn queries_in_one_write_are_answered_in_order() {
    let icinga2 = icinga2();
    let last: &[u8] = b"GET status\nColumns: program_version\n";
    let mut requests = Vec::new();
    for query in short_queries() {
        requests.extend(kept_and_framed(query.lines));
    }
    requests.extend([last, b"ResponseHeader: fixed16\n\n"].concat());

    for transport in [Transport::Tcp, Transport::Unix] {
        let direct = icinga2.direct(transport);
        let proxy = Proxy::start(&icinga2, transport);
        let one_by_one = || -> Vec<u8> {
            let queries = short_queries().map(|query| query.lines).chain([last]);
            queries
                .flat_map(|lines| whole(&direct.ask(lines)))
                .collect()
        };
        let (wanted, found) = between(one_by_one, || proxy.sent(&requests).read_to_end());
        assert_same(&found, &wanted);
    }
}

/// Each client walks through the queries from another place, so that responses
/// to different queries cross on the channels.
#[test]
fn many_clients_at_once_get_their_own_responses() {
    const CLIENTS: usize = 8;
    let icinga2 = icinga2();
    let direct = icinga2.direct(Transport::Unix);
    let proxy = Proxy::start(&icinga2, Transport::Unix);
    let queries: Vec<&[u8]> = short_queries()
        .filter(|query| query.code == 200)
        .map(|query| query.lines)
        .collect();

    let walk = |start: usize| {
        let client = proxy.daemon.client(SITE);
        let mut responses: Vec<_> = (0..queries.len())
            .map(|step| (start + step) % queries.len())
            .map(|at| whole(&ask_kept(&client, queries[at])))
            .collect();
        responses.rotate_right(start);
        responses
    };
    let all_walk = || -> Vec<_> {
        std::thread::scope(|scope| {
            let starts = (0..CLIENTS).map(|client| client * queries.len() / CLIENTS);
            let clients: Vec<_> = starts.map(|at| scope.spawn(move || walk(at))).collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect()
        })
    };
    let one_by_one = || -> Vec<_> {
        queries
            .iter()
            .map(|lines| whole(&direct.ask(lines)))
            .collect()
    };
    let (wanted, found) = between(one_by_one, all_walk);
    for responses in found {
        for ((lines, found), wanted) in queries.iter().zip(responses).zip(&wanted) {
            assert_same_for(&lines.escape_ascii().to_string(), &found, wanted);
        }
    }
}

/// icinga2 closes without a word on a line that it cannot read. The client is
/// told so, and neither it nor anybody else suffers for it.
#[test]
fn a_query_that_icinga2_drops_is_answered_with_502() {
    let icinga2 = icinga2();
    for transport in [Transport::Tcp, Transport::Unix] {
        let direct = icinga2.direct(transport);
        let proxy = Proxy::start(&icinga2, transport);
        for lines in DROPPED {
            let response = ask_kept(&proxy.kept, lines);
            response.expect_error(502, SITE);
            response.expect_error(502, "closed the connection twice on this query");
            compare(&direct, &proxy, QUERIES[0].lines, &Style::ALL);
        }
    }
}

/// One column of one host.
#[track_caller]
fn column(direct: &Direct, column: &str, host: &str) -> String {
    let lines = format!("GET hosts\nColumns: {column}\nFilter: name = {host}\n");
    direct.ask(lines.as_bytes()).text().trim_end().to_owned()
}

/// The GUI sends a command and goes on asking on the same connection.
#[test]
fn a_command_with_a_query_behind_it_takes_effect() {
    let icinga2 = icinga2();
    let direct = icinga2.direct(Transport::Tcp);
    let proxy = Proxy::start(&icinga2, Transport::Tcp);
    assert_eq!(column(&direct, "acknowledged", "host7"), "0");

    let line = command("ACKNOWLEDGE_HOST_PROBLEM;host7;2;1;1;anna;Größe \"geprüft\"; fertig");
    proxy.kept.send(format!("{line}\n\n"));
    compare(&direct, &proxy, QUERIES[1].lines, &[Style::Kept]);
    eventually("host7 is acknowledged", || {
        column(&direct, "acknowledged", "host7") == "1"
    });
    let comment = "GET comments\nColumns: author comment\nFilter: host_name = host7\n";
    let response = direct.ask(comment.as_bytes());
    response.expect("anna;Größe \"geprüft\"; fertig\n");
}

/// NagVis sends one line and closes; `unixcat` half-closes and waits for the end.
#[test]
fn commands_of_clients_that_close_take_effect() {
    let icinga2 = icinga2();
    let direct = icinga2.direct(Transport::Unix);
    let proxy = Proxy::start(&icinga2, Transport::Unix);
    for host in ["host4", "host5", "host6"] {
        assert_eq!(column(&direct, "notifications_enabled", host), "1");
    }

    let line = |host| {
        format!(
            "{}\n",
            command(&format!("DISABLE_HOST_NOTIFICATIONS;{host}"))
        )
    };
    proxy.sent(line("host4").as_bytes()).close();
    let client = proxy.sent(line("host5").as_bytes());
    client.half_close();
    assert_same(&client.read_to_end(), b"");

    for host in ["host4", "host5"] {
        eventually(&format!("{host} has no notifications"), || {
            column(&direct, "notifications_enabled", host) == "0"
        });
    }
    // No command named this one.
    assert_eq!(column(&direct, "notifications_enabled", "host6"), "1");
}
