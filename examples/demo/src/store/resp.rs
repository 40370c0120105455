//! RESP2 as bytes: requests in, replies out, and (for the gateway) the other way round.
//!
//! Written apart from what `chaos` itself reads RESP with, so that a mistake of one is not shared by the other.
//!
//! Reading is incremental: a message that has not arrived whole yet is `None`, and nothing of it is
//! taken from the buffer. Every length is checked before it is believed.

use bytes::{Buf, BytesMut};

/// Longest line: a length, an error, or an inline command.
const LINE_MAX_BYTES: usize = 4 << 10;

/// Longest argument or value.
pub(super) const BULK_MAX_BYTES: usize = 512 << 10;

/// Longest request, with all its arguments.
const REQUEST_MAX_BYTES: usize = 1 << 20;

/// Most arguments of one request.
const ARGUMENTS_MAX: usize = 1024;

/// Why a peer cannot be understood any more; the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("too big inline request")]
    Line,
    #[error("invalid multibulk length")]
    Count,
    #[error("invalid bulk length")]
    Length,
    #[error("expected '{expected}', got '{}'", char::from(*.found).escape_default())]
    Type { expected: char, found: u8 },
    #[error("a value does not end with CRLF")]
    End,
    #[error("request longer than {REQUEST_MAX_BYTES} bytes")]
    Request,
}

/// A command's name and arguments.
pub(super) type Request = Vec<Vec<u8>>;

/// Takes the next whole request from the buffer. Empty lines (some clients send them to keep a
/// connection alive) and empty arrays are skipped.
pub(super) fn read_request(received: &mut BytesMut) -> Result<Option<Request>, Breach> {
    loop {
        let mut cursor = Cursor { bytes: received, at: 0 };
        let request = match cursor.bytes.first() {
            None => return Ok(None),
            Some(b'*') => cursor.array()?,
            Some(_) => cursor.inline()?,
        };
        let Some(request) = request else {
            return if received.len() > REQUEST_MAX_BYTES { Err(Breach::Request) } else { Ok(None) };
        };
        let taken = cursor.at;
        received.advance(taken);
        if !request.is_empty() {
            return Ok(Some(request));
        }
    }
}

/// What the store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Simple(&'static str),
    /// `-ERR …`
    Error(String),
    /// `:2`
    Integer(usize),
    /// A value, or nil.
    Bulk(Option<Vec<u8>>),
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// Appends the reply's bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(text) => line(out, '+', text),
            Reply::Error(text) => line(out, '-', text.replace(['\r', '\n'], " ")),
            Reply::Integer(number) => line(out, ':', number),
            Reply::Bulk(None) => line(out, '$', "-1"),
            Reply::Bulk(Some(value)) => {
                line(out, '$', value.len());
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            Reply::Array(replies) => {
                line(out, '*', replies.len());
                replies.iter().for_each(|reply| reply.write(out));
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: char, text: impl std::fmt::Display) {
    out.extend_from_slice(format!("{kind}{text}\r\n").as_bytes());
}

/// The bytes of a request.
pub(crate) fn write_request(words: &[&[u8]]) -> Vec<u8> {
    let words = words.iter().map(|word| Reply::Bulk(Some(word.to_vec()))).collect();
    let mut out = Vec::new();
    Reply::Array(words).write(&mut out);
    out
}

/// Takes the next whole reply from the buffer, as far as a client of this store needs them: a value,
/// nil or an error. Other replies come back as an error.
pub(crate) fn read_reply(received: &mut BytesMut) -> Result<Option<Reply>, Breach> {
    let mut cursor = Cursor { bytes: received, at: 0 };
    let reply = match cursor.bytes.first() {
        None => return Ok(None),
        Some(b'$') => cursor.bulk()?.map(Reply::Bulk),
        Some(_) => cursor.line()?.map(|line| Reply::Error(String::from_utf8_lossy(&line[1.min(line.len())..]).into())),
    };
    let taken = cursor.at;
    if reply.is_some() {
        received.advance(taken);
    }
    Ok(reply)
}

/// Reads on from `at`; what it moved past counts only when the whole message was there.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Breach> {
        let rest = &self.bytes[self.at..];
        match rest.iter().take(LINE_MAX_BYTES).position(|&byte| byte == b'\n') {
            Some(end) => {
                self.at += end + 1;
                let line = &rest[..end];
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None if rest.len() >= LINE_MAX_BYTES => Err(Breach::Line),
            None => Ok(None),
        }
    }

    /// `GET key` as a person types it.
    fn inline(&mut self) -> Result<Option<Request>, Breach> {
        let words = |line: &[u8]| line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
        Ok(self.line()?.map(words))
    }

    fn array(&mut self) -> Result<Option<Request>, Breach> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let count = number(&line[1..]).ok_or(Breach::Count)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > ARGUMENTS_MAX {
            return Err(Breach::Count);
        }
        let mut request = Vec::with_capacity(count);
        for _ in 0..count {
            match self.bulk()? {
                None => return Ok(None),
                Some(None) => return Err(Breach::Length),
                Some(Some(argument)) => request.push(argument),
            }
        }
        Ok(Some(request))
    }

    /// The outer `None`: not whole yet. The inner one: nil.
    #[expect(clippy::option_option, reason = "absent for now and absent for good are two answers")]
    fn bulk(&mut self) -> Result<Option<Option<Vec<u8>>>, Breach> {
        match self.bytes.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&found) => {
                return Err(Breach::Type { expected: '$', found });
            }
        }
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let length = match number(&line[1..]) {
            Some(-1) => return Ok(Some(None)),
            Some(length) => usize::try_from(length).map_err(|_| Breach::Length)?,
            None => return Err(Breach::Length),
        };
        if length > BULK_MAX_BYTES {
            return Err(Breach::Length);
        }
        let rest = &self.bytes[self.at..];
        if rest.len() < length + 2 {
            return Ok(None);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(Breach::End);
        }
        self.at += length + 2;
        Ok(Some(Some(rest[..length].to_vec())))
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Request>, Breach> {
        let mut received = BytesMut::from(bytes);
        let mut requests = Vec::new();
        while let Some(request) = read_request(&mut received)? {
            requests.push(request);
        }
        Ok(requests)
    }

    #[test]
    fn requests_are_the_same_however_the_bytes_arrive() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\nPING  there\r\n*0\r\n*1\r\n$4\r\nPING\r\n";
        let whole = all(bytes).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[1], [b"PING".to_vec(), b"there".to_vec()]);
        let mut received = BytesMut::new();
        let mut requests = Vec::new();
        for &byte in bytes {
            received.extend_from_slice(&[byte]);
            while let Some(request) = read_request(&mut received).unwrap() {
                requests.push(request);
            }
        }
        assert_eq!(requests, whole);
    }

    #[test]
    fn nonsense_is_refused_and_never_believed() {
        assert_eq!(all(b"*9999999\r\n"), Err(Breach::Count));
        assert_eq!(all(b"*x\r\n"), Err(Breach::Count));
        assert_eq!(all(b"*1\r\n$99999999999\r\n"), Err(Breach::Length));
        assert_eq!(all(b"*1\r\n$-5\r\n"), Err(Breach::Length));
        assert_eq!(all(b"*1\r\n$-1\r\n"), Err(Breach::Length));
        assert_eq!(all(b"*1\r\n:5\r\n"), Err(Breach::Type { expected: '$', found: b':' }));
        assert_eq!(all(b"*1\r\n$1\r\nkey\r\n"), Err(Breach::End));
        assert_eq!(all(&[b'x'; LINE_MAX_BYTES]), Err(Breach::Line));
        assert_eq!(all(b"*-1\r\n"), Ok(vec![]));
    }

    #[test]
    fn one_request_cannot_grow_without_end() {
        let mut bytes = b"*1024\r\n".to_vec();
        for _ in 0..3 {
            Reply::Bulk(Some(vec![b'x'; BULK_MAX_BYTES])).write(&mut bytes);
        }
        assert_eq!(all(&bytes), Err(Breach::Request));
    }

    #[test]
    fn replies_are_read_back() {
        let mut bytes = Vec::new();
        let replies = [Reply::Bulk(Some(b"a\r\nb".to_vec())), Reply::Bulk(None), Reply::Error("ERR no".into())];
        replies.iter().for_each(|reply| reply.write(&mut bytes));
        let mut received = BytesMut::new();
        let mut read = Vec::new();
        for byte in bytes {
            received.extend_from_slice(&[byte]);
            read.extend(read_reply(&mut received).unwrap());
        }
        assert_eq!(read, replies);
    }
}
