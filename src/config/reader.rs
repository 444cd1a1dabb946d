//! Python's statements, as far as configuration files need them: assignments, `update` and `setdefault`.
//! Nothing is executed; what is not on the list is refused by name. Knows no site.

use super::lexer::Token;
use super::literal::{Parser, is_keyword};
use super::problem::{Fault, FaultKind, Problem};
use super::source::{Source, decode};
use super::strings::Literal;
use super::value::Value;
use super::variables::{Path, Variables};
use std::sync::Arc;

/// What can stand where a statement is wanted, for messages.
const STATEMENTS: &str =
    "NAME = value, NAME['key'] = value, NAME.update({...}) and NAME['key'].update({...})";

/// Reads files in order into one set of names. The error is the first thing that is not supported syntax.
pub fn read_variables(sources: &[Source]) -> Result<Variables, Problem> {
    let mut variables = Variables::new();
    for source in sources {
        let text = Arc::new(decode(source)?);
        let file = variables.add_text(Arc::clone(&text));
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
            // A string alone is a description for people, as at the top of a file.
            Token::Literal(_) => self.joined_literals().map(|_| ()),
            Token::Name(word) if is_keyword(word) => Err(not_executed(self.offset, word)),
            Token::Name(_) => {
                let target = self.path()?;
                self.change(&target)
            }
            _ => Err(self.unexpected("a statement such as NAME = value")),
        }
    }

    /// What is done to the name at the beginning of a statement.
    fn change(&mut self, target: &Path) -> Result<(), Fault> {
        match self.token {
            Token::Op("=") => self.assignment(target),
            Token::Op(".") => self.update(target),
            Token::Op("(") => {
                let call = format!("{}(...)", target.name);
                Err(not_executed(target.at.offset, &call))
            }
            Token::Op(op) if op.ends_with('=') => Err(not_executed(self.offset, op)),
            _ => {
                let wanted = format!("'=' or '.update({{...}})' behind '{}'", target.name);
                Err(self.unexpected(&wanted))
            }
        }
    }

    /// `NAME = value`, from the `=` on.
    fn assignment(&mut self, target: &Path) -> Result<(), Fault> {
        self.advance()?;
        if let Token::Name("locals" | "globals") = self.token {
            return self.default(target);
        }
        let value = self.value_or_tuple()?;
        self.variables.assign(target, value)
    }

    /// `NAME = locals().setdefault('NAME', value)`, from `locals` on. It keeps the value that the name has; with
    /// another name inside, one value would have two names.
    fn default(&mut self, target: &Path) -> Result<(), Fault> {
        self.advance()?;
        self.expect_op("(")?;
        self.expect_op(")")?;
        self.expect_op(".")?;
        let wanted = format!("setdefault('{}', value)", target.name);
        let Token::Name("setdefault") = self.token else {
            return Err(self.unexpected(&wanted));
        };
        self.advance()?;
        self.expect_op("(")?;
        let offset = self.offset;
        let name = self.joined_literals()?;
        if name != Literal::Text(target.name.clone()) || !target.keys.is_empty() {
            let text = format!("expected {wanted}, the name left of '='");
            return Err(Fault::plain(offset, text));
        }
        self.expect_op(",")?;
        let value = self.value()?;
        self.end_of_call()?;
        self.variables.assign_unless_known(target, value)
    }

    /// `NAME.update({...})`, from the dot on.
    fn update(&mut self, target: &Path) -> Result<(), Fault> {
        self.advance()?;
        match self.token {
            Token::Name("update") => {}
            Token::Name(method) => {
                return Err(not_executed(self.offset, &format!(".{method}")));
            }
            _ => return Err(self.unexpected("update({...})")),
        }
        self.advance()?;
        self.expect_op("(")?;
        if !self.is_op("{") {
            return Err(self.unexpected("one dictionary {...}"));
        }
        let argument = self.value()?;
        let Value::Dict(more) = argument.value else {
            let found = argument.value.in_words();
            let text = format!("expected one dictionary {{...}}, found {found}");
            return Err(Fault::plain(argument.at.offset, text));
        };
        self.end_of_call()?;
        self.variables.update(target, more)
    }

    /// Perhaps a comma, and the closing bracket of a call.
    fn end_of_call(&mut self) -> Result<(), Fault> {
        self.take_op(",")?;
        self.expect_op(")")
    }
}

fn not_executed(at: usize, what: &str) -> Fault {
    let text = format!("'{what}' is not supported, nothing is executed; accepted are {STATEMENTS}");
    Fault::plain(at, text)
}
