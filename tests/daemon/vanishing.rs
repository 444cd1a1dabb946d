//! Ten thousand clients that vanish half-way: nothing is left of them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::pair::{Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::{FakeSite, eventually, stretched};

/// Clients of all threads together.
const CLIENTS: usize = 10_000;
const THREADS: usize = 8;

/// What may be more than before: the allocator's ways with what ten thousand clients asked for.
const MARGIN_KB: usize = 8 * 1024;

/// Set to a number to go the same way again.
const SEED_VARIABLE: &str = "LIVEPROXYD_TEST_SEED";

/// xorshift: the same way for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

fn seed() -> u64 {
    let chosen = std::env::var(SEED_VARIABLE).ok();
    let seed = chosen.map(|text| text.parse().unwrap());
    seed.unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        since.as_nanos() as u64 | 1
    })
}

/// One client that comes, and goes at a random moment in a random way. Errors are what it is here
/// for: the daemon may have refused it, and then its write fails.
fn come_and_go(path: &Path, random: &mut Random) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(stretched(Duration::from_secs(20))))?;
    let size = match random.below(100) {
        0 => 2_000_000,
        1..=5 => 200_000,
        _ => 100,
    };
    let delay = random.below(3);
    let request = match random.below(10) {
        0 => b"COMMAND [1] A;h\n\n".to_vec(),
        _ => kept_and_framed(format!("GET x\nTest-Delay: {delay}\nTest-Size: {size}")),
    };
    let written = match random.below(4) {
        0 => random.below(request.len()),
        _ => request.len(),
    };
    stream.write_all(&request[..written])?;
    if written == request.len() {
        let wanted = match random.below(4) {
            0 => 0,
            1 => 1,
            2 => random.below(size),
            _ => 16 + size,
        };
        let mut left = wanted;
        let mut buffer = [0; 16_384];
        while left > 0 && !request.starts_with(b"COMMAND") {
            match stream.read(&mut buffer[..left.min(16_384)])? {
                0 => break,
                count => left -= count,
            }
        }
    }
    match random.below(4) {
        // A close with bytes that were not read is a reset for the other side.
        0 => {}
        1 => stream.shutdown(Shutdown::Write)?,
        2 => stream.shutdown(Shutdown::Read)?,
        _ => stream.shutdown(Shutdown::Both)?,
    }
    Ok(())
}

fn flood(path: &Path, seed: u64, clients: usize) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_add(thread as u64 * 0x9e37_79b9) | 1);
                for _ in 0..clients / THREADS {
                    // Whether it was served or refused is not the question here.
                    let _ = come_and_go(path, &mut random);
                }
            });
        }
    });
}

#[test]
fn ten_thousand_clients_that_vanish_leave_nothing_behind() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let pair = Pair::with(FakeSite::start(), "", "'channels': 10");
    pair.site.await_ready(10);
    let path = pair.daemon.socket("muc");
    let idle = pair.daemon.descriptors();
    // The first ones bring everything to its size.
    flood(&path, seed ^ 1, 1_000);
    eventually("the first ones are gone", || {
        pair.daemon.descriptors() <= idle
    });
    let before = pair.daemon.resident_kb();
    let begun = Instant::now();
    flood(&path, seed, CLIENTS);
    let took = begun.elapsed();
    eventually("no descriptor is left", || {
        pair.daemon.descriptors() <= idle
    });
    pair.site.await_ready(10);
    eventually("the memory is where it was", || {
        pair.daemon.resident_kb() <= before + MARGIN_KB
    });
    let after = pair.daemon.resident_kb();
    let requests = pair.site.requests().len();
    let channels = pair.site.accepted();
    println!(
        "{CLIENTS} clients in {took:.1?}: {requests} queries on {channels} channels, \
         {before} KiB before, {after} after"
    );
    assert!(requests > CLIENTS / 4, "hardly one of them asked anything");
    // Only clients that left a long answer or a wait cost a channel.
    assert!(channels < CLIENTS / 50, "{channels} channels were opened");
    pair.expect_unharmed();
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
}
