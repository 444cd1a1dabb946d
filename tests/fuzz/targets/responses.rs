//! Framing of responses: however the bytes are cut, the outcome is that of a slow reading of
//! everything that has come so far.

use liveproxyd::proto::response::{
    Collector, Defect, Frame, HEADER_LEN, Header, Short, own, shown,
};

use super::cut;

pub const WORDS: &[&str] = &[
    "200           0\n",
    "200           6\n",
    "200          11\n1795197901\n",
    "404          27\n",
    "400          37\n",
    "400: Unknown command 'X'\n",
    "452: ",
    "200 99999999999\n",
    "No UNIX socket /omd existing\n",
    "          ",
];

/// No short response is longer.
const LONGEST_SHORT: usize = 64 * 1024;

/// The first byte chooses what is read, the second one the pieces; all others come from the site.
pub fn run(input: &[u8]) {
    let [what, pieces, sent @ ..] = input else {
        return;
    };
    match what % 4 {
        0 | 1 => frame(sent, *pieces),
        2 => short(sent, *pieces, *what >= 128),
        _ => ours(sent, *pieces),
    }
}

/// A response that is passed on, as it should be understood from all of its bytes.
fn understood(bytes: &[u8]) -> Result<Option<(Header, &[u8])>, Defect> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    for (place, byte) in bytes.iter().take(15).enumerate() {
        let fits = match place {
            0..3 => is_digit(*byte),
            3 => *byte == b' ',
            _ => is_digit(*byte) || *byte == b' ',
        };
        if !fits {
            return Err(Defect::NotAHeader);
        }
    }
    let Some((head, body)) = bytes.split_at_checked(HEADER_LEN) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&head[..15]).unwrap();
    // Flush right, so there are blanks in front only.
    let length = text[4..].trim_start_matches(' ');
    let (Ok(status), Ok(length)) = (text[..3].parse(), length.parse::<u64>()) else {
        return Err(Defect::NotAHeader);
    };
    if body.len() as u64 > length {
        return Err(Defect::Surplus);
    }
    Ok(Some((Header { status, length }, body)))
}

fn frame(sent: &[u8], pieces: u8) {
    let mut frame = Frame::default();
    let (mut body, mut come, mut began) = (Vec::new(), 0, 0);
    for piece in cut(sent, pieces) {
        come += piece.len();
        let so_far = &sent[..come];
        let found = frame.take(piece);
        match (found, understood(so_far)) {
            (Err(found), Err(wanted)) => {
                assert_eq!(found, wanted);
                return;
            }
            (Ok(found), Ok(wanted)) => {
                body.extend_from_slice(found.body);
                began += usize::from(found.began.is_some());
                let (header, whole) = match wanted {
                    Some((header, body)) => (Some(header), body),
                    None => (None, &[][..]),
                };
                assert_eq!(frame.header(), header);
                assert_eq!(body, whole);
                assert_eq!(began, usize::from(header.is_some()));
                let left = header.map(|header| header.length - whole.len() as u64);
                assert_eq!(frame.left(), left);
                assert_eq!(found.done, left == Some(0));
                assert_eq!(frame.head(), &so_far[..come.min(HEADER_LEN)]);
            }
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
    }
}

/// Lines with which a command is refused, and what follows them; nothing while the last of these
/// lines has no end.
fn without_refusals(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let all = bytes.len();
    while let [a, b, c, b':', ..] = bytes
        && [a, b, c].iter().all(|byte| byte.is_ascii_digit())
    {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        bytes = &bytes[end + 1..];
    }
    Some((all - bytes.len(), bytes))
}

fn short_understood(bytes: &[u8], behind_command: bool) -> Result<Option<Short>, Defect> {
    if bytes.len() > LONGEST_SHORT {
        return Err(Defect::Surplus);
    }
    let (refusal, rest) = match behind_command {
        false => (0, bytes),
        true => match without_refusals(bytes) {
            Some(parts) => parts,
            None => return Ok(None),
        },
    };
    let Some((header, body)) = understood(rest)? else {
        return Ok(None);
    };
    Ok((body.len() as u64 == header.length).then(|| Short {
        refusal: bytes[..refusal].to_vec(),
        header,
        body: body.to_vec(),
    }))
}

fn short(sent: &[u8], pieces: u8, behind_command: bool) {
    let mut collector = Collector::default();
    let mut come = 0;
    for piece in cut(sent, pieces) {
        come += piece.len();
        let found = collector.take(piece, behind_command);
        let wanted = short_understood(&sent[..come], behind_command);
        assert_eq!(found, wanted);
        assert_eq!(collector.bytes(), &sent[..come]);
        if !matches!(found, Ok(None)) {
            return;
        }
        let refused = collector.refusal();
        assert!(sent.starts_with(refused) && (refused.is_empty() || refused.ends_with(b"\n")));
    }
}

/// What we say ourselves is always one line and a response, whatever we repeat of others.
fn ours(sent: &[u8], code: u8) {
    let line = shown(sent);
    assert!(!line.contains(char::is_control));
    let code = 400 + u16::from(code);
    let text = String::from_utf8_lossy(sent);
    let framed = own(code, &text, true);
    let Ok(Some((header, body))) = understood(&framed) else {
        panic!("not a response: {}", framed.escape_ascii());
    };
    assert_eq!((header.status, header.length), (code, body.len() as u64));
    let bare = own(code, &text, false);
    assert_eq!(bare, [format!("{code}: ").as_bytes(), body].concat());
    let body = std::str::from_utf8(body).unwrap();
    let line = body.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_control), "{line:?}");
}
