//! Why there was no answer, in the few words that become the reason of a bad sample.

use std::error::Error;
use std::io;

/// The same words for the same failure, so that reasons can be counted.
pub(crate) fn of_io(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset",
        io::ErrorKind::ConnectionAborted => "connection aborted",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::AddrNotAvailable => "no free local port",
        io::ErrorKind::UnexpectedEof => "connection closed before the answer was complete",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// The words for the first I/O error below `error`, if there is one.
pub(crate) fn of_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return Some(of_io(io));
        }
        next = e.source();
    }
    None
}
