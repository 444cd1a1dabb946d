//! Tests that need more than one part of the configuration: statements as Python understands them, and the files
//! found in the field.
#![allow(clippy::unwrap_used)]

mod field;
mod sites;
mod statements;
mod values;

use super::{Config, Problem, Source, Surroundings, Variables, read, read_variables};

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        local_core: "/omd/sites/x/tmp/run/live".into(),
        socket_dir: "/omd/sites/x/tmp/run/liveproxy".into(),
    }
}

pub(super) fn config(text: &str) -> Config {
    read(&[Source::new("a.mk", text)], &surroundings()).unwrap()
}

fn variables(text: &str) -> Result<Variables, Problem> {
    read_variables(&[Source::new("a.mk", text)])
}

/// The value of `x` after the statements, or what is wrong with them.
fn dumped(text: &str) -> Result<String, String> {
    match variables(text) {
        Ok(variables) => Ok(variables.get("x").unwrap().value.dump()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// What is wrong with the statements.
fn message(text: &str) -> String {
    match variables(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problem) => problem.to_string(),
    }
}

pub(super) fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Names and defaults in the README's table whose first column has this name.
pub(super) fn rows_of_readme(first: &str) -> Vec<(String, String)> {
    let readme = include_str!("../../../README.md");
    let head = format!("| {first} | default | meaning |");
    let table = readme.lines().skip_while(|line| *line != head).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
        let mut cells = line
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ', '`']));
        let mut next = || cells.next().unwrap().to_string();
        (next(), next())
    });
    rows.collect()
}

/// A configuration with neither errors nor warnings.
pub(super) fn clean(text: &str) -> Config {
    let config = config(text);
    assert_eq!(lines(&config.errors), [""; 0]);
    assert_eq!(lines(&config.warnings), [""; 0]);
    config
}
