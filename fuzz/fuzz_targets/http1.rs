//! Any bytes as a message of HTTP/1.1: never a panic, the same in pieces as at once, and no byte lost or made up.
#![no_main]

use chaos_protocol::http1::{Body, Framing, Head, Piece};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(message(&[bytes]), message(&chaos_fuzz::pieces(bytes)));
    if let Ok(Some((mut head, length))) = Head::read(bytes, &mut 0) {
        assert_eq!(head.bytes(), &bytes[..length]);
        head.set("content-length", "7");
        assert_eq!(head.get("content-length"), Some("7"));
        head.remove("content-length");
        assert_eq!(head.get("content-length"), None);
    }
});

/// The head and the content of the first message, as far as they come.
fn message(pieces: &[&[u8]]) -> (Option<Head>, Vec<u8>) {
    let (mut came, mut searched, mut content) = (Vec::new(), 0, Vec::new());
    let mut begun: Option<(Head, Body)> = None;
    for piece in pieces {
        came.extend_from_slice(piece);
        if begun.is_none() {
            let Ok(read) = Head::read(&came, &mut searched) else { break };
            let Some((head, length)) = read else { continue };
            came.drain(..length);
            let framing = if head.status().is_some() { Framing::of_answer(&head, "GET") } else { Framing::of_request(&head) };
            let Ok(framing) = framing else { return (Some(head), content) };
            begun = Some((head, Body::new(framing)));
        }
        let Some((_, body)) = &mut begun else { continue };
        while !body.is_done() && !came.is_empty() {
            let Ok(piece) = body.next(&came) else { return (begun.map(|(head, _)| head), content) };
            assert!(piece.length() > 0 && piece.length() <= came.len());
            let taken: Vec<u8> = came.drain(..piece.length()).collect();
            if let Piece::Data(_) = piece {
                content.extend(taken);
            }
        }
    }
    (begun.map(|(head, _)| head), content)
}
