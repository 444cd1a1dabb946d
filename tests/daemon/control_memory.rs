//! What is asked of the control socket and not read: bounded for all together, given back, and
//! nobody else's loss.

use crate::pair::{Pair, rewritten};
use crate::support::{Client, Console, eventually};

/// All answers together that are waiting to be read, as doc/control-socket.md promises.
const MOST: usize = 32 << 20;

/// Orders to disable and to enable the site. As many changes are remembered.
const ROUNDS: usize = 500;

/// Far more than may be held.
const LAZY: usize = 60;

/// The sentence of a refusal.
const TOLD: &str = "answers that their clients have not read";

/// Makes an answer of a megabyte possible, and gives the query for it.
fn large_answer(console: &Console) -> &'static str {
    // A reason has 500 characters at most, and four bytes for each of these.
    let reason = "\u{1d11e}".repeat(500);
    let round = format!("COMMAND [1] DISABLE_SITE;muc;{reason}\n\nCOMMAND [1] ENABLE_SITE;muc\n\n");
    let giver = console.client();
    giver.send(round.repeat(ROUNDS));
    giver.half_close();
    assert_eq!(giver.read_to_end(), b"");
    "GET events\nResponseHeader: fixed16\nKeepAlive: on\n\n"
}

fn held(console: &Console) -> usize {
    let value = console.value("GET status\nColumns: answer_memory");
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// Asks and reads no more than the header; status and length of the answer.
fn ask_lazily(client: &Client, query: &str) -> (u16, usize) {
    client.send(query);
    let header = String::from_utf8(client.read_exactly(16)).unwrap();
    let (code, length) = header.split_at(3);
    (code.parse().unwrap(), length.trim().parse().unwrap())
}

#[test]
fn answers_that_nobody_reads_are_bounded_together_and_take_nothing_from_sites() {
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let console = pair.daemon.console();
    let query = large_answer(&console);
    assert_eq!(held(&console), 0);
    let (mut lazy, mut lengths, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..LAZY {
        let client = console.client();
        match ask_lazily(&client, query) {
            (200, length) => {
                assert!(length > 1_000_000, "{length}");
                lengths.push(length);
                lazy.push(client);
            }
            (code, length) => {
                let text = String::from_utf8(client.read_exactly(length)).unwrap();
                assert!(code == 502 && text.contains(TOLD), "{code}: {text}");
                refused += 1;
                // It is refused that answer, and no other.
                client.ask("GET sites\nColumns: name").expect("muc\n");
            }
        }
    }
    let sum: usize = lengths.iter().sum();
    assert!(refused > 0 && sum <= MOST, "{refused} refused, {sum} held");
    let charged = held(&console);
    assert!((sum..=MOST).contains(&charged), "{charged} for {sum}");
    let status = "GET status\nColumns: response_memory request_memory";
    console.ask(status).expect("0;0\n");
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    // One reads its answer to the end and one goes: both have given it back.
    let reader = lazy.pop().unwrap();
    let body = reader.read_exactly(lengths.pop().unwrap());
    assert!(body.ends_with(b"\n"));
    reader.ask("GET sites\nColumns: name").expect("muc\n");
    eventually("what was read is given back", || held(&console) < charged);
    let after_one = held(&console);
    drop(lazy.pop());
    eventually("what nobody wants is given back", || {
        held(&console) < after_one
    });
    drop(lazy);
    eventually("everything is given back", || held(&console) == 0);
    assert_eq!(ask_lazily(&console.client(), query).0, 200);
}
