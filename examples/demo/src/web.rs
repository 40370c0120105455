//! The little HTTP that the parts share: accept, answer in JSON or bit by bit, read bodies of bounded size.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::listen;

/// Largest request or answer body that is read.
const BODY_MAX_BYTES: usize = 1 << 20;

/// What every handler answers with: something whole, or a flow.
pub(crate) type Reply = Response<Either<Full<Bytes>, Flow>>;

/// Serves each connection in a task of its own, for ever.
pub(crate) async fn serve<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    loop {
        let stream = listen::accept(&listener).await;
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let reply = handle(request);
                async { Ok::<_, Infallible>(reply.await) }
            });
            // A connection that breaks is the client's business; the next request brings another.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: &Value) -> Reply {
    bytes(status, Bytes::from(body.to_string()))
}

/// An answer whose body is JSON already.
pub(crate) fn bytes(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    reply
}

/// An error as KServe v2 words it: `{"error": "…"}`.
pub(crate) fn problem(status: StatusCode, error: impl std::fmt::Display) -> Reply {
    json(status, &json!({ "error": error.to_string() }))
}

/// An event stream, fed bit by bit through the returned end. It ends when that is dropped; an error
/// breaks the connection off.
pub(crate) fn event_stream() -> (mpsc::Sender<Result<Bytes, Cut>>, Reply) {
    // One bit at a time: a reader who is slow slows the feeder.
    let (feed, bits) = mpsc::channel(1);
    let mut reply = Response::new(Either::Right(Flow { bits }));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    (feed, reply)
}

/// A body whose bits come one by one.
pub(crate) struct Flow {
    bits: mpsc::Receiver<Result<Bytes, Cut>>,
}

/// The rest of a flow will never come.
#[derive(Debug, thiserror::Error)]
#[error("cut off")]
pub(crate) struct Cut;

impl Body for Flow {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.bits.poll_recv(context).map(|bit| bit.map(|bit| bit.map(Frame::data)))
    }
}

/// The answer to a path that nobody serves.
pub(crate) fn not_found(path: &str) -> Reply {
    problem(StatusCode::NOT_FOUND, format_args!("nothing is served at {path}"))
}

/// Reads a whole body, refusing one that is too large or breaks off.
pub(crate) async fn read<B>(body: B) -> Result<Bytes, String>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("could not read the body (at most {BODY_MAX_BYTES} bytes): {error}")),
    }
}
