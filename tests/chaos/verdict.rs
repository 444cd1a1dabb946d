//! Judges what a client got for a query: its own answer, a refusal that is about its own site, or
//! something that must not be.

/// What sites write in place of an answer.
pub const RAW: &[u8] = b"CHAOS-RAW: no answer\n";

/// What sites write on an idle channel without being asked.
pub const BABBLE: &[u8] = b"x";

/// By so much a site may announce more than it sends.
pub const MOST_LIED: usize = 1_000;

/// Part of everything that sites write in place of an answer.
const RAW_MARK: &str = "CHAOS-RAW";

/// From this size on an answer may be passed on while it comes, and be cut.
const WINDOW: usize = 1 << 20;

/// What a refusal begins with that stands in place of the answer behind a command.
const COMMAND_BEFORE: &str = "Command before this query ";

/// What came of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole right answer.
    Right,
    /// A refusal about the right site.
    Refused,
    /// The command before it was not delivered.
    CommandFailed {
        /// Whether it may have been all the same.
        maybe: bool,
    },
    /// The beginning of a long answer.
    Cut,
}

/// A query and its right answer.
#[derive(Debug)]
pub struct Query {
    /// The site that is asked.
    pub site: &'static str,
    /// What is sent, without the empty line.
    pub request: Vec<u8>,
    /// The status of the right answer.
    pub code: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether it may get a time limit for waiting from the proxy, which the answer then repeats.
    pub waits: bool,
    /// Whether its client takes its time, so that the answer may end early.
    pub slow: bool,
}

impl Query {
    /// Judges a framed answer.
    pub fn judge(&self, code: u16, body: &[u8]) -> Result<Outcome, String> {
        if code == self.code && self.is_right(body) {
            return Ok(Outcome::Right);
        }
        let text = String::from_utf8_lossy(body);
        self.judge_refusal(code, &text)
    }

    /// Judges what came up to the end of file, without a header.
    pub fn judge_bare(&self, bytes: &[u8]) -> Result<Outcome, String> {
        if self.is_right(bytes) {
            return Ok(Outcome::Right);
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            if let Some(text) = text.strip_prefix("502: ") {
                return self.judge_refusal(502, text);
            }
            if text.contains(RAW_MARK) {
                return self.judge_refusal(400, text);
            }
        }
        self.judge_cut(bytes)
    }

    /// Judges the beginning of an answer behind which the connection ended.
    pub fn judge_cut(&self, body: &[u8]) -> Result<Outcome, String> {
        let may_be = self.slow || self.body.len() >= WINDOW;
        let is_part = !body.is_empty() && self.body.starts_with(body);
        if may_be && (is_part || self.is_filled_up(body)) {
            return Ok(Outcome::Cut);
        }
        let (all, mut pairs) = (self.body.len(), self.body.iter().zip(body));
        let place = pairs.position(|(right, found)| right != found);
        Err(format!(
            "an end; of {all} bytes, wrong at {place:?}: {}",
            shown(body)
        ))
    }

    /// A site that announces too much and then babbles has answered with what it babbles.
    fn is_filled_up(&self, body: &[u8]) -> bool {
        let babbled = |byte: &u8| RAW.contains(byte) || BABBLE.contains(byte);
        let filled = body.strip_prefix(self.body.as_slice());
        filled.is_some_and(|more| more.len() <= MOST_LIED && more.iter().all(babbled))
    }

    fn is_right(&self, body: &[u8]) -> bool {
        if body == self.body || self.is_filled_up(body) {
            return true;
        }
        // The proxy's limit is the last line before the empty one, once for each time it was sent.
        let behind = body
            .strip_prefix(&self.body[..self.body.len().saturating_sub(1)])
            .and_then(|rest| std::str::from_utf8(rest).ok()?.strip_suffix("\n\n"));
        let is_limit = |line: &str| {
            let limit = line.strip_prefix("WaitTimeout: ");
            limit.is_some_and(|limit| limit.parse::<u64>().is_ok())
        };
        self.waits && behind.is_some_and(|lines| lines.split('\n').all(is_limit))
    }

    fn judge_refusal(&self, code: u16, text: &str) -> Result<Outcome, String> {
        let wrong = || Err(format!("{code}, {}", shown(text.as_bytes())));
        if code == 400 {
            return match text.contains(RAW_MARK) {
                true => Ok(Outcome::Refused),
                false => wrong(),
            };
        }
        if code != 502 || !text.ends_with('\n') {
            return wrong();
        }
        let (why, command) = match text.strip_prefix(COMMAND_BEFORE) {
            None => (text, None),
            Some(rest) => match rest.split_once(": ") {
                Some(("was not delivered", why)) => (why, Some(false)),
                Some(("may not have been delivered", why)) => (why, Some(true)),
                _ => return wrong(),
            },
        };
        match (is_about(self.site, why), command) {
            (false, _) => wrong(),
            (true, None) => Ok(Outcome::Refused),
            (true, Some(maybe)) => Ok(Outcome::CommandFailed { maybe }),
        }
    }
}

/// Whether a refusal of the proxy is about this site.
pub fn is_about(site: &str, text: &str) -> bool {
    text.starts_with(&format!("Site {site} "))
        || text.starts_with(&format!("Site {site}: "))
        || (text.starts_with("All ") && text.contains(&format!("(site {site}, waited ")))
        || text.starts_with(&format!("Too many clients of site {site}"))
        || text.starts_with("Too many clients of all sites")
        || text.starts_with("The proxy is being stopped")
}

/// As much as the longest refusal.
const SHOWN: usize = 200;

/// The first bytes, for a message.
pub fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(SHOWN)];
    format!("{} bytes: \"{}\"", bytes.len(), start.escape_ascii())
}
