//! The text of the file that the daemon reads.

use super::existing::MARK;
use super::plan::Plan;
use super::python;
use crate::fnv::fnv1a;
use std::fmt::Write as _;

/// What a reader of the file has to know.
const NOTE: &str = "\
# A line changed by hand is never lost: the next import then leaves this file alone
# and writes another beside it, with .new behind its name. Settings for the whole
# daemon are better kept in a file of their own.
";

/// The whole file. Equal plans make equal files.
pub fn file_text(plan: &Plan) -> String {
    let mut rest = NOTE.to_string();
    for (name, value) in &plan.others {
        let _ = write!(rest, "\n{name} = {value}\n");
    }
    rest.push_str("\nsites.update({\n");
    for site in &plan.proxied {
        let _ = writeln!(rest, "    {}: {{", python::quoted(&site.name));
        for (key, value) in &site.entry {
            let _ = writeln!(rest, "        {key}: {value},");
        }
        rest.push_str("    },\n");
    }
    rest.push_str("})\n");
    let sum = fnv1a(rest.as_bytes());
    format!("{}{sum:016x}{}\n{rest}", MARK.0, MARK.1)
}
