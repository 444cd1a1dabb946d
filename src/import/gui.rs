//! What the GUI knows of each site: its address in all forms since Check_MK 1.2, whether it goes through a proxy
//! already, and the proxy's settings. Does not judge.

use super::python;
use crate::config::{At, Dict, Node, Problem, SETTINGS, Source, Value, Variables, read_variables};

/// One site of the GUI.
#[derive(Debug, Clone)]
pub(super) struct GuiSite {
    pub name: String,
    /// Where its name stands.
    pub name_at: At,
    /// Switched off in the GUI.
    pub is_disabled: bool,
    /// Where it is, as it would stand in our file; `None`: the core of the GUI's own OMD site, in whatever form.
    pub socket: Option<String>,
    /// Where that stands.
    pub socket_at: At,
    /// Whether the GUI uses a proxy's socket by itself.
    pub has_proxy: bool,
    /// The settings of that proxy for this site, in Python's syntax, in the order of [`SETTINGS`].
    pub settings: Vec<(&'static str, String)>,
    /// Where they stand.
    pub settings_at: At,
}

/// All sites of a `sites.mk`, and what is needed to name places in it.
pub(super) fn read(source: &Source) -> Result<(Vec<GuiSite>, Variables), Vec<Problem>> {
    let variables =
        read_variables(std::slice::from_ref(source)).map_err(|problem| vec![problem])?;
    let Some(Node {
        value: Value::Dict(all),
        ..
    }) = variables.get("sites")
    else {
        let at = variables.get("sites").map(|node| node.at);
        let text = "sites: expected a dictionary such as {'muc': {'socket': ...}}";
        return Err(vec![match at {
            Some(at) => variables.problem(at, text),
            None => Problem::without_place(text),
        }]);
    };
    let (mut sites, mut problems) = (Vec::new(), Vec::new());
    for entry in all.entries() {
        let found = match (&entry.key.value, &entry.value.value) {
            (Value::Text(name), Value::Dict(dict)) => site(name, entry.key.at, &entry.value, dict),
            (Value::Text(name), _) => Err((
                entry.value.at,
                format!("site {}: expected a dictionary", python::quoted(name)),
            )),
            _ => Err((
                entry.key.at,
                "expected the name of a site in quotes".to_string(),
            )),
        };
        match found {
            Ok(site) => sites.push(site),
            Err((at, text)) => problems.push(variables.problem(at, text)),
        }
    }
    match problems.is_empty() {
        true => Ok((sites, variables)),
        false => Err(problems),
    }
}

fn site(name: &str, name_at: At, node: &Node, dict: &Dict) -> Result<GuiSite, (At, String)> {
    let told = |at, text: &str| Err((at, format!("site {}, {text}", python::quoted(name))));
    let (mut socket, mut proxy) = (dict.get("socket"), dict.get("proxy"));
    // Up to 1.5 the proxy was a kind of socket, with the address of the site inside.
    if let Some((at, "proxy", Some(inner))) = socket.and_then(kind) {
        let Value::Dict(parameters) = &inner.value else {
            return told(at, "'socket': expected ('proxy', {'socket': (host, port)})");
        };
        proxy = Some(inner);
        socket = parameters.get("socket");
    }
    let mut found = GuiSite {
        name: name.to_string(),
        name_at,
        is_disabled: matches!(
            dict.get("disabled").map(|n| &n.value),
            Some(Value::Bool(true))
        ),
        socket: socket
            .filter(|node| !is_local(node))
            .map(|node| python::shown(&node.value)),
        socket_at: socket.map_or(node.at, |node| node.at),
        has_proxy: false,
        settings: Vec::new(),
        settings_at: node.at,
    };
    match proxy.map(|node| (node, &node.value)) {
        None | Some((_, Value::None)) => {}
        Some((node, Value::Dict(proxy))) => {
            found.has_proxy = true;
            found.settings_at = node.at;
            found.settings = settings(proxy);
        }
        Some((node, _)) => return told(node.at, "'proxy': expected a dictionary or None"),
    }
    Ok(found)
}

/// The word in front of an address, and what stands behind it.
fn kind(node: &Node) -> Option<(At, &str, Option<&Node>)> {
    let (Value::Tuple(items) | Value::List(items)) = &node.value else {
        return None;
    };
    match items.first().map(|first| (first.at, &first.value)) {
        Some((at, Value::Text(word))) => Some((at, word, items.get(1))),
        _ => None,
    }
}

/// No address at all was the form of the local core up to 1.5.
fn is_local(node: &Node) -> bool {
    matches!(node.value, Value::None) || matches!(kind(node), Some((_, "local", _)))
}

/// The settings of a site's proxy. Those in `params` win; older files have them beside it.
fn settings(proxy: &Dict) -> Vec<(&'static str, String)> {
    let params = match proxy.get("params").map(|node| &node.value) {
        Some(Value::Dict(params)) => Some(params),
        _ => None,
    };
    let value = |name: &str| {
        params
            .and_then(|params| params.get(name))
            .or_else(|| proxy.get(name))
    };
    SETTINGS
        .iter()
        .filter_map(|setting| {
            let node = value(setting.name).or_else(|| setting.old_name.and_then(value))?;
            let is_set = !matches!(node.value, Value::None);
            is_set.then(|| (setting.name, python::shown(&node.value)))
        })
        .collect()
}
