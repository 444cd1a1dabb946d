//! Questions to the daemon and orders for it, in Livestatus. Answers are JSON,
//! because it keeps numbers, texts and lists apart whatever stands in them.

use super::connect::{Door, PATIENCE, broken};
use super::{Failure, words};
use crate::sys;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The most that is taken for an answer: twenty thousand clients have a tenth of it.
const MOST_BYTES: u64 = 128 << 20;

/// The most that is taken for the text of an error.
pub const MOST_TEXT: u64 = 64 << 10;

/// Bytes of a fixed16 header.
const HEADER: usize = 16;

/// The status of an answer that is what was asked for.
pub const OK: u16 = 200;

/// A table as the daemon shows it: all of its columns, so that each command
/// takes what it needs.
#[derive(Debug)]
pub struct Table {
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    values: &'a [Value],
}

/// Asks for all columns of a table. `headers` are further lines, such as filters.
pub fn table(door: &Door, name: &'static str, headers: &str) -> Result<Table, Failure> {
    let mut stream = door.connect()?;
    let request = format!(
        "GET {name}\nResponseHeader: fixed16\nOutputFormat: json\nColumnHeaders: on\n{headers}\n"
    );
    let failed = |error| broken(&error, PATIENCE);
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let (code, length) = header(&mut stream, PATIENCE)?;
    if length > MOST_BYTES {
        return Err(Failure::Failed(format!(
            "liveproxyd announces an answer of {length} bytes"
        )));
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).map_err(failed)?;
    if (body.len() as u64) < length {
        return Err(Failure::Failed(
            "liveproxyd closed the connection within its answer".into(),
        ));
    }
    match code {
        OK => Table::read(name, &body),
        _ => Err(Failure::Failed(format!(
            "liveproxyd refused the question: {}",
            words::line(&String::from_utf8_lossy(&body))
        ))),
    }
}

/// Reads the 16 bytes before an answer: its status and length. Text that
/// stands there instead is the error that is returned.
pub fn header(stream: &mut impl Read, patience: Duration) -> Result<(u16, u64), Failure> {
    let mut header = Vec::new();
    let mut start = stream.take(HEADER as u64);
    start
        .read_to_end(&mut header)
        .map_err(|error| broken(&error, patience))?;
    let text = String::from_utf8_lossy(&header).into_owned();
    let parts = text.get(..3).zip(text.get(3..));
    let numbers = parts
        .and_then(|(code, length)| Some((code.parse().ok()?, length.trim().parse::<u64>().ok()?)));
    if let Some(numbers) = numbers.filter(|_| header.len() == HEADER) {
        return Ok(numbers);
    }
    let mut rest = Vec::new();
    let _ = stream.take(MOST_TEXT).read_to_end(&mut rest);
    header.extend(rest);
    Err(match header.as_slice() {
        [] => Failure::Failed("liveproxyd closed the connection without an answer".into()),
        text => told(text),
    })
}

/// Gives an order. There is no answer on the wire: what the daemon says before
/// it closes is an error.
pub fn order(door: &Door, order: &str) -> Result<(), Failure> {
    let now = sys::since_epoch().as_secs();
    let line = format!("COMMAND [{now}] {order}\n\n");
    command(door.connect()?, &line, PATIENCE)
}

/// Sends a command. What is said before the end is the error that is returned.
pub fn command(mut stream: UnixStream, command: &str, patience: Duration) -> Result<(), Failure> {
    let failed = |error| broken(&error, patience);
    stream.write_all(command.as_bytes()).map_err(failed)?;
    // Whoever is gone already has closed it too.
    let _ = stream.shutdown(Shutdown::Write);
    let mut text = Vec::new();
    stream
        .take(MOST_TEXT)
        .read_to_end(&mut text)
        .map_err(failed)?;
    match text.as_slice() {
        [] => Ok(()),
        text => Err(told(text)),
    }
}

/// The error that the other side tells of in words.
pub fn told(text: &[u8]) -> Failure {
    Failure::Failed(words::line(&String::from_utf8_lossy(text)))
}

impl Table {
    fn read(name: &'static str, body: &[u8]) -> Result<Table, Failure> {
        let wrong = |what: &str| {
            Failure::Failed(format!("liveproxyd's table {name} cannot be read: {what}"))
        };
        // Whatever the daemon took from the network, a table of it is to be seen.
        let text = String::from_utf8_lossy(body);
        let lines: Vec<Vec<Value>> = match serde_json::from_str(&text) {
            Ok(Value::Array(lines)) => lines
                .into_iter()
                .map(|line| match line {
                    Value::Array(values) => Ok(values),
                    _ => Err(wrong("a row is not a list")),
                })
                .collect::<Result<_, _>>()?,
            Ok(_) => return Err(wrong("not a list")),
            Err(error) => return Err(wrong(&error.to_string())),
        };
        let mut lines = lines.into_iter();
        let columns: Vec<String> = lines
            .next()
            .ok_or_else(|| wrong("without the names of its columns"))?
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(wrong("the name of a column is not a text")),
            })
            .collect::<Result<_, _>>()?;
        let rows: Vec<Vec<Value>> = lines.collect();
        if rows.iter().any(|row| row.len() != columns.len()) {
            return Err(wrong("a row has not as many values as there are columns"));
        }
        Ok(Table {
            name,
            columns,
            rows,
        })
    }

    /// Its rows, in the daemon's order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row {
            table: self,
            values,
        })
    }

    /// The only row of a table like `status`.
    pub fn only(&self) -> Result<Row<'_>, Failure> {
        let wrong = || Failure::Failed(format!("liveproxyd's table {} is empty", self.name));
        self.rows().next().ok_or_else(wrong)
    }

    /// An array of objects. The order of the columns stays.
    pub fn json(&self) -> String {
        let rows: Vec<String> = self.rows().map(|row| row.json()).collect();
        match rows.as_slice() {
            [] => "[]\n".into(),
            rows => format!("[\n{}\n]\n", rows.join(",\n")),
        }
    }

    /// Leaves only the rows that hold.
    pub fn keep(
        &mut self,
        mut holds: impl FnMut(Row<'_>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let kept: Vec<bool> = self.rows().map(&mut holds).collect::<Result<_, _>>()?;
        let mut kept = kept.into_iter();
        self.rows.retain(|_| kept.next().unwrap_or_default());
        Ok(())
    }
}

impl<'a> Row<'a> {
    /// An object of all columns, on one line.
    pub fn json(self) -> String {
        let fields: Vec<String> = self
            .table
            .columns
            .iter()
            .zip(self.values)
            .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }

    /// The value, if there is such a column.
    pub fn find(self, column: &str) -> Option<&'a Value> {
        let index = self.table.columns.iter().position(|name| name == column)?;
        self.values.get(index)
    }

    fn value<T>(
        self,
        column: &str,
        kind: &str,
        taken: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let name = self.table.name;
        let hint = "is the daemon of another version than liveproxyctl?";
        let value = self.find(column).ok_or_else(|| {
            Failure::Failed(format!(
                "liveproxyd's table {name} has no column {column}; {hint}"
            ))
        })?;
        taken(value).ok_or_else(|| {
            Failure::Failed(format!(
                "liveproxyd's column {name}.{column} is no {kind}: {value}; {hint}"
            ))
        })
    }

    /// A text. Never holds control characters, whatever the daemon has been told.
    pub fn text(self, column: &str) -> Result<String, Failure> {
        self.value(column, "text", Value::as_str).map(words::line)
    }

    /// A number.
    pub fn number(self, column: &str) -> Result<f64, Failure> {
        self.value(column, "number", Value::as_f64)
    }

    /// A number of things.
    pub fn count(self, column: &str) -> Result<u64, Failure> {
        self.value(column, "number of things", Value::as_u64)
    }

    /// A list of numbers of things.
    pub fn counts(self, column: &str) -> Result<Vec<u64>, Failure> {
        let taken = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect();
        self.value(column, "list of numbers", taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_written_with_its_columns_in_order() {
        let body = br#"[["name","b","a"],["m\"uc",1,[1,2]],["x\ny",2.5,[]]]"#;
        let table = Table::read("sites", body).unwrap();
        let rows: Vec<Row<'_>> = table.rows().collect();
        assert_eq!(rows[0].text("name").unwrap(), "m\"uc");
        assert_eq!(rows[0].counts("a").unwrap(), [1, 2]);
        assert_eq!(rows[1].number("b").unwrap(), 2.5);
        // A line of output is never broken.
        assert_eq!(rows[1].text("name").unwrap(), "x y");
        assert_eq!(
            table.json(),
            "[\n{\"name\": \"m\\\"uc\", \"b\": 1, \"a\": [1,2]},\n\
             {\"name\": \"x\\ny\", \"b\": 2.5, \"a\": []}\n]\n"
        );
    }

    #[test]
    fn a_table_that_is_none_is_told() {
        for (body, words) in [
            (&b""[..], "EOF"),
            (b"[]", "names of its columns"),
            (b"{}", "not a list"),
            (b"[1]", "a row is not"),
            (b"[[1]]", "name of a column"),
            (b"[[\"a\"],[1,2]]", "as many values"),
        ] {
            let Err(Failure::Failed(text)) = Table::read("sites", body) else {
                panic!("{body:?} was read");
            };
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_or_of_another_kind_is_told() {
        let table = Table::read("sites", br#"[["name"],["muc"]]"#).unwrap();
        let row = table.only().unwrap();
        let told = |result: Result<f64, Failure>| result.unwrap_err().to_string();
        assert!(told(row.number("state")).contains("no column state"));
        assert!(told(row.number("name")).contains("sites.name is no number: \"muc\""));
        assert!(row.count("name").is_err() && row.counts("name").is_err());
    }

    #[test]
    fn a_header_is_code_and_length_and_other_text_is_an_error() {
        let read = |bytes: &[u8]| header(&mut &*bytes, PATIENCE);
        assert_eq!(read(b"200          12\n..."), Ok((200, 12)));
        for (bytes, text) in [
            (
                &b"400: Table x does not exist\n"[..],
                "400: Table x does not exist",
            ),
            (b"200 ", "200"),
            (b"", "liveproxyd closed the connection without an answer"),
            (b"200 12 12 12 12 12", "200 12 12 12 12 12"),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                "\u{fffd}",
            ),
        ] {
            let Err(Failure::Failed(found)) = read(bytes) else {
                panic!("{bytes:?} was a header");
            };
            assert!(found.starts_with(text), "{found}");
        }
    }
}
