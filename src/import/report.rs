//! What is told to the person who imports: above all what to change in the GUI.

use super::Here;
use super::plan::{Left, Origin, Plan, Reason};
use std::fmt::Write as _;

/// The text for standard output, one line for each site.
pub fn report(plan: &Plan, here: &Here) -> String {
    let mut out = String::new();
    let names = plan.proxied.iter().map(|site| &site.name);
    let names = names.chain(plan.left.iter().map(|site| &site.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let mut list = |heading: &str, lines: Vec<(&str, String)>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{heading}\n");
        }
        for (name, text) in lines {
            let _ = writeln!(out, "    {name:width$}  {text}");
        }
    };
    let of = |wanted: fn(&Origin) -> Option<&str>| -> Vec<(&str, String)> {
        let sites = plan.proxied.iter();
        let lines = sites.filter_map(|site| {
            let address = wanted(&site.origin)?;
            let path = here.surroundings.socket_dir.join(&site.name);
            let arrow = if address.is_empty() { "" } else { " -> " };
            Some((
                site.name.as_str(),
                format!("{address}{arrow}{}", path.display()),
            ))
        });
        lines.collect()
    };
    list(
        "To be changed in the GUI: connection to \"UNIX socket\" with this path:",
        of(|origin| match origin {
            Origin::Gui { address } => Some(address),
            _ => None,
        }),
    );
    list(
        "Nothing to be changed: the GUI uses the socket by itself, by the site's proxy setting:",
        of(|origin| match origin {
            Origin::GuiWithProxy { address } => Some(address),
            _ => None,
        }),
    );
    list(
        "Nothing to be changed: connected to this socket already, entry kept:",
        of(|origin| match origin {
            Origin::File => Some(""),
            _ => None,
        }),
    );
    let left = plan.left.iter().map(|left| (left.name.as_str(), why(left)));
    list("Not through the proxy:", left.collect());
    out
}

fn why(left: &Left) -> String {
    match &left.reason {
        Reason::Local => "the core of this OMD site: there is no line to spare".to_string(),
        Reason::Disabled => "disabled in the GUI".to_string(),
        Reason::NoEntry(socket) => format!(
            "connected to our socket '{socket}' already, but there is no entry for it: \
             give the site its own address in the GUI, and import again"
        ),
        Reason::Gone { socket } => {
            format!("no longer in the GUI, entry left out (it was {socket})")
        }
    }
}
