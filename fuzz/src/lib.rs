//! What the targets share.

/// The bytes in pieces whose lengths the bytes themselves say.
#[must_use]
pub fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some(&first) = bytes.first() {
        let (piece, rest) = bytes.split_at(bytes.len().min(1 + usize::from(first % 7)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
