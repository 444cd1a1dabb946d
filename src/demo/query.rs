//! One request into one response: commands, the header lines of a query, and the errors of both.
//! Must not know sockets, nor what the tables hold.

use super::invent::Site;
use super::render::{self, Format, Style};
use super::select::{self, Condition, Operator, Problem, Selection, Step};
use super::tables;

/// Most columns of one query, repeated ones counted. The widest table has about thirty; without a limit, a megabyte of
/// `Columns` lines would ask for a response hundreds of times its size.
const MAX_COLUMNS: usize = 256;

/// What a request leads to.
#[derive(Debug)]
pub(super) struct Response {
    /// To be written as it is; empty after commands.
    pub(super) bytes: Vec<u8>,
    /// Whether the client may send a further request.
    pub(super) keep: bool,
}

/// A query as asked for, before its table is known to exist.
#[derive(Debug, Default)]
struct Query {
    table: String,
    columns: Vec<String>,
    filter: Vec<Step<Condition>>,
    /// Results that the filter so far leaves on its stack, for `And` and `Or` to take from.
    results: usize,
    limit: Option<usize>,
    style: Style,
    fixed16: bool,
    keep_alive: bool,
}

/// Carries out the commands at the head of a request and answers the query in it. `now` is in seconds since the epoch.
pub(super) fn respond(site: &Site, now: i64, lines: &[String]) -> Response {
    let mut rest = lines;
    let mut commanded = false;
    while let [first, others @ ..] = rest {
        if let Some(command) = first.strip_prefix("COMMAND ") {
            site.command(command);
            commanded = true;
        } else if let Some(table) = asked_table(first) {
            return answer(site, now, table, others);
        } else if !commanded {
            return Response {
                bytes: b"Invalid request method\n".to_vec(),
                keep: false,
            };
        }
        // Header lines after a command are sent by some scripts and mean nothing.
        rest = others;
    }
    Response {
        bytes: Vec::new(),
        keep: true,
    }
}

/// The name behind `GET`, empty when there is none; `None` for another verb.
fn asked_table(line: &str) -> Option<&str> {
    let name = line.strip_prefix("GET")?;
    (name.is_empty() || name.starts_with(' ')).then(|| name.trim_start())
}

fn answer(site: &Site, now: i64, table: &str, headers: &[String]) -> Response {
    let mut query = Query {
        table: table.to_owned(),
        ..Query::default()
    };
    let mut problem = None;
    // Every line is read although one is wrong: the frame of the error may be asked for behind it.
    for line in headers {
        if let Err(found) = query.header(line) {
            problem.get_or_insert(found);
        }
    }
    let outcome = match problem {
        Some(problem) => Err(problem),
        None => query.select(site, now),
    };
    let (status, body) = match outcome {
        Ok(selection) => (200, render::body(&query.style, &selection)),
        Err(problem) => (problem.status, format!("{}\n", problem.text).into_bytes()),
    };
    let bytes = if query.fixed16 {
        render::framed(status, &body)
    } else {
        body
    };
    Response {
        bytes,
        keep: query.keep_alive,
    }
}

impl Query {
    fn select(&self, site: &Site, now: i64) -> Result<Selection, Problem> {
        let (columns, filter) = (self.columns.as_slice(), self.filter.as_slice());
        let limit = self.limit.unwrap_or(usize::MAX);
        match self.table.as_str() {
            "status" => select::select(&tables::status(site), columns, filter, limit),
            "hosts" => select::select(&tables::hosts(site, now), columns, filter, limit),
            "services" => select::select(&tables::services(site, now), columns, filter, limit),
            "" => Err(Problem {
                status: 452,
                text: "Invalid GET request, the name of a table is missing".to_owned(),
            }),
            other => Err(Problem {
                status: 404,
                text: format!("Table '{other}' does not exist"),
            }),
        }
    }

    fn header(&mut self, line: &str) -> Result<(), Problem> {
        let undefined = || Problem::bad(format!("Undefined request header '{line}'"));
        let (name, value) = line.split_once(':').ok_or_else(undefined)?;
        let value = value.trim_start();
        match name {
            "Columns" => self.add_columns(value)?,
            "Filter" => {
                self.filter.push(Step::Test(condition(value)?));
                self.results += 1;
            }
            "And" => {
                let count = self.take_results(name, value)?;
                self.filter.push(Step::All(count));
            }
            "Or" => {
                let count = self.take_results(name, value)?;
                self.filter.push(Step::Any(count));
            }
            "Limit" => self.limit = Some(number(name, value)?),
            "OutputFormat" => self.style.format = format(value)?,
            "ColumnHeaders" => self.style.headers = Some(on_or_off(name, value)?),
            "Separators" => self.style.separators = separators(value)?,
            "ResponseHeader" => self.fixed16 = choice(name, value, "fixed16", "off")?,
            "KeepAlive" => self.keep_alive = on_or_off(name, value)?,
            // Known to real cores; here every user sees everything, times need no shift, and nothing is worth waiting for.
            "AuthUser"
            | "Localtime"
            | "WaitCondition"
            | "WaitConditionAnd"
            | "WaitConditionOr"
            | "WaitConditionNegate"
            | "WaitObject"
            | "WaitTimeout"
            | "WaitTrigger" => {}
            _ => return Err(undefined()),
        }
        Ok(())
    }

    fn add_columns(&mut self, names: &str) -> Result<(), Problem> {
        let names = names.split_whitespace().map(str::to_owned);
        let room = MAX_COLUMNS - self.columns.len();
        // One above the room, so that too many can be told from just enough.
        let mut names: Vec<String> = names.take(room + 1).collect();
        if names.len() > room {
            return Err(Problem::bad(format!("More than {MAX_COLUMNS} columns")));
        }
        self.columns.append(&mut names);
        Ok(())
    }

    fn take_results(&mut self, name: &str, value: &str) -> Result<usize, Problem> {
        let count: usize = number(name, value)?;
        let left = self.results.checked_sub(count).ok_or_else(|| {
            Problem::bad(format!(
                "Cannot combine {count} filters with '{name}': only {} are there",
                self.results
            ))
        })?;
        self.results = left + 1;
        Ok(count)
    }
}

fn condition(value: &str) -> Result<Condition, Problem> {
    let malformed = || Problem::bad(format!("Invalid filter '{value}'"));
    let (column, rest) = value.split_once(' ').ok_or_else(malformed)?;
    let rest = rest.trim_start();
    // `Filter: name =` compares with the empty string.
    let (sign, wanted) = rest.split_once(' ').unwrap_or((rest, ""));
    let operator = match sign {
        "=" => Operator::Equal,
        "!=" => Operator::Unequal,
        "<" => Operator::Less,
        "<=" => Operator::AtMost,
        ">" => Operator::Greater,
        ">=" => Operator::AtLeast,
        "~" => Operator::Matches,
        "~~" => Operator::MatchesAnyCase,
        _ => {
            return Err(Problem::bad(format!(
                "Invalid filter operator '{sign}' in '{value}'"
            )));
        }
    };
    Ok(Condition {
        column: column.to_owned(),
        operator,
        value: wanted.trim_start().to_owned(),
    })
}

fn format(value: &str) -> Result<Format, Problem> {
    match value {
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        "python" => Ok(Format::Python),
        "python3" => Ok(Format::Python3),
        _ => Err(invalid("OutputFormat", value)),
    }
}

fn separators(value: &str) -> Result<[u8; 4], Problem> {
    let wrong = || invalid("Separators", value);
    let codes: Result<Vec<u8>, _> = value.split_whitespace().map(str::parse).collect();
    codes.map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

fn number(name: &str, value: &str) -> Result<usize, Problem> {
    value.parse().map_err(|_| invalid(name, value))
}

fn on_or_off(name: &str, value: &str) -> Result<bool, Problem> {
    choice(name, value, "on", "off")
}

fn choice(name: &str, value: &str, yes: &str, no: &str) -> Result<bool, Problem> {
    if value == yes {
        Ok(true)
    } else if value == no {
        Ok(false)
    } else {
        Err(invalid(name, value))
    }
}

fn invalid(name: &str, value: &str) -> Problem {
    Problem::bad(format!("Invalid value '{value}' for header '{name}'"))
}
