//! Tests that need more than one part of the configuration: statements as Python understands them, and the files
//! found in the field.
#![allow(clippy::unwrap_used)]

mod field;
mod sites;
mod statements;

use super::{Config, Problem, Source, Surroundings, read};

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        local_core: "/omd/sites/x/tmp/run/live".into(),
        socket_dir: "/omd/sites/x/tmp/run/liveproxy".into(),
    }
}

pub(super) fn config(text: &str) -> Config {
    read(&[Source::new("a.mk", text)], &surroundings()).unwrap()
}

pub(super) fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// A configuration with neither errors nor warnings.
pub(super) fn clean(text: &str) -> Config {
    let config = config(text);
    assert_eq!(lines(&config.errors), [""; 0]);
    assert_eq!(lines(&config.warnings), [""; 0]);
    config
}
