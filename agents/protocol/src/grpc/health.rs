//! `grpc.health.v1`: one text asked, one number answered, as protocol buffers.

use std::fmt;

use super::GrpcError;

/// What a server says of itself, or of one of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Not known yet.
    Unknown,
    /// Well.
    Serving,
    /// Not now.
    NotServing,
    /// It has no such service.
    ServiceUnknown,
    /// A number that the protocol does not have.
    Other(u64),
}

impl Serving {
    fn of(number: u64) -> Self {
        match number {
            0 => Self::Unknown,
            1 => Self::Serving,
            2 => Self::NotServing,
            3 => Self::ServiceUnknown,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Serving => 1,
            Self::NotServing => 2,
            Self::ServiceUnknown => 3,
            Self::Other(other) => other,
        }
    }
}

/// As the protocol spells it: `NOT_SERVING`.
impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
            Self::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// `HealthCheckRequest` for a service; empty: the server as a whole.
#[must_use]
pub fn health_request(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut bytes = vec![0x0a];
    write_varint(service.len() as u64, &mut bytes);
    bytes.extend_from_slice(service.as_bytes());
    bytes
}

/// The service that a `HealthCheckRequest` asks about.
///
/// # Errors
/// If it is none.
pub fn read_health_request(mut bytes: &[u8]) -> Result<String, GrpcError> {
    let mut service = String::new();
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (1, Field::Bytes(text)) => service = String::from_utf8(text.to_vec()).map_err(|_| GrpcError::Malformed)?,
            (1, Field::Number(_)) => return Err(GrpcError::Malformed),
            _ => {}
        }
    }
    Ok(service)
}

/// `HealthCheckResponse`.
#[must_use]
pub fn write_health_response(serving: Serving) -> Vec<u8> {
    let mut bytes = vec![0x08];
    write_varint(serving.number(), &mut bytes);
    bytes
}

/// What a `HealthCheckResponse` says; an empty one says `UNKNOWN`.
///
/// # Errors
/// If it is none.
pub fn read_health_response(mut bytes: &[u8]) -> Result<Serving, GrpcError> {
    let mut serving = Serving::Unknown;
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (1, Field::Number(number)) => serving = Serving::of(number),
            (1, Field::Bytes(_)) => return Err(GrpcError::Malformed),
            _ => {}
        }
    }
    Ok(serving)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// One field with its number. Fields of fixed width are given as their bytes.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<(u64, Field<'a>), GrpcError> {
    let tag = varint(bytes)?;
    let length = match tag & 7 {
        0 => return Ok((tag >> 3, Field::Number(varint(bytes)?))),
        1 => 8,
        2 => usize::try_from(varint(bytes)?).map_err(|_| GrpcError::Malformed)?,
        5 => 4,
        _ => return Err(GrpcError::Malformed),
    };
    let taken = crate::take(bytes, length);
    if taken.len() < length { Err(GrpcError::Malformed) } else { Ok((tag >> 3, Field::Bytes(taken))) }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, GrpcError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let &byte = crate::take(bytes, 1).first().ok_or(GrpcError::Malformed)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(GrpcError::Malformed)
}

fn write_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    to.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_messages_are_those_of_the_protocol() {
        assert_eq!(health_request("a.B"), b"\x0a\x03a.B");
        assert_eq!(read_health_request(&health_request("ranker")).unwrap(), "ranker");
        assert_eq!(read_health_response(b"\x08\x01").unwrap(), Serving::Serving);
        assert_eq!(read_health_response(b"").unwrap(), Serving::Unknown);
        // Fields of a later version are passed over.
        assert_eq!(read_health_response(b"\x12\x01x\x08\x02\x1d\0\0\0\0").unwrap().to_string(), "NOT_SERVING");
        for serving in [Serving::ServiceUnknown, Serving::Other(1 << 40)] {
            assert_eq!(read_health_response(&write_health_response(serving)).unwrap(), serving);
        }
        for bytes in [&b"\x0a\x05x"[..], b"\x0b", b"\xff", b"\x0a\x01x"] {
            assert!(read_health_response(bytes).is_err(), "{bytes:?}");
        }
    }
}
