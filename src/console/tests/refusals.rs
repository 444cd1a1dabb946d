//! What is refused, the bounds, and that nothing breaks.

use super::ask;
use crate::console::*;
use crate::report::{ClientReport, Report};

#[test]
fn every_declared_header_is_taken() {
    let before = "Filter: name != \nFilter: state != \nStats: name !=\nStats: name !=\n";
    for header in HEADERS {
        let line = format!("{}: {}\n", header.name, header.example);
        assert!(header.meaning.ends_with('.'));
        let (code, body) = ask("sites", &format!("{before}{line}"));
        assert_eq!(code, 200, "{line}: {body}");
        // Without the blank it is the same header.
        let (code, _) = ask("sites", &format!("{before}{}", line.replace(": ", ":")));
        assert_eq!(code, 200, "{line}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_400_and_named() {
    for (headers, want) in [
        ("FooBar: 1\n", "Unknown header 'FooBar: 1'"),
        ("columns: name\n", "Unknown header 'columns: name'"),
        ("Columns: name nope\n", "Table 'sites' has no column 'nope'"),
        ("Filter: nope = 1\n", "Table 'sites' has no column 'nope'"),
        ("OrderBy: nope\n", "Table 'sites' has no column 'nope'"),
        ("Stats: nope = 1\n", "Table 'sites' has no column 'nope'"),
        ("Stats: sum nope\n", "Table 'sites' has no column 'nope'"),
        (
            "Stats: sum name\n",
            "Column 'name' of type string has nothing to compute",
        ),
        (
            "Stats: std clients\n",
            "Stats: std clients: only sum, min, max and avg are computed",
        ),
        (
            "Filter: name\n",
            "Filter: name: a column, an operator and a value are needed",
        ),
        (
            "Filter:\n",
            "Filter:: a column, an operator and a value are needed",
        ),
        (
            "Filter: name == muc\n",
            "Operator '==' is not for column 'name' of type string",
        ),
        (
            "Filter: clients ~ 1\n",
            "Operator '~' is not for column 'clients' of type int",
        ),
        (
            "Filter: since =~ 1\n",
            "Operator '=~' is not for column 'since' of type time",
        ),
        (
            "Filter: response_time_buckets = 1\n",
            "Operator '=' is not for column 'response_time_buckets' of type list",
        ),
        (
            "Filter: response_time_buckets > 1\n",
            "Operator '>' is not for column 'response_time_buckets' of type list",
        ),
        (
            "Filter: clients = many\n",
            "'many' is not a number that column 'clients' could have",
        ),
        (
            "Filter: oldest_wait > nan\n",
            "'nan' is not a number that column 'oldest_wait' could have",
        ),
        ("And: 1\n", "And: 1 wanted of those before it, there are 0"),
        (
            "Filter: name = a\nOr: 2\n",
            "Or: 2 wanted of those before it, there are 1",
        ),
        (
            "Negate:\n",
            "Negate: 1 wanted of those before it, there are 0",
        ),
        (
            "Stats: name = a\nAnd: 1\n",
            "And: 1 wanted of those before it, there are 0",
        ),
        (
            "StatsOr: 1\n",
            "StatsOr: 1 wanted of those before it, there are 0",
        ),
        (
            "Stats: sum clients\nStatsNegate:\n",
            "StatsNegate: what is computed cannot be combined",
        ),
        (
            "And: -1\n",
            "And: -1: a number that is not negative is needed",
        ),
        (
            "Limit: abc\n",
            "Limit: abc: a number that is not negative is needed",
        ),
        (
            "OutputFormat: xml\n",
            "OutputFormat: xml: the formats are csv, json, python and python3",
        ),
        (
            "ColumnHeaders: maybe\n",
            "ColumnHeaders: maybe: it is either on or off",
        ),
        (
            "OrderBy: name up\n",
            "OrderBy: name up: the direction is asc or desc",
        ),
        (
            "Separators: 10 256\n",
            "Separators: 10 256: codes of bytes from 0 to 255 are needed",
        ),
    ] {
        let (code, body) = ask("sites", headers);
        assert_eq!((code, body.as_str()), (400, format!("{want}\n").as_str()));
    }
    let (code, body) = ask("sites", "Filter: name ~ (\n");
    assert_eq!(code, 400);
    assert!(body.starts_with("Regular expression '(': "), "{body}");
    let (code, body) = ask("hosts", "");
    assert_eq!((code, body.as_str()), (404, "There is no table 'hosts'\n"));
    let (report, events) = sample();
    assert_eq!(
        answer(MAX_ANSWER, b"LOGROTATE\n\n", &report, &events).code,
        400
    );
}

#[test]
fn what_is_asked_has_bounds() {
    let many = |header: &str, count: usize| header.repeat(count);
    for headers in [
        many("Filter: name = a\n", request::MAX_HEADERS),
        many("Columns: name state\n", request::MAX_COLUMNS / 2 + 1),
        format!("Columns:{}\n", many(" name", request::MAX_COLUMNS + 1)),
    ] {
        assert_eq!(ask("sites", &headers).0, 413);
    }
    let deep = format!(
        "Filter: name = a\n{}",
        many("Negate:\n", request::MAX_HEADERS - 4)
    );
    assert_eq!(ask("sites", &deep).0, 200);
    for (depth, want) in [(15, 200), (30, 400)] {
        let nested = format!("{}a{}", many("(?:", depth), many(")", depth));
        assert_eq!(ask("sites", &format!("Filter: name ~ {nested}\n")).0, want);
    }
    let (code, _) = ask("sites", "Filter: name ~ ((a{1000}){1000}){1000}\n");
    assert_eq!(code, 400);
    let (code, _) = ask("sites", &format!("Filter: name ~ {}\n", many("(", 5_000)));
    assert_eq!(code, 400);
}

fn with_clients(count: u64) -> Report {
    let (mut report, _) = sample();
    let client = report.clients.remove(0);
    let numbered = |number| ClientReport {
        number,
        ..client.clone()
    };
    report.clients = (1..=count).map(numbered).collect();
    report
}

#[test]
fn a_query_that_takes_long_is_refused() {
    let report = with_clients(1_000);
    let code = |headers: &str| {
        let request = format!("GET clients\n{headers}\n");
        let cost = Cost {
            effort: 500_000,
            room: MAX_ANSWER,
        };
        answer_within(cost, request.as_bytes(), &report, &VecDeque::new()).code
    };
    let many = "Filter: state = x\n".repeat(900);
    assert_eq!(code(&format!("{many}Or: 900\n")), 413);
    assert_eq!(code("Filter: request ~ (.*){100}c\n"), 413);
    // What is looked at would do, what is held would not.
    let many = "Stats: pid = 1\n".repeat(60);
    assert_eq!(code(&many), 200);
    assert_eq!(code(&format!("Columns: site\n{many}")), 200);
    assert_eq!(code(&format!("Columns: number\n{many}")), 413);
}

#[test]
fn as_many_clients_as_there_may_be_can_be_searched_sorted_and_shown() {
    let report = with_clients(20_000);
    let request = b"GET clients\nFilter: request ~ hosts\nFilter: site = muc\n\
        OrderBy: since\nOutputFormat: json\n\n";
    let Answer { code, body } = answer(MAX_ANSWER, request, &report, &VecDeque::new());
    assert_eq!(code, 200);
    assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 20_001);
}

#[test]
fn an_answer_has_a_longest_size() {
    let (mut report, events) = sample();
    let mut ask = |length: usize, room: usize| {
        report.daemon.config_error = "x".repeat(length);
        let request = b"GET status\nColumns: config_error\n\n";
        let Answer { code, body } = answer(room, request, &report, &events);
        (code, body.len())
    };
    assert_eq!(ask(MAX_ANSWER - 1, MAX_ANSWER), (200, MAX_ANSWER));
    assert_eq!(ask(MAX_ANSWER, MAX_ANSWER).0, 413);
    // What has no room now may have some later.
    assert_eq!(ask(999, 1_000), (200, 1_000));
    assert_eq!(ask(1_000, 1_000).0, 502);
    assert_eq!(ask(MAX_ANSWER, 1_000).0, 413);
}

#[test]
fn brackets_at_the_end_need_room_too() {
    let (report, events) = sample();
    let request = b"GET sites\nColumns: name\nOutputFormat: json\n\n";
    let length = answer(MAX_ANSWER, request, &report, &events).body.len();
    assert_eq!(answer(length, request, &report, &events).code, 200);
    assert_eq!(answer(length - 1, request, &report, &events).code, 502);
}

#[test]
fn a_column_is_given_once() {
    for headers in [
        "Columns: name state name\n",
        "Columns: name\nColumns: state name\n",
        "StatsGroupBy: name\nColumns: name\nStats: sum queries\n",
    ] {
        let (code, body) = ask("sites", headers);
        assert_eq!(
            (code, body.as_str()),
            (400, "Column 'name' is named twice\n")
        );
    }
}

/// A generator that needs no crate, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

const PIECES: &[&str] = &[
    "GET sites\n",
    "GET status\n",
    "GET columns\n",
    "COMMAND [1] ",
    "RELOAD",
    "DISABLE_SITE;muc;",
    "Columns: ",
    "Filter: ",
    "Stats: ",
    "And: ",
    "Or: 2\n",
    "Negate:\n",
    "StatsAnd: 2\n",
    "StatsNegate:\n",
    "Limit: ",
    "Offset: ",
    "OrderBy: ",
    "OutputFormat: json\n",
    "Separators: ",
    "ColumnHeaders: on\n",
    "name ",
    "state ",
    "since ",
    "oldest_wait ",
    "response_time_buckets ",
    "= ",
    "!= ",
    "~ ",
    "!~~ ",
    ">= ",
    "< ",
    "sum ",
    "avg ",
    "18446744073709551616",
    "-1",
    "1e400",
    "(a|b)*",
    "[[:alpha:]",
    "\\",
    "\n",
    "\n\n",
    ":",
    "\0",
    "\u{1b}[",
    "ü",
];

/// Requests put together of pieces that mean something, then broken.
#[test]
fn no_request_breaks_anything() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..40_000 {
        let mut request = b"GET sites\n".repeat(random.below(2));
        for _ in 0..random.below(30) {
            let piece = PIECES[random.below(PIECES.len())];
            request.extend_from_slice(piece.as_bytes());
        }
        for _ in 0..random.below(3) {
            let place = random.below(request.len());
            if let Some(byte) = request.get_mut(place) {
                *byte = random.below(256) as u8;
            }
        }
        exercise(&request);
    }
}

/// The walk above would prove nothing if it never got anywhere.
#[test]
fn the_walk_reaches_answers_and_refusals() {
    let mut random = Random(7);
    let (report, events) = sample();
    let mut codes: HashMap<u16, usize> = HashMap::new();
    for _ in 0..2_000 {
        let mut request = b"GET sites\n".to_vec();
        for _ in 0..random.below(6) {
            let piece = PIECES[random.below(PIECES.len())];
            request.extend_from_slice(piece.as_bytes());
        }
        let code = answer(MAX_ANSWER, &request, &report, &events).code;
        *codes.entry(code).or_default() += 1;
    }
    assert!(
        codes.get(&200).is_some_and(|count| *count > 100),
        "{codes:?}"
    );
    assert!(
        codes.get(&400).is_some_and(|count| *count > 100),
        "{codes:?}"
    );
}
