//! Any bytes as an event stream: never a panic, the same in pieces as at once.
#![no_main]

use chaos_protocol::sse::{Chunk, Event, EventReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = events(&[bytes]);
    assert_eq!(whole, events(&chaos_fuzz::pieces(bytes)));
    for event in whole {
        let _ = Chunk::parse(&event.data);
    }
});

fn events(pieces: &[&[u8]]) -> Vec<Event> {
    let (mut reader, mut found) = (EventReader::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while let Some(read) = reader.read(&mut rest).transpose() {
            match read {
                Ok(event) => found.push(event),
                Err(_) => return found,
            }
        }
    }
    found
}
