//! How responses are told from what is none, and where they end.

use super::*;

#[test]
fn a_header_is_read_strictly_except_for_its_last_byte() {
    let good = |status, length| Some(Header { status, length });
    for (bytes, want) in [
        (b"200           6\n", good(200, 6)),
        (b"404          27\n", good(404, 27)),
        (b"200           6!", good(200, 6)),
        (b"200 99999999999\n", good(200, 99_999_999_999)),
        (b"200           0\0", good(200, 0)),
        (b"200            \n", None),
        (b"200        6   \n", None),
        (b"200        6 6 \n", None),
        (b"200         6 6\n", None),
        (b"200          -6\n", None),
        (b"200          +6\n", None),
        (b"200         0x6\n", None),
        (b"20          6  \n", None),
        (b" 20           6\n", None),
        (b"200-          6\n", None),
        (b"400: Unknown co\n", None),
        (b"No UNIX socket /", None),
    ] {
        assert_eq!(Header::parse(bytes), want, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_response_is_found_however_it_is_cut() {
    let bytes = b"200          11\n1795197901\n";
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut frame = Frame::default();
            let (mut body, mut began, mut done) = (Vec::new(), 0, false);
            for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                let piece = frame.take(part).unwrap();
                body.extend_from_slice(piece.body);
                began += usize::from(piece.began.is_some());
                done = piece.done;
            }
            assert_eq!(body, b"1795197901\n");
            assert_eq!((began, done), (1, true));
            assert_eq!(frame.head(), &bytes[..16]);
        }
    }
}

#[test]
fn an_empty_body_is_complete_with_its_header() {
    let mut frame = Frame::default();
    assert!(!frame.take(b"200           0").unwrap().done);
    assert!(frame.take(b"\n").unwrap().done);
    assert_eq!(frame.take(b"x"), Err(Defect::Surplus));
}

#[test]
fn a_refused_command_is_told_from_its_barrier_however_it_is_cut() {
    let answer = b"200          11\n1795197901\n";
    let refused = b"400: Unknown command 'NO_SUCH'\n";
    for refusal in [&b""[..], refused] {
        let bytes = [refusal, answer].concat();
        for cut in 0..bytes.len() {
            let mut collector = Collector::default();
            assert_eq!(collector.take(&bytes[..cut], true), Ok(None), "{cut}");
            let short = collector.take(&bytes[cut..], true).unwrap().unwrap();
            assert_eq!(short.refusal, refusal);
            assert_eq!((short.header.status, short.body.len()), (200, 11));
        }
    }
    assert_eq!(
        Collector::default().take(refused, false),
        Err(Defect::NotAHeader)
    );
}

#[test]
fn a_short_response_is_not_collected_without_end() {
    let mut collector = Collector::default();
    let bytes = vec![b'9'; LONGEST_SHORT + 1];
    assert_eq!(collector.take(&bytes, true), Err(Defect::Surplus));
    let mut collector = Collector::default();
    assert_eq!(collector.take(b"No UNIX", false), Err(Defect::NotAHeader));
}

#[test]
fn what_is_not_a_response_is_told() {
    let mut frame = Frame::default();
    assert_eq!(
        frame.take(b"400: Unknown command 'X'"),
        Err(Defect::NotAHeader)
    );
    assert_eq!(frame.head(), b"400: Unknown com");
    for (bytes, may_be) in [
        (&b"2"[..], true),
        (b"200       ", true),
        (b"40:", false),
        (b"No", false),
        (b"1795207279\n", false),
    ] {
        let mut frame = Frame::default();
        assert_eq!(frame.take(bytes).is_ok(), may_be);
        assert_eq!(frame.may_be_header(), may_be);
    }
    assert_eq!(
        Frame::default().take(b"200           1\nab"),
        Err(Defect::Surplus)
    );
}

#[test]
fn only_three_statuses_leave_a_channel_usable() {
    let usable: Vec<u16> = (0..1000)
        .filter(|status| {
            let header = Header {
                status: *status,
                length: 0,
            };
            header.leaves_channel_in_step()
        })
        .collect();
    assert_eq!(usable, [200, 404, 413]);
}

#[test]
fn our_own_answers_are_framed_as_the_client_asked() {
    let text = "site east: not reachable";
    let framed = own(502, text, true);
    assert_eq!(framed, b"502          25\nsite east: not reachable\n");
    let header = framed.first_chunk().and_then(Header::parse);
    assert_eq!(
        header,
        Some(Header {
            status: 502,
            length: 25
        })
    );
    assert_eq!(own(502, text, false), b"502: site east: not reachable\n");
}

#[test]
fn control_characters_of_a_cause_cannot_break_a_line() {
    assert_eq!(own(502, "a\nb\x1b", false), b"502: a b \n");
}

#[test]
fn what_was_no_response_is_shown_on_one_line_and_not_at_any_length() {
    for (bytes, want) in [
        (&b""[..], ""),
        (b"No UNIX socket /x\n", "No UNIX socket /x"),
        (b"a\nb\x1b[0m\tc  \r\n", "a b [0m c"),
        (b"M\xfcnchen", "M\u{fffd}nchen"),
    ] {
        assert_eq!(shown(bytes), want);
    }
    for (length, want) in [(199, 199), (200, 200), (201, 200), (5000, 200)] {
        assert_eq!(shown(&vec![b'x'; length]).len(), want);
    }
}

#[test]
fn each_byte_tells_whether_it_can_belong_to_a_header() {
    for (bytes, may_be) in [
        (&b"200"[..], true),
        (b"2 0", false),
        (b"200 ", true),
        (b"200:", false),
        (b"2001", false),
        (b"200  1", true),
        (b"200  x", false),
        (b"200           x", false),
        (b"200           1", true),
    ] {
        let mut frame = Frame::default();
        let taken = frame.take(bytes);
        assert_eq!(frame.may_be_header(), may_be, "{}", bytes.escape_ascii());
        assert_eq!(taken.is_ok(), may_be);
    }
}

#[test]
fn a_frame_knows_how_much_is_still_to_come() {
    let mut frame = Frame::default();
    for (bytes, left) in [
        (&b"200    "[..], None),
        (b"      10\nab", Some(8)),
        (b"cdefghi", Some(1)),
        (b"j", Some(0)),
    ] {
        frame.take(bytes).unwrap();
        assert_eq!(frame.left(), left);
        let header = left.map(|_| Header {
            status: 200,
            length: 10,
        });
        assert_eq!(frame.header(), header);
    }
}

#[test]
fn a_short_response_may_have_64_kib_with_all_that_stands_before_it() {
    for (length, fits) in [(65_536, true), (65_537, false)] {
        let bytes = framed(&vec![b'x'; length - HEADER_LEN]);
        let mut collector = Collector::default();
        match (collector.take(&bytes, false), fits) {
            (Ok(Some(short)), true) => assert_eq!(short.body.len(), length - HEADER_LEN),
            (taken, _) => assert_eq!((taken, fits), (Err(Defect::Surplus), false)),
        }
        assert_eq!(collector.bytes().len(), length);
    }
}

/// The barrier's response may never come; what was said of the command counts all the same.
#[test]
fn the_lines_that_refuse_a_command_are_known_before_its_barrier_is_answered() {
    for (bytes, refusal) in [
        (&b""[..], &b""[..]),
        (b"400: Unknown", b""),
        (b"400: Unknown\n", b"400: Unknown\n"),
        (
            b"400: Unknown\n452: Sorry\n200  ",
            b"400: Unknown\n452: Sorry\n",
        ),
        (b"400: Unknown\n452: Sor", b"400: Unknown\n"),
        (b"200           0\n", b""),
        (b"4x0: no\n", b""),
    ] {
        let mut collector = Collector::default();
        let _ = collector.take(bytes, true);
        assert_eq!(collector.refusal(), refusal);
        assert_eq!(collector.bytes(), bytes);
    }
}

#[test]
fn an_answer_of_our_own_site_is_framed_as_the_client_asked() {
    let body = b"a\nb\n".to_vec();
    for (code, fixed16, want) in [
        (200, true, &b"200           4\na\nb\n"[..]),
        (200, false, b"a\nb\n"),
        (404, true, b"404           4\na\nb\n"),
        (404, false, b"404: a b\n"),
    ] {
        assert_eq!(of_own_site(code, body.clone(), fixed16), want);
    }
}
