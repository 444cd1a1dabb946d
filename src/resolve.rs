//! Looks names up beside the event loop. A lookup cannot be cancelled and may
//! take half a minute, so a few helper threads wait for it, and the loop is
//! woken when there is an answer.

use mio::Waker;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that may wait for the resolver at one time.
const MOST_THREADS: usize = 4;

/// Threads that may wait for names of one domain, whose name server may be down.
const MOST_OF_DOMAIN: usize = 2;

/// An answer that is younger is taken as it is: a site's channels are opened
/// one after another, and each asks.
const FRESH: Duration = Duration::from_secs(5);

/// The system's resolver needs little more than a page or two.
const STACK: usize = 256 * 1024;

/// What a lookup has brought: addresses, without a port but with the interface by
/// which a link-local one is reached. The error is for a person.
pub type Found = Result<Vec<SocketAddr>, String>;

type Answer = (String, Found);

/// A lookup that is wanted or under way.
struct Lookup<W> {
    waiters: Vec<W>,
}

/// Lookups, each with those who wait for it, and the last good answers.
pub struct Resolver<W> {
    waker: Arc<Waker>,
    jobs: Sender<String>,
    queue: Arc<Mutex<Receiver<String>>>,
    report: Sender<Answer>,
    reports: Receiver<Answer>,
    threads: usize,
    lookups: HashMap<String, Lookup<W>>,
    /// Those not under way, in the order they were asked for.
    waiting: VecDeque<String>,
    known: HashMap<String, Known>,
    /// Lookups under way, in all and by domain.
    running: usize,
    running_of_domain: HashMap<String, usize>,
}

/// A good answer.
struct Known {
    addresses: Vec<SocketAddr>,
    since: Instant,
}

impl<W> Resolver<W> {
    /// A resolver that wakes the loop through `waker`. Its threads start when
    /// they are needed.
    pub fn new(waker: Arc<Waker>) -> Self {
        let (jobs, queue) = channel();
        let (report, reports) = channel();
        Resolver {
            waker,
            jobs,
            queue: Arc::new(Mutex::new(queue)),
            report,
            reports,
            threads: 0,
            lookups: HashMap::new(),
            waiting: VecDeque::new(),
            known: HashMap::new(),
            running: 0,
            running_of_domain: HashMap::new(),
        }
    }

    /// Asks for the addresses of `host`. They are returned at once where they
    /// need no lookup, or where the last good answer is fresh, or an earlier
    /// lookup hangs and there is one; otherwise `waiter` is named by [`Resolver::answers`].
    pub fn ask(&mut self, host: &str, waiter: W) -> Option<Found> {
        if let Ok(address) = host.parse() {
            return Some(Ok(vec![SocketAddr::new(address, 0)]));
        }
        let known = self.known.get(host);
        if let Some(known) = known.filter(|known| known.since.elapsed() < FRESH) {
            return Some(Ok(known.addresses.clone()));
        }
        if let Some(lookup) = self.lookups.get_mut(host) {
            if let Some(known) = known {
                return Some(Ok(known.addresses.clone()));
            }
            lookup.waiters.push(waiter);
            return None;
        }
        let lookup = Lookup {
            waiters: vec![waiter],
        };
        self.lookups.insert(host.to_string(), lookup);
        self.waiting.push_back(host.to_string());
        if let Err(error) = self.dispatch() {
            self.lookups.remove(host);
            self.waiting.retain(|waiting| waiting != host);
            return Some(Err(format!("cannot look up {host}: {error}")));
        }
        None
    }

    /// The last good answer for `host`.
    pub fn known(&self, host: &str) -> Option<Vec<SocketAddr>> {
        self.known.get(host).map(|known| known.addresses.clone())
    }

    /// The lookups that have ended, with those who waited.
    pub fn answers(&mut self) -> Vec<(Found, Vec<W>)> {
        let mut answers = Vec::new();
        while let Ok((host, found)) = self.reports.try_recv() {
            let lookup = self.lookups.remove(&host);
            self.running -= 1;
            if let Some(count) = self.running_of_domain.get_mut(domain(&host)) {
                *count -= 1;
            }
            let waiters = lookup.map_or_else(Vec::new, |lookup| lookup.waiters);
            let found = match found {
                Ok(addresses) => {
                    let known = Known {
                        addresses: addresses.clone(),
                        since: Instant::now(),
                    };
                    self.known.insert(host, known);
                    Ok(addresses)
                }
                Err(why) => self.known(&host).ok_or(why),
            };
            answers.push((found, waiters));
        }
        // There are threads by now.
        let _ = self.dispatch();
        answers
    }

    /// Gives the threads what they may take: at most [`MOST_OF_DOMAIN`] names
    /// of one domain at a time, so that a slow one leaves threads to the others.
    fn dispatch(&mut self) -> io::Result<()> {
        loop {
            let of_domain = &self.running_of_domain;
            let is_free = |host: &String| {
                let same = of_domain.get(domain(host)).copied().unwrap_or_default();
                same < MOST_OF_DOMAIN
            };
            let next = match self.running < MOST_THREADS {
                true => self.waiting.iter().position(is_free),
                false => None,
            };
            let Some(host) = next.and_then(|place| self.waiting.get(place).cloned()) else {
                return Ok(());
            };
            self.start_thread(self.running + 1)?;
            self.waiting.retain(|waiting| *waiting != host);
            self.running += 1;
            let same = self.running_of_domain.entry(domain(&host).to_string());
            *same.or_default() += 1;
            // Both ends live in `self`: this cannot fail.
            let _ = self.jobs.send(host);
        }
    }

    /// Sees to it that there are as many threads as are `needed`.
    fn start_thread(&mut self, needed: usize) -> io::Result<()> {
        if self.threads >= needed {
            return Ok(());
        }
        let queue = Arc::clone(&self.queue);
        let report = self.report.clone();
        let waker = Arc::clone(&self.waker);
        let started = thread::Builder::new()
            .name("liveproxyd:name".into())
            .stack_size(STACK)
            .spawn(move || look_up_for_ever(&queue, &report, &waker));
        match started {
            Ok(_) => self.threads += 1,
            // Those that there are will come to it.
            Err(_) if self.threads > 0 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What names that are slow together have in common.
fn domain(host: &str) -> &str {
    host.split_once('.').map_or("", |(_, domain)| domain)
}

fn look_up_for_ever(queue: &Mutex<Receiver<String>>, report: &Sender<Answer>, waker: &Waker) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // The resolver is gone, and with it whoever would read the report.
        let Ok(host) = job else { return };
        let found = look_up(&host);
        if report.send((host, found)).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

fn look_up(host: &str) -> Found {
    let addresses: Vec<SocketAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| format!("name {host} not found: {}", cause(&error)))?
        .collect();
    if addresses.is_empty() {
        return Err(format!("name {host} has no address"));
    }
    Ok(addresses)
}

/// The resolver's own words, without what Rust puts in front.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.strip_prefix("failed to lookup address information: ");
    words.unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    fn await_answer(poll: &mut Poll, resolver: &mut Resolver<u32>) -> (Found, Vec<u32>) {
        let mut events = Events::with_capacity(4);
        for _ in 0..60 {
            poll.poll(&mut events, Some(Duration::from_secs(1)))
                .unwrap();
            if let Some(answer) = resolver.answers().pop() {
                return answer;
            }
        }
        panic!("no answer");
    }

    #[test]
    fn names_are_looked_up_once_for_all_who_wait_and_literals_never() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        for literal in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(literal.parse().unwrap(), 0);
            assert_eq!(resolver.ask(literal, 1), Some(Ok(vec![address])));
        }
        assert_eq!(resolver.threads, 0);

        assert_eq!(resolver.ask("localhost", 1), None);
        assert_eq!(resolver.ask("localhost", 2), None);
        let (found, waiters) = await_answer(&mut poll, &mut resolver);
        assert!(
            found
                .unwrap()
                .iter()
                .all(|address| address.ip().is_loopback())
        );
        assert_eq!((waiters, resolver.threads), (vec![1, 2], 1));
    }

    #[test]
    fn a_failed_lookup_falls_back_to_the_last_good_answer() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        let host = "no-such-host.invalid";
        assert_eq!(resolver.ask(host, 1), None);
        let (found, _) = await_answer(&mut poll, &mut resolver);
        assert!(
            found
                .unwrap_err()
                .starts_with("name no-such-host.invalid not found")
        );

        let good = vec!["127.0.0.9:0".parse().unwrap()];
        let known = |since| Known {
            addresses: good.clone(),
            since,
        };
        resolver.known.insert(host.into(), known(Instant::now()));
        assert_eq!(resolver.ask(host, 2), Some(Ok(good.clone())), "it is fresh");
        let stale = Instant::now() - FRESH;
        resolver.known.insert(host.into(), known(stale));
        assert_eq!(resolver.ask(host, 2), None);
        assert_eq!(
            resolver.ask(host, 3),
            Some(Ok(good.clone())),
            "one is under way"
        );
        assert_eq!(await_answer(&mut poll, &mut resolver), (Ok(good), vec![2]));
    }

    #[test]
    fn one_domain_does_not_get_all_threads() {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        // Nobody takes the answers in, so all that are under way stay so.
        for (waiter, host) in [
            "a.slow.invalid",
            "b.slow.invalid",
            "c.slow.invalid",
            "d.invalid",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(resolver.ask(host, waiter), None);
        }
        assert_eq!(resolver.waiting, ["c.slow.invalid"]);
        assert_eq!(resolver.threads, 3);
    }
}
