//! `tcp`: connects, may send something, may wait for something.

use std::collections::BTreeMap;

use chaos_core::fault::SpecError;
use chaos_core::literal::Address;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::reason;
use crate::resolve::Endpoint;

/// The most that is read while waiting for `expect`.
const TEXT_MAX: usize = 64 * 1024;

/// The `tcp` probe.
pub struct Tcp;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpSpec {
    /// Where to connect.
    pub connect: Address,
    /// Text to send once connected. Line ends are written out, in double quotes: `"PING\r\n"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Text that must come. Without it, being connected is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

impl Probe for Tcp {
    type Spec = TcpSpec;
    type Client = TcpClient;
    const KIND: &'static str = "tcp";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "connects to a TCP port",
            about: "Makes a new connection for every question, sends `send` and reads until `expect` was seen. Without `expect`, a \
                    connection is an answer; where `good` speaks of `text`, so is the first thing that comes. A process that is \
                    frozen still takes connections, its kernel does: only `expect` asks the process itself.",
            example: "probe: tcp\nwith: {connect: 127.0.0.1:6379, send: \"PING\\r\\n\", expect: PONG}\n",
            fields: &[ProbeField { name: "text", is: FieldType::Text, about: "What came, up to 64 KiB, to the end of `expect`." }],
            good: Some("true"),
            of: &[],
        }
    }

    fn check(&self, spec: &TcpSpec) -> Vec<SpecError> {
        BTreeMap::from([("send", &spec.send), ("expect", &spec.expect)])
            .into_iter()
            .filter(|(_, text)| text.as_ref().is_some_and(String::is_empty))
            .map(|(key, _)| SpecError::new(key, "an empty text means nothing").hint("leave it out"))
            .collect()
    }

    async fn open(&self, spec: TcpSpec, asking: &Asking) -> Result<TcpClient, ProbeError> {
        Ok(TcpClient {
            endpoint: Endpoint::new(spec.connect.host(), spec.connect.port()),
            send: spec.send,
            expect: spec.expect,
            text_wanted: asking.wanted.contains("text"),
        })
    }

    async fn ask(client: &TcpClient) -> Result<Answer, NoAnswer> {
        client.ask().await.map_err(NoAnswer)
    }
}

/// A `tcp` question that is ready to be asked.
pub struct TcpClient {
    endpoint: Endpoint,
    send: Option<String>,
    expect: Option<String>,
    text_wanted: bool,
}

impl TcpClient {
    async fn ask(&self) -> Result<Answer, String> {
        let mut stream = self.endpoint.connect().await?;
        if let Some(text) = &self.send {
            stream.write_all(text.as_bytes()).await.map_err(|e| reason::of_io(&e))?;
        }
        let seen = match &self.expect {
            Some(expected) => read_until(&mut stream, expected.as_bytes()).await?,
            None if self.text_wanted => read_until(&mut stream, b"").await?,
            None => return Ok(Answer::new()),
        };
        let text = String::from_utf8_lossy(&seen).into_owned();
        Ok(Answer::new().with("text", FieldValue::Text(text)))
    }
}

/// Reads until `expected` was seen; an empty one is seen with the first bytes.
async fn read_until(stream: &mut TcpStream, expected: &[u8]) -> Result<Vec<u8>, String> {
    let mut seen = Vec::with_capacity(512);
    loop {
        let before = seen.len();
        let n = stream.read_buf(&mut seen).await.map_err(|e| reason::of_io(&e))?;
        if n == 0 {
            return Err(match expected {
                [] => "connection closed, nothing came".to_owned(),
                text => format!("connection closed before `{}` came", show(text)),
            });
        }
        let from = before.saturating_sub(expected.len());
        if let Some(at) = position(&seen[from..], expected) {
            if !expected.is_empty() {
                seen.truncate(from + at + expected.len());
            }
            return Ok(seen);
        }
        if seen.len() > TEXT_MAX {
            return Err(format!("64 KiB came without `{}`", show(expected)));
        }
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).escape_debug().to_string()
}
