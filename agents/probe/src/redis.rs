//! `redis`: sends one command and reads its reply.

mod age;
mod connection;

use chaos_core::fault::SpecError;
use chaos_core::literal::Address;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use chaos_protocol::resp::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::resolve::Endpoint;
use crate::tls::{self, Tls};
use crate::words;
use connection::{Client, Greeting};

/// Commands after which a connection is no longer one of question and answer.
const NOT_ASKED: &[&str] =
    &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "QUIT", "MULTI", "HELLO", "AUTH", "RESET"];

/// The `redis` probe.
pub struct Redis;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSpec {
    /// Where to connect.
    pub connect: Address,
    /// The command, split into words by quotes: `HGETALL features:7`.
    pub command: String,
    /// The field of the reply that holds when the value was written, in seconds, milliseconds or microseconds since 1970 or as
    /// `2026-11-20T09:00:00Z`. The reply is then a hash, or a text that is a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_field: Option<String>,
    /// Password, from a secret parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// User. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Speaks TLS, and whom the server must prove to be; `tls: {}` trusts the authorities of this host. Default: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `true` makes a new connection for every question. Default: connections are kept and used again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

impl Probe for Redis {
    type Spec = RedisSpec;
    type Client = RedisClient;
    const KIND: &'static str = "redis";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "sends Redis a command",
            about: "Sends one command and reads its reply (RESP3 where the server has it, else RESP2; Valkey, KeyDB and Dragonfly speak \
                    them too). An error as reply is no answer, with the error as reason. Connections are kept and used again, as client \
                    libraries do; one that the server closed between two questions is replaced without counting as a failure. With \
                    `fresh: true` every question makes its own. Replies above 8 MiB are refused.",
            example: "probe: redis\nwith: {connect: 127.0.0.1:6379, command: \"HGETALL features:7\", age_field: updated}\ngood: age < 5m\n",
            fields: &[
                ProbeField {
                    name: "value",
                    is: FieldType::Any,
                    about: "The reply: text, number, list, or a map for a hash. A text that is a JSON object or list is that. `null` where \
                            there is none.",
                },
                ProbeField {
                    name: "age",
                    is: FieldType::Duration,
                    about: "Since the time in `age_field`. Missing where the reply has none.",
                },
            ],
            good: None,
            of: &[],
        }
    }

    fn check(&self, spec: &RedisSpec) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match words::split(&spec.command) {
            Err(e) => errors.push(SpecError::new("command", e).hint("close the quote, or write it as \\' or \\\"")),
            Ok(words) => match words.first() {
                None => errors.push(SpecError::new("command", "a redis probe needs a command").hint("for example `GET key`")),
                Some(name) if NOT_ASKED.contains(&name.to_uppercase().as_str()) => {
                    errors.push(
                        SpecError::new("command", format!("{name} has no single reply to wait for")).hint("ask a command that reads"),
                    );
                }
                Some(_) => {}
            },
        }
        if spec.age_field.as_deref() == Some("") {
            errors.push(SpecError::new("age_field", "an empty name means nothing").hint("leave it out"));
        }
        if spec.user.is_some() && spec.password.is_none() {
            errors.push(SpecError::new("user", "`user` needs its `password`"));
        }
        errors.extend(spec.tls.iter().flat_map(Tls::check));
        errors
    }

    async fn open(&self, spec: RedisSpec, asking: &Asking) -> Result<RedisClient, ProbeError> {
        let words = words::split(&spec.command).map_err(|message| ProbeError { message, hint: None })?;
        let tls = match &spec.tls {
            Some(tls) => Some((tls::config(tls, &asking.folder, &[])?, tls::server_name(spec.connect.host())?)),
            None => None,
        };
        let greeting = Greeting { user: spec.user, password: spec.password };
        let endpoint = Endpoint::new(spec.connect.host(), spec.connect.port());
        Ok(RedisClient { connections: Client::new(endpoint, tls, greeting, &words, spec.fresh), age_field: spec.age_field })
    }

    async fn ask(client: &RedisClient) -> Result<Answer, NoAnswer> {
        let reply = client.connections.ask().await.map_err(NoAnswer)?;
        if let Value::Error(error) = reply {
            return Err(NoAnswer(error));
        }
        let value = json(&reply);
        let age = client.age_field.as_deref().and_then(|field| age::of(&value, field));
        let answer = Answer::new().with("value", FieldValue::Any(value));
        Ok(match age {
            Some(age) => answer.with("age", FieldValue::Duration(age)),
            None => answer,
        })
    }
}

/// A `redis` question that is ready to be asked, and its connections.
pub struct RedisClient {
    connections: Client,
    age_field: Option<String>,
}

/// A reply as JSON.
fn json(reply: &Value) -> Json {
    let list = |items: &[Value]| Json::Array(items.iter().map(json).collect());
    match reply {
        Value::Null => Json::Null,
        Value::Simple(text) | Value::Error(text) | Value::BigNumber(text) => Json::String(text.clone()),
        Value::Integer(n) => (*n).into(),
        Value::Double(n) => serde_json::Number::from_f64(*n).map_or_else(|| n.to_string().into(), Json::Number),
        Value::Boolean(yes) => Json::Bool(*yes),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => text(bytes),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => list(items),
        Value::Map(pairs) => Json::Object(pairs.iter().map(|(key, value)| (key_text(key), json(value))).collect()),
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => match json(other) {
            Json::String(text) => text,
            json => json.to_string(),
        },
    }
}

/// A text, or what it holds where that is a JSON object or list.
fn text(bytes: &[u8]) -> Json {
    if matches!(bytes.first(), Some(b'{' | b'['))
        && let Ok(json) = serde_json::from_slice(bytes)
    {
        return json;
    }
    Json::String(String::from_utf8_lossy(bytes).into_owned())
}
