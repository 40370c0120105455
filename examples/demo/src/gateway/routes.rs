//! What the gateway answers, path by path.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{Gateway, features::Origin};
use crate::{
    kserve::{self, InferRequest, InferResponse, Tensor},
    notice,
    web::{self, Reply},
};

/// Of whom nothing is known.
const ANYBODY: &str = "anybody";

/// Longest name of a user.
const USER_MAX_BYTES: usize = 64;

impl Gateway {
    /// Answers one request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::POST, kserve::INFER) => self.infer(request.into_body()).await,
            (&Method::GET, "/rank") => self.rank(request.uri().query()).await,
            (&Method::GET, kserve::LIVE) => web::json(StatusCode::OK, &json!({ "live": true })),
            (&Method::GET, kserve::READY | kserve::MODEL_READY) => self.ready(),
            (&Method::GET, "/breaker") => web::json(StatusCode::OK, &json!({ "state": self.features.breaker() })),
            (&Method::GET, "/status") => self.status(),
            (_, path) => web::not_found(path),
        }
    }

    /// What the gateway claims of itself. It is as true as its checks are deep.
    fn ready(&self) -> Reply {
        let ready = self.rotation.any();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        web::json(status, &json!({ "ready": ready }))
    }

    fn status(&self) -> Reply {
        let status = json!({
            "check": self.check.word(),
            "breaker": self.features.breaker(),
            "replicas": self.rotation.describe(),
        });
        web::json(StatusCode::OK, &status)
    }

    /// KServe v2. A question without inputs is asked on behalf of `parameters.user`, whose features
    /// the gateway fills in.
    async fn infer(&self, body: Incoming) -> Reply {
        let request = match web::read(body).await {
            Ok(body) => serde_json::from_slice::<InferRequest>(&body).map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        let request = match request {
            Ok(request) => request,
            Err(why) => {
                return web::problem(StatusCode::BAD_REQUEST, format_args!("not a KServe v2 inference request: {why}"));
            }
        };
        if !request.inputs.is_empty() {
            return match self.dispatch(&request).await {
                Ok((status, body)) => web::bytes(status, body),
                Err(problem) => problem,
            };
        }
        let user = match request.parameters.get("user").and_then(Value::as_str) {
            Some(user) => user.to_owned(),
            None => ANYBODY.to_owned(),
        };
        match self.score(&user, request).await {
            Ok((answer, _)) => web::json(StatusCode::OK, &json!(answer)),
            Err(problem) => problem,
        }
    }

    /// The same for people: `/rank?user=7`.
    async fn rank(&self, query: Option<&str>) -> Reply {
        let user = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("user=")).unwrap_or(ANYBODY);
        match self.score(user, InferRequest::default()).await {
            Ok((answer, origin)) => web::json(StatusCode::OK, &json!({ "user": user, "score": answer.score(), "features": origin.word() })),
            Err(problem) => problem,
        }
    }

    /// Fetches the user's features and asks a replica for the score.
    async fn score(&self, user: &str, mut request: InferRequest) -> Result<(InferResponse, Origin), Reply> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if user.is_empty() || user.len() > USER_MAX_BYTES || !user.bytes().all(named) {
            return Err(web::problem(StatusCode::BAD_REQUEST, "a user is named by 1 to 64 letters, digits, `-`, `_` or `.`"));
        }
        let (features, origin) = self.features.of(user).await.map_err(|why| web::problem(StatusCode::SERVICE_UNAVAILABLE, why))?;
        if !features.is_empty() {
            request.inputs = vec![Tensor::row("features", features)];
        }
        let (status, body) = self.dispatch(&request).await?;
        if status != StatusCode::OK {
            return Err(web::bytes(status, body));
        }
        let mut answer: InferResponse = serde_json::from_slice(&body)
            .map_err(|_| web::problem(StatusCode::BAD_GATEWAY, "a replica answered something that is no score"))?;
        answer.parameters.insert("features".into(), origin.word().into());
        Ok((answer, origin))
    }

    /// Asks the next replica in rotation, and the one after it where nobody is there. One that is
    /// there and silent costs the user its try timeout or, without one or without another replica to
    /// turn to, everything that is left: who knows what it is doing?
    async fn dispatch(&self, request: &InferRequest) -> Result<(StatusCode, Bytes), Reply> {
        let body = Bytes::from(json!(request).to_string());
        let end = Instant::now() + self.upstream_timeout;
        let mut tried = Vec::new();
        let mut silent = false;
        while let Some(number) = self.rotation.pick(&tried) {
            tried.push(number);
            let upstream = self.rotation.upstream(number);
            let asked = upstream.ask(Method::POST, kserve::INFER, body.clone());
            let left = end.saturating_duration_since(Instant::now());
            let own = self.try_timeout.filter(|_| self.rotation.has_other_than(&tried));
            match timeout(own.map_or(left, |own| own.min(left)), asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(broken)) => {
                    let address = upstream.address();
                    if self.rotation.unreachable(number, broken.to_string()) {
                        notice::say("gateway", format_args!("{address} is out of rotation: {broken}"));
                    }
                }
                Err(_) => silent = true,
            }
            if Instant::now() >= end {
                break;
            }
        }
        if silent {
            return Err(web::problem(StatusCode::GATEWAY_TIMEOUT, "no replica answered in time"));
        }
        let status = if tried.is_empty() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
        Err(web::problem(status, "no replica can be reached"))
    }
}
