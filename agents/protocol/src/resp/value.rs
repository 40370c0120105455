//! Values, decoded.

use super::{RespError, Scan, Scanner};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: `$-1`, `*-1`, `_`.
    Null,
    /// A short text: `+OK`.
    Simple(String),
    /// An error, its kind as the first word: `-LOADING Redis is loading the dataset in memory`.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Double(f64),
    /// Yes or no.
    Boolean(bool),
    /// A whole number of any size, in its digits.
    BigNumber(String),
    /// Any bytes.
    Bulk(Vec<u8>),
    /// A text with its format (`txt`, `mkd`).
    Verbatim(String, Vec<u8>),
    /// A list.
    Array(Vec<Self>),
    /// A list without order.
    Set(Vec<Self>),
    /// Pairs.
    Map(Vec<(Self, Self)>),
    /// Sent without having been asked for.
    Push(Vec<Self>),
}

impl Value {
    /// Appends it in RESP3; all but `Null`, `Double`, `Boolean`, `BigNumber`, `Verbatim`, `Set`, `Map` and `Push` are RESP2, too.
    pub fn write(&self, to: &mut Vec<u8>) {
        let line = |kind: char, text: &str, to: &mut Vec<u8>| {
            // A line cannot hold its own end.
            let text: String = text.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }).collect();
            to.extend_from_slice(format!("{kind}{text}\r\n").as_bytes());
        };
        let bulk = |kind: char, bytes: &[u8], to: &mut Vec<u8>| {
            to.extend_from_slice(format!("{kind}{}\r\n", bytes.len()).as_bytes());
            to.extend_from_slice(bytes);
            to.extend_from_slice(b"\r\n");
        };
        let list = |kind: char, items: &[Self], to: &mut Vec<u8>| {
            to.extend_from_slice(format!("{kind}{}\r\n", items.len()).as_bytes());
            items.iter().for_each(|item| item.write(to));
        };
        match self {
            Self::Null => line('_', "", to),
            Self::Simple(text) => line('+', text, to),
            Self::Error(text) => line('-', text, to),
            Self::Integer(n) => line(':', &n.to_string(), to),
            Self::Double(n) => line(',', &double_text(*n), to),
            Self::Boolean(yes) => line('#', if *yes { "t" } else { "f" }, to),
            Self::BigNumber(digits) => line('(', digits, to),
            Self::Bulk(bytes) => bulk('$', bytes, to),
            Self::Verbatim(format, bytes) => bulk('=', &[format.as_bytes(), b":", bytes].concat(), to),
            Self::Array(items) => list('*', items, to),
            Self::Set(items) => list('~', items, to),
            Self::Push(items) => list('>', items, to),
            Self::Map(pairs) => {
                to.extend_from_slice(format!("%{}\r\n", pairs.len()).as_bytes());
                for (key, value) in pairs {
                    key.write(to);
                    value.write(to);
                }
            }
        }
    }
}

fn double_text(n: f64) -> String {
    if n.is_nan() {
        "nan".into()
    } else if n.is_infinite() {
        if n > 0.0 { "inf".into() } else { "-inf".into() }
    } else {
        n.to_string()
    }
}

/// Reads whole values of at most so many bytes. After an error it is of no more use.
#[derive(Debug, Clone)]
pub struct ValueReader {
    scanner: Scanner,
    kept: Vec<u8>,
    max: usize,
}

impl ValueReader {
    /// Keeps values up to `max` bytes as they are sent.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { scanner: Scanner::new(), kept: Vec::new(), max }
    }

    /// Is it between two values?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.scanner.is_between()
    }

    /// The next value, if it is complete. Attributes are left out.
    ///
    /// # Errors
    /// If this is not RESP, or more than `max` bytes.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Value>, RespError> {
        let scan = self.scanner.scan(bytes)?;
        let taken = match scan {
            Scan::Part => bytes.len(),
            Scan::Whole { taken, .. } => taken,
        };
        if self.kept.len() + taken > self.max {
            return Err(RespError::TooLong(self.max));
        }
        self.kept.extend_from_slice(crate::take(bytes, taken));
        if scan == Scan::Part {
            return Ok(None);
        }
        let kept = std::mem::take(&mut self.kept);
        decode(&mut kept.as_slice()).map(Some)
    }
}

/// One value that is known to be complete: [`Scanner`] has counted it, its depth included.
fn decode(bytes: &mut &[u8]) -> Result<Value, RespError> {
    let kind = crate::take(bytes, 1).first().copied().ok_or(RespError::End)?;
    let line = line(bytes)?;
    let text = || String::from_utf8_lossy(line).into_owned();
    let number = || std::str::from_utf8(line).ok().and_then(|t| t.parse::<i64>().ok()).ok_or(RespError::Number);
    Ok(match kind {
        b'_' => Value::Null,
        b'+' => Value::Simple(text()),
        b'-' => Value::Error(text()),
        b':' => Value::Integer(number()?),
        b',' => Value::Double(text().parse().map_err(|_| RespError::Number)?),
        b'#' => Value::Boolean(line == b"t"),
        b'(' => Value::BigNumber(text()),
        b'$' | b'*' if line == b"-1" => Value::Null,
        b'$' => Value::Bulk(bulk(bytes, number()?)?.to_vec()),
        b'!' => Value::Error(String::from_utf8_lossy(bulk(bytes, number()?)?).into_owned()),
        b'=' => verbatim(bulk(bytes, number()?)?),
        b'*' => Value::Array(list(bytes, number()?)?),
        b'~' => Value::Set(list(bytes, number()?)?),
        b'>' => Value::Push(list(bytes, number()?)?),
        b'%' => Value::Map(pairs(bytes, number()?)?),
        b'|' => {
            pairs(bytes, number()?)?;
            decode(bytes)?
        }
        other => return Err(RespError::Type(other)),
    })
}

fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], RespError> {
    let end = bytes.windows(2).position(|w| w == b"\r\n").ok_or(RespError::End)?;
    let line = crate::take(bytes, end);
    crate::take(bytes, 2);
    Ok(line)
}

fn bulk<'a>(bytes: &mut &'a [u8], length: i64) -> Result<&'a [u8], RespError> {
    let length = usize::try_from(length).map_err(|_| RespError::Number)?;
    let text = crate::take(bytes, length);
    if text.len() < length || crate::take(bytes, 2) != b"\r\n" { Err(RespError::End) } else { Ok(text) }
}

fn verbatim(text: &[u8]) -> Value {
    match text {
        [a, b, c, b':', rest @ ..] => Value::Verbatim(String::from_utf8_lossy(&[*a, *b, *c]).into_owned(), rest.to_vec()),
        all => Value::Bulk(all.to_vec()),
    }
}

fn list(bytes: &mut &[u8], count: i64) -> Result<Vec<Value>, RespError> {
    (0..count).map(|_| decode(bytes)).collect()
}

fn pairs(bytes: &mut &[u8], count: i64) -> Result<Vec<(Value, Value)>, RespError> {
    (0..count).map(|_| Ok((decode(bytes)?, decode(bytes)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let all = Value::Array(vec![
            Value::Null,
            Value::Simple("OK".into()),
            Value::Error("OOM command not allowed".into()),
            Value::Integer(-7),
            Value::Double(f64::INFINITY),
            Value::Double(0.5),
            Value::Boolean(true),
            Value::BigNumber("-123456789012345678901234567890".into()),
            Value::Bulk(b"a\r\nb\0".to_vec()),
            Value::Verbatim("txt".into(), b"x".to_vec()),
            Value::Set(vec![Value::Integer(1)]),
            Value::Map(vec![(Value::Simple("k".into()), Value::Array(vec![]))]),
            Value::Push(vec![Value::Simple("invalidate".into())]),
        ]);
        let mut bytes = Vec::new();
        all.write(&mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(ValueReader::new(1024).read(&mut rest), Ok(Some(all)));
        assert!(rest.is_empty());
    }

    #[test]
    fn attributes_are_left_out_and_long_values_refused() {
        let mut bytes: &[u8] = b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n";
        assert_eq!(ValueReader::new(64).read(&mut bytes), Ok(Some(Value::Bulk(b"x".to_vec()))));
        assert_eq!(ValueReader::new(4).read(&mut &b"$100\r\n"[..]), Err(RespError::TooLong(4)));
    }
}
