//! Sites offered on a TCP port: who may come in, what he may do, and that the port comes and goes
//! without disturbing anybody.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use crate::pair::{BRISK, Pair, expect_answers, expect_held, rewritten};
use crate::support::chain::free_port;
use crate::support::client::kept_and_framed;
use crate::support::site::payload;
use crate::support::{Client, Daemon, FakeSite, eventually, site};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The key `tcp` with these further keys of its own.
fn offer(port: u16, keys: &str) -> String {
    format!("'tcp': {{'port': {port}, {keys}}}, ")
}

fn client(port: u16) -> Client {
    Client::connect_tcp(SocketAddr::from((V4, port)))
}

/// Whether somebody who connects from `from` is let in; otherwise he must be closed without a byte.
fn is_let_in(from: IpAddr, port: u16) -> bool {
    use socket2::{Domain, Socket, Type};
    let own = SocketAddr::from((from, 0));
    let socket = Socket::new(Domain::for_address(own), Type::STREAM, None).unwrap();
    socket.bind(&own.into()).unwrap();
    let there = if from.is_ipv4() { V4 } else { V6 };
    socket
        .connect(&SocketAddr::from((there, port)).into())
        .unwrap();
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    // It may be closed before this is written.
    let _ = std::io::Write::write_all(&mut stream, b"GET hosts\n\n");
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(
        bytes.is_empty() || bytes == rewritten("GET hosts", ""),
        "{bytes:?}"
    );
    !bytes.is_empty()
}

/// Whether anybody listens there.
fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_port_answers_as_the_socket_does_over_ipv4_and_ipv6() {
    let port = free_port();
    let pair = Pair::start(&offer(port, ""));
    for address in [V4, V6] {
        let kept = Client::connect_tcp(SocketAddr::from((address, port)));
        expect_answers(&kept);
        expect_answers(&kept);
        kept.expect_open();
        let bare = Client::connect_tcp(SocketAddr::from((address, port)));
        bare.send("GET hosts\nTest-Nonce: n\nTest-Size: 3000000\n\n");
        assert_eq!(bare.read_to_end(), payload("n", 3_000_000));
        let shell = Client::connect_tcp(SocketAddr::from((address, port)));
        shell.send("GET hosts\n");
        shell.half_close();
        assert_eq!(shell.read_to_end(), rewritten("GET hosts", ""));
    }
    expect_answers(&pair.client());
}

#[test]
fn only_those_who_may_come_in_are_let_in() {
    let lists: [(&str, &[IpAddr], &[IpAddr]); 6] = [
        // An IPv4 client of the IPv6 socket is known by its own address.
        ("'127.0.0.1'", &[V4], &[V6]),
        (
            "'127.0.0.0/8'",
            &[V4, IpAddr::V4(Ipv4Addr::new(127, 8, 8, 8))],
            &[V6],
        ),
        (
            "'127.0.0.2', '::1'",
            &[V6, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))],
            &[V4],
        ),
        ("'0.0.0.0'", &[V4, V6], &[]),
        ("'::/0'", &[V4, V6], &[]),
        ("", &[], &[V4, V6]),
    ];
    let fake = FakeSite::start();
    for (list, may, may_not) in lists {
        let port = free_port();
        let tcp = offer(port, &format!("'only_from': [{list}]"));
        let daemon = Daemon::start(&site("muc", &fake, &format!("{BRISK}{tcp}")));
        for from in may {
            assert!(is_let_in(*from, port), "{from} by [{list}]");
        }
        for from in may_not {
            assert!(!is_let_in(*from, port), "{from} by [{list}]");
        }
        // Everybody may use the socket, which is guarded by its permissions.
        expect_answers(&daemon.client("muc"));
    }
}

#[test]
fn those_who_are_turned_away_are_told_of_once_a_while() {
    let port = free_port();
    let pair = Pair::start(&offer(port, "'only_from': ['192.0.2.1']"));
    for _ in 0..20 {
        assert!(!is_let_in(V4, port));
    }
    let words = format!("site muc: port {port}: 127.0.0.1 is not in 'only_from'");
    pair.daemon.wait_log(&words);
    let lines = pair.daemon.log();
    let told = lines.iter().filter(|line| line.contains(&words)).count();
    assert_eq!(told, 1);
}

#[test]
fn a_port_that_everybody_can_use_and_read_along_is_warned_of() {
    let words = |port: u16| format!("'tcp': everybody can use port {port}, and can read along");
    let started = |keys: &str| {
        let port = free_port();
        let pair = Pair::start(&offer(port, keys));
        expect_answers(&pair.client());
        let lines = pair.daemon.log();
        lines.iter().any(|line| line.contains(&words(port)))
    };
    assert!(started(""));
    assert!(
        !started("'only_from': ['0.0.0.0']"),
        "that is said on purpose"
    );
}

#[test]
fn a_port_for_reading_refuses_commands_in_the_form_that_each_client_understands() {
    const WORDS: &str = "This port takes no commands";
    let port = free_port();
    let pair = Pair::start(&offer(port, "'commands': False"));
    let command = "COMMAND [1] DISABLE_NOTIFICATIONS";
    // Thruk's Perl module half-closes and reads.
    let perl = client(port);
    perl.send(format!("{command}\n\n"));
    perl.half_close();
    assert_eq!(perl.read_to_end(), format!("502: {WORDS}\n").into_bytes());
    // The GUI goes on asking.
    let gui = client(port);
    gui.send(format!("{command}\n\n"));
    let told = gui.ask("GET hosts");
    told.expect_error(
        502,
        &format!("Command before this query was not delivered: {WORDS}"),
    );
    expect_answers(&gui);
    assert_eq!(pair.site.commands(), Vec::<String>::new());
    let lines = pair.daemon.log();
    let told = lines
        .iter()
        .filter(|line| line.contains("a command was refused"));
    assert_eq!(told.count(), 1);
    // The socket takes them.
    let own = pair.client();
    own.send(format!("{command}\n\n"));
    expect_answers(&own);
    assert_eq!(pair.site.commands(), [command]);
}

#[test]
fn a_port_that_somebody_has_stops_the_start_and_is_named() {
    let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let fake = FakeSite::start();
    let run = Daemon::builder()
        .config(&site("muc", &fake, &offer(port, "")))
        .arg("-g")
        .run();
    assert_eq!(run.code(), 1);
    let words = format!("site muc: cannot listen on port {port}: Address already in use");
    assert!(run.stderr.contains(&words), "{run:?}");
}

#[test]
fn collisions_are_found_by_the_check_of_the_configuration() {
    let fake = FakeSite::start();
    let port = free_port();
    let text = [
        site("muc", &fake, &offer(port, "")),
        site("ber", &fake, &offer(port, "")),
    ];
    let run = Daemon::builder().config(&text.concat()).arg("-t").run();
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr.contains("site 'muc' has this port already"),
        "{run:?}"
    );
    let own = site("muc", SocketAddr::from((V4, port)), &offer(port, ""));
    let run = Daemon::builder().config(&own).arg("-t").run();
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr.contains("one of this daemon's own ports"),
        "{run:?}"
    );
}

#[test]
fn a_reload_brings_ports_takes_them_and_moves_them_without_touching_anybody() {
    let fakes = [FakeSite::start(), FakeSite::start()];
    let (one, two) = (free_port(), free_port());
    let config = |keys: [&str; 2]| {
        let keys = keys.map(|key| format!("{BRISK}'channels': 2, {key}"));
        let [muc, ber] = &fakes;
        [site("muc", muc, &keys[0]), site("ber", ber, &keys[1])].concat()
    };
    let daemon = Daemon::start(&config(["", ""]));
    fakes.iter().for_each(|fake| fake.await_ready(2));
    let local = daemon.client("muc");
    expect_answers(&local);
    let reload = |keys: [&str; 2]| {
        let mark = daemon.log_mark();
        daemon.configure(&config(keys));
        daemon.signal("HUP");
        daemon.wait_log_after(mark, "configuration read again")
    };
    let whose = |port: u16| {
        let asked: Vec<usize> = fakes.iter().map(|fake| fake.requests().len()).collect();
        expect_answers(&client(port));
        let now = fakes.iter().map(|fake| fake.requests().len());
        now.zip(asked).position(|(now, before)| now > before)
    };
    assert!(!is_open(one));
    reload([&offer(one, ""), ""]);
    assert_eq!(whose(one), Some(0));
    let kept = client(one);
    expect_answers(&kept);
    // Another one beside it; then the two change places.
    reload([&offer(one, ""), &offer(two, "")]);
    assert_eq!((whose(one), whose(two)), (Some(0), Some(1)));
    reload([&offer(two, ""), &offer(one, "")]);
    assert_eq!((whose(one), whose(two)), (Some(1), Some(0)));
    // Taken away: who is connected stays.
    reload(["", ""]);
    assert!(!is_open(one) && !is_open(two));
    expect_answers(&kept);
    expect_answers(&local);
    assert_eq!(fakes.each_ref().map(FakeSite::accepted), [2, 2]);
}

#[test]
fn a_port_that_cannot_be_had_leaves_everything_as_it_was_at_a_reload() {
    let port = free_port();
    let pair = Pair::start(&offer(port, ""));
    let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let taken = other.local_addr().unwrap().port();
    let text = [
        site("muc", &pair.site, &offer(taken, "")),
        site("ber", &pair.site, ""),
    ];
    pair.daemon.configure(&text.concat());
    pair.daemon.signal("HUP");
    pair.daemon
        .wait_log(&format!("cannot listen on port {taken}"));
    expect_answers(&client(port));
    assert!(!pair.daemon.socket("ber").exists());
}

#[test]
fn a_site_at_another_address_keeps_its_port() {
    let fakes = [FakeSite::start(), FakeSite::start()];
    let port = free_port();
    let keys = format!("{BRISK}{}", offer(port, ""));
    let daemon = Daemon::start(&site("muc", &fakes[0], &keys));
    let kept = client(port);
    expect_answers(&kept);
    daemon.configure(&site("muc", &fakes[1], &keys));
    daemon.signal("HUP");
    daemon.wait_log("configuration read again");
    expect_answers(&kept);
    expect_answers(&client(port));
    assert_eq!(fakes.each_ref().map(|fake| fake.requests().len()), [1, 2]);
}

#[test]
fn a_stop_answers_what_was_asked_at_the_port_and_leaves_it_free_at_once() {
    let port = free_port();
    let mut pair = Pair::start(&offer(port, ""));
    let idle = client(port);
    expect_answers(&idle);
    let slow = client(port);
    slow.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    pair.site.await_stalled(1);
    pair.daemon.signal("TERM");
    // Told by the end of what is sent to it, and not by a reset.
    assert_eq!(idle.read_to_end(), b"");
    eventually("nobody listens", || !is_open(port));
    assert!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok());
    pair.site.release();
    expect_held(&slow);
    assert!(slow.at_end());
    drop((idle, slow));
    assert_eq!(pair.daemon.await_end().code(), Some(0));
}

#[test]
fn a_command_that_crosses_the_end_of_its_connection_is_still_delivered() {
    let port = free_port();
    let mut pair = Pair::start(&offer(port, ""));
    let crossing = client(port);
    expect_answers(&crossing);
    // Something else keeps the daemon and its site busy meanwhile.
    let slow = pair.holder();
    pair.site.await_stalled(1);
    pair.daemon.signal("TERM");
    assert!(crossing.at_end());
    crossing.send("COMMAND [1] CROSSING\n\n");
    drop(crossing);
    eventually("it is delivered", || {
        pair.site.commands() == ["COMMAND [1] CROSSING"]
    });
    pair.site.release();
    expect_held(&slow);
    drop(slow);
    assert_eq!(pair.daemon.await_end().code(), Some(0));
}
