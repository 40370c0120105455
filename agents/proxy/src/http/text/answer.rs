//! One answer on its way to the client.

use std::io;

use chaos_protocol::http1::{Body, Framing, Head, Piece};

use super::input::Input;
use super::output::Output;
use super::{Became, Over, next_piece};
use crate::http::content::{Content, Flow, Sink, WHOLE_MAX, replaced, replacements};
use crate::http::ends::{Deliver, Receive};
use crate::http::exchange::{Courses, Exchange, Guide};
use crate::http::message::AnswerHead;
use crate::toxic::Ending;

/// The chunk that ends a body, without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One answer on its way: from where, to where, to which request, under which toxics.
pub(super) struct Answer<'a, R, W> {
    pub(super) upstream: &'a mut Input<R>,
    pub(super) client: &'a mut Output<W>,
    pub(super) exchange: &'a Exchange,
    pub(super) guide: &'a mut Guide,
}

impl<R, W> Answer<'_, R, W>
where
    R: Receive,
    W: Deliver,
{
    /// Relays it.
    pub(super) async fn relay(mut self, mut head: Head, framing: Framing) -> Result<Became, Over> {
        let method = self.exchange.request.method();
        let (came_bare, has_events) = (head.is_bare(method), head.has_events());
        let mut courses = self.guide.courses(self.exchange, &mut head);
        self.guide.wait_for_head(&courses).await;
        let replacements = replacements(&mut courses);
        let is_bare = head.is_bare(method);
        if came_bare && !is_bare {
            // Its length was that of something else, or of nothing: with the new status the client would wait for it.
            let new = replaced(&[], replacements).unwrap_or_default();
            return self.instead(head, &new, &courses).await;
        }
        if !replacements.is_empty() && !is_bare {
            let (raw, whole) = self.gather(framing).await?;
            if let Some(new) = whole.and_then(|content| replaced(&content, replacements)) {
                return self.instead(head, &new, &courses).await;
            }
            self.upstream.put_back(raw);
        }
        // A stream of events whose length is known was complete before it was sent: nobody waits for its next token.
        let is_stream = has_events && !is_bare && (!matches!(framing, Framing::Length(_)) || !courses.is_empty());
        let content = Content::new(&courses, is_stream);
        let is_endless = is_stream && matches!(framing, Framing::Length(_)) && self.exchange.request.is_http_1_0();
        let chunks = announce(&mut head, framing, &content, is_stream) && !is_endless;
        if is_endless {
            // It knows no chunks, and the length may change: the end of the connection is the end.
            head.remove("transfer-encoding");
            head.set("connection", "close");
        }
        self.client.push(head.bytes()).await?;
        match self.body(framing, content, chunks).await? {
            Became::Http if is_endless => Err(Over::Ended(Ending::Close)),
            became => Ok(became),
        }
    }

    /// The body as it came, and its whole content: `None` where that is too large, or not complete.
    async fn gather(&mut self, framing: Framing) -> Result<(Vec<u8>, Option<Vec<u8>>), Over> {
        let (mut body, mut raw, mut content) = (Body::new(framing), Vec::new(), Vec::new());
        while !body.is_done() && content.len() <= WHOLE_MAX {
            let Some(piece) = next_piece(self.upstream, &mut body, self.client).await? else { break };
            let Ok(piece) = piece else { break };
            let bytes = &self.upstream.unread()[..piece.length()];
            if let Piece::Data(_) = piece {
                content.extend_from_slice(bytes);
            }
            raw.extend_from_slice(bytes);
            self.upstream.take(piece.length());
        }
        let is_whole = body.may_end() && content.len() <= WHOLE_MAX;
        Ok((raw, is_whole.then_some(content)))
    }

    /// Another content goes instead of what was gathered.
    async fn instead(&mut self, mut head: Head, new: &[u8], courses: &Courses) -> Result<Became, Over> {
        let mut content = Content::new(courses, false);
        head.remove("transfer-encoding");
        head.remove("trailer");
        head.set("content-length", &content.shortened(new.len() as u64).to_string());
        self.client.push(head.bytes()).await?;
        let mut sink = Text { client: self.client, chunks: false };
        match content.pass(self.exchange, self.guide, new, &mut sink).await? {
            Flow::Cut(ending) => Err(Over::Ended(ending)),
            Flow::On | Flow::Over => Ok(Became::Http),
        }
    }

    async fn body(&mut self, framing: Framing, mut content: Content, chunks: bool) -> Result<Became, Over> {
        let mut body = Body::new(framing);
        let mut trailers = false;
        while !body.is_done() {
            let Some(Ok(piece)) = next_piece(self.upstream, &mut body, self.client).await? else {
                // It ends before it is complete, or is not what it said: the client is to see the same.
                content.end(&mut Text { client: self.client, chunks }).await?;
                return Ok(Became::Raw);
            };
            let bytes = &self.upstream.unread()[..piece.length()];
            let mut sink = Text { client: self.client, chunks };
            let flow = match piece {
                Piece::Data(_) => content.pass(self.exchange, self.guide, bytes, &mut sink).await?,
                Piece::Size(_) if chunks => Flow::On,
                Piece::Trailer(_) if chunks && !trailers => {
                    trailers = true;
                    content.end(&mut sink).await?;
                    self.client.push(b"0\r\n").await?;
                    self.client.push(bytes).await.map(|()| Flow::On)?
                }
                _ => self.client.push(bytes).await.map(|()| Flow::On)?,
            };
            self.upstream.take(piece.length());
            match flow {
                Flow::On => {}
                Flow::Cut(ending) => return Err(Over::Ended(ending)),
                Flow::Over => return self.over(framing, body, chunks).await,
            }
        }
        if chunks && !trailers {
            content.end(&mut Text { client: self.client, chunks }).await?;
            self.client.push(LAST_CHUNK).await?;
        }
        Ok(Became::Http)
    }

    /// The client has got all that it will get: the rest goes nowhere.
    async fn over(&mut self, framing: Framing, mut body: Body, chunks: bool) -> Result<Became, Over> {
        if framing == Framing::UntilClose {
            return Err(Over::Ended(Ending::Close));
        }
        if chunks {
            self.client.push(LAST_CHUNK).await?;
        }
        while !body.is_done() {
            match next_piece(self.upstream, &mut body, self.client).await? {
                Some(Ok(piece)) => self.upstream.take(piece.length()),
                Some(Err(_)) | None => return Err(Over::Ended(Ending::Close)),
            }
        }
        Ok(Became::Http)
    }
}

/// Says in the head how the body will be written: in chunks of our own, or as it came.
fn announce(head: &mut Head, framing: Framing, content: &Content, is_stream: bool) -> bool {
    match framing {
        Framing::Chunked => content.is_written_anew(),
        Framing::Length(_) if is_stream => {
            head.remove("content-length");
            head.set("transfer-encoding", "chunked");
            true
        }
        Framing::Length(length) => {
            if content.shortened(length) != length {
                head.set("content-length", &content.shortened(length).to_string());
            }
            false
        }
        Framing::UntilClose => false,
    }
}

/// Content as text writes it.
struct Text<'a, W> {
    client: &'a mut Output<W>,
    chunks: bool,
}

impl<W: Deliver> Sink for Text<'_, W> {
    async fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            // A chunk of size zero would be the last.
            return Ok(());
        }
        if !self.chunks {
            return self.client.push(bytes).await;
        }
        self.client.push(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
        self.client.push(bytes).await?;
        self.client.push(b"\r\n").await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.client.flush().await
    }
}
