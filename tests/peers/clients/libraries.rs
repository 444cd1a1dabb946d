//! The client libraries, each with the tests that fit it.

use super::commands;
use super::console;
use super::program::{Learns, Program};
use super::queries;

/// Two hosts as most clients ask for them, and as they give them out.
const LISTS: &str = r#"[["host1",0],["host2",1]]"#;

/// The same as the clients give them out that name the columns of a row.
const NAMED: &str = r#"[{"name":"host1","state":0},{"name":"host2","state":1}]"#;

/// Monitoring::Livestatus with a connection for each query.
const PERL: Program = Program {
    name: "Monitoring::Livestatus",
    interpreter: "perl",
    script: "perl.pl",
    service: "host1;Dienst 2",
    arguments: &["plain"],
    answer: LISTS,
    rows: LISTS,
    learns: Learns::WaitsBriefly,
};

/// Monitoring::Livestatus with one connection for all queries.
const PERL_KEPT: Program = Program {
    name: "Monitoring::Livestatus with keepalive",
    service: "host3;Dienst 2",
    arguments: &["keepalive"],
    ..PERL
};

/// Monitoring::Livestatus::Class, which stands on the former.
const PERL_CLASS: Program = Program {
    name: "Monitoring::Livestatus::Class",
    service: "host4;Dienst 2",
    arguments: &["class"],
    rows: NAMED,
    ..PERL
};

/// NagVis' own class for Livestatus.
const NAGVIS: Program = Program {
    name: "NagVis",
    interpreter: "php",
    script: "nagvis.php",
    service: "host5;Dienst 2",
    arguments: &["{clients}/nagvis"],
    answer: LISTS,
    rows: LISTS,
    learns: Learns::WithNextQuery,
};

/// python-mk-livestatus, which asks for column headers and for no header.
const PYTHON: Program = Program {
    name: "python-mk-livestatus",
    interpreter: "python3",
    script: "python_mk.py",
    service: "host6;Dienst 2",
    arguments: &[],
    answer: r#"[["name","state"],["host1",0],["host2",1]]"#,
    rows: NAMED,
    learns: Learns::Waits,
};

/// Tests with the names of their scenarios.
macro_rules! tests_of {
    ($program:ident: $($part:ident::$scenario:ident,)*) => {
        $(
            #[test]
            fn $scenario() {
                super::$part::$scenario(&super::$program);
            }
        )*
    };
}

/// The scenarios that fit every library, and those named.
macro_rules! library {
    ($module:ident, $program:ident, $($part:ident::$scenario:ident,)*) => {
        mod $module {
            tests_of! { $program:
                queries::rows_are_those_of_icinga2,
                queries::rows_are_those_of_the_fake_site,
                queries::errors_of_icinga2_are_shown,
                queries::errors_of_the_fake_site_are_shown,
                queries::a_dead_site_is_shown,
                queries::a_busy_site_is_shown,
                commands::a_command_takes_effect_at_icinga2,
                commands::commands_arrive_once,
                commands::a_refused_command_is_shown,
                commands::a_command_for_a_dead_site_is_shown,
                $($part::$scenario,)*
            }
        }
    };
}

library! { perl, PERL,
    console::the_daemon_itself_is_asked,
    commands::a_query_follows_a_command,
    commands::a_command_for_a_busy_site_outlives_its_client,
    commands::the_end_comes_at_once,
}
// It tries to ask again on the connection that it has half closed, and fails once.
library! { perl_kept, PERL_KEPT,
    console::the_daemon_itself_is_asked,
    commands::it_goes_on_after_a_command_as_at_the_site,
    commands::a_command_for_a_busy_site_outlives_its_client,
    commands::the_end_comes_at_once,
}
library! { perl_class, PERL_CLASS,
    commands::a_query_follows_a_command,
    commands::a_command_for_a_busy_site_outlives_its_client,
    commands::the_end_comes_at_once,
}
library! { nagvis, NAGVIS,
    commands::a_command_for_a_dead_site_outlives_its_client,
    commands::a_query_follows_a_command,
    commands::a_command_for_a_busy_site_outlives_its_client,
}
library! { python, PYTHON,
    console::the_daemon_itself_is_asked,
    commands::a_query_follows_a_command,
    commands::the_end_comes_at_once,
}
