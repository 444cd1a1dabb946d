//! A TCP port on which a site is offered to further viewers. Two daemons of
//! which one follows the other listen on it at the same time, so that nobody
//! who connects meanwhile is turned away.

use crate::stream::{self, KEEPALIVE};
use crate::sys;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// The place of a daemon that takes over, among those that listen on a port:
/// the one before it has the first.
const SECOND: u32 = 1;

/// A port, taken; and listened on, from a certain moment on.
#[derive(Debug)]
pub struct PortListener {
    socket: TcpListener,
    number: u16,
    /// Another daemon, which is about to end in our favour, listens there too.
    is_shared: bool,
    listens: bool,
}

impl PortListener {
    /// Takes the port for all addresses of this host. Nobody can connect yet.
    /// Fails if somebody else has it, unless that may be a predecessor.
    pub fn bind(number: u16, may_share: bool) -> io::Result<PortListener> {
        // Alone, if possible: a port that was taken for sharing could be
        // shared by mistake with any other daemon of this user.
        let (socket, is_shared) = match bind_any(number, false) {
            Ok(socket) => (socket, false),
            Err(error) if error.kind() == ErrorKind::AddrInUse && may_share => {
                (bind_any(number, true)?, true)
            }
            Err(error) => return Err(error),
        };
        Ok(PortListener {
            socket: TcpListener::from_std(socket.into()),
            number,
            is_shared,
            listens: false,
        })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whether clients can connect.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Lets clients connect. A predecessor gets no new ones from here on, and
    /// keeps those that are being made.
    pub fn listen(&mut self) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        socket.listen(BACKLOG)?;
        self.listens = true;
        // Only now: whoever wants the port for itself is refused it, and a
        // successor, which asks to share it, is not.
        socket.set_reuse_port(true)?;
        if self.is_shared {
            // Where the system cannot, it deals them out between the two.
            let _ = sys::give_connections_to(&self.socket, SECOND);
        }
        Ok(())
    }

    /// Lets nobody connect any more. Those who have can still be accepted.
    pub fn close_the_door(&self) {
        // Where the system cannot, those are lost that come until the socket is closed.
        let _ = sys::deafen(&self.socket);
    }

    /// Asks for events; only once it listens.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The next client with its address, or nothing if there is none at present.
    pub fn accept(&self) -> io::Result<Option<(stream::Socket, IpAddr)>> {
        loop {
            match self.socket.accept() {
                Ok((socket, from)) => {
                    return Ok(Some((
                        stream::Socket::Tcp(socket),
                        from.ip().to_canonical(),
                    )));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It has gone again.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// IPv6 and IPv4 in one socket; IPv4 alone where the host has no IPv6.
fn bind_any(port: u16, shared: bool) -> io::Result<Socket> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match bind(v6, shared) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(error),
        Err(_) => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), shared),
        bound => bound,
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections that were closed a moment ago are no obstacle.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Every connection that is accepted inherits these.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Duration;

    /// Listens on a port that the system chooses.
    fn listening() -> (PortListener, u16) {
        let mut listener = PortListener::bind(0, false).unwrap();
        listener.listen().unwrap();
        let address = SockRef::from(&listener.socket).local_addr().unwrap();
        let port = address.as_socket().unwrap().port();
        (listener, port)
    }

    fn connect(port: u16) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()
    }

    /// On loopback a connection is in the queue when the connect returns.
    fn accepted(listener: &PortListener) -> usize {
        let mut count = 0;
        while listener.accept().unwrap().is_some() {
            count += 1;
        }
        count
    }

    #[test]
    fn an_ipv4_client_is_known_by_its_ipv4_address_and_its_line_is_watched() {
        let (listener, port) = listening();
        let _client = connect(port);
        let Some((stream::Socket::Tcp(socket), from)) = listener.accept().unwrap() else {
            panic!("nobody there");
        };
        assert_eq!(from, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let options = SockRef::from(&socket);
        assert!(options.tcp_nodelay().unwrap() && options.keepalive().unwrap());
        let times = [
            options.tcp_keepalive_time(),
            options.tcp_keepalive_interval(),
        ];
        assert_eq!(times.map(Result::unwrap), [30, 5].map(Duration::from_secs));
        assert_eq!(options.tcp_keepalive_retries().unwrap(), 3);
    }

    #[test]
    fn a_port_is_shared_with_a_successor_alone_and_it_gets_all_that_come() {
        let (first, port) = listening();
        let taken = PortListener::bind(port, false).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let mut second = PortListener::bind(port, true).unwrap();
        let before: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
        assert_eq!(accepted(&first), 20, "the second one does not listen yet");
        second.listen().unwrap();
        let meanwhile: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
        assert_eq!((accepted(&first), accepted(&second)), (0, 20));
        drop(first);
        let after: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
        assert_eq!(accepted(&second), 20);
        drop((before, meanwhile, after));
        let mut third = PortListener::bind(port, true).unwrap();
        third.listen().unwrap();
        let _last: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
        assert_eq!((accepted(&second), accepted(&third)), (0, 20));
    }

    #[test]
    fn behind_a_closed_door_those_who_were_in_are_there_and_nobody_else_comes() {
        let (listener, port) = listening();
        let _in_time = connect(port);
        listener.close_the_door();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert!(TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err());
        assert_eq!(accepted(&listener), 1);
    }
}
