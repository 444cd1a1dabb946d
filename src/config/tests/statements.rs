//! Statements: what they assign, and what is said about those that are not supported.

use crate::config::{Problem, Source, Variables, read_variables};

fn variables(text: &str) -> Result<Variables, Problem> {
    read_variables(&[Source::new("a.mk", text)])
}

/// The value of `x` after the statements.
fn x(text: &str) -> String {
    match variables(text) {
        Ok(variables) => variables.get("x").unwrap().value.dump(),
        Err(problem) => panic!("{text}: {problem}"),
    }
}

fn message(text: &str) -> String {
    match variables(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn assignments() {
    for (text, expected) in [
        ("x = 1", "i1"),
        ("x = y = -1", "i-1"),
        ("y = x = [1]; z = y", "(list i1)"),
        ("x: int = 1", "i1"),
        ("x: 'dict[str, int]' | None = {}", "(dict)"),
        ("x = 1,", "(tuple i1)"),
        ("x = 1, 2", "(tuple i1 i2)"),
        ("x = ()", "(tuple)"),
        ("x = (1)", "i1"),
        ("x = (1,)", "(tuple i1)"),
        ("x = \\\n  5", "i5"),
        ("y = {'a': [1, 2]}\nx = y['a'][-1]", "i2"),
        ("y = 1; x = y, 2", "(tuple i1 i2)"),
        ("x = {1, 2, 1.0,}", "(set i1 i2)"),
        ("x = -True", "i-1"),
        ("x = - - -9223372036854775808", "i-9223372036854775808"),
        ("x = 'a' \"b\" r'\\c'", "s61625c63"),
        ("x = b'a' b'b'", "b6162"),
        ("x = None; pass; 'text'; x = True", "true"),
        ("'''doc'''\nx = 1", "i1"),
        ("locals = 1; x = locals", "i1"),
    ] {
        assert_eq!(x(text), expected, "{text}");
    }
}

#[test]
fn changes_in_place() {
    for (text, expected) in [
        (
            "x = {}; x.update({1: 2}); x.update({1: 3, 2: 4},)",
            "(dict i1 i3 i2 i4)",
        ),
        ("x = {}; x.update(a=1, b=2)", "(dict s61 i1 s62 i2)"),
        ("x = {'a': 1}; x.update({'a': 2}, a=3)", "(dict s61 i3)"),
        ("x = {}; x.update()", "(dict)"),
        ("a = 5\nx = {}; x.update(a=a)", "(dict s61 i5)"),
        (
            "x = {1: 2}; x.setdefault(1, 3); x.setdefault(2)",
            "(dict i1 i2 i2 none)",
        ),
        (
            "x = []; x.append(1); x.append((2,))",
            "(list i1 (tuple i2))",
        ),
        (
            "x = [1]; x.extend((2, 3)); x.extend([4])",
            "(list i1 i2 i3 i4)",
        ),
        ("x = [1]; x += 2, 3", "(list i1 i2 i3)"),
        ("x = 1; x += 1.5", "f4004000000000000"),
        ("x = (1,); x += (2,)", "(tuple i1 i2)"),
        ("x = {1: 2}; x |= {3: 4}", "(dict i1 i2 i3 i4)"),
        ("x = {1}; x |= {2}", "(set i1 i2)"),
        (
            "x = {}; x['a'] = {}; x['a']['b'] = 1",
            "(dict s61 (dict s62 i1))",
        ),
        ("x = [1, 2]; x[-1] = 3; x[0] += 1", "(list i2 i3)"),
        ("x = {'a': []}; x['a'].append(1)", "(dict s61 (list i1))"),
        ("x = {1: 'a', True: 'b'}", "(dict i1 s62)"),
    ] {
        assert_eq!(x(text), expected, "{text}");
    }
}

#[test]
fn names_of_the_scope() {
    assert_eq!(x("x = locals().setdefault('x', 5)"), "i5");
    assert_eq!(x("x = 1; x = globals().setdefault('x', 5)"), "i1");
    assert_eq!(x("locals().setdefault('x', [1],)"), "(list i1)");
    assert_eq!(x("x = locals().setdefault('x')"), "none");
    assert_eq!(x("x = locals().setdefault('sites', 5)"), "(dict)");
    assert_eq!(
        x("x = locals().setdefault('x', {})\nx.update({1: 2})"),
        "(dict i1 i2)"
    );
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
        Source::new("b.mk", "x['b'] = 2\ny = x['a']"),
    ];
    let variables = read_variables(&sources).unwrap();
    assert_eq!(
        variables.get("x").unwrap().value.dump(),
        "(dict s61 i1 s62 i2)"
    );
    assert_eq!(variables.get("y").unwrap().value.dump(), "i1");
    let sources = [Source::new("a.mk", ""), Source::new("b.mk", "\nx = z")];
    let problem = read_variables(&sources).unwrap_err().to_string();
    assert!(
        problem.starts_with("b.mk:2:5: name 'z' is not defined"),
        "{problem}"
    );
}

/// Python would change both names; copying silently would give each its own value.
#[test]
fn a_value_known_under_two_names_is_not_changed_through_one() {
    for text in [
        "a = {}; b = a; b['k'] = 1",
        "a = b = []; a.append(1)",
        "a = []; b = {'k': a}; b['k'].append(1)",
        "a = []; b = {'k': a}; a += [1]",
        "a = {'k': {}}; b = {}; b.update(a); b['k'].update({1: 2})",
        "a = ([],); b = a; b[0].append(1)",
        "a = []; a.append(a)",
        "a = {}; b = a; a.setdefault(1, 2)",
        "a = {1}; b = a; a |= {2}",
        "x = locals().setdefault('y', []); x.append(1)",
    ] {
        assert!(
            message(text).contains("in Python both would change"),
            "{text}"
        );
    }
    for text in [
        "a = {}; b = a; b = {}; b['k'] = 1",
        "a = 'x'; b = a; b += 'y'",
        "a = (1,); b = a; b += (2,)",
        "a = {'k': {}}; b = {}; b.update(a); b['l'] = 1",
    ] {
        assert!(variables(text).is_ok(), "{text}");
    }
}

#[test]
fn the_messages_an_administrator_will_see() {
    for (text, expected) in [
        (
            "sites = {\n  'a': {'channels': 5 'x': 1},\n}",
            "a.mk:2:23: expected ',' or '}', found a string",
        ),
        (
            "x = 1\nsites={'a': [1, 2],\n",
            "a.mk:2:7: '{' was never closed",
        ),
        (
            "sites = {'a': ('b', 1]}",
            "a.mk:1:22: ']' does not match '(' opened at 1:15",
        ),
        (
            "import os",
            "a.mk:1:1: 'import' statements are not supported: \
             only literal assignments are read, nothing is executed",
        ),
        (
            "sites = {\n'a': {'channels': os.system('id')}}",
            "a.mk:2:19: name 'os' is not defined; only names assigned earlier can be used",
        ),
        (
            "sites = {'a': 1 + 1}",
            "a.mk:1:17: '+' here would need evaluation; only literal values are supported",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

#[test]
fn a_bracket_that_is_never_closed_is_the_mistake_behind_it() {
    assert_eq!(
        message("sites = {'a': 1\nother = {}\n"),
        "a.mk:1:9: '{' was never closed"
    );
    // Here the bracket comes after the mistake and is not its reason.
    assert!(message("x = = 1\ny = {\n").starts_with("a.mk:1:5: expected a value"));
}

#[test]
fn unsupported_statements_are_named_with_their_place() {
    for (text, place, part) in [
        (
            "if True:\n  x = 1",
            "1:1",
            "'if' statements are not supported",
        ),
        ("x = 1\nfor a in []: pass", "2:1", "'for' statements"),
        ("from a import b", "1:1", "'from' statements"),
        ("del x", "1:1", "'del' statements"),
        ("  x = 1", "1:3", "indentation"),
        ("x = 1\n\ty = 1", "2:2", "indentation"),
        ("x", "1:2", "expected '=', '+=', '|='"),
        ("print('x')", "1:1", "'print(...)' is a call"),
        ("x, y = 1, 2", "1:2", "an assignment for each"),
        (
            "5",
            "1:1",
            "expected a statement such as NAME = value, found a number",
        ),
        ("None", "1:1", "expected a statement"),
        ("(x) = 1", "1:1", "expected a statement"),
        (
            "x = 1 2",
            "1:7",
            "expected the end of the statement, found a number",
        ),
        ("x = 1;; y = 1", "1:7", "expected a statement"),
        ("x =", "1:4", "expected a value, found the end of the file"),
        (
            "x =\n1",
            "1:4",
            "expected a value, found the end of the line",
        ),
        ("x := 1", "1:3", "expected '=', '+=', '|='"),
        ("None = 1", "1:1", "expected a statement"),
        ("x = class", "1:5", "expected a value, found name 'class'"),
        ("x = y = 1 = 2", "1:11", "expected the end of the statement"),
        ("x: = 1", "1:4", "expected a type"),
        ("x['a']: int = 1", "1:7", "expected '='"),
        ("x -= 1", "1:3", "found '-='"),
        (
            "x.pop('a')",
            "1:3",
            "'.pop' is not supported; supported are update",
        ),
        ("x.update", "1:9", "expected '('"),
        ("__builtins__ = 1", "1:1", "belongs to Python itself"),
        ("x = __name__", "1:5", "belongs to Python itself"),
        ("x = locals()", "1:13", "expected '.'"),
        (
            "x = locals().get('y')",
            "1:14",
            "expected setdefault('NAME', value)",
        ),
        (
            "x = locals().setdefault('a b', 1)",
            "1:25",
            "the name of a variable",
        ),
        (
            "x = locals().setdefault('__builtins__', 1)",
            "1:25",
            "belongs to Python",
        ),
        ("sites.update({}, {})", "1:18", "NAME=value"),
        ("sites.update(a=1, a=2)", "1:19", "given twice"),
        (
            "sites.update(**x)",
            "1:14",
            "'**' here would need evaluation",
        ),
        ("sites.update({} {})", "1:17", "expected ',' or ')'"),
        ("x = [].append(1)", "1:7", "'.' here would need evaluation"),
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
fn unsupported_values_are_named_with_their_place() {
    for (text, place, part) in [
        ("x = f'a'", "1:5", "'f' strings would need evaluation"),
        ("x = dict(a=1)", "1:5", "'dict(...)' would need evaluation"),
        ("x = [a for a in []]", "1:6", "name 'a' is not defined"),
        (
            "x = [1 for a in []]",
            "1:8",
            "'for' here would need evaluation",
        ),
        ("x = 1 if 2 else 3", "1:7", "'if' here"),
        ("x = not 1", "1:5", "'not' here"),
        ("x = lambda: 1", "1:5", "'lambda' here"),
        ("x = [*x]", "1:6", "'*' here"),
        ("x = {**x}", "1:6", "'**' here"),
        ("x = ...", "1:5", "'...' here"),
        ("x = ~1", "1:5", "'~' here"),
        ("x = 2 ** 3", "1:7", "'**' here"),
        ("x = -'a'", "1:5", "a sign needs a number"),
        ("x = 1 == 1", "1:7", "'==' here"),
        ("x = [1][0]", "1:8", "'[' here"),
        ("x = 'a' b'b'", "1:9", "cannot be joined"),
        ("x = {[]: 1}", "1:6", "a list cannot be the key"),
        (
            "x = {1: 2, ({},): 3}",
            "1:12",
            "a dictionary cannot be the key",
        ),
        ("x = {[1]}", "1:6", "a list cannot be the key"),
        ("x = {1: 2, 3}", "1:13", "expected ':', found '}'"),
        ("x = {1, 2: 3}", "1:10", "expected ',' or '}', found ':'"),
        ("x = [1,,2]", "1:8", "expected a value, found ','"),
        ("x = 9223372036854775808", "1:5", "too large"),
        ("x = -9223372036854775809", "1:5", "too large"),
        ("x = -(-9223372036854775808)", "1:5", "too large"),
        ("x = inf", "1:5", "name 'inf' is not defined"),
        ("x = sites['a']", "1:11", "there is no item 'a' here"),
        ("y = [1]; x = y[1]", "1:16", "there is no item 1 here"),
        ("y = 'ab'; x = y[0]", "1:17", "has no items"),
        ("y = [1]; x = y[0:1]", "1:17", "expected ']'"),
        (
            "x = 1; x['a'] = 1",
            "1:10",
            "an item of 1 cannot be assigned",
        ),
        ("x = (1,); x[0] = 1", "1:13", "an item of a tuple of 1"),
        ("x = []; x[0] = 1", "1:11", "no item 0"),
        ("y['a'] = 1", "1:1", "name 'y' is not defined"),
        ("y += 1", "1:1", "name 'y' is not defined"),
        ("x = 1; x += 'a'", "1:13", "'+=' cannot add 'a' to 1"),
        ("x = 9223372036854775807; x += 1", "1:31", "cannot add"),
        ("x = []; x += 'ab'", "1:14", "by a list or tuple"),
        ("x = {}; x |= [1]", "1:9", "cannot be merged"),
        (
            "x = []; x.update({})",
            "1:9",
            "'update' needs a dictionary, 'x' is a list",
        ),
        (
            "x = {}; x.update([1])",
            "1:9",
            "'update' needs a dictionary",
        ),
        ("x = {}; x.append(1)", "1:9", "'append' needs a list"),
        ("x = {}; x.extend([1])", "1:9", "'extend' needs a list"),
        (
            "x = []; x.setdefault(1, 2)",
            "1:9",
            "'setdefault' needs a dictionary",
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
    let warnings: Vec<String> = found.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["a.mk:2:10: key 'a' stands twice in this dictionary; the last one counts, as in Python"]
    );
    let found = variables("x = {'a': 1}; x.update({'a': 2}); x['a'] = 3").unwrap();
    assert_eq!(found.warnings().len(), 0);
}

#[test]
fn nesting_is_bounded_however_it_is_made() {
    let nested = |depth| format!("x = {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(variables(&nested(64)).is_ok());
    assert!(message(&nested(65)).contains("64 deep"));
    let by_names = |count| format!("a = []\n{}", "a = [a]\n".repeat(count));
    assert!(variables(&by_names(60)).is_ok());
    assert!(message(&by_names(100)).contains("64 deep"));
    let by_keys = format!("x = {{}}\n{}", "y = {}; y['k'] = x; x = y\n".repeat(100));
    assert!(message(&by_keys).contains("64 deep"));
    let sixty = format!("{}{}", "[".repeat(60), "]".repeat(60));
    let inside = message(&format!("a = {sixty}\nb = [[[[[a]]]]]"));
    assert!(inside.starts_with("a.mk:2:1: "), "{inside}");
    assert!(variables(&format!("a = {sixty}\nb = [[[[a]]]]")).is_ok());
    let by_scope = format!("a = {sixty}\nlocals().setdefault('b', [[[[[a]]]]])");
    assert!(message(&by_scope).contains("64 deep"));
    let innermost = format!("x = {sixty}\nx{}", "[0]".repeat(59));
    let deep = "[[[[[]]]]]";
    // The innermost list of `x` is the 60th.
    for change in [".append(D)", " += [D]", ".extend([D])"] {
        let grow = |value| variables(&format!("{innermost}{}", change.replace('D', value)));
        assert!(grow("[]").is_ok(), "{change}");
        assert!(grow(deep).is_err(), "{change}");
    }
    let dict = format!("x = {}{{}}{}", "[".repeat(60), "]".repeat(60));
    for change in [
        "['k'] = D",
        ".setdefault('k', D)",
        ".update(k=D)",
        " |= {'k': D}",
    ] {
        let innermost = format!("{dict}\nx{}", "[0]".repeat(60));
        let grow = |value| variables(&format!("{innermost}{}", change.replace('D', value)));
        assert!(grow("[]").is_ok(), "{change}");
        assert!(grow(deep).is_err(), "{change}");
    }
    let signs = format!("x = {}1", "-".repeat(100_000));
    assert_eq!(x(&signs), "i1");
    let open = "{1:".repeat(100_000);
    assert!(message(&format!("x = {open}")).contains("64 deep"));
}

/// A few lines that double a value must not fill the memory.
#[test]
fn growth_by_doubling_is_bounded() {
    let lists = format!("a = [1, 2, 3]\n{}", "a = (a, a)\n".repeat(40));
    assert!(message(&lists).contains("too large"));
    let text = format!("a = '{}'\n{}", "x".repeat(1000), "a += a\n".repeat(40));
    assert!(message(&text).contains("too large"));
    let targets = "a = ".repeat(3000);
    let many = format!("b = [{}]\n{targets}b", "1,".repeat(1000));
    assert!(message(&many).contains("too large"));
}

#[test]
fn any_truncation_is_an_error_or_a_value_and_never_a_panic() {
    let text = "# c\nsites = locals().setdefault('sites', {})\nsites.update({'ä': {'socket': \
                ('tcp', {'address': (u'10.1.1.2', 0x199d), 'tls': None}), \"a\": '''\n\\x41''', \
                'b': [-1.5e3, b'\\xff', {1, 2}]}}, c=1); x: dict[str, int] = {}; x |= {1: 2}\n";
    for end in 0..text.len() {
        let source = Source::new("a.mk", &text.as_bytes()[..end]);
        if let Err(problem) = read_variables(&[source]) {
            assert!(problem.place.is_some(), "{problem}");
        }
    }
    assert!(variables(text).is_ok());
}
