//! Frames: a tag, a length, a body. A client's first frames have no tag.

use crate::Piece;

use super::PostgresError;

/// So much of a frame is held to know what it is; the rest of longer ones goes by.
pub const HELD_MAX: usize = 16 * 1024;
/// The longest first frame that servers take.
const STARTUP_MAX: u32 = 10_000;
/// The longest frame that servers take (1 GiB − 1).
const FRAME_MAX: u32 = 0x3fff_ffff;
/// How TLS begins: a handshake record of version 3.x.
const TLS: [u8; 2] = [0x16, 0x03];

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Whose frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client's: the first have no tag.
    Frontend,
    /// A server's.
    Backend,
}

/// What begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// An ordinary frame with its tag.
    Tagged(u8),
    /// A client asks whether the connection can be encrypted; the server answers with one byte.
    EncryptionRequest,
    /// A client wants another connection's statement to be cancelled.
    Cancel,
    /// A client says who it is and which database it wants.
    Startup,
    /// The server's answer to an encryption request: `S`, `G` (yes) or `N` (no).
    EncryptionAnswer(u8),
}

/// Parts a stream into frames. After an error it is of no more use; [`FrameReader::held`] is then what it had taken and not given.
#[derive(Debug, Clone)]
pub struct FrameReader {
    side: Side,
    started: bool,
    encryption_answers: u32,
    held: Vec<u8>,
    /// Bytes of a frame that was given which are still to come.
    left: u64,
}

impl FrameReader {
    /// At the beginning of a connection.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        Self { side, started: matches!(side, Side::Backend), encryption_answers: 0, held: Vec::new(), left: 0 }
    }

    /// Between two frames of a connection that is already in use.
    #[must_use]
    pub const fn started(side: Side) -> Self {
        Self { side, started: true, encryption_answers: 0, held: Vec::new(), left: 0 }
    }

    /// The client has sent an encryption request: the server's next byte is an answer without a frame.
    pub fn expect_encryption_answer(&mut self) {
        self.encryption_answers = self.encryption_answers.saturating_add(1);
    }

    /// Is it between two frames?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.held.is_empty() && self.left == 0
    }

    /// What was taken and not given yet, for whoever stops reading here.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The next piece.
    ///
    /// # Errors
    /// If no server would understand it, or the connection is encrypted.
    pub fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a, Frame>>, PostgresError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.left > 0 {
            let taken = crate::take(bytes, usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= taken.len() as u64;
            return Ok(Some(Piece::GoesOn { bytes: taken, ends: self.left == 0 }));
        }
        if self.held.is_empty() && self.side == Side::Backend && self.encryption_answers > 0 && matches!(bytes[0], b'S' | b'G' | b'N') {
            self.encryption_answers -= 1;
            let byte = crate::take(bytes, 1);
            return Ok(Some(Piece::Begins { head: Frame::EncryptionAnswer(byte[0]), bytes: byte.to_vec(), ends: true }));
        }
        self.hold(bytes, 2);
        if !self.started && self.held.starts_with(&TLS) {
            return Err(PostgresError::Encrypted);
        }
        let Some(length) = self.length(bytes)? else { return Ok(None) };
        self.hold(bytes, length.min(HELD_MAX));
        if self.held.len() < length.min(HELD_MAX) {
            return Ok(None);
        }
        let head = self.head();
        self.left = (length - self.held.len()) as u64;
        let bytes = std::mem::take(&mut self.held);
        Ok(Some(Piece::Begins { head, bytes, ends: self.left == 0 }))
    }

    /// The whole length of the frame that is held, its tag included, once that is known.
    fn length(&mut self, bytes: &mut &[u8]) -> Result<Option<usize>, PostgresError> {
        let tag = usize::from(self.started);
        let header = if self.started { 5 } else { 8 };
        self.hold(bytes, tag + 4);
        let Some((length, _)) = self.held.get(tag..).and_then(<[u8]>::split_first_chunk::<4>) else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        let (min, max) = if self.started { (4, FRAME_MAX) } else { (8, STARTUP_MAX) };
        if !(min..=max).contains(&length) {
            return Err(PostgresError::Length(length));
        }
        self.hold(bytes, header);
        Ok(Some(length as usize + tag))
    }

    fn head(&mut self) -> Frame {
        if self.started {
            return Frame::Tagged(self.held.first().copied().unwrap_or_default());
        }
        let code = self.held.get(4..8).and_then(|c| c.try_into().ok()).map_or(0, u32::from_be_bytes);
        match code {
            SSL_REQUEST | GSSENC_REQUEST => Frame::EncryptionRequest,
            CANCEL_REQUEST => Frame::Cancel,
            _ => {
                self.started = true;
                Frame::Startup
            }
        }
    }

    fn hold(&mut self, bytes: &mut &[u8], up_to: usize) {
        self.held.extend_from_slice(crate::take(bytes, up_to.saturating_sub(self.held.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(side: Side, mut bytes: &[u8]) -> Vec<(Frame, usize, bool)> {
        let (mut reader, mut found) = (FrameReader::new(side), Vec::new());
        while let Some(piece) = reader.read(&mut bytes).unwrap() {
            if let Piece::Begins { head, bytes, ends } = piece {
                found.push((head, bytes.len(), ends));
            }
        }
        assert!(reader.is_between());
        found
    }

    #[test]
    fn a_connection_begins_without_tags() {
        let mut bytes = b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec();
        bytes.extend_from_slice(b"\0\0\0\x11\0\x03\0\0user\0me\0\0");
        bytes.extend_from_slice(b"Q\0\0\0\x0dSELECT 1\0");
        bytes.extend_from_slice(b"S\0\0\0\x04");
        bytes.extend_from_slice(b"d\0\0\x80\x04");
        bytes.extend_from_slice(&vec![0; 0x8000]);
        let query = (Frame::Tagged(b'Q'), 14, true);
        let long = (Frame::Tagged(b'd'), HELD_MAX, false);
        assert_eq!(
            heads(Side::Frontend, &bytes),
            [(Frame::EncryptionRequest, 8, true), (Frame::Startup, 17, true), query, (Frame::Tagged(b'S'), 5, true), long]
        );
    }

    #[test]
    fn tls_and_nonsense_are_told_apart() {
        fn read(side: Side, mut bytes: &[u8]) -> Result<Option<Piece<'_, Frame>>, PostgresError> {
            FrameReader::new(side).read(&mut bytes)
        }
        assert_eq!(read(Side::Frontend, b"\x16\x03\x01\x02\0"), Err(PostgresError::Encrypted));
        assert_eq!(read(Side::Frontend, b"GET / HTTP"), Err(PostgresError::Length(0x4745_5420)));
        assert_eq!(read(Side::Backend, b"Z\0\0\0\x03"), Err(PostgresError::Length(3)));
    }

    #[test]
    fn one_byte_answers_an_encryption_request() {
        let mut reader = FrameReader::new(Side::Backend);
        reader.expect_encryption_answer();
        let mut bytes = &b"NR\0\0\0\x08\0\0\0\0"[..];
        let answer = reader.read(&mut bytes).unwrap().unwrap();
        assert_eq!(answer, Piece::Begins { head: Frame::EncryptionAnswer(b'N'), bytes: b"N".to_vec(), ends: true });
        assert!(matches!(reader.read(&mut bytes).unwrap().unwrap(), Piece::Begins { head: Frame::Tagged(b'R'), .. }));
    }
}
