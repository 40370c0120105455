//! `grpc`: asks a server by gRPC's health protocol how it is.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chaos_core::fault::SpecError;
use chaos_core::literal::Address;
use chaos_core::probe::{Answer, Asking, NoAnswer, Probe, ProbeError, ProbeField, ProbeProfile};
use chaos_core::value::{FieldType, FieldValue};
use chaos_protocol::grpc::{MessageReader, Serving, framed, health_request, read_health_response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::{Body, Client, Dialer, of_hyper};
use crate::request;
use crate::resolve::Endpoint;
use crate::tls::{self, Tls};

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// Status codes of gRPC that say something about the question itself.
const OK: u32 = 0;
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;

/// The `grpc` probe.
pub struct Grpc;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSpec {
    /// Where to connect.
    pub connect: Address,
    /// About which service: `inference.GRPCInferenceService`. Default: the server as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Headers (metadata) of the request, such as `authorization`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Speaks TLS, and whom the server must prove to be; `tls: {}` trusts the authorities of this host. Default: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `true` makes a new connection for every question. Default: one connection is kept and shared by all questions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

impl Probe for Grpc {
    type Spec = GrpcSpec;
    type Client = GrpcClient;
    const KIND: &'static str = "grpc";

    fn profile(&self) -> ProbeProfile {
        ProbeProfile {
            summary: "asks a gRPC server how it is",
            about: "Calls `grpc.health.v1.Health/Check`, with the timeout as its deadline. All questions share one connection, as gRPC \
                    clients do; it is replaced when it closes, or when a question on it got no answer in time. With `fresh: true` every \
                    question makes its own. A server that does not know the service is in the state `SERVICE_UNKNOWN`; one without the \
                    health protocol gives no answer.",
            example: "probe: grpc\nwith: {connect: 127.0.0.1:9000, service: inference.GRPCInferenceService}\n",
            fields: &[ProbeField {
                name: "state",
                is: FieldType::Text,
                about: "`SERVING`, `NOT_SERVING`, `UNKNOWN` or `SERVICE_UNKNOWN`.",
            }],
            good: Some("state == \"SERVING\""),
            of: &[],
        }
    }

    fn check(&self, spec: &GrpcSpec) -> Vec<SpecError> {
        let mut errors: Vec<_> = request::headers(&spec.headers).err().into_iter().collect();
        errors.extend(spec.tls.iter().flat_map(Tls::check));
        errors
    }

    async fn open(&self, spec: GrpcSpec, asking: &Asking) -> Result<GrpcClient, ProbeError> {
        let refused = |message: String| ProbeError { message, hint: None };
        let headers =
            headers(&spec, asking.timeout).map_err(|e| ProbeError { message: format!("{}: {}", e.path, e.message), hint: e.hint })?;
        let (scheme, tls) = match &spec.tls {
            Some(tls) => ("https", Some((tls::config(tls, &asking.folder, &["h2"])?, tls::server_name(spec.connect.host())?))),
            None => ("http", None),
        };
        let uri = Uri::builder().scheme(scheme).authority(spec.connect.to_string()).path_and_query(CHECK).build();
        let dialer = Dialer { endpoint: Endpoint::new(spec.connect.host(), spec.connect.port()), tls, http2: true };
        Ok(GrpcClient {
            uri: uri.map_err(|e| refused(format!("{} cannot be asked: {e}", spec.connect)))?,
            headers,
            body: framed(&health_request(&spec.service)).into(),
            connections: Client::new(dialer, spec.fresh),
        })
    }

    async fn ask(client: &GrpcClient) -> Result<Answer, NoAnswer> {
        let state = client.ask().await.map_err(NoAnswer)?;
        Ok(Answer::new().with("state", FieldValue::Text(state.to_string())))
    }
}

fn headers(spec: &GrpcSpec, timeout: Duration) -> Result<HeaderMap, SpecError> {
    let mut map = request::headers(&spec.headers)?;
    map.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    map.insert(http::header::TE, HeaderValue::from_static("trailers"));
    // At most eight digits, so in milliseconds.
    let deadline = format!("{}m", timeout.as_millis().clamp(1, 99_999_999));
    if let Ok(deadline) = HeaderValue::from_str(&deadline) {
        map.insert(HeaderName::from_static("grpc-timeout"), deadline);
    }
    Ok(map)
}

/// A `grpc` question that is ready to be asked, and its connection.
pub struct GrpcClient {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    connections: Client,
}

impl GrpcClient {
    async fn ask(&self) -> Result<Serving, String> {
        let (response, held) = self.connections.ask(|| self.request()).await?;
        let serving = read(response).await?;
        held.keep();
        Ok(serving)
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// One message, then the status in the trailers; without a message, the status may stand in the headers.
async fn read(response: Response<Incoming>) -> Result<Serving, String> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("not gRPC: HTTP status {}", head.status.as_u16()));
    }
    let mut status = status_of(&head.headers);
    let (mut reader, mut message) = (MessageReader::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| of_hyper(&e))?;
        if let Some(trailers) = frame.trailers_ref() {
            status = status_of(trailers).or(status);
        } else if let Some(data) = frame.data_ref() {
            message = reader.read(&mut &data[..]).map_err(|e| e.to_string())?.or(message);
        }
    }
    match (status, message) {
        (Some((OK, _)), Some(message)) => read_health_response(&message).map_err(|e| e.to_string()),
        (Some((OK, _)), None) => Err("no message in the answer".into()),
        (Some((NOT_FOUND, _)), _) => Ok(Serving::ServiceUnknown),
        (Some((UNIMPLEMENTED, _)), _) => Err("the server has no health protocol".into()),
        (Some((code, told)), _) => Err(format!("gRPC status {code}: {told}").trim_end_matches(": ").to_owned()),
        (None, _) => Err("not gRPC: no status in the answer".into()),
    }
}

fn status_of(headers: &HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message = headers.get("grpc-message").map(|m| String::from_utf8_lossy(m.as_bytes()).into_owned());
    Some((code, message.unwrap_or_default()))
}
