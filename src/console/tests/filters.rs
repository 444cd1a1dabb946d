//! Which rows, in which order, and what is computed of them.

use super::rows;

/// The names of the sites that the filters let through.
fn names_of(filters: &str) -> String {
    let body = rows("sites", &format!("Columns: name\n{filters}"));
    body.lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn texts_are_filtered_by_every_operator() {
    for (filter, want) in [
        ("name = muc", "muc"),
        ("name != muc", "ber xxx"),
        ("name =", ""),
        ("reason != ", "ber xxx"),
        ("reason =", "muc"),
        ("name =~ MUC", "muc"),
        ("name !=~ MUC", "ber xxx"),
        ("name ~ ^.u", "muc"),
        ("name ~ u", "muc"),
        ("name !~ u", "ber xxx"),
        ("name ~ U", ""),
        ("name ~~ U", "muc"),
        ("name !~~ U", "ber xxx"),
        ("name < muc", "ber"),
        ("name > muc", "xxx"),
        ("name <= muc", "ber muc"),
        ("name >= muc", "muc xxx"),
        ("name !>= muc", "ber"),
        ("name !< muc", "muc xxx"),
        ("reason = Connection refused", "ber"),
        ("address =~ TCP:MÜNCHEN:6557", "muc"),
    ] {
        assert_eq!(names_of(&format!("Filter: {filter}\n")), want, "{filter}");
    }
}

#[test]
fn numbers_and_times_are_filtered_by_every_operator() {
    for (filter, want) in [
        ("channels_open = 4", "muc"),
        ("channels_open != 4", "ber xxx"),
        ("channels_open < 4", "ber xxx"),
        ("channels_open > 0", "muc"),
        ("channels_open <= 4", "ber muc xxx"),
        ("channels_open >= 4", "muc"),
        ("channels_open > -1", "ber muc xxx"),
        ("queries = 17", "muc"),
        ("since = 1795198311", "ber"),
        ("since >= 1795198023", "ber muc"),
        ("since !< 1795198023", "ber muc"),
        ("heartbeat_typical = 0.012", "muc"),
        ("heartbeat_typical = 0.0123", "muc"),
        ("heartbeat_typical != 0", "muc"),
        ("heartbeat_typical < 0.012", "ber xxx"),
        ("heartbeat_typical <= 0.012", "ber muc xxx"),
        ("heartbeat_typical > 0.0114", "muc"),
        ("heartbeat_out >= -1", "ber muc xxx"),
        ("heartbeat_out > -1", "muc"),
    ] {
        assert_eq!(names_of(&format!("Filter: {filter}\n")), want, "{filter}");
    }
}

#[test]
fn lists_are_filtered_by_what_they_hold() {
    for (filter, want) in [
        ("response_time_buckets >= 2", "muc"),
        ("response_time_buckets < 2", "ber xxx"),
        ("response_time_buckets =", ""),
        ("response_time_buckets !=", "ber muc xxx"),
    ] {
        assert_eq!(names_of(&format!("Filter: {filter}\n")), want, "{filter}");
    }
}

#[test]
fn filters_are_a_stack() {
    let two = "Filter: name = ber\nFilter: name = muc\n";
    for (headers, want) in [
        (two.to_string(), ""),
        (format!("{two}And: 2\n"), ""),
        (format!("{two}Or: 2\n"), "ber muc"),
        (format!("{two}Or: 2\nNegate:\n"), "xxx"),
        (format!("{two}Negate: \n"), "ber"),
        (format!("{two}Or: 2\nFilter: state = dead\n"), "ber"),
        (
            format!("{two}Or: 2\nFilter: state = dead\nNegate:\nAnd: 2\n"),
            "muc",
        ),
        (format!("{two}Or: 1\nOr: 1\n"), ""),
        ("And: 0\n".to_string(), "ber muc xxx"),
        ("Or: 0\n".to_string(), ""),
    ] {
        assert_eq!(names_of(&headers), want, "{headers}");
    }
}

#[test]
fn lines_are_sorted_left_out_and_limited() {
    let names = |headers: &str| names_of(headers);
    assert_eq!(names("OrderBy: name desc\n"), "xxx muc ber");
    assert_eq!(names("Sort: since asc\n"), "xxx muc ber");
    assert_eq!(
        names("OrderBy: clients desc\nOrderBy: name desc\n"),
        "muc xxx ber"
    );
    assert_eq!(names("OrderBy: heartbeat_typical\n"), "ber xxx muc");
    assert_eq!(
        names("OrderBy: response_time_buckets desc\n"),
        "muc ber xxx"
    );
    assert_eq!(names("Limit: 2\n"), "ber muc");
    assert_eq!(names("Offset: 1\nLimit: 1\n"), "muc");
    assert_eq!(names("Offset: 9\n"), "");
    assert_eq!(names("Limit: 0\n"), "");
}

#[test]
fn stats_count_and_compute() {
    let headers = "Stats: state = ready\nStats: state = dead\nStats: name !=\n\
        Stats: sum channels_configured\nStats: avg channels_configured\nStats: max since\n\
        Stats: min heartbeat_out\nStats: sum heartbeat_typical\n";
    assert_eq!(
        rows("sites", headers),
        "1;1;3;20;6.667;1795198311;-1.000;0.012\n"
    );
    let headers = "Filter: name = muc\nStats: min channels_open\nStats: max heartbeat_out\n";
    assert_eq!(rows("sites", headers), "4;0.250\n");
    let headers = "Stats: state = ready\nStats: state = dead\nStatsOr: 2\n\
        Stats: state = dead\nStatsNegate:\nStats: name = muc\nStats: state = ready\nStatsAnd: 2\n";
    assert_eq!(rows("sites", headers), "2;2;1\n");
}

#[test]
fn stats_of_no_rows_are_zero_and_of_no_groups_nothing() {
    let nobody = "Filter: name = nobody\n";
    let stats = "Stats: state = ready\nStats: avg since\nStats: min since\n";
    assert_eq!(rows("sites", &format!("{nobody}{stats}")), "0;0.000;0\n");
    assert_eq!(
        rows("sites", &format!("{nobody}{stats}Columns: state\n")),
        ""
    );
}

#[test]
fn stats_with_columns_make_groups() {
    let headers = "Columns: channels_configured\nStats: state != \nStats: sum channels_open\n";
    assert_eq!(rows("sites", headers), "10;2;4\n0;1;0\n");
    let headers = format!("{headers}ColumnHeaders: on\nOffset: 1\nLimit: 5\nOutputFormat: json\n");
    assert_eq!(
        rows("sites", &headers),
        "[[\"channels_configured\",\"stats_1\",\"stats_2\"],\n[0,1,0]]\n"
    );
}
