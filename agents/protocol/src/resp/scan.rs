//! Where a value ends: counted, not kept.

use super::RespError;

/// Values within values, at most.
pub const DEPTH_MAX: usize = 64;
/// The longest line: a simple string, an error, a number, an inline command.
pub const LINE_MAX: usize = 64 * 1024;
/// Longest text and most elements that are believed: no server sends a tebibyte.
const COUNT_MAX: u64 = 1 << 40;

/// How far a [`Scanner`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// All bytes belong to a value that goes on.
    Part,
    /// A value ends.
    Whole {
        /// With so many of the bytes.
        taken: usize,
        /// Its type, the byte that it begins with; attributes before it belong to it and are not meant.
        kind: u8,
    },
}

/// Finds the ends of values. After an error it is of no more use.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    open: Vec<Level>,
    state: State,
    kind: u8,
}

/// A value that holds others.
#[derive(Debug, Clone, Copy)]
struct Level {
    missing: u64,
    /// Attributes are no value: when they are over, the value that they describe is still to come.
    attribute: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Type,
    /// The rest of a line of which nothing is needed.
    Line {
        length: usize,
        after_return: bool,
    },
    /// The length of a text or the number of elements.
    Number {
        kind: u8,
        value: u64,
        digits: u8,
        negative: bool,
        after_return: bool,
    },
    /// So many bytes of a text, then the end of its line.
    Text {
        left: u64,
    },
    TextReturn,
    TextFeed,
}

impl Scanner {
    /// At the beginning of a value.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: Vec::new(), state: State::Type, kind: 0 }
    }

    /// Is it between two values?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.open.is_empty() && matches!(self.state, State::Type)
    }

    /// Goes on to the end of the value, or of the bytes.
    ///
    /// # Errors
    /// If this is not RESP.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scan, RespError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::Text { left } = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::TextReturn } else { State::Text { left } };
                continue;
            }
            at += 1;
            if self.step(byte)? && self.is_over() {
                return Ok(Scan::Whole { taken: at, kind: self.kind });
            }
        }
        Ok(Scan::Part)
    }

    /// One byte outside of texts; true: a value (perhaps within another) ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, RespError> {
        match self.state {
            State::Type => self.begin(byte),
            State::Line { after_return: true, .. } => self.end_of_line(byte),
            State::Line { length, .. } if length >= LINE_MAX => Err(RespError::Line),
            State::Line { length, .. } => {
                self.state = State::Line { length: length + 1, after_return: byte == b'\r' };
                Ok(false)
            }
            State::Number { kind, value, negative, after_return: true, .. } => {
                self.end_of_line(byte)?;
                self.sized(kind, value, negative)
            }
            State::Number { .. } => self.digit(byte),
            State::TextReturn if byte == b'\r' => {
                self.state = State::TextFeed;
                Ok(false)
            }
            State::TextFeed => self.end_of_line(byte),
            State::Text { .. } | State::TextReturn => Err(RespError::End),
        }
    }

    fn begin(&mut self, byte: u8) -> Result<bool, RespError> {
        self.state = match byte {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => State::Line { length: 0, after_return: false },
            b'$' | b'=' | b'!' | b'*' | b'%' | b'~' | b'>' | b'|' => {
                State::Number { kind: byte, value: 0, digits: 0, negative: false, after_return: false }
            }
            other => return Err(RespError::Type(other)),
        };
        if self.open.is_empty() && byte != b'|' {
            self.kind = byte;
        }
        Ok(false)
    }

    fn end_of_line(&mut self, byte: u8) -> Result<bool, RespError> {
        self.state = State::Type;
        if byte == b'\n' { Ok(true) } else { Err(RespError::End) }
    }

    fn digit(&mut self, byte: u8) -> Result<bool, RespError> {
        let State::Number { value, digits, negative, after_return, .. } = &mut self.state else { return Err(RespError::Number) };
        match byte {
            b'\r' if *digits > 0 => *after_return = true,
            b'-' if *digits == 0 && !*negative => *negative = true,
            b'0'..=b'9' => {
                *value = *value * 10 + u64::from(byte - b'0');
                *digits = digits.saturating_add(1);
                if *value > COUNT_MAX || *digits > 20 {
                    return Err(RespError::Number);
                }
            }
            _ => return Err(RespError::Number),
        }
        Ok(false)
    }

    /// The length is known; true: and with it the value is over.
    fn sized(&mut self, kind: u8, value: u64, negative: bool) -> Result<bool, RespError> {
        let is_text = matches!(kind, b'$' | b'=' | b'!');
        if negative {
            // RESP2's null, as text or as array.
            return if value == 1 && matches!(kind, b'$' | b'*') { Ok(true) } else { Err(RespError::Number) };
        }
        if is_text {
            self.state = if value == 0 { State::TextReturn } else { State::Text { left: value } };
            return Ok(false);
        }
        let missing = if matches!(kind, b'%' | b'|') { value * 2 } else { value };
        if missing == 0 {
            return Ok(kind != b'|');
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(RespError::Depth);
        }
        self.open.push(Level { missing, attribute: kind == b'|' });
        Ok(false)
    }

    /// A value has ended: does that end the outermost?
    fn is_over(&mut self) -> bool {
        while let Some(level) = self.open.last_mut() {
            level.missing -= 1;
            if level.missing > 0 {
                return false;
            }
            let attribute = level.attribute;
            self.open.pop();
            if attribute {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(bytes: &[u8]) -> Vec<(usize, u8)> {
        let (mut scanner, mut rest, mut at, mut found) = (Scanner::new(), bytes, 0, Vec::new());
        while let Scan::Whole { taken, kind } = scanner.scan(rest).unwrap() {
            at += taken;
            rest = &rest[taken..];
            found.push((at, kind));
        }
        assert!(scanner.is_between());
        found
    }

    #[test]
    fn every_type_ends_where_it_ends() {
        for text in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-12\r\n",
            "$3\r\na\r\n\r\n",
            "$0\r\n\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "(123456789\r\n",
            "!4\r\nERR!\r\n",
            "=5\r\ntxt:a\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "~1\r\n+a\r\n",
            ">2\r\n+message\r\n*1\r\n$1\r\nx\r\n",
            "|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
            "|0\r\n+OK\r\n",
        ] {
            let kind = *text.trim_start_matches("|1\r\n+ttl\r\n:3\r\n").trim_start_matches("|0\r\n").as_bytes().first().unwrap();
            assert_eq!(ends(text.as_bytes()), [(text.len(), kind)], "{text:?}");
        }
    }

    #[test]
    fn values_in_a_row_are_told_apart() {
        assert_eq!(ends(b"+OK\r\n$1\r\nx\r\n>1\r\n:1\r\n:5\r\n"), [(5, b'+'), (12, b'$'), (20, b'>'), (24, b':')]);
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for (text, error) in [
            ("HTTP/1.1", RespError::Type(b'H')),
            ("$x\r\n", RespError::Number),
            ("$-2\r\n", RespError::Number),
            ("$\r\n", RespError::Number),
            ("$99999999999999999999\r\n", RespError::Number),
            ("*?\r\n", RespError::Number),
            ("+a\rb", RespError::End),
            ("$1\r\nabc", RespError::End),
        ] {
            assert_eq!(Scanner::new().scan(text.as_bytes()), Err(error), "{text:?}");
        }
        assert_eq!(Scanner::new().scan("*1\r\n".repeat(100).as_bytes()), Err(RespError::Depth));
        assert_eq!(Scanner::new().scan(format!("+{}", "a".repeat(LINE_MAX + 1)).as_bytes()), Err(RespError::Line));
    }
}
