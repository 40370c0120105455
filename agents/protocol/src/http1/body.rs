//! Follows a body through the bytes, to its end.

use super::{Framing, Malformed};

/// The longest line of a chunked body that is read: sizes, their extensions, trailers.
const LINE_MAX: usize = 16 * 1024;

/// Where in a body the bytes stand. Keeps none of them.
#[derive(Debug, Clone)]
pub struct Body {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// So many bytes to go.
    Length(u64),
    UntilClose,
    /// In the line with the size of a chunk: what was read of the size, and how long the line is.
    Size {
        size: u64,
        digits: u8,
        ended: bool,
        line: usize,
    },
    /// In the data of a chunk.
    Data(u64),
    /// In the end of line after it.
    DataEnd,
    /// In the lines after the last chunk: how long this one is (without CR).
    Trailer {
        line: usize,
    },
    Done,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of content.
    Data(usize),
    /// So many bytes of the chunks' own: their sizes, and the ends of lines around them.
    Size(usize),
    /// So many bytes after the last chunk: trailers, if any, and the empty line.
    Trailer(usize),
    /// The body is over; what follows is another message.
    End,
}

impl Piece {
    /// How many bytes it is.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Data(n) | Self::Size(n) | Self::Trailer(n) => n,
            Self::End => 0,
        }
    }
}

impl Body {
    /// At its beginning.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::SIZE,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Is it over?
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// May the connection end here, with nothing missing?
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// What the front of `bytes` is; of what it names, the caller takes all. `bytes` must not be empty unless the body is over.
    ///
    /// # Errors
    /// If a chunk has no size.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        match &mut self.state {
            State::Done => Ok(Piece::End),
            State::UntilClose => Ok(Piece::Data(bytes.len())),
            State::Length(left) | State::Data(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = if matches!(self.state, State::Data(_)) { State::DataEnd } else { State::Done };
                }
                Ok(Piece::Data(taken))
            }
            State::Trailer { .. } => self.around(bytes).map(Piece::Trailer),
            _ => self.around(bytes).map(Piece::Size),
        }
    }

    /// Goes through what is not content, until content, the trailers or the end begin.
    fn around(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let sizes = !matches!(self.state, State::Trailer { .. });
        for (n, byte) in bytes.iter().enumerate() {
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Size { size, digits, ended, line } => size_line(*byte, size, digits, ended, line)?,
                State::DataEnd if *byte == b'\r' => State::DataEnd,
                State::DataEnd if *byte == b'\n' => State::SIZE,
                State::DataEnd => return Err(Malformed::Chunk),
                State::Trailer { line } => match byte {
                    b'\n' if line == 0 => State::Done,
                    b'\n' => State::Trailer { line: 0 },
                    b'\r' => State::Trailer { line },
                    _ if line >= LINE_MAX => return Err(Malformed::Long),
                    _ => State::Trailer { line: line + 1 },
                },
                other => other,
            };
            if matches!(self.state, State::Data(_) | State::Done) || sizes && matches!(self.state, State::Trailer { .. }) {
                return Ok(n + 1);
            }
        }
        Ok(bytes.len())
    }
}

impl State {
    const SIZE: Self = Self::Size { size: 0, digits: 0, ended: false, line: 0 };
}

/// One byte of the line with a chunk's size: digits, then perhaps `;extension`.
fn size_line(byte: u8, size: u64, digits: u8, ended: bool, line: usize) -> Result<State, Malformed> {
    if line >= LINE_MAX {
        return Err(Malformed::Long);
    }
    let digit = char::from(byte).to_digit(16).filter(|_| !ended);
    match (byte, digit) {
        (_, Some(digit)) if digits < 16 => {
            Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1, ended, line: line + 1 })
        }
        (b'\n', _) if digits > 0 => Ok(if size == 0 { State::Trailer { line: 0 } } else { State::Data(size) }),
        (b'\r' | b';' | b' ' | b'\t', _) if digits > 0 => Ok(State::Size { size, digits, ended: true, line: line + 1 }),
        _ if ended && byte != b'\n' => Ok(State::Size { size, digits, ended, line: line + 1 }),
        _ => Err(Malformed::Chunk),
    }
}
