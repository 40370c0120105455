//! An event stream, taken apart; written apart from what `chaos` itself reads such streams with.

use bytes::{Bytes, BytesMut};

/// Longest event that is waited for.
const EVENT_MAX_BYTES: usize = 256 << 10;

/// Bytes that have arrived and are no whole event yet.
#[derive(Default)]
pub(super) struct Events {
    received: BytesMut,
}

/// An event: its own bytes, the empty line after it included, and the data in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) bytes: Bytes,
    pub(super) data: String,
}

impl Events {
    /// Takes in what arrived. Says whether what waits for its end is still of a sensible size.
    #[must_use]
    pub(super) fn arrived(&mut self, bytes: &[u8]) -> bool {
        self.received.extend_from_slice(bytes);
        self.received.len() <= EVENT_MAX_BYTES
    }

    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        let end = end_of_event(&self.received)?;
        let bytes = self.received.split_to(end).freeze();
        let text = String::from_utf8_lossy(&bytes);
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| data.strip_prefix(' ').unwrap_or(data));
        let data = data.collect::<Vec<_>>().join("\n");
        Some(Event { bytes, data })
    }
}

/// Behind the first empty line.
fn end_of_event(bytes: &[u8]) -> Option<usize> {
    let mut empty = true;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if empty => return Some(at + 1),
            b'\n' => empty = true,
            b'\r' => {}
            _ => empty = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        let stream = b"data: {\"a\":1}\n\n: a comment\ndata: one\r\ndata:two\r\n\r\ndata: [DONE]\n\ndata: cut o";
        let mut events = Events::default();
        let mut data = Vec::new();
        let mut bytes = Vec::new();
        for byte in stream {
            assert!(events.arrived(&[*byte]));
            while let Some(event) = events.next() {
                data.push(event.data);
                bytes.extend_from_slice(&event.bytes);
            }
        }
        assert_eq!(data, ["{\"a\":1}", "one\ntwo", "[DONE]"]);
        assert!(stream.starts_with(&bytes), "what is passed on is what came");
    }

    #[test]
    fn an_event_cannot_grow_without_end() {
        let mut events = Events::default();
        assert!(!events.arrived(&vec![b'x'; EVENT_MAX_BYTES + 1]));
    }
}
