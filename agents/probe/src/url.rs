//! The address of an HTTP question.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chaos_core::literal::LiteralError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// An `http` or `https` URL: `http://127.0.0.1:8080/v2/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    uri: http::Uri,
}

impl Url {
    /// Is the connection encrypted?
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 80 or 443 where none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(default)
    }

    /// What goes into the `host` header.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    pub(crate) fn uri(&self) -> &http::Uri {
        &self.uri
    }
}

impl FromStr for Url {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let example = "for example `http://127.0.0.1:8080/health`";
        if !text.starts_with("http://") && !text.starts_with("https://") {
            let hint = if text.contains("://") { example.into() } else { format!("`http://{text}`, or `https://…`") };
            return Err(LiteralError::new("a URL begins with `http://` or `https://`", hint));
        }
        let uri: http::Uri = text.parse().map_err(|e| LiteralError::new(format!("`{text}` is not a URL: {e}"), example))?;
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(LiteralError::new(
                "a URL with a user name or password is not taken",
                "write `headers: {authorization: …}`, with a secret parameter",
            ));
        }
        Ok(Self { text: text.to_owned(), uri })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|e: LiteralError| D::Error::custom(e.encode()))
    }
}

impl JsonSchema for Url {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "url",
            "pattern": "^https?://[^/?#@\\s]+",
            "description": "An `http` or `https` URL.",
            "examples": ["http://127.0.0.1:8080/v2/health/ready"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_knows_where_to_connect() {
        let url: Url = "https://[::1]/a?b=$(key)".parse().unwrap();
        assert!(url.is_https());
        assert_eq!((url.host(), url.port()), ("::1", 443));
        assert_eq!(url.to_string(), "https://[::1]/a?b=$(key)");
    }

    #[test]
    fn what_is_no_url_is_told_what_to_write() {
        for (text, hint) in [
            ("127.0.0.1:8080/x", "`http://127.0.0.1:8080/x`, or `https://…`"),
            ("ftp://host/x", "for example `http://127.0.0.1:8080/health`"),
            ("http://me:pw@host/", "write `headers: {authorization: …}`, with a secret parameter"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
    }
}
