//! The daemon's own socket as a test asks it: rows of its tables, and orders.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::client::{Client, Response};
use super::patience::eventually;

/// Where the daemon of a root can be asked about itself.
#[derive(Clone, Debug)]
pub struct Console {
    path: PathBuf,
}

impl Console {
    /// That of the daemon on this root.
    pub fn of(root: &Path) -> Console {
        Console {
            path: root.join("tmp/run/liveproxyd.ctl"),
        }
    }

    /// The socket itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new client of it.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.path)
    }

    /// One query on a connection of its own.
    #[track_caller]
    pub fn ask(&self, lines: &str) -> Response {
        self.client().ask(lines)
    }

    /// The rows that a query gives.
    #[track_caller]
    pub fn rows(&self, lines: &str) -> Vec<Vec<Value>> {
        let response = self.ask(&format!("{lines}\nOutputFormat: json"));
        assert_eq!(response.code, 200, "{lines}: {response:?}");
        serde_json::from_slice(&response.body).unwrap()
    }

    /// A value of the only row that a query of one column gives.
    #[track_caller]
    pub fn value(&self, lines: &str) -> Value {
        let rows = self.rows(lines);
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{lines}: {rows:?}");
        rows[0][0].clone()
    }

    /// A column of a site.
    #[track_caller]
    pub fn of_site(&self, site: &str, column: &str) -> Value {
        self.value(&format!(
            "GET sites\nColumns: {column}\nFilter: name = {site}"
        ))
    }

    /// The same of one that is a number.
    #[track_caller]
    pub fn number(&self, site: &str, column: &str) -> f64 {
        let value = self.of_site(site, column);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{column} of {site} is {value}"))
    }

    /// The same of one that is a text.
    #[track_caller]
    pub fn text(&self, site: &str, column: &str) -> String {
        self.of_site(site, column).as_str().unwrap().to_owned()
    }

    /// Waits until a number of a site is this.
    #[track_caller]
    pub fn await_number(&self, site: &str, column: &str, wanted: f64) {
        eventually(&format!("{column} of {site} is {wanted}"), || {
            self.number(site, column) == wanted
        });
    }

    /// Waits until a site is in this state.
    #[track_caller]
    pub fn await_state(&self, site: &str, wanted: &str) {
        eventually(&format!("{site} is {wanted}"), || {
            self.text(site, "state") == wanted
        });
    }

    /// Gives an order as `liveproxyctl` does; what is said to it, which is nothing if it is taken.
    #[track_caller]
    pub fn try_order(&self, order: &str) -> String {
        let client = self.client();
        client.send(format!("COMMAND [1700000000] {order}\n\n"));
        client.half_close();
        String::from_utf8(client.read_to_end()).unwrap()
    }

    /// Gives an order that has to be taken.
    #[track_caller]
    pub fn order(&self, order: &str) {
        assert_eq!(self.try_order(order), "", "{order}");
    }
}
