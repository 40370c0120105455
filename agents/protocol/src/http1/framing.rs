//! How the body of a message ends (RFC 9112 section 6.3).

use super::{Head, Malformed};

/// How the body of a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes; none at all where there is no body.
    Length(u64),
    /// With the chunk of size zero.
    Chunked,
    /// When the connection ends.
    UntilClose,
}

impl Framing {
    /// Of a request.
    ///
    /// # Errors
    /// If its length is no single number.
    pub fn of_request(head: &Head) -> Result<Self, Malformed> {
        if head.lists("transfer-encoding", "chunked") {
            return Ok(Self::Chunked);
        }
        Ok(Self::Length(length(head)?.unwrap_or(0)))
    }

    /// Of the answer to a request of that method.
    ///
    /// # Errors
    /// If its length is no single number.
    pub fn of_answer(head: &Head, method: &str) -> Result<Self, Malformed> {
        let status = head.status().unwrap_or(0);
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304) || method == "CONNECT" && (200..300).contains(&status);
        if bodiless {
            return Ok(Self::Length(0));
        }
        if head.lists("transfer-encoding", "chunked") {
            return Ok(Self::Chunked);
        }
        Ok(length(head)?.map_or(Self::UntilClose, Self::Length))
    }
}

fn length(head: &Head) -> Result<Option<u64>, Malformed> {
    let values = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).flat_map(|(_, v)| v.split(','));
    let mut length = None;
    for value in values {
        let value = value.trim();
        // `parse` alone would let a sign through.
        let number = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse::<u64>().ok()).flatten().ok_or(Malformed::Length)?;
        if length.replace(number).is_some_and(|other| other != number) {
            return Err(Malformed::Length);
        }
    }
    Ok(length)
}
