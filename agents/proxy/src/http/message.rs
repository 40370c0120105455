//! The heads of messages as toxics see them, in whichever HTTP they are written.

use chaos_protocol::http1::Head;
use http::{HeaderName, HeaderValue, request, response};

/// The fields of a head.
pub trait Fields: Send + Sync {
    /// The first value of a field, by its name in any letter case.
    fn get(&self, name: &str) -> Option<&str>;
    /// Sets a field to one value.
    fn set(&mut self, name: &str, value: &str);
    /// Takes a field away.
    fn remove(&mut self, name: &str);
}

/// The head of a request.
pub trait RequestHead: Fields {
    /// `GET`.
    fn method(&self) -> &str;
    /// Path and query: `/v1/x?y=1`.
    fn target(&self) -> &str;

    /// The host that is asked, as it stands: a port may follow.
    fn host(&self) -> Option<&str> {
        self.get("host")
    }

    /// Is it asked by one who does not know HTTP/1.1, and chunks?
    fn is_http_1_0(&self) -> bool {
        false
    }

    /// The path alone.
    fn path(&self) -> &str {
        let target = self.target();
        target.split(['?', '#']).next().unwrap_or(target)
    }

    /// What stands after the first `?`.
    fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }
}

/// The head of an answer.
pub trait AnswerHead: Fields {
    /// `200`.
    fn status(&self) -> u16;
    /// Makes it another status.
    fn set_status(&mut self, status: u16);

    /// Is it a stream of events?
    fn is_event_stream(&self) -> bool {
        let kind = self.get("content-type").unwrap_or_default();
        kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("text/event-stream"))
    }

    /// Can the events of its stream be told apart? Not where they are compressed.
    fn has_events(&self) -> bool {
        self.is_event_stream() && self.get("content-encoding").is_none_or(|coding| coding.trim().eq_ignore_ascii_case("identity"))
    }

    /// Has the answer to this method no content, whatever its fields say (RFC 9110 6.4.1)?
    fn is_bare(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304)
    }
}

impl Fields for Head {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name)
    }

    fn set(&mut self, name: &str, value: &str) {
        Self::set(self, name, value);
    }

    fn remove(&mut self, name: &str) {
        Self::remove(self, name);
    }
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        Self::method(self)
    }

    fn is_http_1_0(&self) -> bool {
        Self::is_http_1_0(self)
    }

    fn target(&self) -> &str {
        let target = Self::target(self);
        // To a proxy the whole address is given (RFC 9112 3.2.2).
        let Some((_, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else { return target };
        rest.find('/').map_or("/", |at| &rest[at..])
    }
}

impl AnswerHead for Head {
    fn status(&self) -> u16 {
        Self::status(self).unwrap_or(0)
    }

    fn set_status(&mut self, status: u16) {
        Self::set_status(self, status, reason(status));
    }
}

/// The usual words for a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        529 => "Site is overloaded",
        _ => http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown"),
    }
}

macro_rules! fields_of_parts {
    ($parts:ty) => {
        impl Fields for $parts {
            fn get(&self, name: &str) -> Option<&str> {
                self.headers.get(name).and_then(|v| v.to_str().ok())
            }

            fn set(&mut self, name: &str, value: &str) {
                // What no field can be called, or hold, is refused when a spec is checked.
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                    self.headers.insert(name, value);
                }
            }

            fn remove(&mut self, name: &str) {
                self.headers.remove(name);
            }
        }
    };
}

fields_of_parts!(request::Parts);
fields_of_parts!(response::Parts);

impl RequestHead for request::Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }

    fn host(&self) -> Option<&str> {
        self.uri.host().or_else(|| self.get("host"))
    }
}

impl AnswerHead for response::Parts {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn set_status(&mut self, status: u16) {
        if let Ok(status) = http::StatusCode::from_u16(status) {
            self.status = status;
        }
    }
}

/// Without percent signs (RFC 3986 2.1). What stands for no text stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
