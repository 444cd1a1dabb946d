//! Values as Python understands them: signs, short forms of numbers, names.

use crate::config::{Source, read_variables};

/// The value of `x` after the statements, or what is wrong with them.
fn x(text: &str) -> Result<String, String> {
    match read_variables(&[Source::new("a.mk", text)]) {
        Ok(variables) => Ok(variables.get("x").unwrap().value.dump()),
        Err(problem) => Err(problem.to_string()),
    }
}

#[test]
fn signs_count_as_often_as_they_stand_there() {
    for (text, expected) in [
        ("x = --1", "i1"),
        ("x = -+-1", "i1"),
        ("x = ---1", "i-1"),
        ("x = +True", "i1"),
        ("x = -True", "i-1"),
        ("x = +2.0", "f4000000000000000"),
        ("x = -2.0", "fc000000000000000"),
        ("y = 5; x = +y", "i5"),
        ("y = 5; x = -y", "i-5"),
        ("x = .5", "f3fe0000000000000"),
    ] {
        assert_eq!(x(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn only_names_with_two_underscores_on_both_sides_belong_to_python() {
    for (text, is_read) in [
        ("__y = 2; x = __y", true),
        ("y__ = 2; x = y__", true),
        ("__y__ = 2; x = __y__", false),
    ] {
        assert_eq!(x(text).is_ok(), is_read, "{text}");
    }
}

#[test]
fn what_ends_too_early_is_told_with_the_end_that_it_reached() {
    for (text, part) in [
        ("x = 'a", "before the end of the line; expected '"),
        ("x = \'\'\'a", "before the end of the file; expected \'\'\'"),
        ("x = 1j", "complex numbers are not supported"),
    ] {
        let message = x(text).unwrap_err();
        assert!(message.contains(part), "{text}: {message}");
    }
}
