//! What load generator and site agree on: a query that says how long its
//! answer is to be and what is to stand in it, so that a mixed-up answer shows.

/// Length of the header of `ResponseHeader: fixed16`.
pub const HEADER: usize = 16;

/// The shortest body that can name its query at both ends.
pub const LEAST_BODY: usize = 40;

/// Asks a site how many connections have answered a heartbeat: an independent
/// witness of how many channels there are.
pub const CENSUS: &str = "GET census\n\n";

/// Like one of a GUI: some columns, a filter, the usual headers at the end.
pub fn query(number: u64, bytes: usize, keep_alive: bool) -> String {
    let keep_alive = if keep_alive { "KeepAlive: on\n" } else { "" };
    format!(
        "GET hosts\nColumns: name state plugin_output last_check num_services\n\
         Filter: name = {number:016x}\nLimit: {bytes}\nAuthUser: bench\nOutputFormat: python\n\
         Localtime: 1795198323\n{keep_alive}ResponseHeader: fixed16\n\n"
    )
}

/// What a site is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A heartbeat.
    Alive,
    /// How many connections have answered a heartbeat.
    Census,
    /// What [`query`] has made.
    Body {
        /// What has to stand in the answer.
        number: u64,
        /// Its length.
        bytes: usize,
    },
}

/// Understands one request, without its empty line.
pub fn understand(request: &str) -> Option<Asked> {
    if request.starts_with("GET status\n") {
        return Some(Asked::Alive);
    }
    if request == CENSUS.trim_end() {
        return Some(Asked::Census);
    }
    let value = |name: &str| {
        let mut lines = request.lines();
        lines.find_map(|line| line.strip_prefix(name))
    };
    Some(Asked::Body {
        number: u64::from_str_radix(value("Filter: name = ")?, 16).ok()?,
        bytes: value("Limit: ")?.parse().ok()?,
    })
}

/// The answer's bytes, header included, put behind what stands in `out`;
/// `proved` connections have answered a heartbeat.
pub fn answer(asked: Asked, proved: usize, out: &mut Vec<u8>) {
    match asked {
        Asked::Alive => {
            let body = b"1795198323;bench;1.0\n";
            out.extend_from_slice(format!("200 {:>11}\n", body.len()).as_bytes());
            out.extend_from_slice(body);
        }
        Asked::Census => out.extend_from_slice(format!("{proved}\n").as_bytes()),
        Asked::Body { number, bytes } => {
            let bytes = bytes.max(LEAST_BODY);
            let name = format!("{number:016x}");
            out.extend_from_slice(format!("200 {bytes:>11}\n").as_bytes());
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            out.resize(start + bytes - name.len(), b'x');
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    More,
    /// It is there, and it is the right one.
    Complete,
    /// It is not an answer to this query.
    Wrong,
}

/// Checks what has come against the query that it has to be for.
pub fn check(number: u64, bytes: usize, input: &[u8]) -> Progress {
    let bytes = bytes.max(LEAST_BODY);
    let Some((header, body)) = input.split_at_checked(HEADER) else {
        return Progress::More;
    };
    if header != format!("200 {bytes:>11}\n").as_bytes() || body.len() > bytes {
        return Progress::Wrong;
    }
    if body.len() < bytes {
        return Progress::More;
    }
    let name = format!("{number:016x}");
    match body.starts_with(name.as_bytes()) && body.ends_with(name.as_bytes()) {
        true => Progress::Complete,
        false => Progress::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_its_own_query_and_no_other_one() {
        let request = query(7, 1000, true);
        let asked = understand(request.trim_end()).expect("a request");
        let mut bytes = Vec::new();
        answer(asked, 0, &mut bytes);
        assert_eq!(check(7, 1000, &bytes), Progress::Complete);
        assert_eq!(check(7, 1000, &bytes[..500]), Progress::More);
        assert_eq!(check(8, 1000, &bytes), Progress::Wrong);
        assert_eq!(check(7, 1001, &bytes), Progress::Wrong);
    }
}
