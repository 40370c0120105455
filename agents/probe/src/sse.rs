//! `sse`: asks a language model for a stream of tokens and watches it come, as its users do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaos_core::fault::SpecError;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use chaos_protocol::sse::{Chunk, EventReader};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection::{Body, Client, Dialer, Held};
use crate::request;
use crate::resolve::Endpoint;
use crate::tls::{self, Tls};
use crate::url::Url;

/// The most of the answer's text that is kept.
const TEXT_MAX: usize = 8 * 1024 * 1024;
/// The end of a stream follows `[DONE]` at once, or is not waited for: a user has the whole answer by then.
const END_GRACE: Duration = Duration::from_millis(10);

/// The `sse` probe.
pub struct Sse;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SseSpec {
    /// URL to ask with POST.
    pub post: Url,
    /// Body, sent as JSON. A language model streams when it says `stream: true`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub json: Value,
    /// Headers of the request. `host` is the URL's where it is not given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whom an `https` server must prove to be. Default: any name that an authority of this host vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `true` makes a new connection for every question. Default: connections are kept alive and used again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

impl SseSpec {
    fn headers(&self) -> Result<HeaderMap, SpecError> {
        let mut map = request::headers(&self.headers)?;
        let host = HeaderValue::from_str(self.post.authority()).map_err(|_| SpecError::new("post", "the URL's host cannot be sent"))?;
        map.entry(header::HOST).or_insert(host);
        map.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        map.entry(header::ACCEPT).or_insert(HeaderValue::from_static("text/event-stream"));
        if self.fresh {
            map.entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
        }
        Ok(map)
    }
}

const FIELDS: &[ProbeField] = &[
    ProbeField { name: "status", is: FieldType::Number, about: "Status code of the answer." },
    ProbeField { name: "tokens", is: FieldType::Number, about: "Pieces of text that came. Most models send one token in each." },
    ProbeField { name: "first_token", is: FieldType::Duration, about: "From the asking to the first piece. Missing where none came." },
    ProbeField {
        name: "gap",
        is: FieldType::Duration,
        about: "The longest silence after the first piece, until the last or the end of the stream. Missing where none came.",
    },
    ProbeField {
        name: "finish",
        is: FieldType::Text,
        about: "Why it ended, as the model says: `stop`, `length` … Missing where it did not say.",
    },
    ProbeField { name: "text", is: FieldType::Text, about: "The pieces put together, up to 8 MiB." },
    ProbeField {
        name: "complete",
        is: FieldType::Bool,
        about: "Status 2xx, no error and nothing malformed in the stream, and `[DONE]` at its end; or a finish reason, then a proper end.",
    },
];

impl Probe for Sse {
    type Spec = SseSpec;
    type Client = SseClient;
    const KIND: &'static str = "sse";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "watches a token stream",
            about: "Asks as clients of OpenAI's streaming interface do (`/v1/completions`, `/v1/chat/completions`; vLLM, TGI, llama.cpp \
                    and gateways speak it too) and reads the server-sent events to `[DONE]`. A stream that breaks off after its first \
                    piece is an answer that is not `complete`, with its times; before that it is no answer. What begins as a stream \
                    and stalls runs into the timeout. Connections are kept alive and used again, as for `http`; with `fresh: true` every \
                    question makes its own. In other event streams each event counts as a piece, and `complete` asks for `[DONE]`.",
            example: "probe: sse\nwith: {post: http://127.0.0.1:9000/v1/completions, json: {prompt: The sea is, max_tokens: 16, stream: true}}\n\
                      good: complete && first_token < 800ms\nevery: 1s\ntimeout: 10s\n",
            fields: FIELDS,
            good: Some("complete"),
            of: &[],
        }
    }

    fn check(&self, spec: &SseSpec) -> Vec<SpecError> {
        let mut errors: Vec<_> = spec.headers().err().into_iter().collect();
        if spec.tls.is_some() && !spec.post.is_https() {
            errors.push(SpecError::new("tls", "`tls` is for https").hint("write `https://…`"));
        }
        errors.extend(spec.tls.iter().flat_map(Tls::check));
        errors
    }

    async fn open(&self, spec: SseSpec, asking: &Asking) -> Result<SseClient, ProbeError> {
        let headers = spec.headers().map_err(|e| ProbeError { message: format!("{}: {}", e.path, e.message), hint: e.hint })?;
        let tls = if spec.post.is_https() {
            let trust = spec.tls.clone().unwrap_or_default();
            Some((tls::config(&trust, &asking.folder, &["http/1.1"])?, tls::server_name(spec.post.host())?))
        } else {
            None
        };
        let dialer = Dialer { endpoint: Endpoint::new(spec.post.host(), spec.post.port()), tls, http2: false };
        let body = if spec.json.is_null() { Bytes::new() } else { spec.json.to_string().into() };
        Ok(SseClient {
            uri: request::origin_form(&spec.post),
            headers,
            body,
            connections: Client::new(dialer, spec.fresh),
            text_wanted: asking.wanted.contains("text"),
        })
    }

    async fn ask(client: &SseClient) -> Result<Answer, NoAnswer> {
        client.ask().await.map_err(NoAnswer)
    }
}

/// An `sse` question that is ready to be asked, and its connections.
pub struct SseClient {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    connections: Client,
    text_wanted: bool,
}

impl SseClient {
    async fn ask(&self) -> Result<Answer, String> {
        let asked = Instant::now();
        let (response, held) = self.connections.ask(|| self.request()).await?;
        let status = response.status();
        let mut stream = Stream { text: self.text_wanted.then(String::new), ..Stream::new(asked) };
        self.watch(response, held, &mut stream).await?;
        Ok(stream.answer(status.as_u16(), status.is_success()))
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Reads the stream until it ends, well or not. Only one that ends well leaves a connection to be used again.
    async fn watch(&self, response: Response<Incoming>, held: Held<'_>, stream: &mut Stream) -> Result<(), String> {
        let mut body = response.into_body();
        loop {
            let frame = if stream.done {
                match tokio::time::timeout(END_GRACE, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return Ok(()),
                }
            } else {
                body.frame().await
            };
            match frame {
                None => {
                    stream.end();
                    held.keep();
                    return Ok(());
                }
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        stream.take(data)?;
                    }
                }
                Some(Err(_)) if stream.done => return Ok(()),
                Some(Err(e)) if stream.first.is_none() => return Err(crate::connection::of_hyper(&e)),
                Some(Err(_)) => {
                    stream.broken = true;
                    return Ok(());
                }
            }
        }
    }
}

/// What came so far.
struct Stream {
    asked: Instant,
    reader: EventReader,
    first: Option<Instant>,
    last: Instant,
    gap: Duration,
    tokens: u32,
    finish: Option<String>,
    text: Option<String>,
    done: bool,
    ended: bool,
    broken: bool,
}

impl Stream {
    fn new(asked: Instant) -> Self {
        Self {
            asked,
            reader: EventReader::new(),
            first: None,
            last: asked,
            gap: Duration::ZERO,
            tokens: 0,
            finish: None,
            text: None,
            done: false,
            ended: false,
            broken: false,
        }
    }

    fn take(&mut self, mut data: &[u8]) -> Result<(), String> {
        let now = Instant::now();
        while let Some(event) = self.reader.read(&mut data).map_err(|e| e.to_string())? {
            match Chunk::parse(&event.data) {
                _ if self.done => {}
                Chunk::Done => {
                    self.silence(now);
                    self.done = true;
                }
                Chunk::Piece { text, finish } => {
                    if let Some(text) = text {
                        self.piece(now, &text)?;
                    }
                    self.finish = finish.or(self.finish.take());
                }
                Chunk::Other => self.piece(now, &event.data)?,
                Chunk::Error(_) | Chunk::Malformed => self.broken = true,
            }
        }
        Ok(())
    }

    fn piece(&mut self, now: Instant, text: &str) -> Result<(), String> {
        self.silence(now);
        self.first.get_or_insert(now);
        self.tokens += 1;
        if let Some(kept) = &mut self.text {
            if kept.len() + text.len() > TEXT_MAX {
                return Err(format!("the answer is longer than {} MiB", TEXT_MAX >> 20));
            }
            kept.push_str(text);
        }
        Ok(())
    }

    /// Silence until now.
    fn silence(&mut self, now: Instant) {
        if self.first.is_some() {
            self.gap = self.gap.max(now.duration_since(self.last));
        }
        self.last = now;
    }

    fn end(&mut self) {
        if !self.done {
            self.silence(Instant::now());
        }
        self.ended = true;
    }

    fn answer(self, status: u16, success: bool) -> Answer {
        let complete = success && !self.broken && (self.done || (self.ended && self.finish.is_some()));
        let mut answer = Answer::new()
            .with("status", FieldValue::Number(status.into()))
            .with("tokens", FieldValue::Number(self.tokens.into()))
            .with("complete", FieldValue::Bool(complete));
        if let Some(first) = self.first {
            answer = answer
                .with("first_token", FieldValue::Duration(first.duration_since(self.asked)))
                .with("gap", FieldValue::Duration(self.gap));
        }
        if let Some(finish) = self.finish {
            answer = answer.with("finish", FieldValue::Text(finish));
        }
        match self.text {
            Some(text) => answer.with("text", FieldValue::Text(text)),
            None => answer,
        }
    }
}
