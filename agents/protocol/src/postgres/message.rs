//! Messages of a server.

use super::frontend::{framed, text};

/// The fields of an `ErrorResponse`, those that are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorFields {
    /// `ERROR`, `FATAL`, `PANIC`, whatever the server's language.
    pub severity: String,
    /// `SQLSTATE`.
    pub code: String,
    /// The message.
    pub message: String,
}

impl ErrorFields {
    /// Reads an `ErrorResponse` frame (`E`), or the beginning of one.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Self {
        let mut rest = frame.get(5..).unwrap_or_default();
        let mut fields = Self::default();
        while let [kind, after @ ..] = rest {
            rest = after;
            let value = String::from_utf8_lossy(text(&mut rest)).into_owned();
            match kind {
                b'V' => fields.severity = value,
                b'S' if fields.severity.is_empty() => fields.severity = value,
                b'C' => fields.code = value,
                b'M' => fields.message = value,
                _ => {}
            }
        }
        fields
    }
}

/// An `ErrorResponse` of severity `ERROR`.
#[must_use]
pub fn error_response(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate), (b'M', message)] {
        body.push(kind);
        body.extend(value.bytes().filter(|b| *b != 0));
        body.push(0);
    }
    body.push(0);
    framed(b'E', &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_written_is_read() {
        let frame = error_response("53300", "too many clients\0 already");
        let fields = ErrorFields::parse(&frame);
        assert_eq!(fields.code, "53300");
        assert_eq!((fields.severity.as_str(), fields.message.as_str()), ("ERROR", "too many clients already"));
        assert_eq!(ErrorFields::parse(&frame[..3]), ErrorFields::default());
    }
}
