//! An upstream that is down, before anybody connects.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long an upstream may take to answer before it counts as down, and how many of its addresses are tried: a plan is to be quick.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const MOST_ADDRESSES: usize = 4;

/// What is to be said of an upstream that is down now; none: somebody answers there. Takes two seconds at most, and the time to look a
/// name up: the run may be meant to show just that.
#[must_use]
pub fn nobody_at(upstream: &str) -> Option<String> {
    let tried = upstream.to_socket_addrs().and_then(|addresses| {
        let mut last = Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        for address in addresses.take(MOST_ADDRESSES) {
            last = TcpStream::connect_timeout(&address, ANSWERS_WITHIN);
            if last.is_ok() {
                break;
            }
        }
        last
    });
    tried
        .err()
        .map(|why| format!("nobody answers at {upstream} now ({why}): whoever connects through the proxy is reset until somebody does"))
}
