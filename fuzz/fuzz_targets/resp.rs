//! Any bytes as Redis' protocol, from either side: never a panic, the same in pieces as at once, no byte lost.
#![no_main]

use chaos_protocol::Piece;
use chaos_protocol::resp::{CommandReader, Value, ValueReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pieces = chaos_fuzz::pieces(bytes);
    assert_eq!(values(&[bytes]), values(&pieces));
    assert_eq!(commands(&[bytes]), commands(&pieces));
});

fn values(pieces: &[&[u8]]) -> Vec<Value> {
    let (mut reader, mut found) = (ValueReader::new(1 << 20), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while let Some(read) = reader.read(&mut rest).transpose() {
            match read {
                // What is no number is not equal to itself.
                Ok(value) if format!("{value:?}").contains("NaN") => {}
                Ok(value) => found.push(value),
                Err(_) => return found,
            }
        }
    }
    found
}

fn commands(pieces: &[&[u8]]) -> Vec<(String, usize)> {
    let (mut reader, mut found, mut given, mut came) = (CommandReader::new(), Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        came.extend_from_slice(piece);
        let mut rest = *piece;
        while let Some(read) = reader.read(&mut rest).transpose() {
            match read {
                Ok(Piece::Begins { head, bytes, .. }) => {
                    given.extend_from_slice(&bytes);
                    found.push((head.name.clone(), head.keys().count()));
                }
                Ok(Piece::GoesOn { bytes, .. }) => given.extend_from_slice(bytes),
                Err(_) => return found,
            }
        }
        given.extend_from_slice(reader.held());
        assert_eq!(given, came, "a byte was lost");
        given.truncate(given.len() - reader.held().len());
    }
    found
}
