//! gRPC without HTTP/2: the length-prefixed messages in its bodies, and the health protocol
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `health-checking.md` beside it).

mod health;

pub use health::{Serving, health_request, read_health_request, read_health_response, write_health_response};

/// The longest message that is kept; health messages have a few bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// A body that is no gRPC, or not of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    /// Compressed, although nobody said that this is understood.
    #[error("a compressed message that was not asked for")]
    Compressed,
    /// Longer than [`MESSAGE_MAX`].
    #[error("a message of more than {MESSAGE_MAX} bytes")]
    Long,
    /// The bytes are no message of this kind.
    #[error("a message that is no health check")]
    Malformed,
}

/// A message with its prefix: not compressed, its length in four bytes.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// Reads messages off a body. After an error it is of no more use.
#[derive(Debug, Clone, Default)]
pub struct MessageReader {
    held: Vec<u8>,
}

impl MessageReader {
    /// At the beginning of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// If it is compressed or too long.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, GrpcError> {
        self.hold(bytes, 5);
        let Some((&[compressed, a, b, c, d], _)) = self.held.split_first_chunk::<5>() else { return Ok(None) };
        if compressed != 0 {
            return Err(GrpcError::Compressed);
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| GrpcError::Long)?;
        if length > MESSAGE_MAX {
            return Err(GrpcError::Long);
        }
        self.hold(bytes, 5 + length);
        if self.held.len() < 5 + length {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.held).split_off(5)))
    }

    fn hold(&mut self, bytes: &mut &[u8], up_to: usize) {
        self.held.extend_from_slice(crate::take(bytes, up_to.saturating_sub(self.held.len())));
    }
}
