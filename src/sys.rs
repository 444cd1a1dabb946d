//! The few system calls that std and the crates do not wrap. The only module
//! with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::time::{Duration, UNIX_EPOCH};

/// The words of an error, without the number that Rust adds behind them.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or(&text).to_string(),
        None => text,
    }
}

/// Whether a call has failed because this process or machine has no more
/// descriptors, ports or memory.
pub fn is_want_of_room(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL)
    )
}

/// Raises the limit of open files to what the administrator allows and returns it.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit, only read by the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// A pipe whose ends no child inherits: (read, write).
pub fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [read, write] = ends;
    // SAFETY: both descriptors were just made and belong to nobody else.
    unsafe {
        Ok((
            std::fs::File::from_raw_fd(read),
            std::fs::File::from_raw_fd(write),
        ))
    }
}

/// Reads up to `most` bytes from a socket to the end of `bytes`, whose room is
/// not cleared before.
pub fn read_onto(socket: &impl AsRawFd, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    bytes.reserve(most);
    let length = bytes.len();
    let room = bytes.spare_capacity_mut();
    let most = most.min(room.len());
    // SAFETY: the room is valid for writing `most` bytes, and only written to.
    let count = unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), most, 0) };
    let Ok(count) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the call has written so many bytes, and no more than there is room for.
    unsafe { bytes.set_len(length + count) };
    Ok(count)
}

/// Below this length, memory is taken from what was freed before. What is
/// longer comes from the system and goes back to it at once: a window through
/// which a response is passed on, which has this length, grows and shrinks, and
/// among others would leave holes that nothing fits into.
const LONGEST_REUSED: i32 = 1024 * 1024;

/// So much freed memory is kept until [`give_memory_back`]: the responses of a
/// busy moment, of 1 MiB each.
const KEPT_FREE: i32 = 8 * 1024 * 1024;

/// Keeps the allocator from giving back memory by itself that the next
/// response needs again: each page of it would cost a fault, and the faults
/// more than the passing on. When it is time to give back, the loop knows.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only sets two numbers of the allocator's.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LONGEST_REUSED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_FREE);
    }
}

/// Gives memory that was freed back to the system. Costs time in proportion to
/// the free pieces, and a page fault for each page that is used again.
pub fn give_memory_back() {
    // Other C libraries do it by themselves, or not at all.
    #[cfg(target_env = "gnu")]
    // SAFETY: only tells the allocator to let go of free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Who is at the other end of a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process that connected, or that listens.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// The user that this process acts as.
pub fn own_uid() -> u32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Who is at the other end of a UNIX socket.
pub fn peer(socket: &impl AsRawFd) -> Option<Peer> {
    // SAFETY: ucred is plain data, for which zero bytes are a value.
    let mut credentials: libc::ucred = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: pointer and length describe `credentials`; the descriptor lives for the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &mut length,
        )
    };
    (result == 0).then_some(Peer {
        pid: credentials.pid,
        uid: credentials.uid,
    })
}

/// Of all sockets that listen on one TCP port, the one that came in at this
/// place is to get the new connections; where there is none at that place, the
/// system chooses. Those that are being made stay where they are.
pub fn give_connections_to(socket: &impl AsRawFd, place: u32) -> io::Result<()> {
    attach_constant(socket, libc::SO_ATTACH_REUSEPORT_CBPF, place)
}

/// A listening socket hears of no new connection any more; those that are in
/// its queue stay there.
pub fn deafen(socket: &impl AsRawFd) -> io::Result<()> {
    // So many bytes of each packet are kept.
    attach_constant(socket, libc::SO_ATTACH_FILTER, 0)
}

/// Has the system run a program (classic BPF) that does nothing but return a constant.
fn attach_constant(socket: &impl AsRawFd, option: i32, constant: u32) -> io::Result<()> {
    let mut code = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: constant,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut code,
    };
    // SAFETY: `program` describes one instruction; both live for the call, which copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is handed over.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The group's number, or nothing if there is no such group.
pub fn group_id(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is a C string; the entry is used before any other call
    // that could overwrite it, and no other thread runs yet when this is called.
    unsafe {
        let entry = libc::getgrnam(name.as_ptr());
        entry.as_ref().map(|entry| entry.gr_gid)
    }
}

/// Columns and lines of the terminal behind a descriptor, if there is one and it knows.
pub fn terminal_size(terminal: &impl AsRawFd) -> Option<(usize, usize)> {
    // SAFETY: winsize is plain data, for which zero bytes are a value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call, which fills a winsize; the descriptor lives.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0 && size.ws_row > 0)
        .then_some((size.ws_col.into(), size.ws_row.into()))
}

/// A terminal that hands out each key as it is pressed, unseen; Ctrl-C is a key
/// like others. Dropping this puts it back.
pub struct KeyMode {
    terminal: std::fs::File,
    before: libc::termios,
}

impl KeyMode {
    /// Switches the terminal behind this descriptor.
    pub fn begin(terminal: &impl AsFd) -> io::Result<KeyMode> {
        let terminal = std::fs::File::from(terminal.as_fd().try_clone_to_owned()?);
        // SAFETY: termios is plain data, for which zero bytes are a value.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is valid for the call, the descriptor is ours.
        if unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut keys = before;
        keys.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
        set_terminal(&terminal, &keys)?;
        Ok(KeyMode { terminal, before })
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        // A terminal that has gone away needs no putting back.
        let _ = set_terminal(&self.terminal, &self.before);
    }
}

fn set_terminal(terminal: &impl AsRawFd, mode: &libc::termios) -> io::Result<()> {
    // SAFETY: `mode` is only read by the call.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSADRAIN, mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until there is something to read, or the other side is gone; false
/// when the time is over. A signal ends it early with `Interrupted`.
pub fn await_input(input: &impl AsRawFd, time: Duration) -> io::Result<bool> {
    poll(input, libc::POLLIN, time)
}

/// Waits until so much can be written that [`WHOLE`] bytes block nobody, or the
/// other side is gone; false when the time is over. A signal ends it early with
/// `Interrupted`.
pub fn await_output(output: &impl AsRawFd, time: Duration) -> io::Result<bool> {
    poll(output, libc::POLLOUT, time)
}

/// What a pipe that can be written to takes in one piece.
pub const WHOLE: usize = libc::PIPE_BUF;

fn poll(file: &impl AsRawFd, events: libc::c_short, time: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd {
        fd: file.as_raw_fd(),
        events,
        revents: 0,
    };
    let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is to one pollfd, as the count says.
    match unsafe { libc::poll(&mut wanted, 1, millis) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}

/// `2026-11-20 17:52:24,739`, in local time. Asked for each line anew: a time
/// zone offset that is kept is wrong after the change of summer time.
pub fn local_time_stamp(since_epoch: Duration) -> String {
    let seconds = libc::time_t::try_from(since_epoch.as_secs()).unwrap_or_default();
    // SAFETY: tm is plain data, for which zero bytes are a value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::localtime_r(&seconds, &mut tm) };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        since_epoch.subsec_millis()
    )
}

/// `2026-11-20 17:52:24`, the local time of a point in time since 1970.
pub fn local_time(since_epoch: f64) -> String {
    let time = Duration::try_from_secs_f64(since_epoch).unwrap_or_default();
    let mut stamp = local_time_stamp(time);
    stamp.truncate(stamp.find(',').unwrap_or(stamp.len()));
    stamp
}

/// The time of day, for [`local_time_stamp`].
pub fn since_epoch() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn an_error_is_told_without_its_number() {
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(words(&error), "Connection refused");
        assert_eq!(words(&io::Error::other("own words")), "own words");
    }

    #[test]
    fn a_pipe_carries_bytes() {
        let (mut read, mut write) = pipe().unwrap();
        write.write_all(b"ok").unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ok");
    }

    #[test]
    fn bytes_are_read_behind_those_that_are_there() {
        let (mut one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.write_all(b"defgh").unwrap();
        let mut bytes = b"abc".to_vec();
        assert_eq!(read_onto(&other, &mut bytes, 3).unwrap(), 3);
        assert_eq!(bytes, b"abcdef");
        drop(one);
        assert_eq!(read_onto(&other, &mut bytes, 99).unwrap(), 2);
        assert_eq!(read_onto(&other, &mut bytes, 99).unwrap(), 0);
        let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let error = read_onto(&one, &mut bytes, 99).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(two);
        assert_eq!(bytes, b"abcdefgh");
    }

    #[test]
    fn the_peer_of_a_socket_pair_is_this_process() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let us = Peer {
            pid: std::process::id() as i32,
            uid: own_uid(),
        };
        assert_eq!(peer(&one), Some(us));
    }

    #[test]
    fn a_stamp_has_milliseconds() {
        let stamp = local_time_stamp(Duration::from_millis(1_795_000_000_042));
        assert!(
            stamp.starts_with("2026-11-1") && stamp.ends_with(",042"),
            "{stamp}"
        );
    }

    #[test]
    fn a_group_is_found_by_name() {
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("no such group"), None);
    }
}
