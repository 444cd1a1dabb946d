//! Instructions of the parts that every query goes through, and of those that
//! grow with the number of sites. They are the same on a busy machine.

use gungraun::{library_benchmark, library_benchmark_group, main};
use liveproxyd::config::{self, Heartbeat, HeartbeatTimeout, Surroundings};
use liveproxyd::console;
use liveproxyd::ids::{ChannelId, ClientId, QueryId, SiteId};
use liveproxyd::listen::{Access, Sockets};
use liveproxyd::memory::{Account, Share, SharedBudget};
use liveproxyd::pool::{Action, ChannelNo, Core, Input, Settings, Site};
use liveproxyd::proto::request::{Framer, Kind, Request, Step, Style};
use liveproxyd::proto::response::Frame;
use liveproxyd::query::{Query, Stage};
use liveproxyd::reactor::{self, Reactor};
use liveproxyd::report::Report;
use liveproxyd::state_file;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The daemon's own limits.
const MAX_QUERY: usize = 16 * 1024 * 1024;
const RESPONSE_BUFFER: usize = 128 * 1024 * 1024;

/// The daemon reads so much at a time.
const READ: usize = 64 * 1024;

// Requests.

/// As a GUI writes it, with so many filters.
fn request(filters: usize) -> Vec<u8> {
    let mut text = String::from("GET hosts\nColumns: name state plugin_output num_services\n");
    for number in 0..filters {
        text += &format!("Filter: name = host{number}\n");
    }
    text += "AuthUser: bench\nOutputFormat: python\nLocaltime: 1795198323\n\
             KeepAlive: on\nResponseHeader: fixed16\n\n";
    text.into_bytes()
}

#[library_benchmark]
#[bench::small(args = (1), setup = request)]
#[bench::of_100_filters(args = (100), setup = request)]
fn request_in_one_piece(bytes: Vec<u8>) -> Step {
    let mut input = bytes.as_slice();
    black_box(Framer::default().feed(&mut input, MAX_QUERY))
}

#[library_benchmark]
#[bench::small(args = (1), setup = request)]
fn request_byte_by_byte(bytes: Vec<u8>) -> Step {
    let mut framer = Framer::default();
    let mut last = Step::More;
    for byte in bytes.chunks(1) {
        let mut input = byte;
        last = framer.feed(&mut input, MAX_QUERY);
    }
    black_box(last)
}

library_benchmark_group!(
    name = requests,
    benchmarks = [request_in_one_piece, request_byte_by_byte]
);

// Responses.

struct Exchange {
    query: Query,
    frame: Frame,
    pieces: Vec<Vec<u8>>,
    budget: SharedBudget,
    share: Share,
    now: Instant,
}

/// A query that was sent, and a response of so many bytes for it.
fn exchange(bytes: usize) -> Exchange {
    let mut response = format!("200 {bytes:>11}\n").into_bytes();
    response.resize(response.len() + bytes, b'x');
    let now = Instant::now();
    let mut budget = SharedBudget::new(RESPONSE_BUFFER);
    let share = Share::default();
    budget.divide(std::iter::once(&share));
    let request = Request {
        bytes: Vec::new(),
        kind: Kind::Get,
        style: Style {
            fixed16: true,
            keep_alive: true,
        },
    };
    Exchange {
        query: Query {
            client: None,
            sent: Some(now),
            stage: Stage::Sent {
                channel: ChannelId::unpack(1),
                deadline: now + Duration::from_secs(120),
                response: None,
            },
            ..Query::new(SiteId::unpack(1), ClientId::unpack(1), request, now)
        },
        frame: Frame::default(),
        pieces: response.chunks(READ).map(<[u8]>::to_vec).collect(),
        budget,
        share,
        now,
    }
}

#[library_benchmark]
#[bench::of_1_kb(args = (1_000), setup = exchange)]
fn response_framed(mut exchange: Exchange) -> bool {
    let mut done = false;
    for piece in &exchange.pieces {
        done = exchange.frame.take(piece).is_ok_and(|piece| piece.done);
    }
    black_box(done)
}

#[library_benchmark]
#[bench::of_1_kb(args = (1_000), setup = exchange)]
#[bench::held_whole(args = (500_000), setup = exchange)]
#[bench::through_a_window(args = (20_000_000), setup = exchange)]
fn response_relayed(mut exchange: Exchange) -> usize {
    let mut written = 0;
    let mut memory = Account {
        budget: &mut exchange.budget,
        share: &mut exchange.share,
    };
    for fresh in &exchange.pieces {
        let Ok(piece) = exchange.frame.take(fresh) else {
            continue;
        };
        let write = |bytes: &[u8]| {
            written += bytes.len();
            Ok(bytes.len())
        };
        let (head, now) = (exchange.frame.head(), exchange.now);
        let query = &mut exchange.query;
        let _ = black_box(query.take_in(&piece, head, fresh, write, &mut memory, now));
    }
    black_box(written)
}

library_benchmark_group!(
    name = responses,
    benchmarks = [response_framed, response_relayed]
);

// The policy.

struct Pool {
    site: Site,
    now: Instant,
    actions: Vec<Action>,
}

impl Pool {
    fn tell(&mut self, input: Input) {
        self.actions.clear();
        self.site.handle(input, self.now, &mut self.actions);
        // The loop asks after each input.
        black_box(self.site.deadline());
    }
}

/// A site whose channels are all proved and idle.
fn pool(channels: u8) -> Pool {
    let now = Instant::now();
    let settings = Settings {
        channels,
        channel_timeout: Duration::from_secs(5),
        heartbeat: Heartbeat {
            interval: Duration::from_secs(3),
            timeout: HeartbeatTimeout::Percent(50),
        },
        query_timeout: Duration::from_secs(120),
        connect_retry: Duration::from_secs(4),
        adapts: true,
    };
    let mut pool = Pool {
        site: Site::new(settings, now, 1),
        now,
        actions: Vec::new(),
    };
    pool.tell(Input::Due);
    for number in 0..channels {
        pool.tell(Input::Connected(ChannelNo(number)));
        pool.site.heard(pool.now);
        pool.tell(Input::Beaten(ChannelNo(number), Core::Other));
        pool.now += Duration::from_millis(25);
        pool.tell(Input::Due);
    }
    // Enough heartbeats for a typical time to be known.
    for _ in 0..25 {
        pool.now += Duration::from_secs(4);
        beat(&mut pool);
    }
    assert_eq!(pool.site.open_channels(), usize::from(channels));
    pool
}

fn beat(pool: &mut Pool) {
    pool.tell(Input::Due);
    let asked = pool.actions.iter().find_map(|action| match action {
        Action::Beat(channel) => Some(*channel),
        _ => None,
    });
    if let Some(channel) = asked {
        pool.site.heard(pool.now);
        pool.tell(Input::Beaten(channel, Core::Other));
    }
}

/// All channels at work, and as many queries waiting.
fn busy_pool(channels: u8) -> Pool {
    let mut pool = pool(channels);
    for number in 0..2 * u64::from(channels) {
        pool.tell(Input::Arrived(QueryId::unpack(number), Kind::Get));
    }
    pool
}

#[library_benchmark]
#[bench::of_1_channel(args = (1), setup = pool)]
#[bench::of_10_channels(args = (10), setup = pool)]
#[bench::of_50_channels(args = (50), setup = pool)]
fn query_arrives_and_is_answered(mut pool: Pool) -> usize {
    pool.tell(Input::Arrived(QueryId::unpack(1), Kind::Get));
    let assigned = pool.actions.iter().find_map(|action| match action {
        Action::Assign { channel, .. } => Some(*channel),
        _ => None,
    });
    if let Some(channel) = assigned {
        pool.site.heard(pool.now);
        pool.tell(Input::Answered(channel));
    }
    black_box(pool.site.waiting())
}

#[library_benchmark]
#[bench::of_1_channel(args = (1), setup = busy_pool)]
#[bench::of_10_channels(args = (10), setup = busy_pool)]
#[bench::of_50_channels(args = (50), setup = busy_pool)]
fn channel_gets_free_while_queries_wait(mut pool: Pool) -> usize {
    pool.site.heard(pool.now);
    pool.tell(Input::Answered(ChannelNo(0)));
    black_box(pool.site.waiting())
}

fn rested_pool(channels: u8) -> Pool {
    let mut pool = pool(channels);
    pool.now += Duration::from_secs(4);
    pool
}

#[library_benchmark]
#[bench::of_1_channel(args = (1), setup = rested_pool)]
#[bench::of_10_channels(args = (10), setup = rested_pool)]
#[bench::of_50_channels(args = (50), setup = rested_pool)]
fn heartbeat(mut pool: Pool) -> usize {
    beat(&mut pool);
    black_box(pool.site.open_channels())
}

library_benchmark_group!(
    name = policy,
    benchmarks = [
        query_arrives_and_is_answered,
        channel_gets_free_while_queries_wait,
        heartbeat
    ]
);

// What is shown.

/// A loop with so many sites, of which none can be reached.
fn reactor(sites: usize) -> Reactor {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let options: Vec<String> = (0..sites)
        .map(|number| format!("s{number}=tcp:127.0.0.1:1"))
        .collect();
    let surroundings = Surroundings {
        local_core: PathBuf::from("/nowhere"),
        socket_dir: folder.clone(),
    };
    let config = config::from_site_options(&options, &surroundings).expect("sites");
    let sockets = Sockets {
        folder,
        access: Access {
            mode: 0o660,
            group: None,
        },
        predecessor: None,
    };
    let signals = reactor::note_signals().expect("signals");
    let mut reactor = Reactor::new(sockets, signals).expect("a loop");
    reactor.configure(config).expect("sockets");
    reactor
}

fn clean_up(report: Report) {
    let socket = report.sites.first().map(|site| PathBuf::from(&site.socket));
    if let Some(folder) = socket.as_deref().and_then(|socket| socket.parent()) {
        // Only for tidiness.
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[library_benchmark]
#[bench::of_100_sites(args = (100), setup = reactor, teardown = clean_up)]
#[bench::of_1000_sites(args = (1_000), setup = reactor, teardown = clean_up)]
fn gather(reactor: Reactor) -> Report {
    black_box(reactor.report())
}

/// So many sites, all as one that has served for a while.
fn report(sites: usize) -> Report {
    let (mut report, _) = console::sample();
    let muc = report.sites.swap_remove(1);
    report.sites = (0..sites)
        .map(|number| {
            let mut site = muc.clone();
            site.name = format!("s{number}");
            site
        })
        .collect();
    report
}

#[library_benchmark]
#[bench::of_100_sites(args = (100), setup = report)]
#[bench::of_1000_sites(args = (1_000), setup = report)]
fn state_file_written(report: Report) -> usize {
    let date = |time: f64| format!("{time}");
    black_box(state_file::render(&report, &date)).len()
}

#[library_benchmark]
#[bench::of_100_sites(args = (100), setup = report)]
#[bench::of_1000_sites(args = (1_000), setup = report)]
fn table_of_sites(report: Report) -> usize {
    let events = Default::default();
    black_box(console::answer(
        console::MAX_ANSWER,
        b"GET sites\n\n",
        &report,
        &events,
    ))
    .body
    .len()
}

library_benchmark_group!(
    name = shown,
    benchmarks = [gather, state_file_written, table_of_sites]
);

main!(library_benchmark_groups = [requests, responses, policy, shown]);
