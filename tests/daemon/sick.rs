//! Every way in which a connection to a site can fail: what the log says, what clients are told
//! whose query runs, waits or comes later, and that the site comes back when it is cured.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, QUERY, rewritten};
use crate::story::{
    Story, expect_refused_at_once, expect_unreachable, mark_ready, queue_query, run_query,
};
use crate::support::client::kept_and_framed;
use crate::support::{Daemon, FakeSite, Namespace, Spec, eventually, site};

/// Two channels, so that a third query waits; only the illness ends a query.
const KEYS: &str = "'channels': 2, 'channel_timeout': 600, 'query_timeout': 600";

/// So many attempts must fail without another line in the log.
const ATTEMPTS: usize = 4;

/// One way of being sick.
struct Illness<'a> {
    /// As the log and the clients are told.
    cause: &'a str,
    /// Makes a site sick that was well.
    begin: &'a dyn Fn(&mut Pair),
    /// How many attempts are waited for.
    attempts: usize,
    /// What the site counts at each of them, where one reaches it.
    fault: &'a str,
    /// Makes it well.
    end: &'a dyn Fn(&mut Pair),
}

impl Illness<'_> {
    /// A site that is well falls ill while queries run and wait, and is cured after a while.
    #[track_caller]
    fn run_its_course(&self, mut pair: Pair) {
        let cause = self.cause;
        pair.site.await_ready(2);
        let running = [run_query(&pair), run_query(&pair)];
        let waiting = queue_query(&pair);
        let mark = mark_ready(&pair.daemon);
        (self.begin)(&mut pair);
        for client in running.iter().chain([&waiting]) {
            expect_unreachable(&client.read_response(), cause);
            client.expect_open();
        }
        let story = Story::since(&pair.daemon, mark);
        story.await_state(&format!("dead: {cause}"), "ready");
        let death = Instant::now();
        expect_refused_at_once(&waiting, &pair.client(), cause);

        eventually("further attempts fail", || {
            story.losses(cause) >= self.attempts
        });
        if !self.fault.is_empty() {
            pair.site.await_happened(self.fault, self.attempts);
        }
        expect_refused_at_once(&running[0], &pair.client(), cause);
        assert_eq!(story.states(), [format!("dead: {cause}")]);
        let remarks = story.remarks();
        assert!(remarks.len() <= 1, "{remarks:?}");

        let sick_for = death.elapsed();
        (self.end)(&mut pair);
        pair.await_answers();
        let story = Story::since(&pair.daemon, mark);
        let told = story.await_state("ready", "dead");
        // The log has tenths of seconds.
        assert!(told + 0.1 >= sick_for.as_secs_f64(), "{told}, {sick_for:?}");
        pair.expect_unharmed();
        assert_eq!(story.states(), [format!("dead: {cause}"), "ready".into()]);
    }
}

#[test]
fn a_site_that_cannot_be_connected_to_is_dead_until_it_can() {
    type Begin = fn(&mut Pair);
    let ways: [(&str, &str, Begin); 4] = [
        ("Connection refused", "", |pair| {
            pair.site.refuse();
            pair.site.reset_all();
        }),
        ("Connection refused", "", |pair| {
            pair.site.refuse();
            pair.site.close_all();
        }),
        ("Connection reset by peer", "reset-at-once", |pair| {
            pair.site.reset_at_once();
            pair.site.reset_all();
        }),
        ("closed by the site", "closed-at-once", |pair| {
            pair.site.hang_up_at_once();
            pair.site.close_all();
        }),
    ];
    for (cause, fault, begin) in ways {
        let illness = Illness {
            cause,
            begin: &begin,
            attempts: ATTEMPTS,
            fault,
            end: &|pair| pair.site.listen(),
        };
        illness.run_its_course(Pair::start(KEYS));
    }
}

#[test]
fn a_site_whose_connects_go_unanswered_is_dead_after_ten_seconds() {
    let illness = Illness {
        cause: "no answer within 10 s",
        begin: &|pair| {
            pair.site.never_accept();
            pair.site.reset_all();
        },
        // Each takes ten seconds.
        attempts: 1,
        fault: "",
        end: &|pair| pair.site.listen(),
    };
    illness.run_its_course(Pair::start(KEYS));
}

/// An address that is in no network but the test's own.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[test]
fn a_site_to_which_there_is_no_way_is_dead_until_there_is_one() {
    let Some(network) = Namespace::or_say("left out") else {
        return;
    };
    let with_address = "ip address add 192.0.2.1/32 dev lo";
    let without = "ip address delete 192.0.2.1/32 dev lo";
    network.run(with_address);
    for (cause, way) in [
        ("Network is unreachable", "true"),
        (
            "No route to host",
            "ip route replace unreachable 192.0.2.1/32",
        ),
    ] {
        let illness = Illness {
            cause,
            begin: &|_| network.run(&format!("{without}; {way}")),
            attempts: ATTEMPTS,
            fault: "",
            end: &|_| network.run(with_address),
        };
        let fake = network.inside(|| FakeSite::start_on(ADDRESS.into()));
        // No channel is told that its way has gone; the probe beside them is.
        let keys = format!("{BRISK}'heartbeat': (1, 0.5), {KEYS}");
        let daemon = Daemon::builder()
            .config(&site("muc", &fake, &keys))
            .wrapped(network.wrapper())
            .start();
        illness.run_its_course(Pair { daemon, site: fake });
    }
}

#[test]
fn a_site_whose_name_is_not_found_is_dead_until_it_is() {
    let Some(network) = Namespace::with_other_files_or_say("left out") else {
        return;
    };
    // Nobody is asked for such a name: a label has 63 bytes at most.
    let name = format!("{}.invalid", "n".repeat(64));
    let cause = format!("name {name} not found: Name or service not known");
    let fake = network.inside(FakeSite::start);
    let keys = format!("{BRISK}{KEYS}");
    let config = site("muc", Spec::named(&name, fake.tcp().port()), &keys);
    let builder = Daemon::builder().config(&config);
    let nobody = "127.0.0.1 localhost\n";
    let (daemon, hosts) = network.start_with_file(builder, "/etc/hosts", nobody);
    let pair = Pair { daemon, site: fake };
    let client = pair.client();
    expect_unreachable(&client.ask(QUERY), &cause);
    let story = Story::whole(&pair.daemon);
    story.await_state(&format!("dead: {cause}"), "starting");
    let death = Instant::now();
    expect_refused_at_once(&client, &pair.client(), &cause);
    eventually("further attempts fail", || story.losses(&cause) >= ATTEMPTS);
    let dead = format!("dead: {cause}");
    assert_eq!(story.states(), [dead.as_str()]);
    assert_eq!(story.remarks(), [""; 0]);

    let sick_for = death.elapsed();
    std::fs::write(&hosts, format!("127.0.0.1 {name}\n")).unwrap();
    pair.await_answers();
    let told = story.await_state("ready", "dead");
    assert!(told + 0.1 >= sick_for.as_secs_f64(), "{told}, {sick_for:?}");

    // Once it was found, its last address is better than none.
    std::fs::write(&hosts, nobody).unwrap();
    let running = [run_query(&pair), run_query(&pair)];
    pair.site.close_all();
    pair.site.await_happened("hold", 4);
    pair.site.release();
    for client in &running {
        assert_eq!(client.read_response().code, 200, "on a new channel");
    }
    pair.expect_unharmed();
    assert_eq!(story.states(), [dead.as_str(), "ready"]);
}

/// Of the address only the number was kept, not by which interface it is reached.
#[test]
fn a_site_at_a_link_local_address_is_reached_by_its_interface() {
    let Some(network) = Namespace::or_say("left out") else {
        return;
    };
    if !network.can("ip address add fe80::5/64 dev lo") {
        println!("this machine has no IPv6: left out");
        return;
    }
    let fake = network.inside(|| FakeSite::start_on(Ipv6Addr::UNSPECIFIED.into()));
    let spec = Spec::named("fe80::5%lo", fake.tcp().port());
    let daemon = Daemon::builder()
        .config(&site("muc", spec, BRISK))
        .wrapped(network.wrapper())
        .start();
    Pair { daemon, site: fake }.await_answers();
}

#[test]
fn a_site_that_is_refused_from_the_start_is_told_once() {
    let mut pair = Pair::with(FakeSite::start_refusing(), "", KEYS);
    let cause = "Connection refused";
    let client = pair.client();
    expect_unreachable(&client.ask(QUERY), cause);
    let story = Story::whole(&pair.daemon);
    eventually("further attempts fail", || story.losses(cause) >= ATTEMPTS);
    expect_refused_at_once(&client, &pair.client(), cause);
    let dead = "dead: Connection refused";
    assert_eq!(story.lines().len(), 1, "{:?}", story.lines());
    story.await_state(dead, "starting");
    // Commands to nobody would be held and told of; a second of silence is enough to see that
    // nothing is told by itself.
    client.expect_silence(Duration::from_secs(1));
    assert_eq!(story.states(), [dead]);
    pair.site.listen();
    pair.await_answers();
    let story = Story::whole(&pair.daemon);
    assert!(story.await_state("ready", "dead") >= 1.0);
    assert_eq!(story.states(), [dead, "ready"]);
}

#[test]
fn a_name_server_that_never_answers_holds_up_no_other_site() {
    let Some(network) = Namespace::with_other_files_or_say("left out") else {
        return;
    };
    let server = network.inside(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap());
    server.set_nonblocking(true).unwrap();
    let fake = network.inside(FakeSite::start);
    let well = network.inside(FakeSite::start);
    let spec = Spec::named("muc.example.com", fake.tcp().port());
    let config = site("muc", spec, BRISK) + &site("ber", &well, BRISK);
    let builder = Daemon::builder().config(&config);
    let servers = "nameserver 127.0.0.1\noptions timeout:30\n";
    let (daemon, _) = network.start_with_file(builder, "/etc/resolv.conf", servers);
    let mut byte = [0];
    eventually("it is asked", || server.recv_from(&mut byte).is_ok());
    // All the time until the lookup is given up.
    let waiting = daemon.client("muc");
    waiting.send(kept_and_framed("GET hosts"));
    let mut served = 0;
    let cause = "name muc.example.com not found: no answer within 9.5 s";
    eventually("the lookup is given up", || {
        let answer = daemon.client("ber").ask("GET hosts");
        answer.expect(rewritten("GET hosts", ""));
        served += 1;
        daemon.log().iter().any(|line| line.contains(cause))
    });
    assert!(served > 1, "nobody was served meanwhile");
    assert_eq!(waiting.read_response().code, 502);
    expect_unreachable(&daemon.client("muc").ask("GET hosts"), cause);
    // A stop does not wait for it either.
    assert!(daemon.stop().success());
}

/// Sets how many files a process may have open, whatever it has now; false where that cannot be done.
fn limit_descriptors(daemon: &Daemon, limit: usize) -> bool {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", daemon.pid()));
    command.arg(format!("--nofile={limit}:"));
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn a_site_is_not_dead_for_want_of_a_descriptor() {
    let pair = Pair::start("'channels': 2, 'channel_timeout': 600");
    pair.site.await_ready(2);
    let running = run_query(&pair);
    // None but those that it has.
    if !limit_descriptors(&pair.daemon, 3) {
        println!("there is no prlimit: left out");
        return;
    }
    let mark = mark_ready(&pair.daemon);
    assert!(pair.site.close_idle());
    let none = ": closed: the proxy has no place left for it";
    pair.daemon.wait_log_after(mark, none);
    let outside = pair.client();
    outside.send(kept_and_framed(QUERY));
    let told = "no client can connect: Too many open files";
    pair.daemon.wait_log_after(mark, told);
    pair.site.release();
    assert_eq!(running.read_response().code, 200);
    running
        .ask(QUERY)
        .expect(rewritten("GET hosts", "Filter: name = asked\n"));
    assert!(limit_descriptors(&pair.daemon, 1_000));
    assert_eq!(outside.read_response().code, 200);
    pair.site.await_ready(2);
    let story = Story::since(&pair.daemon, mark);
    assert_eq!(story.states(), [""; 0]);
    let lines = pair.daemon.log();
    let told = lines.iter().filter(|line| line.contains(told)).count();
    assert_eq!(told, 1, "it is said once");
}
