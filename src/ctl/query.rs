//! A question to a site, over its own socket: what any client would get.

use super::ask::{MOST_TEXT, OK, command, header, told};
use super::connect::{Door, broken};
use super::{Failure, print};
use crate::sys;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::time::Duration;

/// How long an answer may take. The daemon gives up before: an endless wait query
/// lives for ten minutes.
const PATIENCE: Duration = Duration::from_secs(660);

/// The most that is read of a query from standard input; the daemon takes no more by default.
const MOST_INPUT: u64 = 16 << 20;

/// Asks, and copies the response to standard output.
pub fn query(
    door: &Door,
    site: &str,
    lines: &[String],
    format: Option<String>,
) -> Result<(), Failure> {
    let lines = match lines.is_empty() {
        true => input()?,
        false => lines.join("\n"),
    };
    let (request, is_command) = request(&lines, format.as_deref())?;
    let mut stream = door.connect_site(site, PATIENCE)?;
    if is_command {
        return command(stream, &request, PATIENCE);
    }
    let failed = |error| broken(&error, PATIENCE);
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let (code, length) = header(&mut stream, PATIENCE)?;
    if code != OK {
        let mut text = Vec::new();
        stream
            .take(length.min(MOST_TEXT))
            .read_to_end(&mut text)
            .map_err(failed)?;
        return Err(match text.is_empty() {
            true => Failure::Failed(format!("the site answered {code}")),
            false => told(&text),
        });
    }
    let mut body = stream.take(length);
    let mut output = io::stdout().lock();
    match io::copy(&mut body, &mut output).and_then(|_| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(broken(&error, PATIENCE)),
        Ok(()) if body.limit() > 0 => Err(Failure::Failed(format!(
            "the connection was closed {} bytes before the end of the response",
            body.limit()
        ))),
        Ok(()) => print(""),
    }
}

fn input() -> Result<String, Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        eprintln!("liveproxyctl: the query, line by line; an empty line ends it");
    }
    let mut text = String::new();
    let mut limited = input.lock().take(MOST_INPUT);
    loop {
        let before = text.len();
        let read = limited.read_line(&mut text);
        let count = read.map_err(|error| {
            Failure::Failed(format!("cannot read the query: {}", sys::words(&error)))
        })?;
        if count == 0 || text[before..].trim().is_empty() {
            return Ok(text);
        }
    }
}

/// The request to send, and whether it is a command.
fn request(lines: &str, format: Option<&str>) -> Result<(String, bool), Failure> {
    let mut kept: Vec<&str> = Vec::new();
    for line in lines.lines().map(str::trim_end) {
        let name = line.split(':').next().unwrap_or(line);
        // An empty line would end the request, and what frames the response is ours.
        let is_ours = ["ResponseHeader", "KeepAlive"].contains(&name)
            || (name == "OutputFormat" && format.is_some());
        if !line.is_empty() && !is_ours {
            kept.push(line);
        }
    }
    match kept.first() {
        Some(line) if line.starts_with("COMMAND ") => {
            Ok((format!("{}\n\n", kept.join("\n")), true))
        }
        Some(line) if line.starts_with("GET ") => {
            let mut request = kept.join("\n");
            if let Some(format) = format {
                request.push_str(&format!("\nOutputFormat: {format}"));
            }
            request.push_str("\nResponseHeader: fixed16\n\n");
            Ok((request, false))
        }
        _ => Err(Failure::Usage(
            "query: a query begins with 'GET ' or 'COMMAND '".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_framed_once_and_ends_where_it_should() {
        let lines = "GET hosts\nKeepAlive: on\nColumns: name\r\n\nOutputFormat: csv\n";
        let (text, is_command) = request(lines, Some("json")).unwrap();
        assert_eq!(
            text,
            "GET hosts\nColumns: name\nOutputFormat: json\nResponseHeader: fixed16\n\n"
        );
        assert!(!is_command);
        let (text, is_command) = request("COMMAND [1] A;b\n", None).unwrap();
        assert_eq!((text.as_str(), is_command), ("COMMAND [1] A;b\n\n", true));
        assert!(request("", None).is_err() && request("hosts", None).is_err());
    }
}
