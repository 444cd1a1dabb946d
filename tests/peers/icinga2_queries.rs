//! The queries that are asked of icinga2 directly and through the proxy, with
//! what icinga2 itself is known to answer. Knows nothing of how they are asked.
//!
//! Columns that move by themselves, such as counters for each second, are left
//! out. Rows come in the order of icinga2's own tables, which stays the same
//! as long as it runs.

/// One query, without the empty line at its end and without the headers that
/// decide how it is framed.
pub struct Query {
    /// All lines, each with its line end.
    pub lines: &'static [u8],
    /// The status icinga2 answers with.
    pub code: u16,
    /// What kind of body it answers with.
    pub body: Body,
}

/// The kind of an answer's body; it shows that a query asks what it is meant to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    /// No byte at all.
    Nothing,
    /// Up to two megabytes.
    Short,
    /// More than four megabytes.
    Long,
}

impl Body {
    /// Whether a body of this length is of this kind.
    pub fn fits(self, length: usize) -> bool {
        match self {
            Body::Nothing => length == 0,
            Body::Short => (1..2_000_000).contains(&length),
            Body::Long => length > 4_000_000,
        }
    }
}

const fn rows(lines: &'static [u8]) -> Query {
    Query {
        lines,
        code: 200,
        body: Body::Short,
    }
}

const fn nothing(lines: &'static [u8]) -> Query {
    Query {
        lines,
        code: 200,
        body: Body::Nothing,
    }
}

const fn megabytes(lines: &'static [u8]) -> Query {
    Query {
        lines,
        code: 200,
        body: Body::Long,
    }
}

const fn refused(code: u16, lines: &'static [u8]) -> Query {
    Query {
        lines,
        code,
        body: Body::Short,
    }
}

/// Every query that icinga2 answers in a defined way.
pub const QUERIES: &[Query] = &[
    // All columns, which brings a line with their names.
    rows(b"GET hosts\nFilter: name = host1\n"),
    rows(b"GET services\nFilter: host_name = host2\nFilter: description = Dienst 1\n"),
    rows(b"GET hostgroups\n"),
    rows(b"GET servicegroups\n"),
    rows(b"GET contacts\n"),
    rows(b"GET contactgroups\n"),
    rows(b"GET commands\n"),
    rows(b"GET timeperiods\n"),
    rows(b"GET downtimes\n"),
    rows(b"GET comments\n"),
    nothing(b"GET endpoints\n"),
    nothing(b"GET zones\n"),
    // Tables joined from others, and those that read files.
    rows(b"GET status\nColumns: program_start program_version livestatus_version\n"),
    rows(b"GET hostsbygroup\nColumns: hostgroup_name name\n"),
    rows(b"GET servicesbygroup\nColumns: servicegroup_name host_name description\n"),
    rows(b"GET servicesbyhostgroup\nColumns: hostgroup_name host_name description\n"),
    rows(b"GET log\nColumns: time type host_name message\n"),
    rows(
        b"GET statehist\nColumns: host_name time state duration\n\
        Filter: time >= 1795198000\nFilter: time <= 1795198900\n",
    ),
    // Columns and their names.
    rows(b"GET hosts\nColumns: name alias state plugin_output notes\n"),
    rows(b"GET hosts\nColumns: name state\nColumnHeaders: on\n"),
    rows(b"GET hosts\nColumns: name state\nColumnHeaders: off\n"),
    rows(b"GET hosts\nColumns: name services_with_state services_with_info\nLimit: 2\n"),
    rows(b"GET hosts\nColumns: name custom_variable_names custom_variable_values\n"),
    rows(b"GET services\nColumns: host_name host_alias host_state description groups\n"),
    // Formats.
    rows(b"GET hosts\nColumns: name alias groups state\nOutputFormat: csv\n"),
    rows(b"GET hosts\nColumns: name alias custom_variables services\nOutputFormat: json\n"),
    rows(b"GET hosts\nColumns: name alias custom_variables services\nOutputFormat: python\n"),
    rows(b"GET hosts\nColumns: name alias\nOutputFormat: json\nColumnHeaders: on\n"),
    rows(b"GET hosts\nColumns: name alias\nOutputFormat: python\nColumnHeaders: on\n"),
    nothing(b"GET hosts\nColumns: name\nOutputFormat: python3\n"),
    nothing(b"GET hosts\nColumns: name\nOutputFormat: wrapped_json\n"),
    rows(b"GET hosts\nColumns: name address groups\nSeparators: 33 34 35 36\n"),
    rows(b"GET hosts\nColumns: name address groups\nSeparators: 0 1 254 255\n"),
    rows(b"GET hosts\nColumns: name groups services\nSeparators: 32 48 50 10\n"),
    // Filters, one for each operator.
    rows(b"GET hosts\nColumns: name\nFilter: name = host1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name != host1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name ~ ^host1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name !~ ^host1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name =~ HOST1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name !=~ HOST1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name ~~ ^HOST1\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name !~~ ^HOST1\n"),
    rows(b"GET services\nColumns: host_name state\nFilter: state < 2\n"),
    rows(b"GET services\nColumns: host_name state\nFilter: state > 2\n"),
    rows(b"GET services\nColumns: host_name state\nFilter: state <= 2\n"),
    rows(b"GET services\nColumns: host_name state\nFilter: state >= 2\n"),
    rows(b"GET hosts\nColumns: name groups\nFilter: groups >= odd\n"),
    rows(b"GET hosts\nColumns: name groups\nFilter: groups < odd\n"),
    rows(b"GET hosts\nColumns: name\nFilter: alias ~ K\xc3\xb6ln\n"),
    // Filters put together.
    rows(
        b"GET hosts\nColumns: name\nFilter: name = host1\nFilter: name = host2\n\
        Or: 2\nFilter: state = 0\nAnd: 2\n",
    ),
    rows(b"GET hosts\nColumns: name\nFilter: name = host1\nNegate:\n"),
    rows(b"GET hosts\nColumns: name\nFilter: state = 1\nFilter: groups >= odd\n"),
    // Counting.
    rows(b"GET hosts\nStats: state = 0\nStats: state = 1\n"),
    rows(
        b"GET hosts\nStats: state = 0\nStats: name ~ 1\nStatsAnd: 2\n\
        Stats: state = 1\nStats: state = 2\nStatsOr: 2\nStats: state = 0\nStatsNegate:\n",
    ),
    rows(b"GET services\nStats: sum state\nStats: min state\nStats: max state\nStats: avg state\n"),
    rows(b"GET services\nColumns: host_name\nStats: state = 0\nStats: state != 0\n"),
    rows(b"GET services\nColumns: state\nStats: state >= 0\nColumnHeaders: on\n"),
    rows(b"GET services\nStatsGroupBy: state\nStats: state >= 0\nOutputFormat: json\n"),
    // Limits, and headers that icinga2 knows or passes over.
    rows(b"GET hosts\nColumns: name\nLimit: 3\n"),
    rows(b"GET hosts\nColumns: name\nLimit: -1\n"),
    nothing(b"GET hosts\nColumns: name\nLimit: 0\n"),
    rows(b"GET hosts\nColumns: name\nLimit: 3\nOffset: 2\nSort: name asc\nTimelimit: 5\n"),
    rows(b"GET services\nColumns: host_name description\nAuthUser: anna\n"),
    rows(b"GET hosts\nColumns: name\nAuthUser: nobody\n"),
    rows(b"GET hosts\nColumns: name\nLocaltime: 1795198323\n"),
    rows(
        b"GET hosts\nColumns: name\nWaitTrigger: state\nWaitObject: host1\n\
        WaitCondition: state = 0\nWaitTimeout: 2000\n",
    ),
    rows(b"GET hosts\nColumns: name\nSomething: nobody knows\nLimit: 1\n"),
    // Nothing found.
    nothing(b"GET hosts\nColumns: name\nFilter: name = none\n"),
    nothing(b"GET hosts\nColumns: name\nFilter: name = none\nColumnHeaders: on\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name = none\nOutputFormat: json\n"),
    rows(b"GET hosts\nColumns: name\nFilter: name = none\nOutputFormat: python\n"),
    nothing(b"GET hosts\nColumns: name\nFilter: alias ~ K\xf6ln\n"),
    // Refusals. Those of 452 carry two to three kilobytes of stack trace.
    refused(404, b"GET nowhere\n"),
    refused(404, b"GET columns\n"),
    // The text repeats the byte that is no UTF-8.
    refused(404, b"GET rechnernamen f\xfcr alle\n"),
    refused(452, b"GET hosts\nColumns: name nothing\n"),
    refused(452, b"GET hosts\nColumns: name\nFilter: nothing = 1\n"),
    refused(452, b"GET hosts\nColumns: name\nFilter: name <=> x\n"),
    refused(452, b"GET hosts\nColumns: name\nFilter: groups !>= odd\n"),
    refused(451, b"GET hosts\nColumns: name\nOr: 3\n"),
    refused(451, b"GET hosts\nColumns: name\nNegate:\n"),
    // Long answers.
    megabytes(
        b"GET services\nColumns: host_name plugin_output long_plugin_output perf_data\n\
        OutputFormat: csv\n",
    ),
    megabytes(
        b"GET services\nColumns: host_name plugin_output long_plugin_output perf_data\n\
        OutputFormat: json\n",
    ),
];

/// Queries that make icinga2 close the connection without a word.
pub const DROPPED: &[&[u8]] = &[
    b"GET hosts\nColumns: name\nLimit: abc\n",
    b"GET hosts\nColumns: name\nFilter: name\n",
];
