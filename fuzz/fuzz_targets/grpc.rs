//! Any bytes as a gRPC body and as health messages: never a panic, the same in pieces as at once.
#![no_main]

use chaos_protocol::grpc::{MessageReader, read_health_request, read_health_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = messages(&[bytes]);
    assert_eq!(whole, messages(&chaos_fuzz::pieces(bytes)));
    for message in whole.iter().map(Vec::as_slice).chain([bytes]) {
        let _ = (read_health_request(message), read_health_response(message));
    }
});

fn messages(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut reader, mut found) = (MessageReader::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while let Some(read) = reader.read(&mut rest).transpose() {
            match read {
                Ok(message) => found.push(message),
                Err(_) => return found,
            }
        }
    }
    found
}
