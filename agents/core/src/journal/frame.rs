//! One record as one line: `len crc seq json\n`, and how to find the lines again in whatever a crash left.
//!
//! ```text
//! 27 9ae0daaf 4 {"staged":{"slot":"1.0.0"}}
//! │  │        │ └ len bytes of JSON, which never holds a newline
//! │  │        └ rises by one
//! │  └ CRC-32 of "seq json"
//! └ in decimal
//! ```
//!
//! The length comes first so that a record whose own newline was hit is still found, and the next one after it.

use super::record::Record;

/// Longer records are not written, and not believed.
pub(super) const LONGEST_BYTES: usize = 8 << 20;

/// One whole record and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Framed {
    pub(super) seq: u64,
    pub(super) record: Record,
    pub(super) line: usize,
}

/// A part of the file that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Garbage {
    pub(super) line: usize,
    pub(super) offset: usize,
    pub(super) what: String,
    /// Nothing comes after it and it has no newline: it broke off.
    pub(super) unfinished: bool,
}

/// What the bytes hold, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Whole(Framed),
    Garbage(Garbage),
}

/// The line of a record.
pub(super) fn encode(seq: u64, record: &Record) -> Result<Vec<u8>, String> {
    let json = serde_json::to_string(record).map_err(|e| e.to_string())?;
    if json.len() > LONGEST_BYTES {
        return Err(format!("a record of {} bytes is longer than {LONGEST_BYTES}", json.len()));
    }
    let body = format!("{seq} {json}");
    Ok(format!("{} {:08x} {body}\n", json.len(), crc32fast::hash(body.as_bytes())).into_bytes())
}

/// Every record that can be found, and everything between them that is none.
pub(super) fn scan(bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let newline = rest.iter().position(|b| *b == b'\n');
        match decode(rest) {
            Ok((seq, record, len)) => {
                pieces.push(Piece::Whole(Framed { seq, record, line }));
                match rest.get(len) {
                    None => break,
                    Some(b'\n') => line += 1,
                    Some(_) => {
                        let what = "its newline is not one".to_owned();
                        pieces.push(Piece::Garbage(Garbage { line, offset: at + len, what, unfinished: false }));
                    }
                }
                at += len + 1;
            }
            Err(what) => {
                let unfinished = newline.is_none();
                // A line that is only a newline was written to end an unfinished one; it says nothing.
                if newline != Some(0) {
                    pieces.push(Piece::Garbage(Garbage { line, offset: at, what, unfinished }));
                }
                let Some(newline) = newline else { break };
                at += newline + 1;
                line += 1;
            }
        }
    }
    pieces
}

/// The record at the start of `bytes`, and how long its line is without the newline.
pub(super) fn decode(bytes: &[u8]) -> Result<(u64, Record, usize), String> {
    let (len, rest) = field(bytes)?;
    let (crc, body) = field(rest)?;
    let (seq, json) = field(body)?;
    let len: usize = number(len, 10)?;
    let crc: u32 = number(crc, 16)?;
    let seq_value: u64 = number(seq, 10)?;
    if len > LONGEST_BYTES || json.len() < len {
        return Err("it breaks off".into());
    }
    let body = &body[..seq.len() + 1 + len];
    if crc32fast::hash(body) != crc {
        return Err("its checksum is wrong".into());
    }
    let record = serde_json::from_slice(&json[..len]).map_err(|e| format!("its content is unknown: {e}"))?;
    let whole = bytes.len() - json.len() + len;
    Ok((seq_value, record, whole))
}

fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    // No number here has more than twenty digits.
    let space = bytes.iter().take(21).position(|b| *b == b' ').ok_or("it does not begin like a record")?;
    Ok((&bytes[..space], &bytes[space + 1..]))
}

fn number<T: TryFrom<u64>>(digits: &[u8], radix: u32) -> Result<T, String> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|s| !s.starts_with('+'))
        .and_then(|s| u64::from_str_radix(s, radix).ok())
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| "it does not begin like a record".into())
}
