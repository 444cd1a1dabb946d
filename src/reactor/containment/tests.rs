//! Errors of our own, brought about on purpose, and what is left after them.

use super::*;
use crate::client::{Client, State};
use crate::config::{self, SiteConfig, Surroundings, TcpPort};
use crate::counters::Counter;
use crate::listen::{Access, Sockets};
use crate::reactor::{Call, note_signals};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// So long a read of the test may keep the loop waiting.
const SOON: Option<Duration> = Some(Duration::from_millis(1));

/// Turns of 50 ms that something may take.
const PATIENCE: usize = 1200;

/// A port that nobody else gets as long as its holder lives.
fn free_port() -> (Socket, u16) {
    let holder = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    holder.set_only_v6(false).unwrap();
    // Several sockets may share a port as long as only one listens.
    holder.set_reuse_address(true).unwrap();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    holder.bind(&any.into()).unwrap();
    let address = holder.local_addr().unwrap().as_socket().unwrap();
    (holder, address.port())
}

/// A daemon with the site `muc`, whose core is a socket of the test's own.
struct Scene {
    dir: TempDir,
    reactor: Reactor,
    core: UnixListener,
}

impl Scene {
    fn new(adapt: impl FnOnce(&mut SiteConfig)) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        let path = dir.path().join("core");
        let core = UnixListener::bind(&path).unwrap();
        let sockets = Sockets {
            folder: folder.clone(),
            access: Access {
                mode: 0o600,
                group: None,
            },
            predecessor: None,
        };
        let surroundings = Surroundings {
            local_core: dir.path().join("live"),
            socket_dir: folder,
        };
        let sites = [format!("muc=unix:{}", path.display())];
        let mut config = config::from_site_options(&sites, &surroundings).unwrap();
        config.sites[0].channel_timeout = Duration::from_secs(600);
        adapt(&mut config.sites[0]);
        let mut reactor = Reactor::new(sockets, note_signals().unwrap()).unwrap();
        reactor.configure(config).unwrap();
        Scene { dir, reactor, core }
    }

    fn client(&self) -> UnixStream {
        let path = self.dir.path().join("run/muc");
        let client = UnixStream::connect(path).unwrap();
        client.set_read_timeout(SOON).unwrap();
        client
    }

    /// A client that has said this, and its number in the loop.
    fn client_that_says(&mut self, words: &str) -> (UnixStream, ClientId) {
        let mut client = self.client();
        client.write_all(words.as_bytes()).unwrap();
        let before = self.reactor.clients_so_far;
        self.run_until(|all| all.clients_so_far > before);
        let newest = |(_, client): &(ClientId, &Client)| client.number;
        let (id, _) = self.reactor.clients.iter().max_by_key(newest).unwrap();
        (client, id)
    }

    fn turn(&mut self) -> Call {
        let soon = Some(Instant::now() + Duration::from_millis(50));
        self.reactor.run(soon).unwrap()
    }

    fn run_until(&mut self, is_so: impl Fn(&Reactor) -> bool) {
        for _ in 0..PATIENCE {
            if is_so(&self.reactor) {
                return;
            }
            self.turn();
        }
        panic!("it never came to that");
    }

    /// The core answers the first heartbeat, on a channel that is returned.
    fn prove_a_channel(&mut self) -> (UnixStream, ChannelId) {
        self.run_until(|all| all.channels.iter().any(|(_, one)| one.exchange().is_some()));
        // Those before it are of a site that was begun anew.
        self.core.set_nonblocking(true).unwrap();
        let accepted = std::iter::from_fn(|| self.core.accept().ok());
        let (mut channel, _) = accepted.last().unwrap();
        let mut bytes = [0; 1024];
        assert!(channel.read(&mut bytes).unwrap() > 0);
        let body = "1700000000;Fake 1.0;1.5.0 (fake)\n";
        write!(channel, "200 {:11}\n{body}", body.len()).unwrap();
        self.run_until(|all| all.channels.iter().any(|(_, one)| one.is_proved));
        let mut all = self.reactor.channels.iter();
        let (id, _) = all.find(|(_, one)| one.is_proved).unwrap();
        (channel, id)
    }

    fn site(&self) -> SiteId {
        let mut sites = self.reactor.sites.iter();
        sites.find(|(_, entry)| entry.leaving.is_none()).unwrap().0
    }

    /// Clients of the site, those that are turned away, memory for requests, and queries.
    fn books(&self) -> (usize, usize, usize, usize) {
        let all = &self.reactor;
        let clients = all.sites.get(self.site()).map_or(0, |entry| entry.clients);
        let held = all.requests.taken();
        (clients, all.turned_away, held, all.queries.len())
    }

    fn fail(&mut self, who: Who) {
        self.reactor.contained(who, |_| panic!("for the test"));
    }

    fn counted(&self, counter: Counter) -> u64 {
        let entry = self.reactor.sites.get(self.site()).unwrap();
        entry.counters.get(counter)
    }

    /// What the client reads until it is closed.
    fn read_to_end(&mut self, mut client: impl Read) -> String {
        let (mut text, mut bytes) = (Vec::new(), [0; 1024]);
        for _ in 0..PATIENCE {
            match client.read(&mut bytes) {
                Ok(0) => return String::from_utf8(text).unwrap(),
                Ok(count) => text.extend_from_slice(&bytes[..count]),
                Err(_) => {
                    self.turn();
                }
            }
        }
        panic!("it was not closed after {text:?}");
    }
}

#[test]
fn an_internal_error_costs_its_client_and_begins_its_site_anew() {
    let mut scene = Scene::new(|site| {
        site.address = config::Address::Unix("/nowhere/live".into());
    });
    let (mut client, id) = scene.client_that_says("");
    let site = scene.site();
    scene.fail(Who::Client(id));
    assert!(scene.reactor.clients.is_empty());
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    assert_ne!(scene.site(), site, "it is another one now");
    let mut next = scene.client();
    next.write_all(b"GET hosts\n\n").unwrap();
    let answer = scene.read_to_end(next);
    assert!(answer.starts_with("502: Site muc"), "{answer}");
}

#[test]
fn a_site_that_is_begun_anew_is_still_found_on_its_port() {
    let (_holder, port) = free_port();
    let mut scene = Scene::new(|site| {
        site.address = config::Address::Unix("/nowhere/live".into());
        site.tcp = Some(TcpPort {
            port,
            only_from: None,
            tls: false,
            commands: true,
        });
    });
    let site = scene.site();
    scene.fail(Who::Site(site));
    assert_ne!(scene.site(), site, "it is another one now");
    let mut client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    client.connect(&there.into()).unwrap();
    client.set_read_timeout(SOON).unwrap();
    client.write_all(b"GET hosts\n\n").unwrap();
    let answer = scene.read_to_end(client);
    assert!(answer.starts_with("502: Site muc"), "{answer:?}");
}

#[test]
fn what_a_client_held_is_given_back_when_it_is_let_fall() {
    let mut scene = Scene::new(|site| site.max_clients = 2);
    let (_kept, _) = scene.client_that_says("");
    let nothing = (1, 0, 0, 0);
    assert_eq!(scene.books(), nothing);

    let (_half, id) = scene.client_that_says("GET hosts\nFilter: name");
    scene.run_until(|all| all.requests.taken() > 0);
    scene.fail(Who::Client(id));
    assert_eq!(scene.books(), nothing, "half a request");

    let (_asking, id) = scene.client_that_says("GET hosts\n\n");
    scene.run_until(|all| all.queries.len() == 1);
    assert!(scene.books().2 > 0);
    scene.fail(Who::Client(id));
    assert_eq!(scene.books(), nothing, "a query that waits");

    let (_second, _) = scene.client_that_says("");
    let (_third, id) = scene.client_that_says("");
    assert_eq!(scene.books(), (2, 1, 0, 0));
    scene.fail(Who::Client(id));
    assert_eq!(scene.books(), (2, 0, 0, 0), "one that was turned away");
}

#[test]
fn a_handshake_ends_with_the_client_that_is_let_fall() {
    let (_holder, port) = free_port();
    let mut scene = Scene::new(|site| {
        site.tcp = Some(TcpPort {
            port,
            only_from: None,
            tls: true,
            commands: true,
        });
    });
    let (_client, id) = scene.client_that_says("");
    scene.reactor.ports.get_mut(&port).unwrap().handshakes = 1;
    scene.reactor.clients.get_mut(id).unwrap().state = State::Securing {
        until: Instant::now(),
        port,
        from: Ipv4Addr::LOCALHOST.into(),
    };
    scene.fail(Who::Client(id));
    assert_eq!(scene.reactor.ports[&port].handshakes, 0);
}

#[test]
fn a_command_outlives_the_client_that_is_let_fall() {
    let mut scene = Scene::new(|_| {});
    let (_kept, _) = scene.client_that_says("");
    let (client, id) = scene.client_that_says("COMMAND [1] ONE\n\n");
    drop(client);
    scene.run_until(|all| all.clients.iter().any(|(_, one)| one.is_ghost));
    scene.fail(Who::Client(id));
    let (clients, _, held, queries) = scene.books();
    assert_eq!((clients, queries), (1, 1));
    assert!(held > 0);
    // It waits for a channel to the site as it is now.
    let (mut channel, _) = scene.prove_a_channel();
    channel.set_nonblocking(true).unwrap();
    let mut bytes = [0; 1024];
    let read = (0..PATIENCE).find_map(|_| {
        scene.turn();
        channel.read(&mut bytes).ok()
    });
    let text = std::str::from_utf8(&bytes[..read.unwrap()]).unwrap();
    assert!(text.starts_with("COMMAND [1] ONE\n"), "{text}");
}

#[test]
fn a_command_that_was_written_is_not_told_as_undelivered() {
    let falls: [fn(&Scene, ChannelId) -> Who; 3] = [
        |scene, _| Who::Site(scene.site()),
        |_, channel| Who::Channel(channel),
        |scene, _| Who::Client(scene.reactor.clients.iter().next().unwrap().0),
    ];
    for who in falls {
        let mut scene = Scene::new(|_| {});
        let (_channel, id) = scene.prove_a_channel();
        let (_client, _) = scene.client_that_says("COMMAND [1] ONE\n\n");
        scene.run_until(|all| {
            let exchange = all.channels.get(id).and_then(|one| one.exchange());
            exchange.is_some_and(|exchange| exchange.sent > 0)
        });
        let who = who(&scene, id);
        scene.fail(who);
        assert_eq!(scene.counted(Counter::CommandsUnknown), 1, "{who:?}");
        assert_eq!(scene.counted(Counter::CommandsNotDelivered), 0, "{who:?}");
        assert_eq!(scene.reactor.queries.len(), 0, "{who:?}");
    }
}

#[test]
fn a_site_that_is_to_go_is_not_begun_anew() {
    let mut scene = Scene::new(|_| {});
    let site = scene.site();
    let (client, _) = scene.client_that_says("GET hosts\n\n");
    scene.reactor.stop(false);
    scene.fail(Who::Site(site));
    let answer = scene.read_to_end(client);
    assert!(answer.contains("internal error"), "{answer:?}");
    assert_eq!(scene.turn(), Call::Finished);
}

#[test]
fn a_site_that_is_given_up_leaves_nothing_behind() {
    let mut scene = Scene::new(|_| {});
    let (_channel, _) = scene.prove_a_channel();
    let (asking, _) = scene.client_that_says("GET hosts\n\n");
    let (ordering, _) = scene.client_that_says("COMMAND [1] ONE\n\n");
    drop(ordering);
    scene.run_until(|all| all.queries.len() == 2);
    let site = scene.site();
    scene.reactor.drop_site(site);
    let all = &scene.reactor;
    let left = (all.clients.len(), all.channels.len(), all.queries.len());
    assert_eq!(left, (0, 0, 0));
    assert_eq!((all.requests.taken(), all.sites.len()), (0, 0));
    assert_eq!(scene.read_to_end(asking), "");
}
