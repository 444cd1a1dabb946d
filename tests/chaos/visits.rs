//! The kinds of clients.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use crate::book::{MARK, Told};
use crate::town::House;
use crate::verdict::{Outcome, is_about, shown};
use crate::visitor::{Manner, Visitor, read_bare, read_framed};

/// Kept and framed, as GUIs ask.
const GUI: Manner = Manner {
    framed: true,
    kept: true,
    waits: false,
    slow: false,
};

/// The largest answer asked for.
const LARGEST: u64 = 4_000_000;

/// A pause that lets a query's time pass.
const LONG_PAUSE: Duration = Duration::from_secs(8);

impl Visitor<'_> {
    /// One client's whole life. The error is what must not be.
    pub fn visit(&mut self, house: &House) -> Result<(), String> {
        match self.random.below(20) {
            0..=4 => self.ask_kept(house),
            5..=7 => self.ask_once(house),
            8 => self.ask_bare(house, false),
            9 => self.ask_bare(house, true),
            10 => self.vanish(house),
            11 => self.read_slowly(house),
            12 => self.ask_many_at_once(house),
            13 => self.ask_byte_by_byte(house),
            14 => self.wait(house),
            15 => self.talk_nonsense(house),
            16 => self.command_and_close(house),
            17 => self.command_and_listen(house),
            _ => self.command_and_ask(house),
        }
    }

    /// Small ones mostly.
    fn some_size(&mut self) -> u64 {
        match self.random.below(10) {
            0 => 1 + self.random.below(LARGEST),
            1 | 2 => 1 + self.random.below(100_000),
            _ => 0,
        }
    }

    fn ask_kept(&mut self, house: &House) -> Result<(), String> {
        let mut stream = None;
        for _ in 0..1 + self.random.below(20) {
            let headers = match self.random.below(10) {
                0 => format!("Test-Delay: {}\n", self.random.below(500)),
                1 if self.random.chance(20) => "Test-Hold: on\n".to_owned(),
                _ => String::new(),
            };
            let size = self.some_size();
            let mut query = self.query(house, GUI, &headers, size);
            query.request.push(b'\n');
            if stream.is_none() {
                stream = self.connect(house)?;
            }
            let Some(open) = &stream else { return Ok(()) };
            if !self.write(open, &query.request) {
                stream = None;
                continue;
            }
            let outcome = read_framed(open, &query, || {})?;
            self.note(&outcome);
            if outcome == Outcome::Cut {
                stream = None;
            }
        }
        Ok(())
    }

    fn ask_once(&mut self, house: &House) -> Result<(), String> {
        let manner = Manner { kept: false, ..GUI };
        let size = self.some_size();
        let mut query = self.query(house, manner, "", size);
        query.request.push(b'\n');
        let Some(stream) = self.send(house, &query.request)? else {
            return Ok(());
        };
        let outcome = read_framed(&stream, &query, || {})?;
        self.note(&outcome);
        let rest = read_bare(&stream)?;
        match rest.is_empty() {
            true => Ok(()),
            false => Err(format!("behind the answer: {}", shown(&rest))),
        }
    }

    fn ask_bare(&mut self, house: &House, half_closes: bool) -> Result<(), String> {
        let size = self.some_size();
        let mut query = self.query(house, Manner::default(), "", size);
        if !half_closes {
            query.request.push(b'\n');
        }
        let Some(stream) = self.send(house, &query.request)? else {
            return Ok(());
        };
        if half_closes {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let outcome = query.judge_bare(&read_bare(&stream)?)?;
        self.note(&outcome);
        Ok(())
    }

    /// Goes at any point.
    fn vanish(&mut self, house: &House) -> Result<(), String> {
        let size = self.some_size();
        let mut query = self.query(house, GUI, "", size);
        query.request.push(b'\n');
        let Some(mut stream) = self.connect(house)? else {
            return Ok(());
        };
        let sent = match self.random.chance(50) {
            true => query.request.len(),
            false => self.random.below(query.request.len() as u64) as usize,
        };
        if !self.write(&stream, &query.request[..sent]) {
            return Ok(());
        }
        if sent == query.request.len() && self.random.chance(50) {
            let _ = stream.read(&mut [0; 100]);
        }
        self.book.count("vanished");
        Ok(())
    }

    fn read_slowly(&mut self, house: &House) -> Result<(), String> {
        let manner = Manner { slow: true, ..GUI };
        let size = 1 + self.random.below(LARGEST);
        let mut query = self.query(house, manner, "", size);
        query.request.push(b'\n');
        let Some(stream) = self.send(house, &query.request)? else {
            return Ok(());
        };
        let pause = match self.random.chance(10) {
            true => LONG_PAUSE,
            false => Duration::from_millis(self.random.below(20)),
        };
        let first = std::cell::Cell::new(true);
        let outcome = read_framed(&stream, &query, || {
            if pause < LONG_PAUSE || first.replace(false) {
                std::thread::sleep(pause);
            }
        })?;
        self.note(&outcome);
        Ok(())
    }

    fn ask_many_at_once(&mut self, house: &House) -> Result<(), String> {
        let mut queries = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..2 + self.random.below(5) {
            let size = self.some_size();
            let query = self.query(house, GUI, "", size);
            bytes.extend_from_slice(&query.request);
            bytes.push(b'\n');
            queries.push(query);
        }
        let Some(stream) = self.send(house, &bytes)? else {
            return Ok(());
        };
        for query in &queries {
            let outcome = read_framed(&stream, query, || {})?;
            self.note(&outcome);
            if outcome == Outcome::Cut {
                break;
            }
        }
        Ok(())
    }

    fn ask_byte_by_byte(&mut self, house: &House) -> Result<(), String> {
        let mut query = self.query(house, GUI, "", 0);
        query.request.push(b'\n');
        let Some(stream) = self.connect(house)? else {
            return Ok(());
        };
        let length = 1 + self.random.below(20) as usize;
        for piece in query.request.chunks(length) {
            if !self.write(&stream, piece) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let outcome = read_framed(&stream, &query, || {})?;
        self.note(&outcome);
        Ok(())
    }

    fn wait(&mut self, house: &House) -> Result<(), String> {
        let manner = Manner { waits: true, ..GUI };
        let limit = 1 + self.random.below(2_000);
        let headers = format!("WaitTrigger: all\nWaitTimeout: {limit}\n");
        let mut query = self.query(house, manner, &headers, 0);
        query.request.push(b'\n');
        let Some(stream) = self.send(house, &query.request)? else {
            return Ok(());
        };
        if self.random.chance(20) {
            self.book.count("vanished from a wait");
            return Ok(());
        }
        let outcome = read_framed(&stream, &query, || {})?;
        self.note(&outcome);
        Ok(())
    }

    fn talk_nonsense(&mut self, house: &House) -> Result<(), String> {
        let Some(stream) = self.send(house, b"LOGROTATE\nKeepAlive: on\n\n")? else {
            return Ok(());
        };
        let answer = read_bare(&stream)?;
        self.book.count("nonsense");
        match answer == b"Invalid request method\n" {
            true => Ok(()),
            false => Err(format!("to nonsense: {}", shown(&answer))),
        }
    }

    fn command(&mut self, house: &House) -> String {
        let visit = self.name_visit();
        format!("COMMAND [1] {MARK}{};{visit}", house.name)
    }

    /// As NagVis does.
    fn command_and_close(&mut self, house: &House) -> Result<(), String> {
        let line = self.command(house);
        let Some(stream) = self.connect(house)? else {
            return Ok(());
        };
        if self.write(&stream, format!("{line}\n").as_bytes()) {
            drop(stream);
            self.book.sent(house.name, line, Told::Nothing);
        }
        Ok(())
    }

    /// As Thruk does.
    fn command_and_listen(&mut self, house: &House) -> Result<(), String> {
        let line = self.command(house);
        let Some(stream) = self.send(house, format!("{line}\n\n").as_bytes())? else {
            return Ok(());
        };
        let _ = stream.shutdown(Shutdown::Write);
        let answer = read_bare(&stream);
        let told = match &answer {
            Ok(bytes) if bytes.is_empty() => Told::Delivered,
            // Which of the two it is stands in the log.
            Ok(_) => Told::Unknown,
            Err(_) => Told::Nothing,
        };
        self.book.sent(house.name, line, told);
        let answer = String::from_utf8_lossy(&answer?).into_owned();
        let is_right = answer.is_empty()
            || answer
                .strip_prefix("502: ")
                .is_some_and(|text| is_about(house.name, text));
        match is_right {
            true => Ok(()),
            false => Err(format!("to a command: {answer:?}")),
        }
    }

    /// As Checkmk's GUI does.
    fn command_and_ask(&mut self, house: &House) -> Result<(), String> {
        let line = self.command(house);
        let mut query = self.query(house, GUI, "", 0);
        query.request.push(b'\n');
        let Some(stream) = self.send(house, format!("{line}\n\n").as_bytes())? else {
            return Ok(());
        };
        if !self.write(&stream, &query.request) {
            self.book.sent(house.name, line, Told::Nothing);
            return Ok(());
        }
        let outcome = read_framed(&stream, &query, || {});
        let told = match &outcome {
            Ok(Outcome::CommandFailed { maybe: false }) => Told::NotDelivered,
            Ok(Outcome::CommandFailed { maybe: true }) => Told::Unknown,
            Ok(_) => Told::Delivered,
            Err(_) => Told::Nothing,
        };
        self.book.sent(house.name, line, told);
        self.note(&outcome?);
        Ok(())
    }
}
