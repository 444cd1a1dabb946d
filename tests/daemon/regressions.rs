//! What went wrong once, by what it did to clients, sites or the administrator.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, QUERY, right_answer};
use crate::support::client::kept_and_framed;
use crate::support::site::payload;
use crate::support::{Client, Daemon, Event, FakeSite, Fault, Place, eventually, site};

#[test]
fn answers_that_filled_the_socket_of_a_new_client_stopped_coming() {
    let pair = Pair::with(FakeSite::start_refusing(), "", "");
    eventually("the site is dead", || {
        pair.ask(QUERY).text().starts_with("Site muc is not")
    });
    let count = 1_000;
    // Everything has to be there when the client is let in.
    pair.daemon.signal("STOP");
    let client = pair.client();
    client.send(kept_and_framed("GET x").repeat(count));
    pair.daemon.signal("CONT");
    let other = pair.client();
    other.ask(QUERY).expect_error(502, "is not reachable");
    for _ in 0..count {
        let response = client.read_response();
        response.expect_error(502, "Site muc is not reachable");
    }
    client.expect_open();
}

#[test]
fn large_slow_answers_locked_each_other_out_of_the_memory() {
    let pair = Pair::with(
        FakeSite::start(),
        "response_buffer = 8388608",
        "'channels': 12, 'heartbeat': (200, 10), 'query_timeout': 15, 'channel_timeout': 15",
    );
    pair.site.await_ready(12);
    // Just below half of the memory, and at the pace of the first MiB the rest takes longer than 10 s.
    let size = 4_000_000;
    let slow_start = Fault::SlowStart(1_100_000, Duration::from_secs(4));
    pair.site.always(slow_start);
    let clients: Vec<_> = (0..12)
        .map(|number: usize| {
            let client = pair.client();
            let nonce = number.to_string();
            let lines = format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}");
            client.send(kept_and_framed(lines));
            (nonce, client)
        })
        .collect();
    std::thread::scope(|scope| {
        for (nonce, client) in &clients {
            scope.spawn(move || client.read_response().expect(payload(nonce, size)));
        }
    });
    assert_eq!(pair.site.happened("slow-start"), 12);
    assert_eq!(pair.site.requests().len(), 12);
}

#[test]
fn a_client_that_had_stalled_once_got_no_more_while_its_answer_came() {
    let pair = Pair::start("'channels': 1, 'query_timeout': 60");
    let size = 12_000_000;
    // The end of the answer comes only when the client has gone on reading.
    pair.site.next(Fault::Stall(Place::InBody(11_000_000)));
    let client = pair.client();
    let lines = format!("GET x\nTest-Nonce: n\nTest-Size: {size}");
    client.send(kept_and_framed(lines));
    let header = client.read_exactly(16);
    assert_eq!(header, format!("200 {size:11}\n").as_bytes());
    // More than the second after which it counts as stalled, and the rest is held for it.
    pair.site.await_happened("stall-in-body", 1);
    let wanted = payload("n", size);
    let begun = client.read_exactly(10_900_000);
    assert!(begun == wanted[..begun.len()], "not what was sent");
    assert_eq!(pair.site.stalled(), 1, "the end has come already");
    pair.site.release();
    let rest = client.read_exactly(size - begun.len());
    assert!(rest == wanted[begun.len()..], "not what was sent");
    client.ask(QUERY).expect(right_answer());
}

#[test]
fn idle_clients_kept_others_out() {
    let pair = Pair::start("'max_clients': 10");
    let idle: Vec<_> = (0..10)
        .map(|_| {
            let client = pair.client();
            client.ask(QUERY).expect(right_answer());
            client
        })
        .collect();
    // One that has asked within the last second is in the middle of a page.
    idle[9].expect_silence(Duration::from_millis(1100));
    let eleventh = pair.client();
    eleventh.ask(QUERY).expect(right_answer());
    assert!(idle[0].at_end(), "the longest idle one makes room");
    for client in &idle[1..] {
        client.ask(QUERY).expect(right_answer());
    }
    eleventh.ask(QUERY).expect(right_answer());
}

#[test]
fn the_unread_rest_of_a_request_became_the_next_client_s() {
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let client = pair.client();
    let line = format!("Filter: name = {}\n", "n".repeat(60_000));
    let lines = format!("GET hasty\n{}", line.repeat(200));
    assert!(lines.len() > 12_000_000);
    client.send(kept_and_framed(lines));
    client.read_response().expect("hasty\n");
    assert_eq!(pair.site.happened("hasty-answer"), 1);
    // The site reads nothing, and the system itself would end such a channel after 20 s.
    client.set_read_timeout(Duration::from_secs(10));
    client.ask(QUERY).expect(right_answer());
    pair.expect_unharmed();
    let events = pair.site.events();
    assert!(events.contains(&Event::Request(2)), "{events:?}");
    assert_eq!(pair.site.accepted(), 2);
}

/// Lets a site end each channel that has answered its first heartbeat, and counts the connects of
/// three seconds.
fn connects_to_a_site_that_hangs_up(fault: Fault) -> usize {
    let fake = FakeSite::start();
    fake.all_heartbeats(fault.clone());
    let text = site("muc", &fake, "'channels': 10");
    let daemon = Daemon::start(&text);
    eventually("a channel is hung up on", || {
        fake.happened(fault.name()) > 0
    });
    let end = Instant::now() + Duration::from_secs(3);
    eventually("three seconds are over", || Instant::now() >= end);
    drop(daemon);
    fake.accepted()
}

#[test]
fn a_site_that_hung_up_after_a_heartbeat_was_called_again_and_again() {
    let connects = connects_to_a_site_that_hangs_up(Fault::Close(Place::AfterAnswer));
    assert!(connects <= 5, "{connects} connects");
}

#[test]
fn a_site_that_hung_up_soon_after_a_heartbeat_was_called_again_and_again() {
    let connects = connects_to_a_site_that_hangs_up(Fault::Linger(Duration::from_millis(100)));
    assert!(connects <= 20, "{connects} connects");
}

#[test]
fn a_retry_waited_for_a_channel_that_stayed_silent() {
    let fake = FakeSite::start();
    for fault in [
        Fault::Nothing,
        Fault::Nothing,
        Fault::Stall(Place::BeforeHeader),
    ] {
        fake.next_heartbeat(fault);
    }
    let pair = Pair::with(fake, "", "'channels': 3, 'heartbeat': (200, 5)");
    pair.site.await_happened("stall-before-header", 1);
    assert!(pair.site.events().contains(&Event::Heartbeat(3)));
    pair.site.next(Fault::Close(Place::BeforeHeader));
    pair.ask(QUERY).expect(right_answer());
    assert_eq!(pair.site.happened("close-before-header"), 1);
    assert_eq!(pair.site.stalled(), 1, "it waited for the third channel");
    assert_eq!(pair.site.accepted(), 3);
}

#[test]
fn the_folder_of_the_sockets_could_not_be_searched() {
    let fake = FakeSite::start();
    let builder = Daemon::builder()
        .file("my.mk", &site("muc", &fake, BRISK))
        .without_root()
        .under("umask 027");
    let root = builder.root().path().to_owned();
    let run = root.join("run/deep");
    let path = |name: &str| run.join(name).display().to_string();
    let daemon = builder
        .arg("--config")
        .arg(&root.join("my.mk").display().to_string())
        .arg("--socket-dir")
        .arg(&run.display().to_string())
        .arg("--pid-file")
        .arg(&path("liveproxyd.pid"))
        .arg("--log-file")
        .arg(&path("livepd.log"))
        .arg("--control-socket")
        .arg(&path("liveproxyd.ctl"))
        .arg("--state-file")
        .arg(&path("liveproxyd.state"))
        .arg("--socket-mode")
        .arg("0666")
        .start();
    let mode = |path: &std::path::Path| {
        let metadata = std::fs::metadata(path).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&run.join("muc")), 0o666);
    assert_eq!(mode(&run), 0o755);
    assert_eq!(mode(&root.join("run")), 0o755);
    let pid = std::fs::read_to_string(run.join("liveproxyd.pid")).unwrap();
    assert_eq!(pid.trim(), daemon.pid().to_string());
    let client = Client::connect(run.join("muc"));
    client.ask(QUERY).expect(right_answer());
}

/// A daemon that may have so few descriptors that not even half of sixty clients are let in.
fn short_of_descriptors() -> (FakeSite, Daemon) {
    let fake = FakeSite::start();
    let keys = format!("{BRISK}'channels': 2, 'max_clients': 100");
    let daemon = Daemon::builder()
        .config(&site("muc", &fake, &keys))
        .under("ulimit -n 40")
        .start();
    daemon.wait_log("the limit of open files is 40 (ulimit -n)");
    fake.await_ready(2);
    (fake, daemon)
}

/// The lines about clients that cannot connect, or are refused.
fn lines_about_connecting(daemon: &Daemon) -> Vec<String> {
    let is_one = |line: &String| line.contains("can connect") || line.contains("further ones");
    daemon.log().into_iter().filter(is_one).collect()
}

#[test]
fn a_daemon_without_descriptors_filled_its_log_and_span() {
    let (fake, daemon) = short_of_descriptors();
    let mut crowd: VecDeque<Client> = (0..60).map(|_| daemon.client("muc")).collect();
    daemon.wait_log("no client can connect");
    let before = daemon.log_mark();
    crowd[0].expect_silence(Duration::from_secs(1));
    let lines = daemon.log().split_off(before);
    assert!(lines.len() <= 5, "in a second of waiting: {lines:?}");

    // One goes and another one comes, and all the time some wait outside. Each
    // is served or told that there are too many, but for those who were let in
    // and have been idle: they make room.
    let mut served = 0;
    for _ in 0..100 {
        let first = crowd.pop_front().unwrap();
        let asks = first.try_send(kept_and_framed(QUERY)).is_ok();
        if asks && !first.at_end() {
            let rest = String::from_utf8(first.read_exactly(15)).unwrap();
            let (code, length) = rest.split_at(2);
            let body = first.read_exactly(length.trim().parse().unwrap());
            match code {
                "00" => served += 1,
                _ => assert!(body.starts_with(b"Too many clients"), "{body:?}"),
            }
        }
        first.close();
        crowd.push_back(daemon.client("muc"));
    }
    assert!(served >= 10, "only {served} were served");
    let lines = lines_about_connecting(&daemon);
    assert!(
        lines.len() <= 20,
        "{} lines: {:?}",
        lines.len(),
        lines.last()
    );

    crowd.clear();
    daemon.wait_log("clients can connect again");
    eventually("there is room again", || {
        daemon.client("muc").ask(QUERY).code == 200
    });
    assert_eq!(fake.accepted(), 2, "the channels were kept");
}

#[test]
fn clients_left_no_descriptor_for_a_lost_channel() {
    let (mut fake, daemon) = short_of_descriptors();
    let crowd: Vec<Client> = (0..60).map(|_| daemon.client("muc")).collect();
    daemon.wait_log("no client can connect");
    let first = crowd.first().unwrap();
    first.ask(QUERY).expect(right_answer());
    fake.refuse();
    fake.close_all();
    let told = first.ask(QUERY);
    told.expect_error(502, "Site muc is not reachable");
    // Time enough for those who wait outside to take the places of the channels.
    first.expect_silence(Duration::from_millis(500));
    fake.listen();
    eventually("the site is asked again", || first.ask(QUERY).code == 200);
}

#[test]
fn a_client_that_stopped_reading_stayed_for_ever() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    let before = pair.daemon.descriptors();
    for (round, size) in [100, 900_000, 8_000_000].into_iter().enumerate() {
        let client = pair.client();
        let lines = format!("GET x\nTest-Nonce: n\nTest-Size: {size}\nTest-Delay: 30");
        client.send(kept_and_framed(lines));
        client.stop_reading();
        eventually("the site has the query", || {
            pair.site.requests().len() == round + 1
        });
        eventually("nothing is left of the client", || {
            pair.daemon.descriptors() <= before
        });
        drop(client);
        pair.site.await_ready(2);
    }
    pair.expect_unharmed();
}

#[test]
fn a_text_that_came_twice_was_not_shown() {
    let pair = Pair::start("'channels': 3");
    let text = b"400: something raw\n";
    for form in ["framed", "bare"] {
        let before = pair.site.happened("raw-text");
        pair.site.next(Fault::Raw(text.to_vec()));
        pair.site.next(Fault::Raw(text.to_vec()));
        let client = pair.client();
        if form == "framed" {
            let response = client.ask(QUERY);
            assert_eq!(response.code, 400, "{response:?}");
            // The code stands in the header.
            assert_eq!(response.text(), "something raw\n");
            client.expect_open();
        } else {
            client.send(format!("{QUERY}\n\n"));
            let bytes = client.read_to_end();
            assert_eq!(bytes, text, "{}", bytes.escape_ascii());
        }
        assert_eq!(pair.site.happened("raw-text"), before + 2);
        pair.await_answers();
    }
}
