//! `http`: one request, one answer, as a user of the service would send it.
//!
//! ```text
//! ask ── kept connection? ──▶ exchange ──▶ answer complete ──▶ keep the connection
//!   └─ none, closed meanwhile, or `fresh` ──▶ dial ─┘
//! ```
//! Connections are kept alive unless `fresh` says otherwise: both are fair questions, but different ones (RULES 30). Kept
//! connections are what a client library does; fresh ones also ask whether the service still takes connections.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use chaos_core::fault::SpecError;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection::{Client, Dialer, of_hyper};
use crate::request;
use crate::resolve::Endpoint;
use crate::tls::{self, Tls};
use crate::url::Url;

/// The largest answer that is looked into. Larger ones can still be asked for their `status` and `bytes`.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// The `http` probe.
pub struct Http;

/// What is asked. Exactly one of `get`, `post`, `put`, `delete` and `head`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSpec {
    /// URL to ask with GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub get: Option<Url>,
    /// URL to ask with POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post: Option<Url>,
    /// URL to ask with PUT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<Url>,
    /// URL to ask with DELETE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<Url>,
    /// URL to ask with HEAD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Url>,
    /// Headers of the request. `host` is the URL's where it is not given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body, sent as JSON (`content-type: application/json`). Not with `text`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub json: Option<Value>,
    /// Body, sent as it is. Not with `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whom an `https` server must prove to be. Default: any name that an authority of this host vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `true` speaks HTTP/2 (over `http`, without upgrade) with all questions on one connection. Default HTTP/1.1.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// `true` makes a new connection for every question. Default: connections are kept alive and used again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// `json: null` is a body.
fn given<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

impl HttpSpec {
    fn asked(&self) -> impl Iterator<Item = (&'static str, Method, &Url)> {
        [
            ("get", Method::GET, &self.get),
            ("post", Method::POST, &self.post),
            ("put", Method::PUT, &self.put),
            ("delete", Method::DELETE, &self.delete),
            ("head", Method::HEAD, &self.head),
        ]
        .into_iter()
        .filter_map(|(key, method, url)| Some((key, method, url.as_ref()?)))
    }

    fn body(&self) -> Bytes {
        match (&self.json, &self.text) {
            (Some(json), _) => json.to_string().into(),
            (None, Some(text)) => text.clone().into(),
            (None, None) => Bytes::new(),
        }
    }

    fn headers(&self, url: &Url) -> Result<HeaderMap, SpecError> {
        let mut map = request::headers(&self.headers)?;
        if self.json.is_some() {
            map.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        if !self.http2 {
            let host = HeaderValue::from_str(url.authority()).map_err(|_| SpecError::new("", "the URL's host cannot be sent"))?;
            map.entry(header::HOST).or_insert(host);
            if self.fresh {
                map.entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
        }
        Ok(map)
    }
}

const FIELDS: &[ProbeField] = &[
    ProbeField { name: "status", is: FieldType::Number, about: "Status code of the answer." },
    ProbeField { name: "body", is: FieldType::Any, about: "The body as JSON; missing where it is not JSON." },
    ProbeField { name: "text", is: FieldType::Text, about: "The body as text." },
    ProbeField { name: "headers", is: FieldType::Map, about: "Headers of the answer, their names in lower case." },
    ProbeField { name: "bytes", is: FieldType::Size, about: "Length of the body." },
];

impl Probe for Http {
    type Spec = HttpSpec;
    type Client = HttpClient;
    const KIND: &'static str = "http";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "asks an HTTP server",
            about: "Sends one request and reads the whole answer. Redirects are answers like any other: not followed. \
                    Connections are kept alive and used again, as client libraries do; one that the server closed between two \
                    questions is replaced without counting as a failure. With `fresh: true` every question makes its own \
                    connection, so that a service that no longer takes connections is seen at once. A name is looked up for \
                    each new connection. `body`, `text` and `headers` are read only where `good` or an objective speaks of them; \
                    of answers above 8 MiB only `status`, `headers` and `bytes` can be asked.",
            example: "probe: http\nwith: {get: http://127.0.0.1:8080/v2/health/ready}\ngood: status == 200 && latency < 300ms\n",
            fields: FIELDS,
            good: Some("status >= 200 && status < 300"),
            of: &[],
        }
    }

    fn check(&self, spec: &HttpSpec) -> Vec<SpecError> {
        let asked: Vec<_> = spec.asked().collect();
        let mut errors = Vec::new();
        match asked.as_slice() {
            [] => {
                errors.push(SpecError::new("", "an http probe needs a URL to ask").hint("for example `get: http://127.0.0.1:8080/health`"))
            }
            [(_, _, url)] => errors.extend(check_url(spec, url)),
            [_, rest @ ..] => errors.extend(rest.iter().map(|(key, _, _)| {
                SpecError::new(*key, "an http probe asks one URL with one method").hint("make a second hypothesis for the second question")
            })),
        }
        if spec.json.is_some() && spec.text.is_some() {
            errors.push(SpecError::new("text", "`json` and `text` are both the body").hint("leave one out"));
        }
        errors
    }

    async fn open(&self, spec: HttpSpec, asking: &Asking) -> Result<HttpClient, ProbeError> {
        let Some((_, method, url)) = spec.asked().next() else {
            return Err(ProbeError { message: "an http probe needs a URL to ask".into(), hint: None });
        };
        let headers = spec.headers(url).map_err(|e| ProbeError { message: format!("{}: {}", e.path, e.message), hint: e.hint })?;
        Ok(HttpClient {
            method,
            uri: if spec.http2 { url.uri().clone() } else { request::origin_form(url) },
            headers,
            body: spec.body(),
            connections: Client::new(dialer(&spec, url, asking)?, spec.fresh),
            wanted: Wanted::of(&asking.wanted),
        })
    }

    async fn ask(client: &HttpClient) -> Result<Answer, NoAnswer> {
        client.ask().await.map_err(NoAnswer)
    }
}

fn check_url(spec: &HttpSpec, url: &Url) -> Vec<SpecError> {
    let mut errors: Vec<_> = spec.headers(url).err().into_iter().collect();
    let Some(tls) = &spec.tls else { return errors };
    if !url.is_https() {
        errors.push(SpecError::new("tls", "`tls` is for https").hint("write `https://…`"));
    }
    errors.extend(tls.check());
    errors
}

fn dialer(spec: &HttpSpec, url: &Url, asking: &Asking) -> Result<Dialer, ProbeError> {
    let tls = if url.is_https() {
        let trust = spec.tls.clone().unwrap_or_default();
        let speaks = if spec.http2 { "h2" } else { "http/1.1" };
        Some((tls::config(&trust, &asking.folder, &[speaks])?, tls::server_name(url.host())?))
    } else {
        None
    };
    Ok(Dialer { endpoint: Endpoint::new(url.host(), url.port()), tls, http2: spec.http2 })
}

/// What `good` and the objectives look at.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    body: bool,
    text: bool,
    headers: bool,
}

impl Wanted {
    fn of(fields: &BTreeSet<String>) -> Self {
        Self { body: fields.contains("body"), text: fields.contains("text"), headers: fields.contains("headers") }
    }
}

/// A question that is ready to be asked, and its connections.
pub struct HttpClient {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    connections: Client,
    wanted: Wanted,
}

impl HttpClient {
    async fn ask(&self) -> Result<Answer, String> {
        let (response, held) = self.connections.ask(|| self.request()).await?;
        let answer = self.read(response).await?;
        held.keep();
        Ok(answer)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Reads to the end: an answer is complete with its last byte.
    async fn read(&self, response: Response<Incoming>) -> Result<Answer, String> {
        let (head, mut body) = response.into_parts();
        let keep = self.wanted.body || self.wanted.text;
        let mut text = BytesMut::new();
        let mut bytes = 0_u64;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| of_hyper(&e))?.into_data() else {
                continue;
            };
            bytes += data.len() as u64;
            if keep && text.len() + data.len() > BODY_MAX {
                return Err(format!("the answer is longer than {} MiB", BODY_MAX >> 20));
            }
            if keep {
                text.extend_from_slice(&data);
            }
        }
        let mut answer =
            Answer::new().with("status", FieldValue::Number(head.status.as_u16().into())).with("bytes", FieldValue::Size(bytes));
        if self.wanted.headers {
            answer = answer.with("headers", FieldValue::Any(header_map(&head.headers)));
        }
        if self.wanted.body
            && let Ok(json) = serde_json::from_slice(&text)
        {
            answer = answer.with("body", FieldValue::Any(json));
        }
        if self.wanted.text {
            let text = String::from_utf8_lossy(&text).into_owned();
            answer = answer.with("text", FieldValue::Text(text));
        }
        Ok(answer)
    }
}

/// A header sent several times has its values joined by commas, as HTTP means it.
fn header_map(headers: &HeaderMap) -> Value {
    let mut map = serde_json::Map::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let text = match map.get(name.as_str()).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.into_owned(),
        };
        map.insert(name.as_str().to_owned(), text.into());
    }
    map.into()
}
