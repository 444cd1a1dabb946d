//! Python's statements, as far as configuration files need them: assignments, `update`, `setdefault` and their kin.
//! Nothing is executed; what is not on the list is refused by name. Knows no site.

use super::lexer::{Fault, FaultKind, Token};
use super::literal::{Parser, check_name, is_keyword};
use super::problem::Problem;
use super::source::{Source, Text};
use super::strings::Literal;
use super::value::{Dict, HashKey, Node, Value};
use super::variables::{Path, Variables};

/// Reads files in order into one set of names. The error is the first thing that is not supported syntax.
pub fn read_variables(sources: &[Source]) -> Result<Variables, Problem> {
    let mut variables = Variables::new();
    for source in sources {
        let text = Text::decode(source)?;
        let file = variables.add_text(text.clone());
        let mut parser = Parser::new(&text.text, file, &mut variables);
        let outcome = parser.file();
        if let Err(fault) = outcome {
            let fault = parser.real_reason(fault);
            return Err(text.problem(fault.at, fault.text));
        }
    }
    Ok(variables)
}

impl<'t> Parser<'t, '_> {
    fn file(&mut self) -> Result<(), Fault> {
        self.advance()?;
        while self.token != Token::End {
            self.line()?;
        }
        Ok(())
    }

    /// When something unexpected stands behind a bracket that is never closed, the bracket is the mistake.
    fn real_reason(&mut self, fault: Fault) -> Fault {
        if fault.kind != FaultKind::Unexpected {
            return fault;
        }
        loop {
            match self.lexer.next() {
                Ok((_, Token::End)) => return fault,
                Ok(_) => {}
                Err(end) if end.kind == FaultKind::Unclosed && end.at < fault.at => return end,
                Err(_) => return fault,
            }
        }
    }

    /// Statements up to the end of a line.
    fn line(&mut self) -> Result<(), Fault> {
        loop {
            self.statement()?;
            let more = self.take_op(";")?;
            match self.token {
                Token::Newline => {
                    self.advance()?;
                    return Ok(());
                }
                Token::End => return Ok(()),
                _ if more => {}
                _ => return Err(self.unexpected("the end of the statement")),
            }
        }
    }

    fn statement(&mut self) -> Result<(), Fault> {
        match self.token {
            Token::Name("pass") => {
                self.advance()?;
                Ok(())
            }
            // A string alone is a description for people, as at the top of a file.
            Token::Literal(_) => self.joined_literals().map(|_| ()),
            Token::Name("None" | "True" | "False" | "lambda" | "not") => {
                Err(self.unexpected("a statement such as NAME = value"))
            }
            Token::Name(word) if is_keyword(word) => Err(Fault::plain(
                self.offset,
                format!(
                    "'{word}' statements are not supported: \
                     only literal assignments are read, nothing is executed"
                ),
            )),
            Token::Name("locals" | "globals") => self.scope_or_assignment(),
            Token::Name(_) => {
                let target = self.path()?;
                self.change(target)
            }
            _ => Err(self.unexpected("a statement such as NAME = value")),
        }
    }

    /// What is done to the name at the beginning of a statement.
    fn change(&mut self, target: Path) -> Result<(), Fault> {
        match self.token {
            Token::Op("=") => self.assignment(target),
            Token::Op(":") => self.annotated(target),
            Token::Op("+=") => {
                self.advance()?;
                let value = self.value_or_tuple()?;
                self.variables.add(&target, value)
            }
            Token::Op("|=") => {
                self.advance()?;
                let value = self.value_or_tuple()?;
                self.variables.merge(&target, value)
            }
            Token::Op(".") => self.method(target),
            Token::Op("(") => Err(Fault::plain(
                target.at.offset,
                format!(
                    "'{}(...)' is a call: only literal assignments are read, nothing is executed",
                    target.name
                ),
            )),
            Token::Op(",") => Err(Fault::plain(
                self.offset,
                "several names left of '=' are not supported; write an assignment for each",
            )),
            _ => {
                let name = &target.name;
                let wanted =
                    format!("'=', '+=', '|=' or a call such as .update(...) behind '{name}'");
                Err(self.unexpected(&wanted))
            }
        }
    }

    /// `NAME = value` and `NAME = OTHER = value`, from the first `=` on.
    fn assignment(&mut self, first: Path) -> Result<(), Fault> {
        let mut targets = vec![first];
        let value = loop {
            self.expect_op("=")?;
            match self.token {
                Token::Name("locals" | "globals") if self.lexer.next_is_bracket() => {
                    let path = self.scope_default()?;
                    let same = |target: &Path| target.name == path.name && target.keys.is_empty();
                    if targets.iter().all(same) {
                        return Ok(());
                    }
                    break self.value_of(&path)?;
                }
                Token::Name(name) if !is_keyword(name) => {
                    let path = self.path()?;
                    if !self.is_op("=") {
                        let value = self.value_of(&path)?;
                        break self.rest_of_tuple(value)?;
                    }
                    targets.push(path);
                }
                _ => break self.value_or_tuple()?,
            }
        };
        if targets.len() > 1 {
            self.variables.share(&value);
        }
        for target in &targets {
            self.variables.charge_copy(&value, target.at.offset)?;
            self.variables.assign(target, value.clone())?;
        }
        Ok(())
    }

    /// `NAME: annotation` and `NAME: annotation = value`, from the colon on.
    fn annotated(&mut self, target: Path) -> Result<(), Fault> {
        if !target.keys.is_empty() {
            return Err(self.unexpected("'='"));
        }
        self.expect_op(":")?;
        self.annotation()?;
        if !self.take_op("=")? {
            return Ok(());
        }
        let value = self.value_or_tuple()?;
        self.variables.assign(&target, value)
    }

    /// A type such as `dict[str, int] | None`. It means nothing here, but must be one.
    fn annotation(&mut self) -> Result<(), Fault> {
        loop {
            self.annotation_part()?;
            if !self.take_op("|")? {
                return Ok(());
            }
        }
    }

    fn annotation_part(&mut self) -> Result<(), Fault> {
        match self.token {
            Token::Literal(Literal::Text(_)) => return self.joined_literals().map(|_| ()),
            Token::Name(name) if name == "None" || !is_keyword(name) => {}
            _ => return Err(self.unexpected("a type")),
        }
        self.advance()?;
        while self.take_op(".")? {
            let Token::Name(_) = self.token else {
                return Err(self.unexpected("a name"));
            };
            self.advance()?;
        }
        if !self.take_op("[")? {
            return Ok(());
        }
        self.annotation()?;
        while self.take_op(",")? {
            self.annotation()?;
        }
        self.expect_op("]")
    }

    /// A statement that begins with `locals` or `globals`, which may be variables too.
    fn scope_or_assignment(&mut self) -> Result<(), Fault> {
        if self.lexer.next_is_bracket() {
            return self.scope_default().map(|_| ());
        }
        let target = self.path()?;
        self.change(target)
    }

    /// `locals().setdefault('NAME', value)`; the path is that name, which exists afterwards.
    fn scope_default(&mut self) -> Result<Path, Fault> {
        self.advance()?;
        self.expect_op("(")?;
        self.expect_op(")")?;
        self.expect_op(".")?;
        let Token::Name("setdefault") = self.token else {
            return Err(self.unexpected("setdefault('NAME', value)"));
        };
        self.advance()?;
        self.expect_op("(")?;
        let at = self.at();
        let name = match self.joined_literals()? {
            Literal::Text(name) if is_identifier(&name) => name,
            _ => {
                return Err(Fault::plain(
                    at.offset,
                    "expected the name of a variable in quotes",
                ));
            }
        };
        if name.starts_with("__") {
            check_name(&name, at.offset)?;
        }
        let path = Path {
            name,
            at,
            keys: Vec::new(),
        };
        let default = match self.take_op(",")? && !self.is_op(")") {
            true => self.last_argument()?,
            false => {
                self.expect_op(")")?;
                self.variables.node(Value::None, at)
            }
        };
        self.variables.define_unless_known(&path, default)?;
        Ok(path)
    }

    /// A value, perhaps a comma, and the closing bracket of a call.
    fn last_argument(&mut self) -> Result<Node, Fault> {
        let value = self.value()?;
        if !self.take_op(",")? && !self.is_op(")") {
            return Err(self.unexpected("',' or ')'"));
        }
        self.expect_op(")")?;
        Ok(value)
    }

    /// `NAME.update(...)` and its kin, from the dot on.
    fn method(&mut self, target: Path) -> Result<(), Fault> {
        self.expect_op(".")?;
        let offset = self.offset;
        let Token::Name(method) = self.token else {
            return Err(self.unexpected("update, setdefault, append or extend"));
        };
        self.advance()?;
        if !matches!(method, "update" | "setdefault" | "append" | "extend") {
            let text = format!(
                "'.{method}' is not supported; supported are update, setdefault, append and extend"
            );
            return Err(Fault::plain(offset, text));
        }
        self.expect_op("(")?;
        match method {
            "append" => {
                let value = self.last_argument()?;
                self.variables.append(&target, value)
            }
            "extend" => {
                let values = self.last_argument()?;
                self.variables.extend(&target, values)
            }
            "setdefault" => self.method_setdefault(&target),
            _ => self.method_update(&target),
        }
    }

    fn method_setdefault(&mut self, target: &Path) -> Result<(), Fault> {
        let key = self.value()?;
        let at = self.at();
        let value = match self.take_op(",")? && !self.is_op(")") {
            true => self.last_argument()?,
            false => {
                self.expect_op(")")?;
                self.variables.node(Value::None, at)
            }
        };
        self.variables.set_default(target, key, value)
    }

    /// The arguments of `update`: at most one dictionary, then `name=value`.
    fn method_update(&mut self, target: &Path) -> Result<(), Fault> {
        let at = self.at();
        let mut positional = None;
        let mut named = Dict::default();
        while !self.take_op(")")? {
            let offset = self.offset;
            if let Some(name) = self.argument_name()? {
                let key = self.variables.node(Value::Text(name.clone()), at);
                let value = self.value()?;
                if named.insert(HashKey::Text(name.clone()), key, value) {
                    return Err(Fault::plain(
                        offset,
                        format!("argument '{name}' is given twice"),
                    ));
                }
            } else if positional.is_none() && named.entries().is_empty() {
                positional = Some(self.value()?);
            } else {
                return Err(self.unexpected("NAME=value or ')'"));
            }
            if !self.take_op(",")? && !self.is_op(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        let named = self.variables.node(Value::Dict(named), at);
        if let Some(positional) = positional {
            self.variables.update(target, positional)?;
        }
        self.variables.update(target, named)
    }

    /// Passes `name=` when an argument of a call begins so.
    fn argument_name(&mut self) -> Result<Option<String>, Fault> {
        let Token::Name(name) = self.token else {
            return Ok(None);
        };
        if is_keyword(name) || !self.lexer.next_is_equals() {
            return Ok(None);
        }
        self.advance()?;
        self.expect_op("=")?;
        Ok(Some(name.to_string()))
    }
}

fn is_identifier(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|c: char| c.is_ascii_digit())
}
