//! Values as they are written: their short forms, and what is said about those that are not supported.

use super::{dumped, message};

#[test]
fn values_are_those_of_python() {
    for (text, expected) in [
        ("1", "i1"),
        ("-1", "i-1"),
        ("+1", "i1"),
        ("- 1", "i-1"),
        ("9223372036854775807", "i9223372036854775807"),
        ("-9223372036854775808", "i-9223372036854775808"),
        ("+2.0", "f4000000000000000"),
        ("-2.0", "fc000000000000000"),
        (".5", "f3fe0000000000000"),
        ("-1e999", "ffff0000000000000"),
        ("None", "none"),
        ("'a' \"b\" r'\\c'", "s61625c63"),
        ("b'a' b'b'", "b6162"),
        ("()", "(tuple)"),
        ("(1)", "i1"),
        ("((1,))", "(tuple i1)"),
        ("(1, 2,)", "(tuple i1 i2)"),
        ("[]", "(list)"),
        ("[1, [True,],]", "(list i1 (list true))"),
        ("{}", "(dict)"),
        ("{1: 2, 'a': {},}", "(dict i1 i2 s61 (dict))"),
        ("{1: 'a', True: 'b'}", "(dict i1 s62)"),
        ("{(1, 'a'): False}", "(dict (tuple i1 s61) false)"),
        ("{1, 2, 1.0,}", "(set i1 i2)"),
        ("{1}", "(set i1)"),
    ] {
        let found = dumped(&format!("x = {text}"));
        assert_eq!(found.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn unsupported_values_are_named_with_their_place() {
    for (text, column, part) in [
        ("f'a'", 5, "'f' strings would need evaluation"),
        ("dict(a=1)", 5, "'dict(...)' is a call"),
        ("os.system('id')", 5, "'os' is a name"),
        ("true", 5, "'true' is a name"),
        ("__name__", 5, "'__name__' is a name"),
        ("[a for a in []]", 6, "'a' is a name"),
        ("[1 for a in []]", 8, "'for' is not supported"),
        ("1 if 2 else 3", 7, "'if' is not supported"),
        ("1 in [1]", 7, "'in' is not supported"),
        ("not 1", 5, "'not' is not supported"),
        ("lambda: 1", 5, "'lambda' is not supported"),
        ("class", 5, "expected a value, found name 'class'"),
        ("[*x]", 6, "'*' is not supported"),
        ("{**x}", 6, "'**' is not supported"),
        ("...", 5, "'...' is not supported"),
        ("~1", 5, "'~' is not supported"),
        ("2 ** 3", 7, "'**' is not supported"),
        ("1 == 1", 7, "'==' is not supported"),
        ("'a' 'b'.upper()", 12, "'.' is not supported"),
        ("'%s' % 1", 10, "'%' is not supported"),
        ("(1) + 1", 9, "'+' is not supported"),
        ("() + ()", 8, "'+' is not supported"),
        ("[1][0]", 8, "expected the end of the statement, found '['"),
        ("-'a'", 6, "expected a number, found a string"),
        ("--1", 6, "expected a number, found '-'"),
        ("-True", 6, "expected a number, found name 'True'"),
        ("-(1)", 6, "expected a number, found '('"),
        ("'a' b'b'", 9, "cannot be joined"),
        ("b'a' 'b'", 10, "cannot be joined"),
        ("{[]: 1}", 6, "a list cannot be the key"),
        ("{1: 2, ({},): 3}", 13, "a dictionary cannot be the key"),
        ("{[1]}", 6, "a list cannot be the key"),
        ("{1: 2, 3}", 13, "expected ':', found '}'"),
        ("{1, 2: 3}", 10, "expected ',' or '}', found ':'"),
        ("[1,,2]", 8, "expected a value, found ','"),
        ("(,)", 6, "expected a value, found ','"),
        ("(1 2)", 8, "expected ',' or ')', found a number"),
        ("9223372036854775808", 5, "too large"),
        ("+9223372036854775808", 5, "too large"),
        ("-9223372036854775809", 5, "too large"),
        ("1j", 5, "complex numbers are not supported"),
        ("'a", 5, "before the end of the line; expected '"),
        ("'''a", 5, "before the end of the file; expected '''"),
    ] {
        let message = message(&format!("x = {text}"));
        assert!(
            message.starts_with(&format!("a.mk:1:{column}: ")),
            "{text}: {message}"
        );
        assert!(message.contains(part), "{text}: {message}");
    }
}
