//! What clients send: arrays of texts, or inline commands.

use crate::Piece;

use super::{LINE_MAX, RespError, Scan, Scanner, keys};

/// So much of a command is held to know what it is; of longer ones the arguments in it are known, and the rest goes by.
pub const HELD_MAX: usize = 16 * 1024;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Its name in capitals: `GET`. Empty for an empty line, which servers pass over without an answer.
    pub name: String,
    /// Its arguments; of a command longer than [`HELD_MAX`] those that stand wholly within.
    pub arguments: Vec<Vec<u8>>,
}

impl Command {
    /// The keys that it reads or writes, by the tables of Redis 7; for commands that are not known, the first argument.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        keys::positions(&self.name, &self.arguments).filter_map(|i| self.arguments.get(i).map(Vec::as_slice))
    }

    /// Is the first argument this word, in any case? `CLIENT REPLY OFF` *begins with* `REPLY`.
    #[must_use]
    pub fn begins_with(&self, word: &str) -> bool {
        self.arguments.first().is_some_and(|first| first.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Appends a command, as client libraries send it: an array of texts.
    pub fn write(words: &[&[u8]], to: &mut Vec<u8>) {
        to.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            to.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            to.extend_from_slice(word);
            to.extend_from_slice(b"\r\n");
        }
    }

    fn of(words: Vec<Vec<u8>>) -> Self {
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        Self { name: String::from_utf8_lossy(&name).to_uppercase(), arguments: words.collect() }
    }
}

/// Reads commands. After an error it is of no more use; [`CommandReader::held`] is then what it had taken and not given.
#[derive(Debug, Clone, Default)]
pub struct CommandReader {
    scanner: Scanner,
    state: State,
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Between,
    /// An array, held.
    Array,
    /// A line, held.
    Inline,
    /// An array that was given; the rest of it goes by.
    Rest,
}

impl CommandReader {
    /// At the beginning of a command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Is it between two commands?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// What was taken and not given yet, for whoever stops reading here.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The next piece.
    ///
    /// # Errors
    /// If no server would understand it.
    pub fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Command>>, RespError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if self.state == State::Between {
            self.state = match first {
                b'*' => State::Array,
                // Only a person types inline commands; TLS and other protocols begin otherwise and must not wait for a line's end.
                b' '..=b'~' | b'\t' | b'\r' | b'\n' => State::Inline,
                other => return Err(RespError::Type(other)),
            };
        }
        match self.state {
            State::Inline => self.line(bytes),
            State::Rest => self.rest(bytes).map(Some),
            State::Array | State::Between => self.array(bytes),
        }
    }

    fn rest<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Piece<'a, Command>, RespError> {
        let (taken, ends) = match self.scanner.scan(bytes)? {
            Scan::Part => (bytes.len(), false),
            Scan::Whole { taken, .. } => (taken, true),
        };
        if ends {
            self.state = State::Between;
        }
        Ok(Piece::GoesOn { bytes: crate::take(bytes, taken), ends })
    }

    fn array<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Command>>, RespError> {
        // Never past what may be held: the same pieces come out whatever pieces came in.
        let within = &bytes[..bytes.len().min(HELD_MAX - self.held.len())];
        let (taken, ends) = match self.scanner.scan(within)? {
            Scan::Part => (within.len(), false),
            Scan::Whole { taken, .. } => (taken, true),
        };
        self.held.extend_from_slice(crate::take(bytes, taken));
        if !ends && self.held.len() < HELD_MAX {
            return Ok(None);
        }
        self.state = if ends { State::Between } else { State::Rest };
        let bytes = std::mem::take(&mut self.held);
        Ok(Some(Piece::Begins { head: Command::of(arguments(&bytes)), bytes, ends }))
    }

    fn line<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Command>>, RespError> {
        let end = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
        self.held.extend_from_slice(crate::take(bytes, end.unwrap_or(bytes.len()).min(LINE_MAX + 1 - self.held.len())));
        if self.held.last() == Some(&b'\n') {
            self.state = State::Between;
            let bytes = std::mem::take(&mut self.held);
            return Ok(Some(Piece::Begins { head: Command::of(words(&bytes)), bytes, ends: true }));
        }
        if self.held.len() > LINE_MAX { Err(RespError::Line) } else { Ok(None) }
    }
}

/// The texts of an array, as far as they are there.
fn arguments(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    header(&mut bytes, b'*');
    while let Some(length) = header(&mut bytes, b'$') {
        if bytes.len() < length.saturating_add(2) {
            break;
        }
        found.push(crate::take(&mut bytes, length).to_vec());
        crate::take(&mut bytes, 2);
    }
    found
}

/// `$12` and its line end, whole.
fn header(bytes: &mut &[u8], kind: u8) -> Option<usize> {
    let end = bytes.windows(2).position(|w| w == b"\r\n")?;
    let line = bytes.get(..end)?.strip_prefix(&[kind])?;
    let number = std::str::from_utf8(line).ok()?.parse().ok()?;
    *bytes = bytes.get(end + 2..)?;
    Some(number)
}

/// The words of an inline command. Quotes group; what stands in them is left as it is, escapes included: only a person types
/// such commands, and only name and keys are looked at.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let (mut quote, mut within) = (None, false);
    for &byte in line {
        match (byte, quote) {
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                if !within {
                    found.push(Vec::new());
                }
                within = true;
            }
            (q, Some(open)) if q == open => quote = None,
            (b, None) if b.is_ascii_whitespace() || b == 0 => within = false,
            (b, _) => {
                if !within {
                    found.push(Vec::new());
                }
                within = true;
                if let Some(last) = found.last_mut() {
                    last.push(b);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> Vec<(String, usize, bool)> {
        let (mut reader, mut found) = (CommandReader::new(), Vec::new());
        while let Some(piece) = reader.read(&mut bytes).unwrap() {
            found.push(match piece {
                Piece::Begins { head, bytes, ends } => (head.name, bytes.len(), ends),
                Piece::GoesOn { bytes, ends } => (String::new(), bytes.len(), ends),
            });
        }
        found
    }

    fn command(words: &[&str]) -> Command {
        Command::of(words.iter().map(|w| w.as_bytes().to_vec()).collect())
    }

    #[test]
    fn a_pipeline_is_taken_apart() {
        let mut bytes = Vec::new();
        Command::write(&[b"get", b"k"], &mut bytes);
        let first = bytes.len();
        bytes.extend_from_slice(b"PING \"a b\"\r\n\r\n");
        Command::write(&[b"SET", b"k", &vec![b'x'; 3 * HELD_MAX]], &mut bytes);
        let long = bytes.len() - first - 14 - HELD_MAX;
        assert_eq!(
            read(&bytes),
            [
                ("GET".into(), first, true),
                ("PING".into(), 12, true),
                (String::new(), 2, true),
                ("SET".into(), HELD_MAX, false),
                (String::new(), long, true)
            ]
        );
    }

    #[test]
    fn keys_are_where_the_command_has_them() {
        for (words, keys) in [
            (&["GET", "a"][..], &["a"][..]),
            (&["mget", "a", "b"], &["a", "b"]),
            (&["MSET", "a", "1", "b", "2"], &["a", "b"]),
            (&["EVAL", "return 1", "2", "a", "b", "x"], &["a", "b"]),
            (&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", "b", ">", ">"], &["a", "b"]),
            (&["BLPOP", "a", "b", "0"], &["a", "b"]),
            (&["OBJECT", "ENCODING", "a"], &["a"]),
            (&["ZUNIONSTORE", "d", "2", "a", "b", "WEIGHTS", "1", "2"], &["d", "a", "b"]),
            (&["PING", "hello"], &[]),
            (&["CONFIG", "GET", "save"], &[]),
            (&["FEATURE.LOOKUP", "a", "b"], &["a"]),
            (&["EVAL", "x", "18446744073709551615", "a"], &["a"]),
        ] {
            let found = command(words);
            let found: Vec<_> = found.keys().map(|k| String::from_utf8_lossy(k).into_owned()).collect();
            assert_eq!(found, keys, "{words:?}");
        }
    }

    #[test]
    fn what_was_held_is_there_for_who_stops_reading() {
        let mut reader = CommandReader::new();
        assert_eq!(reader.read(&mut &b"*2\r\n$3\r\nGE"[..]), Ok(None));
        assert_eq!(reader.held(), b"*2\r\n$3\r\nGE");
    }
}
