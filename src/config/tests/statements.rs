//! Statements: what they assign, and what is said about those that are not supported.

use super::{dumped, message, variables};
use crate::config::{Source, read_variables};

#[test]
fn assignments() {
    for (text, expected) in [
        ("x = 1", "i1"),
        ("x = 1; x = 2", "i2"),
        ("x = 1,", "(tuple i1)"),
        ("x = 1, 2", "(tuple i1 i2)"),
        ("x = 1, 2; y = 3", "(tuple i1 i2)"),
        ("x = \\\n  5", "i5"),
        ("x = None; 'text'; x = True;", "true"),
        ("'''doc'''\nx = 1", "i1"),
        ("# c\nx = 1 # c\n", "i1"),
        (
            "x = {}; x['a'] = {}; x['a']['b'] = 1, 2",
            "(dict s61 (dict s62 (tuple i1 i2)))",
        ),
        (
            "x = {1: 'a', 2: 'b'}; x[True] = 'c'",
            "(dict i1 s63 i2 s62)",
        ),
    ] {
        assert_eq!(dumped(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn updates() {
    for (text, expected) in [
        (
            "x = {}; x.update({1: 2}); x.update({1: 3, 2: 4},)",
            "(dict i1 i3 i2 i4)",
        ),
        ("x = {1: 2}; x.update({})", "(dict i1 i2)"),
        (
            "x = {'a': {1: 2}}; x['a'].update({3: 4})",
            "(dict s61 (dict i1 i2 i3 i4))",
        ),
    ] {
        assert_eq!(dumped(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_default_is_taken_unless_the_name_has_a_value() {
    for (text, expected) in [
        ("x = locals().setdefault('x', 5)", "i5"),
        ("x = 1; x = globals().setdefault('x', 5)", "i1"),
        ("x = locals().setdefault('x', [1],)", "(list i1)"),
        (
            "x = locals().setdefault('x', {})\nx.update({1: 2})\nx = locals().setdefault('x', {})",
            "(dict i1 i2)",
        ),
    ] {
        assert_eq!(dumped(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn the_names_that_checkmk_expects_are_predefined() {
    let found = variables("").unwrap();
    for name in ["sites", "liveproxyd_default_connection_params"] {
        assert_eq!(found.get(name).unwrap().value.dump(), "(dict)");
    }
}

#[test]
fn later_files_see_the_names_of_earlier_ones() {
    let sources = [
        Source::new("a.mk", "x = {'a': 1}"),
        Source::new("b.mk", "x['b'] = 2"),
    ];
    let found = read_variables(&sources).unwrap();
    assert_eq!(found.get("x").unwrap().value.dump(), "(dict s61 i1 s62 i2)");
    let sources = [Source::new("a.mk", ""), Source::new("b.mk", "\nz['a'] = 1")];
    let problem = read_variables(&sources).unwrap_err().to_string();
    assert_eq!(
        problem,
        "b.mk:2:1: 'z' is not defined; assign it first: z = {...}"
    );
}

#[test]
fn only_names_with_two_underscores_on_both_sides_belong_to_python() {
    for (text, is_read) in [("__x = 2", true), ("x__ = 2", true), ("__x__ = 2", false)] {
        assert_eq!(variables(text).is_ok(), is_read, "{text}");
    }
    // They are words of Python behind '=' alone.
    assert!(variables("locals = 1; globals = 2; setdefault = 3; update = 4").is_ok());
}

#[test]
fn the_messages_an_administrator_will_see() {
    const STATEMENTS: &str = "is not supported, nothing is executed; accepted are NAME = value, \
                              NAME['key'] = value, NAME.update({...}) and NAME['key'].update({...})";
    const VALUES: &str = "and nothing is executed; write the value itself: text in quotes, a number, \
                          True, False, None, (...), [...] or {...}";
    for (text, expected) in [
        (
            "sites = {\n  'a': {'channels': 5 'x': 1},\n}",
            "2:23: expected ',' or '}', found a string".to_string(),
        ),
        (
            "sites = {\n  'a': {'socket': '/a'\n    'b' 'x': 1},\n}",
            "3:9: expected ',' or '}', found a string".to_string(),
        ),
        // Only where a key can stand, and only what stands before the colon.
        (
            "sites = {'a': ('/a' 'b': 1)}",
            "1:24: expected ',' or ')', found ':'".to_string(),
        ),
        (
            "sites = {'a': '/a' 'b', 'c': 1 : 2}",
            "1:32: expected ',' or '}', found ':'".to_string(),
        ),
        (
            "sites = {\n  'a': {'socket': ('h', 1},\n}",
            "2:26: '}' does not match '(' opened at 2:19".to_string(),
        ),
        (
            "sites = {\n  'a': ('b', {},\n  'c': 1,\n}",
            "3:6: expected ',' or ')' for the '(' of 2:8, found ':'".to_string(),
        ),
        (
            "sites = {'a' {'channels': 5}}",
            "1:14: expected ':', ',' or '}', found '{'".to_string(),
        ),
        (
            "sites = {'a' = {'channels': 5}}",
            "1:14: expected ':', ',' or '}', found '='".to_string(),
        ),
        (
            "sites = {'a': {'socket': (10.1.1.2, 6557)}}",
            "1:27: '10.1.' is not the beginning of a number; an address stands in quotes"
                .to_string(),
        ),
        (
            "sites = {'a': 1, 'b': (2, 3) ('c', 4)}",
            "1:30: expected ',' or '}', found '('".to_string(),
        ),
        (
            "x = 1\nsites={'a': [1, 2],\n",
            "2:7: '{' was never closed".to_string(),
        ),
        (
            "sites = {'a': ('b', 1]}",
            "1:22: ']' does not match '(' opened at 1:15".to_string(),
        ),
        (
            "sites['x'] = base",
            format!("1:14: 'base' is a name, {VALUES}"),
        ),
        (
            "sites['x'] = dict(socket='/s')",
            format!("1:14: 'dict(...)' is a call, {VALUES}"),
        ),
        (
            "max_query = 4 * 1024",
            format!("1:15: '*' is not supported, nothing {}", &VALUES[12..]),
        ),
        ("max_query += 5", format!("1:11: '+=' {STATEMENTS}")),
        ("import os", format!("1:1: 'import' {STATEMENTS}")),
        ("print('x')", format!("1:1: 'print(...)' {STATEMENTS}")),
        ("x.append(1)", format!("1:3: '.append' {STATEMENTS}")),
        (
            "x = f'a'",
            "1:5: 'f' strings would need evaluation; use a plain string".to_string(),
        ),
    ] {
        assert_eq!(message(text), format!("a.mk:{expected}"));
    }
}

#[test]
fn a_bracket_that_is_never_closed_is_the_mistake_behind_it() {
    for text in [
        "sites = {'a': 1\nother = {}\n",
        "sites = {'a': 1,\nother = {}\n",
        "sites = {'a': 1,\nother()\n",
    ] {
        assert_eq!(message(text), "a.mk:1:9: '{' was never closed");
    }
    // Here the bracket comes after the mistake and is not its reason.
    assert!(message("x = = 1\ny = {\n").starts_with("a.mk:1:5: expected a value"));
    // Here it is what was not expected.
    assert!(message("x = 1 (2\n").starts_with("a.mk:1:7: expected the end of the statement"));
    // Here it is closed.
    assert!(message("x = [y]\n").starts_with("a.mk:1:6: 'y' is a name"));
}

#[test]
fn unsupported_statements_are_named_with_their_place() {
    for (text, place, part) in [
        ("if True:\n  x = 1", "1:1", "'if' is not supported"),
        ("x = 1\nfor a in []: pass", "2:1", "'for' is not supported"),
        ("from a import b", "1:1", "'from' is not"),
        ("del x", "1:1", "'del' is not"),
        ("pass", "1:1", "'pass' is not"),
        ("None = 1", "1:1", "'None' is not"),
        ("  x = 1", "1:3", "indentation"),
        ("x = 1\n\ty = 1", "2:2", "indentation"),
        ("x", "1:2", "expected '=' or '.update({...})' behind 'x'"),
        ("x, y = 1, 2", "1:2", "found ','"),
        ("x: int = 1", "1:2", "found ':'"),
        ("x['a']: int = 1", "1:7", "found ':'"),
        (
            "5",
            "1:1",
            "expected a statement such as NAME = value, found a number",
        ),
        ("(x) = 1", "1:1", "expected a statement"),
        ("x = 1;; y = 1", "1:7", "expected a statement"),
        (
            "x = 1 2",
            "1:7",
            "expected the end of the statement, found a number",
        ),
        ("x = 1 = 2", "1:7", "expected the end of the statement"),
        ("x = y = 1", "1:5", "'y' is a name"),
        ("x =", "1:4", "expected a value, found the end of the file"),
        (
            "x =\n1",
            "1:4",
            "expected a value, found the end of the line",
        ),
        ("x := 1", "1:3", "':=' is not supported"),
        ("x == 1", "1:3", "'==' is not supported"),
        ("x |= {}", "1:3", "'|=' is not supported"),
        ("x.pop('a')", "1:3", "'.pop' is not supported"),
        ("x.setdefault('a', 1)", "1:3", "'.setdefault' is not"),
        ("x.5 = 1", "1:2", "found a number"),
        ("x.'a'", "1:3", "expected update({...}), found a string"),
        ("x.update", "1:9", "expected '('"),
        ("__builtins__ = 1", "1:1", "belongs to Python itself"),
        ("x = locals()", "1:13", "expected '.'"),
        ("x = globals", "1:12", "expected '('"),
        ("x = locals(5)", "1:12", "expected ')'"),
        (
            "x = locals().get('x')",
            "1:14",
            "expected setdefault('x', value)",
        ),
        ("x = locals().setdefault('x')", "1:28", "expected ','"),
        ("x = locals().setdefault(x, 1)", "1:25", "expected a string"),
        ("x = locals().setdefault('y', 1)", "1:25", "left of '='"),
        ("x = locals().setdefault(b'x', 1)", "1:25", "left of '='"),
        (
            "sites['x'] = locals().setdefault('sites', 1)",
            "1:34",
            "left of '='",
        ),
        ("x = locals().setdefault('x', 1, 2)", "1:33", "expected ')'"),
        ("locals().setdefault('x', 1)", "1:1", "'locals(...)' is not"),
        ("x = [locals()]", "1:6", "'locals(...)' is a call"),
        ("sites.update()", "1:14", "one dictionary {...}, found ')'"),
        ("sites.update(a=1)", "1:14", "found name 'a'"),
        ("sites.update([1])", "1:14", "found '['"),
        ("sites.update({1})", "1:14", "found a set"),
        ("sites.update({}, {})", "1:18", "expected ')'"),
        ("sites.update({} {})", "1:17", "expected ')'"),
        ("y['a'] = 1", "1:1", "'y' is not defined"),
        ("y.update({})", "1:1", "'y' is not defined"),
        (
            "sites['a']['b'] = 1",
            "1:7",
            "there is no 'a' in sites so far; assign it first: sites['a'] = {...}",
        ),
        (
            "x = {1: {}}; x[1]['b'].update({})",
            "1:19",
            "there is no 'b' in x[1] so far; assign it first: x[1]['b'] = {...}",
        ),
        ("sites[[1]] = 1", "1:7", "a list cannot be the key"),
        ("sites[[1]][2] = 1", "1:7", "a list cannot be the key"),
        (
            "x = [1]; x[0] = 1",
            "1:12",
            "only a dictionary can be changed, and this is a list of 1",
        ),
        (
            "x = {'a': 5}; x['a']['b']['c'] = 1",
            "1:22",
            "only a dictionary can be changed, and this is 5",
        ),
        (
            "x = 'a'; x.update({})",
            "1:10",
            "only a dictionary can be changed, and this is 'a'",
        ),
    ] {
        let message = message(text);
        assert!(
            message.starts_with(&format!("a.mk:{place}: ")),
            "{text}: {message}"
        );
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn the_line_and_a_caret_go_with_a_message() {
    let problem = variables("x = 1\nsites = {'ä': 1 + 1}\n").unwrap_err();
    assert_eq!(
        problem.excerpt_lines().unwrap(),
        "    sites = {'ä': 1 + 1}\n                    ^"
    );
}

#[test]
fn keys_that_stand_twice_in_a_literal_are_a_warning() {
    let found = variables("x = {'a': 1,\n 'b': 2, 'a': 3}").unwrap();
    assert_eq!(found.get("x").unwrap().value.dump(), "(dict s61 i3 s62 i2)");
    assert_eq!(
        super::lines(found.warnings()),
        ["a.mk:2:10: key 'a' stands twice in this dictionary; the last one counts, as in Python"]
    );
    let found = variables("x = {'a': 1}; x.update({'a': 2}); x['a'] = 3").unwrap();
    assert_eq!(found.warnings().len(), 0);
}

#[test]
fn items_that_an_assignment_of_a_later_file_drops_are_a_warning() {
    let warnings = |first: &str, second: &str| {
        let sources = [Source::new("a.mk", first), Source::new("b.mk", second)];
        super::lines(read_variables(&sources).unwrap().warnings())
    };
    let lost = [
        "b.mk:2:1: 'sites' is assigned anew, without 2 of its items; sites.update({...}) would keep them",
    ];
    for first in [
        "sites = {'a': 1, 'b': 2, 'c': 3}",
        "sites.update({'a': 1, 'b': 2, 'c': 3})",
    ] {
        assert_eq!(warnings(first, "\nsites = {'c': 4}"), lost, "{first}");
        assert_eq!(warnings(first, "sites.update({'c': 4})"), [""; 0]);
        assert_eq!(warnings(first, "sites = {'c': 4, 'b': 5, 'a': 6}"), [""; 0]);
    }
    assert_eq!(warnings("x = {'a': 1}; x = {}", "y = {}"), [""; 0]);
    assert_eq!(warnings("x = 1", "x = {}"), [""; 0]);
}

#[test]
fn of_very_many_warnings_the_first_hundred_are_kept() {
    for (keys, warnings) in [(100, 99), (101, 100), (300, 100)] {
        let found = variables(&format!("x = {{{}}}", "1: 2, ".repeat(keys))).unwrap();
        assert_eq!(found.warnings().len(), warnings, "{keys}");
    }
}

#[test]
fn nesting_is_bounded_however_it_is_made() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(variables(&format!("x = {}", nested(64))).is_ok());
    let too_deep = message(&format!("x = {}", nested(65)));
    assert_eq!(
        too_deep,
        "a.mk:1:69: values may be nested 64 deep, not deeper"
    );

    // What a subscript changes stands as deep as there are subscripts.
    let below = |levels: usize| {
        let keys = |count| "[1]".repeat(count);
        let levels = (0..levels).map(|level| format!("x{} = {{}}\n", keys(level)));
        levels.collect::<String>()
    };
    let path = |levels| format!("{}x{}", below(levels + 1), "[1]".repeat(levels));
    assert!(variables(&below(64)).is_ok());
    assert!(message(&below(65)).contains("64 deep"));
    assert!(variables(&format!("{} = {}", path(60), nested(4))).is_ok());
    assert!(message(&format!("{} = {}", path(60), nested(5))).contains("64 deep"));
    // The bracket of the call counts too.
    let update = |levels| format!("{}.update({{1: 2}})", path(levels));
    assert!(variables(&update(62)).is_ok());
    assert!(message(&update(63)).contains("64 deep"));
    let key = |levels, key: &str| format!("{}[{key}] = 1", path(levels));
    assert!(variables(&key(60, "(((1,),),)")).is_ok());
    assert!(message(&key(60, "((((1,),),),)")).contains("64 deep"));
    // The next statement begins anew.
    assert!(variables(&format!("{} = 1; y = {}", path(60), nested(64))).is_ok());

    let open = "{1:".repeat(100_000);
    assert!(message(&format!("x = {open}")).contains("64 deep"));
}

#[test]
fn any_truncation_is_an_error_or_a_value_and_never_a_panic() {
    let text = "# c\nsites = locals().setdefault('sites', {})\nsites.update({'ä': {'socket': \
                ('tcp', {'address': (u'10.1.1.2', 0x199d), 'tls': None}), \"a\": '''\n\\x41''', \
                'b': [-1.5e3, b'\\xff', {1, 2}]}},); x = 1,; sites['ä'].update({1: 2})\n";
    for end in 0..text.len() {
        let source = Source::new("a.mk", &text.as_bytes()[..end]);
        if let Err(problem) = read_variables(&[source]) {
            assert!(problem.place.is_some(), "{problem}");
        }
    }
    assert!(variables(text).is_ok());
}
