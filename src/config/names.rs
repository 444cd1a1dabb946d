//! What a site's name can be: it names a socket, and a GUI must accept it. Knows no other site.

use super::address::MAX_SOCKET_PATH;
use std::path::Path;

/// Bytes kept free behind a socket's path for the name under which it is bound before it is renamed into place:
/// a dot before it, and behind it a dot and the process id, which has seven digits at most (Linux, 64 bit).
const TEMPORARY_SUFFIX_ROOM: usize = 16;

/// Checks a site's name: it names a file, and a GUI must accept it. The error does not repeat the name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name of a site is empty; use letters, digits, '-' and '_'".to_string());
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match name.chars().find(|&c| !is_allowed(c)) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "{bad:?} cannot stand in the name of a site; use letters, digits, '-' and '_'"
        )),
    }
}

/// Whether a site can have this name.
pub fn is_site_name(name: &str) -> bool {
    check_name(name).is_ok()
}

/// Checks that a site's socket, and the temporary name it is bound under, fit into a socket address.
pub(super) fn check_socket_length(name: &str, socket_dir: &Path) -> Result<(), String> {
    let length = socket_dir.join(name).as_os_str().len() + TEMPORARY_SUFFIX_ROOM;
    match length.checked_sub(MAX_SOCKET_PATH) {
        None | Some(0) => Ok(()),
        Some(excess) => Err(format!(
            "the socket of site '{name}' in {} has a path that is {excess} bytes too long; \
             with its temporary name it may have {MAX_SOCKET_PATH}; choose a shorter name",
            socket_dir.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIR: &str = "/omd/sites/x/tmp/run/liveproxy";

    #[test]
    fn names_are_those_a_gui_accepts() {
        for good in ["muc", "a", "-", "_9", "Site-1_b"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
            assert!(is_site_name(good));
        }
        for bad in ["", ".", "..", "a/b", "mü", "a b", "a\0", "a.b", "a\n"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
            assert!(!is_site_name(bad));
        }
    }

    #[test]
    fn socket_paths_leave_room_for_their_temporary_name() {
        let longest = MAX_SOCKET_PATH - TEMPORARY_SUFFIX_ROOM - DIR.len() - 1;
        let check = |length: usize| check_socket_length(&"n".repeat(length), Path::new(DIR));
        assert_eq!(check(longest), Ok(()));
        let text = check(longest + 2).unwrap_err();
        assert!(text.contains("2 bytes too long"), "{text}");
    }
}
