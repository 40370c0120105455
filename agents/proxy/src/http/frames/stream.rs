//! One request and its answer, on a stream of each connection.

use std::convert::Infallible;
use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, Uri, request};

use super::Broken;
use super::answer::Answer;
use crate::http::act::OwnAnswer;
use crate::http::exchange::{Exchange, Guide};

/// One request and its answer. Letting go of both ends of a stream resets it: so each side learns that the other lost interest.
pub(super) struct Stream {
    pub(super) exchange: Exchange,
    pub(super) guide: Guide,
    pub(super) respond: SendResponse<Bytes>,
}

impl Stream {
    /// Relays it.
    pub(super) async fn relay(mut self, parts: request::Parts, body: RecvStream, upstream: SendRequest<Bytes>) {
        let Self { exchange, guide, respond } = &mut self;
        let asked = tokio::select! {
            biased;
            asked = guide.ask(exchange) => asked,
            // The client does not wait for it any more.
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        };
        let done = match asked {
            Some(answer) => self.own(answer, parts.method == http::Method::HEAD).await,
            None => self.forward(parts, body, upstream).await,
        };
        if let Err(Broken(reason)) = done {
            self.respond.send_reset(reason);
        }
    }

    /// A toxic answers.
    async fn own(&mut self, answer: OwnAnswer, to_head: bool) -> Result<(), Broken> {
        let mut response = Response::builder().status(answer.status).header("content-length", answer.body.len());
        for (name, value) in &answer.fields {
            response = response.header(name, value);
        }
        let response = response.body(()).map_err(|_| Broken(Reason::INTERNAL_ERROR))?;
        let empty = to_head || answer.body.is_empty();
        let mut send = self.respond.send_response(response, empty)?;
        if !empty {
            send_all(&mut send, answer.body).await?;
            send.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    async fn forward(&mut self, mut parts: request::Parts, body: RecvStream, upstream: SendRequest<Bytes>) -> Result<(), Broken> {
        let ended = body.is_end_stream();
        parts.uri = absolute(&parts).ok_or(Broken(Reason::PROTOCOL_ERROR))?;
        let (answer, send) = upstream.ready().await?.send_request(Request::from_parts(parts, ()), ended)?;
        // The answer may come, and be complete, before the request is.
        let sending = async {
            if !ended {
                pass_request(body, send).await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            done = self.answer(answer) => done,
            never = sending => match never {},
        }
    }

    async fn answer(&mut self, answer: ResponseFuture) -> Result<(), Broken> {
        let respond = &mut self.respond;
        let answer = tokio::select! {
            answer = answer => answer?,
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return Ok(()),
        };
        Answer { exchange: &self.exchange, guide: &mut self.guide, respond: &mut self.respond }.relay(answer).await
    }
}

/// Where a request goes. A client may name the authority in `host` alone (RFC 9113 8.3.1).
fn absolute(parts: &request::Parts) -> Option<Uri> {
    if parts.uri.authority().is_some() {
        return Some(parts.uri.clone());
    }
    let mut uri = parts.uri.clone().into_parts();
    uri.authority = parts.headers.get(http::header::HOST)?.to_str().ok()?.parse().ok();
    uri.scheme.get_or_insert(http::uri::Scheme::HTTP);
    Uri::from_parts(uri).ok()
}

/// Passes the body of a request on.
async fn pass_request(mut body: RecvStream, mut send: SendStream<Bytes>) {
    let done = async {
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            let length = bytes.len();
            send_all(&mut send, bytes).await?;
            body.flow_control().release_capacity(length)?;
        }
        match body.trailers().await? {
            Some(trailers) => send.send_trailers(trailers)?,
            None => send.send_data(Bytes::new(), true)?,
        }
        Ok(())
    };
    let done: Result<(), Broken> = done.await;
    if let Err(Broken(reason)) = done {
        send.send_reset(reason);
    }
}

/// Sends bytes as the receiver makes room for them.
pub(super) async fn send_all(send: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), Broken> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        while send.capacity() == 0 {
            poll_fn(|cx| send.poll_capacity(cx)).await.ok_or(Broken(Reason::CANCEL))??;
        }
        let now = bytes.split_to(send.capacity().min(bytes.len()));
        send.send_data(now, false)?;
    }
    Ok(())
}
