//! Names, and how they are compressed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::{Cursor, DnsError};

/// Bytes of a name as it is sent, its length bytes and the root included (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
/// Only what begins here can be pointed to: a pointer has 14 bits.
const POINTER_MAX: usize = 0x3fff;

/// A name: its labels, the root not among them. Compared without regard to case.
#[derive(Debug, Clone, Eq, Default)]
pub struct Name {
    labels: Vec<Vec<u8>>,
}

impl Name {
    /// The root: no label.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Is it this name, or one below it?
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        let Some(more) = self.labels.len().checked_sub(zone.labels.len()) else { return false };
        self.labels[more..].iter().zip(&zone.labels).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Appends it, pointing to an earlier writing of its end where `written` knows one.
    pub(super) fn write(&self, to: &mut Vec<u8>, written: &mut HashMap<Vec<Vec<u8>>, u16>) {
        for (i, label) in self.labels.iter().enumerate() {
            let rest: Vec<Vec<u8>> = self.labels[i..].iter().map(|l| l.to_ascii_lowercase()).collect();
            if let Some(at) = written.get(&rest) {
                to.extend_from_slice(&(at | 0xc000).to_be_bytes());
                return;
            }
            if let Some(at) = u16::try_from(to.len()).ok().filter(|at| usize::from(*at) <= POINTER_MAX) {
                written.insert(rest, at);
            }
            to.push(u8::try_from(label.len()).unwrap_or(0));
            to.extend_from_slice(label);
        }
        to.push(0);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DnsError> {
        let mut labels = Vec::new();
        let mut length = 1;
        // Where reading goes on after the first pointer, and the place before which the next must point.
        let (mut after, mut before) = (None, cursor.at);
        loop {
            let first = cursor.u8()?;
            match first {
                0 => break,
                1..=63 => {
                    length += 1 + usize::from(first);
                    if length > NAME_MAX {
                        return Err(DnsError::Name);
                    }
                    labels.push(cursor.take(usize::from(first))?.to_vec());
                }
                0xc0.. => {
                    let to = usize::from(u16::from_be_bytes([first & 0x3f, cursor.u8()?]));
                    if to >= before {
                        return Err(DnsError::Name);
                    }
                    after.get_or_insert(cursor.at);
                    before = to;
                    cursor.at = to;
                }
                _ => return Err(DnsError::Name),
            }
        }
        cursor.at = after.unwrap_or(cursor.at);
        Ok(Self { labels })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.labels.len() == other.labels.len() && self.is_within(other)
    }
}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.labels.iter().for_each(|l| l.to_ascii_lowercase().hash(state));
    }
}

/// `ranker.svc.example`, with or without the dot at its end; `.` is the root. `\.` and `\046` stand for bytes that would part it.
impl FromStr for Name {
    type Err = DnsError;

    fn from_str(text: &str) -> Result<Self, DnsError> {
        let mut labels = Vec::new();
        let mut label = Vec::new();
        let mut bytes = text.strip_suffix('.').filter(|t| !t.ends_with('\\')).unwrap_or(text).bytes();
        let is_root = text == ".";
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => labels.push(std::mem::take(&mut label)),
                b'\\' => label.push(escaped(&mut bytes)?),
                other => label.push(other),
            }
        }
        if !is_root {
            labels.push(label);
        }
        let length: usize = labels.iter().map(|l| l.len() + 1).sum::<usize>() + 1;
        if length > NAME_MAX || labels.iter().any(|l| l.is_empty() || l.len() > LABEL_MAX) {
            return Err(DnsError::Name);
        }
        Ok(Self { labels })
    }
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, DnsError> {
    let mut digit = || bytes.next().ok_or(DnsError::Name);
    let first = digit()?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let text = [first, digit()?, digit()?];
    std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok()).ok_or(DnsError::Name)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.labels.is_empty() {
            return f.write_str(".");
        }
        for (i, label) in self.labels.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_text_is_names() {
        for text in ["a.example", ".", "_grpc._tcp.ranker", "a\\.b.example", "\\032x"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        assert_eq!("A.Example.".parse::<Name>(), "a.eXample".parse::<Name>());
        for text in ["", "a..b", ".a", &"x".repeat(64), &vec!["x".repeat(60); 5].join("."), "\\9", "\\999"] {
            assert_eq!(text.parse::<Name>(), Err(DnsError::Name), "{text}");
        }
        let within = |name: &str, zone: &str| name.parse::<Name>().unwrap().is_within(&zone.parse().unwrap());
        assert!(within("a.B.c", "b.c") && within("b.c", "b.c") && within("a", "."));
        assert!(!within("ab.c", "b.c") && !within("c", "b.c"));
    }

    #[test]
    fn a_pointer_must_point_backward() {
        for bytes in [&[0xc0, 0][..], &[1, b'a', 0xc0, 0], &[0xc0, 2, 0xc0, 0], &[0xc0], &[5, b'a'], &[0x80, 0], &[]] {
            assert!(Name::read(&mut Cursor { whole: bytes, at: 0 }).is_err(), "{bytes:?}");
        }
    }
}
