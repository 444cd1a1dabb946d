//! Reads a request's lines: which table, which headers. Knows no columns;
//! names are looked up when it is known whose they are.

use super::{Fault, shown};

/// Most headers of a request. A long one of `Negate` would otherwise become a
/// filter so deep that to evaluate it overflows the stack.
pub(super) const MAX_HEADERS: usize = 1_000;
/// Most columns that are read out of a request; no table has as many.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// A header that is understood.
#[derive(Debug, Clone, Copy)]
pub struct DeclaredHeader {
    /// Its name, without the colon.
    pub name: &'static str,
    /// A value that it takes.
    pub example: &'static str,
    /// What it does, as a sentence.
    pub meaning: &'static str,
}

macro_rules! headers {
    ($($name:literal $example:literal $meaning:literal)*) => {
        /// All headers that are understood.
        pub const HEADERS: &[DeclaredHeader] = &[
            $(DeclaredHeader { name: $name, example: $example, meaning: $meaning },)*
        ];
    };
}

headers! {
    "Columns" "name state" "The columns of the answer; several such headers add up. Without it there are all columns, and a line of their names in front."
    "Filter" "state = ready" "Only rows for which this holds: a column, an operator, a value. All filters must hold."
    "And" "2" "Makes one filter of the last ones, for which all of them must hold."
    "Or" "2" "Makes one filter of the last ones, for which one of them must hold."
    "Negate" "" "Turns the last filter round."
    "Stats" "state = ready" "Counts the rows for which this holds, or computes `sum`, `min`, `max` or `avg` of a column, as in `sum queries`. With `Columns`, for each group of rows that agree in them."
    "StatsAnd" "2" "As And, for the last ones of Stats."
    "StatsOr" "2" "As Or, for the last ones of Stats."
    "StatsNegate" "" "As Negate, for the last one of Stats."
    "StatsGroupBy" "state" "An old name of Columns."
    "OrderBy" "name desc" "Sorts by this column, `asc` or `desc`; a further one counts among equals."
    "Sort" "name asc" "The same, as Naemon calls it."
    "Limit" "10" "No more lines than this."
    "Offset" "0" "Leaves out so many lines at the beginning."
    "OutputFormat" "json" "One of csv (which it is without this header), json, python, python3."
    "ColumnHeaders" "on" "Whether a line with the names of the columns stands in front."
    "Separators" "10 59 44 124" "For csv: the codes of the bytes behind a line, between columns, between the elements of a list, and one for other servers' tables."
    "ResponseHeader" "fixed16" "As everywhere in Livestatus."
    "KeepAlive" "on" "As everywhere in Livestatus."
    "AuthUser" "admin" "Has no effect; who may connect may see everything."
    "Localtime" "1795198323" "Has no effect."
    "Timelimit" "10" "Has no effect; no query takes long."
    "WaitTrigger" "all" "Has no effect: nothing is waited for."
    "WaitObject" "muc" "Has no effect."
    "WaitCondition" "state = ready" "Has no effect."
    "WaitConditionAnd" "2" "Has no effect."
    "WaitConditionOr" "2" "Has no effect."
    "WaitConditionNegate" "" "Has no effect."
    "WaitTimeout" "2000" "Has no effect."
}

/// A request, read.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) filters: Vec<Step>,
    pub(super) stats: Vec<Step>,
    pub(super) sorts: Vec<Sort>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    pub(super) format: Format,
    pub(super) column_headers: Option<bool>,
    pub(super) separators: Separators,
}

/// A line that makes filters, in the order of the request: they are a stack.
#[derive(Debug)]
pub(super) enum Step {
    Compare {
        column: String,
        operator: String,
        value: String,
    },
    Compute(Computation, String),
    And(usize),
    Or(usize),
    Negate,
}

/// What can be computed of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Computation {
    Sum,
    Min,
    Max,
    Average,
}

#[derive(Debug)]
pub(super) struct Sort {
    pub(super) column: String,
    pub(super) descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Csv,
    Json,
    /// Both versions of Python read the same literals.
    Python,
}

/// Bytes between the parts of csv.
#[derive(Debug, Clone, Copy)]
pub(super) struct Separators {
    pub(super) line: u8,
    pub(super) column: u8,
    pub(super) element: u8,
}

impl Default for Separators {
    fn default() -> Self {
        Separators {
            line: b'\n',
            column: b';',
            element: b',',
        }
    }
}

impl Query {
    /// Reads a request up to its empty line.
    pub(super) fn read(request: &[u8]) -> Result<Query, Fault> {
        let text = String::from_utf8_lossy(request);
        let mut lines = text.split('\n').map(str::trim_end);
        let first = lines.next().unwrap_or_default();
        let Some(table) = first.strip_prefix("GET ") else {
            return Err(invalid("Invalid request method".into()));
        };
        let mut query = Query {
            table: table.trim().to_string(),
            ..Query::default()
        };
        for (number, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
            if number >= MAX_HEADERS {
                return Err(Fault::TooMuch("more headers than anybody needs"));
            }
            query.header(line)?;
        }
        Ok(query)
    }

    fn header(&mut self, line: &str) -> Result<(), Fault> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        match name {
            "Columns" | "StatsGroupBy" => self.add_columns(value)?,
            "Filter" => self.filters.push(comparison(line, value)?),
            "And" => self.filters.push(Step::And(count(line, value)?)),
            "Or" => self.filters.push(Step::Or(count(line, value)?)),
            "Negate" => self.filters.push(Step::Negate),
            "Stats" => self.stats.push(stat(line, value)?),
            "StatsAnd" => self.stats.push(Step::And(count(line, value)?)),
            "StatsOr" => self.stats.push(Step::Or(count(line, value)?)),
            "StatsNegate" => self.stats.push(Step::Negate),
            "OrderBy" | "Sort" => self.sorts.push(sort(line, value)?),
            "Limit" => self.limit = Some(count(line, value)?),
            "Offset" => self.offset = count(line, value)?,
            "OutputFormat" => self.format = format(line, value)?,
            "ColumnHeaders" => self.column_headers = Some(truth(line, value)?),
            "Separators" => self.separators = separators(line, value)?,
            // The caller has seen to the first two; the others mean nothing here.
            "ResponseHeader"
            | "KeepAlive"
            | "AuthUser"
            | "Localtime"
            | "Timelimit"
            | "WaitTrigger"
            | "WaitObject"
            | "WaitCondition"
            | "WaitConditionAnd"
            | "WaitConditionOr"
            | "WaitConditionNegate"
            | "WaitTimeout" => {}
            _ => return Err(invalid(format!("Unknown header '{}'", shown(line)))),
        }
        Ok(())
    }

    fn add_columns(&mut self, value: &str) -> Result<(), Fault> {
        for name in value.split_ascii_whitespace() {
            if self.columns.len() >= MAX_COLUMNS {
                return Err(Fault::TooMuch("more columns than anybody needs"));
            }
            self.columns.push(name.to_string());
        }
        Ok(())
    }
}

fn invalid(text: String) -> Fault {
    Fault::Invalid(text)
}

fn wrong(line: &str, wanted: &str) -> Fault {
    invalid(format!("{}: {wanted}", shown(line)))
}

/// A column, an operator and a value, which may hold blanks or be empty.
fn comparison(line: &str, value: &str) -> Result<Step, Fault> {
    let (column, rest) = word(value);
    let (operator, value) = word(rest);
    match operator.is_empty() {
        true => Err(wrong(line, "a column, an operator and a value are needed")),
        false => Ok(Step::Compare {
            column: column.to_string(),
            operator: operator.to_string(),
            value: value.to_string(),
        }),
    }
}

/// The first word, and what stands behind the white space after it.
fn word(text: &str) -> (&str, &str) {
    match text.split_once(|letter: char| letter.is_ascii_whitespace()) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn stat(line: &str, value: &str) -> Result<Step, Fault> {
    let (first, rest) = word(value);
    let computation = match first {
        "sum" => Computation::Sum,
        "min" => Computation::Min,
        "max" => Computation::Max,
        "avg" => Computation::Average,
        "std" | "suminv" | "avginv" => {
            return Err(wrong(line, "only sum, min, max and avg are computed"));
        }
        _ => return comparison(line, value),
    };
    Ok(Step::Compute(computation, rest.to_string()))
}

fn count(line: &str, value: &str) -> Result<usize, Fault> {
    value
        .parse()
        .map_err(|_| wrong(line, "a number that is not negative is needed"))
}

fn truth(line: &str, value: &str) -> Result<bool, Fault> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong(line, "it is either on or off")),
    }
}

fn format(line: &str, value: &str) -> Result<Format, Fault> {
    match value {
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        "python" | "python3" => Ok(Format::Python),
        _ => Err(wrong(line, "the formats are csv, json, python and python3")),
    }
}

fn sort(line: &str, value: &str) -> Result<Sort, Fault> {
    let (column, direction) = word(value);
    let descending = match direction {
        "" | "asc" => false,
        "desc" => true,
        _ => return Err(wrong(line, "the direction is asc or desc")),
    };
    Ok(Sort {
        column: column.to_string(),
        descending,
    })
}

fn separators(line: &str, value: &str) -> Result<Separators, Fault> {
    let mut separators = Separators::default();
    let mut unused = 0;
    for (number, code) in value.split_ascii_whitespace().enumerate() {
        let place = match number {
            0 => &mut separators.line,
            1 => &mut separators.column,
            2 => &mut separators.element,
            _ => &mut unused,
        };
        *place = code
            .parse()
            .map_err(|_| wrong(line, "codes of bytes from 0 to 255 are needed"))?;
    }
    Ok(separators)
}
