//! A view of the sites that is drawn again and again, with rates since the last
//! look. The terminal is given back as it was, however this ends.

use super::Failure;
use super::ask::{Table, table};
use super::connect::Door;
use super::show::{channels_of, now, reason, refused, states, sum, tone, waiting, worst_first};
use super::table::{Cell, Grid, Paint, Sheet, Side, Tone};
use super::words::{ago, bytes, count, span};
use crate::sys::{self, KeyMode};
use std::collections::HashMap;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A terminal that does not say how large it is.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The key Ctrl-C.
const CONTROL_C: u8 = 3;

/// What is counted and shown as a rate.
const RATES: [&str; 3] = ["queries", "bytes_in", "queries_refused"];

/// The terminal while it is ours.
struct Screen {
    _keys: KeyMode,
}

impl Screen {
    fn begin() -> Result<Screen, Failure> {
        let keys = KeyMode::begin(&io::stdin()).map_err(|error| {
            Failure::Failed(format!("top: the terminal: {}", sys::words(&error)))
        })?;
        let screen = Screen { _keys: keys };
        // The other page of the terminal, without a cursor.
        draw("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whether or not this can be seen, the command ends.
        let _ = draw("\x1b[?25h\x1b[?1049l");
    }
}

fn draw(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::Failed(format!("top: the terminal: {}", sys::words(&error))))
}

/// What was counted at one moment, by site.
struct Look {
    at: Instant,
    counted: HashMap<String, [u64; RATES.len()]>,
}

impl Look {
    fn take(sites: &Table) -> Result<Look, Failure> {
        let mut counted = HashMap::new();
        for row in sites.rows() {
            let values = [row.count("queries")?, row.count("bytes_in")?, refused(row)?];
            counted.insert(row.text("name")?, values);
        }
        Ok(Look {
            at: Instant::now(),
            counted,
        })
    }

    /// How many a second of each since an earlier look; nothing for a site that is new.
    fn rates(&self, earlier: Option<&Look>, site: &str) -> Option<[f64; RATES.len()]> {
        let earlier = earlier?;
        let seconds = (self.at - earlier.at).as_secs_f64();
        let (new, old) = (self.counted.get(site)?, earlier.counted.get(site)?);
        if seconds <= 0.0 {
            return None;
        }
        let mut rates = [0.0; RATES.len()];
        for ((rate, new), old) in rates.iter_mut().zip(new).zip(old) {
            // Less than before: another process counts now.
            *rate = new.saturating_sub(*old) as f64 / seconds;
        }
        Some(rates)
    }
}

/// Shows the sites until q or Ctrl-C is pressed.
pub fn run(door: &Door, interval: Duration) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top: needs a terminal; elsewhere take sites or metrics".into(),
        ));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))
            .map_err(|error| Failure::Failed(sys::words(&error)))?;
    }
    // Only so that waiting ends: the next picture asks for the size.
    signal_hook::flag::register(libc::SIGWINCH, Arc::new(AtomicBool::new(false)))
        .map_err(|error| Failure::Failed(sys::words(&error)))?;
    // A daemon that does not run at all is told in the usual way.
    table(door, "status", "")?;
    let screen = Screen::begin()?;
    let mut last = None;
    while !is_over.load(Ordering::Relaxed) {
        let (width, height) = sys::terminal_size(&io::stdout()).unwrap_or(USUAL_SIZE);
        let sheet = Sheet {
            width: Some(width),
            ..Sheet::of_output()
        };
        let lines = match picture(door, sheet, &mut last) {
            Ok(lines) => lines,
            // It may come back: a restart must not end this.
            Err(failure) => vec![sheet.paint.tone(&failure.to_string(), Tone::Bad)],
        };
        draw(&page(&lines, height))?;
        if !wait(interval)? {
            break;
        }
    }
    drop(screen);
    Ok(())
}

/// Draws over what is there, so that nothing flickers.
fn page(lines: &[String], height: usize) -> String {
    let mut text = String::from("\x1b[H");
    for (index, line) in lines.iter().take(height).enumerate() {
        if index > 0 {
            text.push_str("\r\n");
        }
        text.push_str(line);
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    text
}

/// Waits for the next look; false if it is not to come. Any other key looks at once.
fn wait(time: Duration) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::Failed(sys::words(&error));
    let input = io::stdin();
    match sys::await_input(&input, time) {
        Ok(false) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(failed(error)),
        Ok(true) => {
            let mut keys = [0; 64];
            let count = input.lock().read(&mut keys).map_err(failed)?;
            let is_end = |key: &u8| matches!(*key, b'q' | b'Q' | CONTROL_C);
            Ok(count > 0 && !keys[..count].iter().any(is_end))
        }
    }
}

fn picture(door: &Door, sheet: Sheet, last: &mut Option<Look>) -> Result<Vec<String>, Failure> {
    let daemon = table(door, "status", "")?;
    let sites = table(door, "sites", "")?;
    let look = Look::take(&sites)?;
    let lines = drawn(&daemon, &sites, &look, last.as_ref(), sheet);
    *last = Some(look);
    lines
}

fn drawn(
    daemon: &Table,
    sites: &Table,
    look: &Look,
    last: Option<&Look>,
    sheet: Sheet,
) -> Result<Vec<String>, Failure> {
    let row = daemon.only()?;
    let now = now(row)?;
    let mut total = [0.0; RATES.len()];
    let mut grid = Grid::new(&[
        ("SITE", Side::Left),
        ("STATE", Side::Left),
        ("SINCE", Side::Right),
        ("CHANNELS", Side::Right),
        ("CLIENTS", Side::Right),
        ("WAITING", Side::Right),
        ("QUERIES/S", Side::Right),
        ("REFUSED/S", Side::Right),
        ("IN/S", Side::Right),
        ("P90", Side::Right),
        ("REASON", Side::Left),
    ]);
    for row in worst_first(sites)? {
        let (name, state) = (row.text("name")?, row.text("state")?);
        let rates = look.rates(last, &name);
        let shown = rates.unwrap_or_default();
        for (sum, rate) in total.iter_mut().zip(shown) {
            *sum += rate;
        }
        let [queries, arrived, refused] = shown;
        let known = |text: String| if rates.is_some() { text } else { "-".into() };
        grid.push(vec![
            name.into(),
            Cell::toned(state.as_str(), tone(&state)),
            ago(row.number("since")?, now).into(),
            channels_of(row)?.into(),
            count(row.count("clients")?).into(),
            waiting(row)?,
            known(format!("{queries:.1}")).into(),
            known(format!("{refused:.1}")).into(),
            known(bytes(arrived)).into(),
            span(row.number("response_time_p90")?).into(),
            reason(row)?.into(),
        ]);
    }
    let [queries, arrived, refused] = total;
    let plain = Sheet {
        paint: Paint::No,
        ..sheet
    };
    let mut lines = vec![
        cut(
            format!(
                "{}, up {}   memory {} of {}   q ends",
                row.text("program_version")?,
                ago(row.number("program_start")?, now),
                bytes(row.number("response_memory")?),
                bytes(row.number("response_memory_limit")?)
            ),
            plain,
        ),
        format!("sites {}", states(sites, sheet.paint)?),
        cut(
            format!(
                "queries {queries:.1}/s, refused {refused:.1}/s, in {}/s   clients {}, {} waiting",
                bytes(arrived),
                count(sum(sites, "clients")?),
                count(sum(sites, "waiting")?)
            ),
            plain,
        ),
    ];
    let error = row.text("config_error")?;
    if !error.is_empty() {
        let text = cut(format!("configuration: {error}"), plain);
        lines.push(sheet.paint.tone(&text, Tone::Bad));
    }
    lines.push(String::new());
    lines.extend(grid.lines(sheet));
    Ok(lines)
}

fn cut(line: String, sheet: Sheet) -> String {
    match sheet.width {
        Some(width) => line.chars().take(width).collect(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: Instant, queries: u64) -> Look {
        Look {
            at,
            counted: HashMap::from([("muc".into(), [queries, 0, 0])]),
        }
    }

    #[test]
    fn a_rate_is_what_was_added_by_the_second() {
        let start = Instant::now();
        let first = look(start, 100);
        let second = look(start + Duration::from_secs(2), 150);
        assert_eq!(second.rates(Some(&first), "muc").unwrap()[0], 25.0);
        assert_eq!(second.rates(None, "muc"), None);
        assert_eq!(second.rates(Some(&first), "new"), None);
        // After a restart everything begins anew.
        let third = look(start + Duration::from_secs(4), 10);
        assert_eq!(third.rates(Some(&second), "muc").unwrap()[0], 0.0);
    }

    #[test]
    fn a_page_has_no_more_lines_than_the_terminal() {
        let lines: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        assert_eq!(page(&lines, 24).matches("\r\n").count(), 23);
    }
}
