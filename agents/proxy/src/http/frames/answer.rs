//! One answer on its way to the client.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, response};

use super::Broken;
use super::stream::send_all;
use crate::http::content::{Content, Flow, Sink, WHOLE_MAX, replaced, replacements};
use crate::http::exchange::{Exchange, Guide};
use crate::http::message::{AnswerHead, Fields};
use crate::toxic::Ending;

/// In which time the connection has written what there was room for.
const WRITTEN: Duration = Duration::from_millis(10);

/// One answer on its way: to which request, under which toxics, whither.
pub(super) struct Answer<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) guide: &'a mut Guide,
    pub(super) respond: &'a mut SendResponse<Bytes>,
}

impl Answer<'_> {
    /// Relays it.
    pub(super) async fn relay(self, answer: Response<RecvStream>) -> Result<(), Broken> {
        let (mut head, mut body) = answer.into_parts();
        let method = self.exchange.request.method();
        let (came_bare, has_events) = (head.is_bare(method), head.has_events());
        let mut courses = self.guide.courses(self.exchange, &mut head);
        tokio::select! {
            biased;
            () = self.guide.wait_for_head(&courses) => {}
            reset = poll_fn(|cx| self.respond.poll_reset(cx)) => return Err(Broken(reset.unwrap_or(Reason::CANCEL))),
        }
        let replacements = replacements(&mut courses);
        let is_bare = head.is_bare(method);
        let mut gathered = Gathered::default();
        if came_bare && !is_bare {
            // Its length was that of something else: with the new status it would be one that never comes.
            gathered.content = replaced(&[], replacements).unwrap_or_default();
            head.set("content-length", &gathered.content.len().to_string());
        } else if !replacements.is_empty() && !is_bare {
            gathered = gather(&mut body).await?;
            if let Some(new) = gathered.is_whole.then(|| replaced(&gathered.content, replacements)).flatten() {
                head.set("content-length", &new.len().to_string());
                gathered.content = new;
            }
        }
        let mut content = Content::new(&courses, has_events && !is_bare);
        if !is_bare {
            announce(&mut head, &content, has_events);
        }
        let ended = body.is_end_stream() && gathered.content.is_empty();
        let mut send = self.respond.send_response(Response::from_parts(head, ()), ended)?;
        if ended {
            return Ok(());
        }
        let mut flow = content.pass(self.exchange, self.guide, &gathered.content, &mut Frames(&mut send)).await.map_err(reason)?;
        while flow == Flow::On {
            let Some(bytes) = next(&mut body, &mut send).await? else { break };
            flow = content.pass(self.exchange, self.guide, &bytes, &mut Frames(&mut send)).await.map_err(reason)?;
            let _ = body.flow_control().release_capacity(bytes.len());
        }
        match flow {
            Flow::On => {
                content.end(&mut Frames(&mut send)).await.map_err(reason)?;
                match body.trailers().await? {
                    Some(trailers) => send.send_trailers(trailers)?,
                    None => send.send_data(Bytes::new(), true)?,
                }
            }
            Flow::Over => send.send_data(Bytes::new(), true)?,
            Flow::Cut(ending) => {
                // A reset takes back whatever is queued on its stream: the connection writes that first.
                self.guide.sleep(WRITTEN).await;
                send.send_reset(if ending == Ending::Close { Reason::CANCEL } else { Reason::INTERNAL_ERROR });
            }
        }
        Ok(())
    }
}

/// The next part of a body; `None` at its end, or when the client has lost interest.
async fn next(body: &mut RecvStream, send: &mut SendStream<Bytes>) -> Result<Option<Bytes>, Broken> {
    tokio::select! {
        bytes = body.data() => Ok(bytes.transpose()?),
        reset = poll_fn(|cx| send.poll_reset(cx)) => Err(Broken(reset.unwrap_or(Reason::CANCEL))),
    }
}

/// Content that was kept back to be replaced.
#[derive(Default)]
struct Gathered {
    content: Vec<u8>,
    is_whole: bool,
}

async fn gather(body: &mut RecvStream) -> Result<Gathered, Broken> {
    let mut content = Vec::new();
    while content.len() <= WHOLE_MAX {
        let Some(bytes) = body.data().await.transpose()? else {
            return Ok(Gathered { content, is_whole: true });
        };
        content.extend_from_slice(&bytes);
        body.flow_control().release_capacity(bytes.len())?;
    }
    Ok(Gathered { content, is_whole: false })
}

/// Says in the head how long the content becomes, where it said how long it is.
fn announce(head: &mut response::Parts, content: &Content, has_events: bool) {
    let Some(length) = head.get("content-length").and_then(|l| l.parse().ok()) else { return };
    if has_events {
        head.remove("content-length");
    } else if content.shortened(length) != length {
        head.set("content-length", &content.shortened(length).to_string());
    }
}

/// Content as frames.
struct Frames<'a>(&'a mut SendStream<Bytes>);

impl Sink for Frames<'_> {
    async fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = send_all(self.0, Bytes::copy_from_slice(bytes)).await;
        sent.map_err(|Broken(reason)| io::Error::other(h2::Error::from(reason)))
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn given_up(&mut self) -> io::Error {
        let reset = poll_fn(|cx| self.0.poll_reset(cx)).await;
        io::Error::other(h2::Error::from(reset.unwrap_or(Reason::CANCEL)))
    }
}

fn reason(error: io::Error) -> Broken {
    let inner = error.downcast::<h2::Error>().ok().and_then(|e| e.reason());
    Broken(inner.unwrap_or(Reason::INTERNAL_ERROR))
}
