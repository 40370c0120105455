//! Any bytes as PostgreSQL's protocol, from either side: never a panic, the same in pieces as at once, no byte lost.
#![no_main]

use chaos_protocol::Piece;
use chaos_protocol::postgres::{ErrorFields, Frame, FrameReader, Side, frontend, statements};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pieces = chaos_fuzz::pieces(bytes);
    for side in [Side::Frontend, Side::Backend] {
        assert_eq!(frames(side, &[bytes]), frames(side, &pieces));
    }
    let _ = statements(&String::from_utf8_lossy(bytes));
    let _ = (frontend::query(bytes), frontend::parse(bytes), frontend::bind(bytes), frontend::execute(bytes), frontend::close(bytes));
    let _ = ErrorFields::parse(bytes);
});

fn frames(side: Side, pieces: &[&[u8]]) -> Vec<Frame> {
    let (mut reader, mut found, mut given, mut came) = (FrameReader::new(side), Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        came.extend_from_slice(piece);
        let mut rest = *piece;
        while let Some(read) = reader.read(&mut rest).transpose() {
            match read {
                Ok(Piece::Begins { head, bytes, .. }) => {
                    given.extend_from_slice(&bytes);
                    found.push(head);
                    if head == Frame::EncryptionRequest {
                        reader.expect_encryption_answer();
                    }
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
