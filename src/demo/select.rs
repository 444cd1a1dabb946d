//! Which rows and columns of a table a query gets: columns by name, filters as a stack, the limit.
//! Must not know which tables there are, nor how a result is written.

/// Why a query is refused, as its status and one line of text without a line feed.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Problem {
    /// Status 400, what real cores answer to nearly every mistake in a header.
    pub(super) fn bad(text: String) -> Problem {
        Problem { status: 400, text }
    }
}

/// The value of one column in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    List(Vec<String>),
}

/// How a column is read from a row.
#[derive(Debug)]
pub(super) enum Get<R> {
    Int(fn(&R) -> i64),
    Text(fn(&R) -> String),
    List(fn(&R) -> Vec<String>),
}

/// A named column of rows of type `R`.
#[derive(Debug)]
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    pub(super) get: Get<R>,
}

/// A table of one moment.
#[derive(Debug)]
pub(super) struct Table<R> {
    pub(super) columns: Vec<Column<R>>,
    pub(super) rows: Vec<R>,
}

/// What is sent back.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) names: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Whether the client left the choice of columns to the site.
    pub(super) all_columns: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Matches,
    MatchesAnyCase,
}

/// One `Filter` line.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) column: String,
    pub(super) operator: Operator,
    pub(super) value: String,
}

/// One step of a filter. The steps run over a stack of results, and a row passes when all that is left there holds. A tree would
/// have to be walked by recursion, as deep as a client likes.
#[derive(Debug)]
pub(super) enum Step<T> {
    Test(T),
    /// Replaces the last so many results by whether all hold.
    All(usize),
    /// Replaces the last so many results by whether one holds.
    Any(usize),
}

/// A condition whose column is found and whose value fits it.
enum Test<R> {
    Int(fn(&R) -> i64, Operator, i64),
    Text(fn(&R) -> String, Operator, String),
    List(fn(&R) -> Vec<String>, Operator, String),
}

/// Picks from a table. No named columns mean all of them.
///
/// # Errors
/// Status 400 for a column that the table does not have, and for a condition that does not suit its column.
pub(super) fn select<R>(
    table: &Table<R>,
    columns: &[String],
    filter: &[Step<Condition>],
    limit: usize,
) -> Result<Selection, Problem> {
    let chosen: Vec<&Column<R>> = if columns.is_empty() {
        table.columns.iter().collect()
    } else {
        let found = columns.iter().map(|name| table.column(name));
        found.collect::<Result<_, _>>()?
    };
    let filter = filter.iter().map(|step| match step {
        Step::Test(condition) => table.test(condition).map(Step::Test),
        Step::All(count) => Ok(Step::All(*count)),
        Step::Any(count) => Ok(Step::Any(*count)),
    });
    let filter: Vec<Step<Test<R>>> = filter.collect::<Result<_, _>>()?;
    let passing = table.rows.iter().filter(|row| passes(&filter, row));
    let rows = passing
        .take(limit)
        .map(|row| chosen.iter().map(|column| column.get.value(row)).collect());
    Ok(Selection {
        names: chosen.iter().map(|column| column.name).collect(),
        rows: rows.collect(),
        all_columns: columns.is_empty(),
    })
}

impl<R> Get<R> {
    fn value(&self, row: &R) -> Value {
        match self {
            Get::Int(get) => Value::Int(get(row)),
            Get::Text(get) => Value::Text(get(row)),
            Get::List(get) => Value::List(get(row)),
        }
    }
}

impl<R> Table<R> {
    fn column(&self, name: &str) -> Result<&Column<R>, Problem> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| Problem::bad(format!("There is no column '{name}' in this table")))
    }

    fn test(&self, condition: &Condition) -> Result<Test<R>, Problem> {
        let Condition {
            column,
            operator,
            value,
        } = condition;
        let unsuitable =
            || Problem::bad(format!("Filter on column '{column}' cannot use '{value}'"));
        let matches = matches!(operator, Operator::Matches | Operator::MatchesAnyCase);
        match self.column(column)?.get {
            Get::Int(_) if matches => Err(Problem::bad(format!(
                "Column '{column}' is a number and cannot be matched"
            ))),
            Get::Int(get) => {
                let number = value.parse().map_err(|_| unsuitable())?;
                Ok(Test::Int(get, *operator, number))
            }
            Get::Text(get) => Ok(Test::Text(get, *operator, value.clone())),
            Get::List(get) => {
                let fits = match operator {
                    Operator::Equal | Operator::Unequal => value.is_empty(),
                    Operator::AtLeast | Operator::Less => true,
                    Operator::AtMost | Operator::Greater => false,
                    Operator::Matches | Operator::MatchesAnyCase => true,
                };
                let test = || Test::List(get, *operator, value.clone());
                fits.then(test).ok_or_else(unsuitable)
            }
        }
    }
}

fn passes<R>(filter: &[Step<Test<R>>], row: &R) -> bool {
    let mut results: Vec<bool> = Vec::new();
    for step in filter {
        let result = match step {
            Step::Test(test) => test.holds(row),
            Step::All(count) => {
                let first = results.len().saturating_sub(*count);
                results.drain(first..).all(|held| held)
            }
            Step::Any(count) => {
                let first = results.len().saturating_sub(*count);
                results.drain(first..).any(|held| held)
            }
        };
        results.push(result);
    }
    results.into_iter().all(|held| held)
}

impl<R> Test<R> {
    fn holds(&self, row: &R) -> bool {
        match self {
            Test::Int(get, operator, wanted) => compare(*operator, &get(row), wanted),
            Test::Text(get, operator, wanted) => text_holds(*operator, &get(row), wanted),
            Test::List(get, operator, wanted) => list_holds(*operator, &get(row), wanted),
        }
    }
}

/// Order alone; a match never gets here.
fn compare<T: Ord + ?Sized>(operator: Operator, value: &T, wanted: &T) -> bool {
    match operator {
        Operator::Equal => value == wanted,
        Operator::Unequal => value != wanted,
        Operator::Less => value < wanted,
        Operator::AtMost => value <= wanted,
        Operator::Greater => value > wanted,
        Operator::AtLeast => value >= wanted,
        Operator::Matches | Operator::MatchesAnyCase => false,
    }
}

fn text_holds(operator: Operator, text: &str, wanted: &str) -> bool {
    match operator {
        Operator::Matches => matches(text, wanted),
        Operator::MatchesAnyCase => matches(&text.to_lowercase(), &wanted.to_lowercase()),
        _ => compare(operator, text, wanted),
    }
}

/// The operators on a list are Livestatus's own: `>=` is "contains", `<` is "does not contain", `=` and `!=` compare with the
/// empty list, and a match asks for one member.
fn list_holds(operator: Operator, list: &[String], wanted: &str) -> bool {
    match operator {
        Operator::Equal => list.is_empty(),
        Operator::Unequal => !list.is_empty(),
        Operator::AtLeast => list.iter().any(|member| member == wanted),
        Operator::Less => !list.iter().any(|member| member == wanted),
        _ => list
            .iter()
            .any(|member| text_holds(operator, member, wanted)),
    }
}

/// Real cores take a regular expression; here it is a plain substring that `^` ties to the start and `$` to the end.
fn matches(text: &str, pattern: &str) -> bool {
    let (pattern, at_start) = match pattern.strip_prefix('^') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let (pattern, at_end) = match pattern.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    match (at_start, at_end) {
        (true, true) => text == pattern,
        (true, false) => text.starts_with(pattern),
        (false, true) => text.ends_with(pattern),
        (false, false) => text.contains(pattern),
    }
}
