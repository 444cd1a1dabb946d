//! How requests are found in what a client sends, and what is made of them.

use super::*;

const LIMIT: usize = 1 << 20;

/// Feeds `input` in pieces of `piece` bytes, then ends it if `end`.
fn run(input: &[u8], piece: usize, end: bool) -> Vec<Step> {
    let mut framer = Framer::default();
    let mut steps = Vec::new();
    for mut chunk in input.chunks(piece) {
        loop {
            match framer.feed(&mut chunk, LIMIT) {
                Step::More => break,
                step @ Step::Complete(_) => steps.push(step),
                last @ (Step::End | Step::Faulty(..)) => {
                    steps.push(last);
                    return steps;
                }
            }
        }
    }
    if end {
        steps.push(framer.end());
    }
    steps
}

fn get(bytes: &str, fixed16: bool, keep_alive: bool) -> Step {
    Step::Complete(Request {
        bytes: bytes.as_bytes().to_vec(),
        kind: Kind::Get,
        style: Style {
            fixed16,
            keep_alive,
        },
    })
}

#[test]
fn our_headers_stand_on_lines_two_and_three_and_the_clients_are_gone() {
    let input = b"GET hosts\nColumns: name state\nFilter: name = wh1\nLocaltime: 1795198323\n\
        OutputFormat: json\nKeepAlive: on\nResponseHeader: fixed16\nCache: reload\n\n";
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nColumns: name state\n\
        Filter: name = wh1\nLocaltime: 1795198323\nOutputFormat: json\n\n";
    for piece in 1..=input.len() {
        assert_eq!(run(input, piece, false), [get(want, true, true)], "{piece}");
    }
}

#[test]
fn a_line_of_white_space_is_dropped_and_does_not_end_the_request() {
    for blank in [" ", "\t", "\x0b", "\x0c", " \r", "\r\r"] {
        let input = format!("GET hosts\n{blank}\nLimit: 1\n\n");
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
        assert_eq!(
            run(input.as_bytes(), 1000, false),
            [get(want, false, false)],
            "{blank:?}"
        );
    }
}

#[test]
fn carriage_returns_are_stripped_and_an_empty_line_may_have_one() {
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
    assert_eq!(
        run(b"GET hosts\r\nLimit: 1\r\n\r\n", 1000, false),
        [get(want, false, false)]
    );
}

#[test]
fn the_last_of_several_values_wins_and_an_unknown_one_is_off() {
    let input =
        b"GET hosts\nKeepAlive: on\nKeepAlive:off\nResponseHeader: off\nResponseHeader:fixed16\n\n\
        GET hosts\nKeepAlive: maybe\nResponseHeader: fixed17\n\n";
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    assert_eq!(
        run(input, 1000, false),
        [get(want, true, false), get(want, false, false)]
    );
}

#[test]
fn names_of_headers_are_case_sensitive_and_bytes_pass_untouched() {
    let mut input = b"GET hosts\nkeepalive: on\n KeepAlive: on\nFilter: name = M".to_vec();
    input.extend_from_slice(b"\xfcnchen x\n\n");
    let mut want = b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n".to_vec();
    want.extend_from_slice(&input[10..]);
    let Step::Complete(request) = run(&input, 1000, false).remove(0) else {
        panic!("not complete")
    };
    assert_eq!(request.bytes, want);
    assert_eq!(request.style, Style::default());
}

#[test]
fn end_of_input_at_a_line_start_ends_the_request() {
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    assert_eq!(run(b"GET hosts\n", 3, true), [get(want, false, false)]);
}

#[test]
fn end_of_input_inside_a_line_executes_nothing() {
    let style = Style {
        fixed16: true,
        keep_alive: false,
    };
    assert_eq!(
        run(b"GET hosts\nResponseHeader: fixed16\nLim", 50, true),
        [Step::Faulty(Fault::CutShort, style)]
    );
    assert_eq!(
        run(b"COMMAND [1] X;h", 50, true),
        [Step::Faulty(Fault::CutShort, Style::default())]
    );
}

#[test]
fn nothing_pending_and_an_empty_line_or_the_end_is_goodbye() {
    for empty in ["\n", "\r\n"] {
        assert_eq!(run(empty.as_bytes(), 9, false), [Step::End]);
    }
    assert_eq!(run(b"", 9, true), [Step::End]);
    assert_eq!(run(b"COMMAND [1] X\n\n\n", 99, false).len(), 2);
}

#[test]
fn commands_are_requests_of_their_own_and_what_follows_them_is_dropped() {
    let input = b"COMMAND [1] A;h\nKeepAlive: on\nCOMMAND [2] B;h\nGET hosts\nLimit: 1\n\n";
    for piece in 1..=input.len() {
        let steps = run(input, piece, false);
        let kinds: Vec<(Kind, &[u8])> = steps
            .iter()
            .map(|step| match step {
                Step::Complete(request) => (request.kind, request.bytes.as_slice()),
                other => panic!("{other:?}"),
            })
            .collect();
        let a = [b"COMMAND [1] A;h\n\n", HEARTBEAT].concat();
        let b = [b"COMMAND [2] B;h\n\n", HEARTBEAT].concat();
        let get: &[u8] = b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
        assert_eq!(
            kinds,
            [
                (Kind::Command, a.as_slice()),
                (Kind::Command, b.as_slice()),
                (Kind::Get, get)
            ]
        );
    }
}

#[test]
fn a_query_that_waits_is_known_by_its_headers() {
    let ms = |millis| Some(Duration::from_millis(millis));
    for (headers, want) in [
        (
            "WaitTrigger: check\nWaitTimeout: 2000\n",
            Kind::Wait(ms(2000)),
        ),
        (
            "WaitTimeout:7\nWaitObject: h\nWaitCondition: state = 0\n",
            Kind::Wait(ms(7)),
        ),
        ("WaitTrigger: all\n", Kind::Wait(None)),
        (
            "WaitTrigger: all\nWaitTimeout: 5\nWaitTimeout: 0\n",
            Kind::Wait(None),
        ),
        ("WaitTrigger: all\nWaitTimeout: soon\n", Kind::Wait(None)),
        ("WaitTimeout: 2000\n", Kind::Get),
    ] {
        let input = format!("GET hosts\n{headers}\nGET hosts\n\n");
        let kinds: Vec<Kind> = run(input.as_bytes(), 1000, false)
            .iter()
            .map(|step| match step {
                Step::Complete(request) => request.kind,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(kinds, [want, Kind::Get], "{headers:?}");
    }
}

#[test]
fn a_limit_for_waiting_stands_behind_the_clients_own() {
    let Step::Complete(mut request) = run(
        b"GET hosts\nWaitTrigger: all\nWaitTimeout: 9000\n\n",
        1000,
        false,
    )
    .remove(0) else {
        panic!("not complete")
    };
    request.limit_wait(Duration::from_millis(1));
    assert!(
        request
            .bytes
            .ends_with(b"WaitTimeout: 9000\nWaitTimeout: 1\n\n")
    );
}

#[test]
fn a_command_needs_no_empty_line() {
    assert_eq!(run(b"COMMAND [1] A;h\n", 5, true).len(), 2);
}

#[test]
fn other_verbs_are_refused_at_their_first_line() {
    for verb in ["LOGROTATE", "get hosts", "GET", "GET \t", "COMMAND", "x"] {
        let input = format!("{verb}\nKeepAlive: on\n");
        assert_eq!(
            run(input.as_bytes(), 1000, false)[0],
            Step::Faulty(Fault::UnknownVerb, Style::default()),
            "{verb}"
        );
    }
}

#[test]
fn a_bare_name_of_our_headers_does_not_reach_the_site() {
    let input = b"GET hosts\nResponseHeader\nKeepAlive\nCache\nLimit: 1\n\n";
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
    assert_eq!(run(input, 1000, false), [get(want, false, false)]);
}

#[test]
fn a_zero_byte_cannot_smuggle_a_second_request() {
    for input in [
        &b"GET hosts\n\0\nCOMMAND [1] NOOP\n\n"[..],
        b"GET hosts\nFilter: name = a\0b\n\n",
        b"COMMAND [1] NO\0OP\n",
    ] {
        let steps = run(input, 1000, false);
        assert_eq!(steps[0], Step::Faulty(Fault::ZeroByte, Style::default()));
    }
}

/// Most clients write `ResponseHeader` last.
#[test]
fn a_request_that_is_too_large_is_read_to_its_end_to_learn_how_to_tell() {
    let long = [
        b"GET hosts\n".as_slice(),
        &b"Filter: name = x\n".repeat(400),
        b"ResponseHeader: fixed16\n\n",
    ]
    .concat();
    let style = Style {
        fixed16: true,
        keep_alive: false,
    };
    for piece in [1, 7, 10_000] {
        let mut framer = Framer::default();
        let mut seen = Vec::new();
        let mut most_held = 0;
        for mut chunk in long.chunks(piece) {
            seen.push(framer.feed(&mut chunk, 4000));
            most_held = most_held.max(framer.held());
        }
        let last = seen.pop().unwrap();
        assert_eq!(last, Step::Faulty(Fault::TooLarge(4000), style), "{piece}");
        assert!(seen.iter().all(|step| *step == Step::More));
        assert!(most_held <= 4000, "{most_held}");
    }
}

#[test]
fn white_space_between_requests_makes_no_request_too_large() {
    let blanks = " ".repeat(300);
    for before in ["COMMAND [1] A;h", "GET hosts\n"] {
        let input = format!("{before}\n{blanks}\nGET hosts\n\n");
        for piece in [1, 7, 1000] {
            let mut framer = Framer::default();
            let mut steps = Vec::new();
            for mut chunk in input.as_bytes().chunks(piece) {
                while !chunk.is_empty() {
                    steps.push(framer.feed(&mut chunk, 200));
                }
            }
            steps.retain(|step| *step != Step::More);
            let complete = |step: &Step| matches!(step, Step::Complete(_));
            assert!(steps.len() == 2 && steps.iter().all(complete), "{steps:?}");
        }
    }
}

#[test]
fn a_fault_is_told_in_the_style_of_the_last_request() {
    let mut framer = Framer::default();
    let mut first = &b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n"[..];
    assert!(matches!(framer.feed(&mut first, LIMIT), Step::Complete(_)));
    let Step::Faulty(Fault::UnknownVerb, style) = framer.feed(&mut &b"X\n"[..], LIMIT) else {
        panic!("not refused")
    };
    assert!(style.fixed16);
}

#[test]
fn a_line_is_bounded() {
    let line = vec![b'x'; MAX_LINE + 1];
    let mut framer = Framer::default();
    assert_eq!(
        framer.feed(&mut line.as_slice(), usize::MAX),
        Step::Faulty(Fault::LineTooLong, Style::default())
    );
}

#[test]
fn what_is_held_is_counted_and_given_back() {
    let mut framer = Framer::default();
    framer.feed(&mut b"GET hosts\nLim".as_slice(), LIMIT);
    assert!(framer.is_pending());
    assert!(framer.held() >= 13);
    framer.feed(&mut b"it: 1\n\n".as_slice(), LIMIT);
    assert!(!framer.is_pending());
    assert_eq!(framer.held(), 0);
}

#[test]
fn every_fault_has_its_status_and_its_words() {
    for (fault, code, text) in [
        (
            Fault::TooLarge(4000),
            413,
            "Request is larger than 4000 bytes",
        ),
        (
            Fault::LineTooLong,
            400,
            "A line of the request is longer than 1048576 bytes",
        ),
        (
            Fault::CutShort,
            400,
            "Client connection terminated while request still incomplete",
        ),
        (Fault::UnknownVerb, 400, "Invalid request method"),
        (Fault::ZeroByte, 400, "Request has a zero byte in it"),
    ] {
        assert_eq!((fault.code(), fault.text().as_str()), (code, text));
    }
}

#[test]
fn a_line_may_be_just_as_long_as_the_bound() {
    let longest = [&b"GET "[..], &vec![b'x'; MAX_LINE - 4]].concat();
    let too_long = [&longest[..], b"x"].concat();
    let faulty = Step::Faulty(Fault::LineTooLong, Style::default());
    for (line, is_taken) in [(longest, true), (too_long, false)] {
        let whole = [line.as_slice(), b"\n\n"].concat();
        for pieces in [vec![&whole[..]], vec![&line[..], b"\n\n"]] {
            let mut framer = Framer::default();
            let steps: Vec<Step> = pieces
                .into_iter()
                .map(|mut piece| framer.feed(&mut piece, usize::MAX))
                .collect();
            match is_taken {
                true => assert!(matches!(steps.last(), Some(Step::Complete(_)))),
                false => assert_eq!(steps[0], faulty),
            }
        }
    }
}

/// The limit is for the request as it goes to the site, without its empty line.
#[test]
fn a_request_may_be_just_as_large_as_the_limit() {
    let rewritten = |lines: &str| lines.len() + OUR_HEADERS.len();
    for (input, size) in [
        ("GET hosts\n\n", rewritten("GET hosts\n")),
        (
            "GET hosts\nLimit: 1\nFilter: name = x\nKeepAlive: on\n\n",
            rewritten("GET hosts\nLimit: 1\nFilter: name = x\n"),
        ),
        ("COMMAND [1] A;h\n", "COMMAND [1] A;h".len()),
    ] {
        let step = |limit| Framer::default().feed(&mut input.as_bytes(), limit);
        assert!(matches!(step(size), Step::Complete(_)), "{input:?}");
        let too_large = Fault::TooLarge(size - 1);
        assert!(
            matches!(step(size - 1), Step::Faulty(fault, _) if fault == too_large),
            "{input:?}"
        );
    }
}

#[test]
fn what_was_read_of_a_request_is_let_go_as_soon_as_it_is_too_large() {
    let mut framer = Framer::default();
    let lines = b"GET hosts\nFilter: name = x\nLimit: 1\n".to_vec();
    assert_eq!(framer.feed(&mut &lines[..], 200), Step::More);
    let line = vec![b'x'; 200 - framer.held()];
    assert_eq!(framer.feed(&mut &line[..], 200), Step::More);
    assert_eq!(framer.held(), 200, "it may just be");
    assert_eq!(framer.feed(&mut &b"x"[..], 200), Step::More);
    assert_eq!(framer.held(), line.len() + 1, "only the line is left");

    let mut framer = Framer::default();
    assert_eq!(framer.feed(&mut &lines[..], 200), Step::More);
    assert_eq!(framer.feed(&mut &[b'x'; 190][..], 200), Step::More);
    assert_eq!(framer.held(), 190);
}

#[test]
fn a_request_is_pending_from_its_first_byte_to_its_last() {
    let mut framer = Framer::default();
    for (mut piece, pending) in [
        (&b""[..], false),
        (b"G", true),
        (b"ET hosts\n", true),
        (b"Limit: 1", true),
        (b"\n", true),
        (b"\n", false),
        (b"COMMAND [1] A;h\n", false),
        (b"\n", false),
    ] {
        framer.feed(&mut piece, LIMIT);
        assert_eq!(framer.is_pending(), pending);
    }
}

/// The line's memory serves for the next one, so that a client that dribbles
/// costs no allocation a line.
#[test]
fn an_idle_client_keeps_no_memory_for_a_line_and_a_waiting_one_none_for_a_long_one() {
    for (filter, stays) in [(40, true), (4000, false)] {
        for verb in ["GET hosts\nFilter: name = ", "COMMAND [1] "] {
            let text = format!("{verb}{}\n\n", "x".repeat(filter));
            let mut framer = Framer::default();
            let (one, two) = text.as_bytes().split_at(text.len() - 5);
            assert_eq!(framer.feed(&mut &one[..], LIMIT), Step::More);
            assert!(framer.line.capacity() > 0);
            let step = framer.feed(&mut &two[..], LIMIT);
            assert!(matches!(step, Step::Complete(_)));
            assert_eq!(framer.line.capacity() > 0, stays, "{verb}");
            framer.shrink();
            assert_eq!(framer.line.capacity(), 0);
        }
    }
    let mut framer = Framer::default();
    framer.feed(&mut &b"GET ho"[..], LIMIT);
    framer.shrink();
    let step = framer.feed(&mut &b"sts\n\n"[..], LIMIT);
    let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    assert_eq!(step, get(want, false, false), "what has begun is not lost");
}

#[test]
fn a_client_that_has_ended_its_request_by_closing_keeps_no_long_line_either() {
    let mut framer = Framer::default();
    let line = [b"GET hosts\nFilter: name = ", &[b'x'; 4000][..]].concat();
    framer.feed(&mut &line[..], LIMIT);
    framer.feed(&mut &b"\n"[..], LIMIT);
    assert!(matches!(framer.end(), Step::Complete(_)));
    assert_eq!(framer.line.capacity(), 0);
}
