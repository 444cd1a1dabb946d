//! Whole files in, whole files out: the shapes that GUIs have written, and what becomes of them.

use super::*;
use crate::config::{Problem, Source};

fn here() -> Here {
    Here {
        surroundings: Surroundings {
            local_core: "/omd/sites/x/tmp/run/live".into(),
            socket_dir: "/omd/sites/x/tmp/run/liveproxy".into(),
        },
        other_socket_dirs: vec!["/opt/omd/sites/x/tmp/run/liveproxy".into()],
    }
}

fn try_import(sites: &str, existing: Option<&str>) -> Result<Plan, Vec<Problem>> {
    let existing = existing.map(|text| Existing::read(&Source::new("liveproxy.mk", text)).unwrap());
    let source = Source::new("sites.mk", format!("sites.update({{{sites}}})\n"));
    plan(&source, existing.as_ref(), &here())
}

#[track_caller]
fn import(sites: &str, existing: Option<&str>) -> Plan {
    try_import(sites, existing).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The entries alone.
fn entries(plan: &Plan) -> String {
    let text = file_text(plan);
    text.split("sites.update({\n").nth(1).unwrap().to_string()
}

fn reasons(plan: &Plan) -> Vec<(&str, &Reason)> {
    let left = plan.left.iter();
    left.map(|left| (left.name.as_str(), &left.reason))
        .collect()
}

#[test]
fn todays_shapes() {
    let plan = import(
        "'muc': {'alias': 'München', 'socket': ('tcp', {'address': ('10.1.1.2', 6557), \
           'tls': ('encrypted', {'verify': True})}), 'timeout': 2, 'disabled': False, 'proxy': \
           {'params': {'channels': 6, 'heartbeat': (5, 2.0), 'channel_timeout': 6.0, 'query_timeout': 240.0, \
           'connect_retry': 5.0, 'cache': False}, 'tcp': {'port': 6560, 'only_from': [], 'tls': True}}},\
         'ber': {'socket': ('tcp6', {'address': ('fe80::1%eth0', 6557), 'tls': ('plain_text', {})}), 'proxy': None},\
         'vie': {'socket': ('unix', {'path': '/run/vie'}), 'proxy': {'params': None, 'tcp': None}},\
         'central': {'socket': ('local', None), 'proxy': None}",
        None,
    );
    assert_eq!(
        entries(&plan),
        "    'muc': {
        'socket': ('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('encrypted', {'verify': True})}),
        'channels': 6,
        'channel_timeout': 6.0,
        'heartbeat': (5, 2.0),
        'query_timeout': 240.0,
        'connect_retry': 5.0,
        'cache': False,
        'tcp': {'port': 6560, 'only_from': [], 'tls': True},
    },
    'ber': {
        'socket': ('tcp6', {'address': ('fe80::1%eth0', 6557), 'tls': ('plain_text', {})}),
    },
    'vie': {
        'socket': ('unix', {'path': '/run/vie'}),
    },
})
"
    );
    assert_eq!(
        report(&plan, &here()),
        "
To be changed in the GUI: connection to \"UNIX socket\" with this path:

    ber      tcp:[fe80::1%eth0]:6557 -> /omd/sites/x/tmp/run/liveproxy/ber

Nothing to be changed: the GUI uses the socket by itself, by the site's proxy setting:

    muc      tcp:10.1.1.2:6557 (tls) -> /omd/sites/x/tmp/run/liveproxy/muc
    vie      unix:/run/vie -> /omd/sites/x/tmp/run/liveproxy/vie

Not through the proxy:

    central  the core of this OMD site: there is no line to spare
"
    );
}

#[test]
fn old_shapes() {
    let plan = import(
        "'a': {'socket': 'tcp:10.1.1.3:6557'},\
         'b': {'socket': 'unix:/run/live'},\
         'c': {'socket': ('proxy', {'socket': ('10.1.1.4', 6557), 'params': None, 'cache': True})},\
         'd': {'socket': ('proxy', {'socket': ('10.1.1.5', 6557), 'channels': 3, 'heartbeat': (10, 3.0)})},\
         'e': {'socket': ('10.1.1.6', 6557)}",
        None,
    );
    assert_eq!(
        entries(&plan),
        "    'a': {
        'socket': 'tcp:10.1.1.3:6557',
    },
    'b': {
        'socket': 'unix:/run/live',
    },
    'c': {
        'socket': ('10.1.1.4', 6557),
        'cache': True,
    },
    'd': {
        'socket': ('10.1.1.5', 6557),
        'channels': 3,
        'heartbeat': (10, 3.0),
    },
    'e': {
        'socket': ('10.1.1.6', 6557),
    },
})
"
    );
    let by_itself = |name: &str| {
        let site = plan.proxied.iter().find(|site| site.name == name).unwrap();
        matches!(site.origin, Origin::GuiWithProxy { .. })
    };
    assert_eq!(
        ["a", "b", "c", "d", "e"].map(by_itself),
        [false, false, true, true, false]
    );
}

#[test]
fn what_cannot_be_proxied_is_named_with_the_reason() {
    let plan = import(
        "'now': {'socket': ('local', None)}, 'old': {'socket': None}, 'older': {},\
         'path': {'socket': ('unix', {'path': '/omd/sites/x/tmp/run/live'})},\
         'off': {'socket': ('tcp', {'address': ('h', 1)}), 'disabled': True}",
        None,
    );
    assert_eq!(plan.proxied, []);
    let (local, disabled) = (&Reason::Local, &Reason::Disabled);
    assert_eq!(
        reasons(&plan),
        [
            ("now", local),
            ("old", local),
            ("older", local),
            ("path", local),
            ("off", disabled)
        ]
    );
}

/// With a proxy configured, the GUI goes to the socket even for its own core.
#[test]
fn the_own_core_gets_an_entry_where_the_gui_relies_on_it() {
    for socket in [
        "('local', None)",
        "('proxy', {'socket': None})",
        "('proxy', {'socket': ('local', None)})",
        "'unix:/omd/sites/x/tmp/run/live'",
    ] {
        let plan = import(&format!("'x': {{'socket': {socket}, 'proxy': {{}}}}"), None);
        let entry = match socket.starts_with("'unix:") {
            true => socket,
            false => "('local', None)",
        };
        assert_eq!(
            entries(&plan),
            format!("    'x': {{\n        'socket': {entry},\n    }},\n}})\n")
        );
        let by_itself = Origin::GuiWithProxy {
            address: "the core of this OMD site".into(),
        };
        assert_eq!(plan.proxied[0].origin, by_itself, "{socket}");
    }
}

const MUC: &str =
    "sites.update({'muc': {'socket': ('10.1.1.2', 6557), 'max_clients': 5, 'x': [1]}})\n";

/// After the change in the GUI, the file alone knows where the site really is.
#[test]
fn an_entry_is_kept_when_the_gui_is_connected_to_its_socket() {
    for path in [
        "/omd/sites/x/tmp/run/liveproxy/muc",
        "/omd/sites/x/tmp/run/../run//./liveproxy/muc",
        "/opt/omd/sites/x/tmp/run/liveproxy/muc",
    ] {
        for (socket, more) in [
            (format!("('unix', {{'path': '{path}'}})"), ""),
            (format!("'unix:{path}'"), ""),
            (format!("'unix:{path}'"), ", 'disabled': True"),
            (
                format!("'unix:{path}'"),
                ", 'proxy': {'params': {'channels': 3}}",
            ),
        ] {
            let plan = import(&format!("'muc': {{'socket': {socket}{more}}}"), Some(MUC));
            assert_eq!(
                entries(&plan),
                "    'muc': {
        'socket': ('10.1.1.2', 6557),
        'max_clients': 5,
        'x': [1],
    },
})
",
                "{socket}{more}"
            );
            assert_eq!(
                (&plan.proxied[0].origin, &plan.left[..]),
                (&Origin::File, &[][..])
            );
            assert_eq!(
                report(&plan, &here()),
                "
Nothing to be changed: connected to this socket already, entry kept:

    muc  /omd/sites/x/tmp/run/liveproxy/muc
"
            );
        }
    }
}

#[test]
fn nothing_ever_proxies_itself() {
    let own = "('unix', {'path': '/omd/sites/x/tmp/run/liveproxy/muc'})";
    let plan = import(&format!("'muc': {{'socket': {own}}}"), None);
    assert_eq!(plan.proxied, []);
    assert_eq!(reasons(&plan), [("muc", &Reason::NoEntry("muc".into()))]);
    let other = import(&format!("'ber': {{'socket': {own}}}"), Some(MUC));
    let names: Vec<&str> = other
        .proxied
        .iter()
        .map(|site| site.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["muc"],
        "the entry of the socket, and none for the site that points there"
    );

    let circle = format!("sites.update({{'muc': {{'socket': {own}}}}})\n");
    let problems = try_import(&format!("'muc': {{'socket': {own}}}"), Some(&circle)).unwrap_err();
    assert!(problems[0].text.contains("own sockets"), "{problems:?}");
    let port = "'a': {'socket': ('tcp', {'address': ('127.0.0.1', 6560)})},\
                'b': {'socket': ('h', 1), 'proxy': {'tcp': {'port': 6560}}}";
    let problems = try_import(port, None).unwrap_err();
    assert!(problems[0].text.contains("own ports"), "{problems:?}");
}

/// Another OMD site's proxy is a site like any other: a chain is possible.
#[test]
fn the_socket_of_another_proxy_is_an_address() {
    let plan = import(
        "'muc': {'socket': 'unix:/omd/sites/y/tmp/run/liveproxy/muc'}",
        None,
    );
    assert_eq!(plan.proxied.len(), 1);
}

#[test]
fn what_the_gui_says_wins_over_an_older_entry() {
    let one = "'one': {'socket': 'unix:/omd/sites/x/tmp/run/liveproxy/muc'}";
    let muc = "'muc': {'socket': ('10.9.9.9', 1)}";
    for sites in [format!("{one}, {muc}"), format!("{muc}, {one}")] {
        assert_eq!(
            entries(&import(&sites, Some(MUC))),
            "    'muc': {\n        'socket': ('10.9.9.9', 1),\n    },\n})\n",
            "{sites}"
        );
    }
}

#[test]
fn an_entry_that_is_left_out_is_told_with_its_address() {
    let plan = import("'ber': {'socket': ('10.1.1.3', 6557)}", Some(MUC));
    let gone = Reason::Gone {
        socket: "('10.1.1.2', 6557)".into(),
    };
    assert_eq!(reasons(&plan), [("muc", &gone)]);
    assert!(
        report(&plan, &here())
            .contains("muc  no longer in the GUI, entry left out (it was ('10.1.1.2', 6557))")
    );
}

#[test]
fn a_site_is_gone_only_if_the_gui_has_neither_its_name_nor_its_socket() {
    let renamed = "'ber': {'socket': 'unix:/omd/sites/x/tmp/run/liveproxy/muc'}";
    assert_eq!(reasons(&import(renamed, Some(MUC))), []);
    let disabled = "'muc': {'socket': ('10.1.1.2', 6557), 'disabled': True}";
    let plan = import(disabled, Some(MUC));
    assert_eq!(reasons(&plan), [("muc", &Reason::Disabled)]);
}

#[test]
fn a_second_import_finds_its_own_file_unchanged() {
    let sites = "'ber': {'socket': ('10.1.1.3', 6557), 'proxy': {'params': {'channels': 2}}}";
    let first = file_text(&import(
        sites,
        Some(&format!("max_clients_total = 100\n{MUC}")),
    ));
    assert!(first.contains("\nmax_clients_total = 100\n"), "{first}");
    let existing = Existing::read(&Source::new("a.mk", first.as_str())).unwrap();
    assert_eq!(existing.author, Author::Import);
    assert_eq!(file_text(&import(sites, Some(&first))), first);

    let by_hand = first.replace("'channels': 2", "'channels':  2");
    let by_hand = Existing::read(&Source::new("a.mk", by_hand)).unwrap();
    assert_eq!(by_hand.author, Author::Person);
    assert!(by_hand.says_the_same(&existing));
    let changed = first.replace("'channels': 2", "'channels': 3");
    let changed = Existing::read(&Source::new("a.mk", changed)).unwrap();
    assert!(!changed.says_the_same(&existing));
}

#[test]
fn every_error_names_its_place() {
    for (site, column, words) in [
        (
            "'a b': {'socket': ('h', 1)}",
            15,
            "cannot stand in the name",
        ),
        ("'a': 5", 20, "expected a dictionary"),
        ("5: {}", 15, "in quotes"),
        ("'a': {'socket': ('h', 0)}", 31, "1 to 65535"),
        (
            "'a': {'socket': 'run/live'}",
            31,
            "expected 'tcp:host:port'",
        ),
        (
            "'a': {'socket': ('proxy', 5)}",
            32,
            "expected ('proxy', {'socket'",
        ),
        (
            "'a': {'socket': ('h', 1), 'proxy': 5}",
            50,
            "'proxy': expected",
        ),
        (
            "'a': {'socket': ('h', 1), 'proxy': {'params': {'channels': 0}}}",
            50,
            "'channels'",
        ),
        ("'a': {'socket': ('h', 1), 'proxy': x}", 50, "'x' is a name"),
    ] {
        let problems = try_import(site, None).unwrap_err();
        let text = problems[0].to_string();
        let place = format!("sites.mk:1:{column}: ");
        assert!(
            text.starts_with(&place) && text.contains(words),
            "{site}: {text}"
        );
    }
    let two = try_import("'a': {'socket': ('h', 0)}, 'b': {'socket': 5}", None);
    assert_eq!(two.unwrap_err().len(), 2, "all of them at once");
}
