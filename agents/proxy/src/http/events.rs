//! A stream of events on its way to the client: whole events, one by one, each under what is armed when it comes.

use std::io;
use std::sync::Arc;

use chaos_core::clock::Mono;
use chaos_protocol::sse::{Chunk, Event, EventReader};

use super::act::{OnEvent, Place};
use super::content::{Flow, Sink, unless_given_up};
use super::exchange::{Exchange, Guide};
use crate::toxic::ArmedToxic;

/// Where a stream of events stands.
pub(super) struct Events {
    reader: EventReader,
    /// The event that is not complete yet.
    kept: Vec<u8>,
    tokens: u64,
    last: Option<Mono>,
    /// Something in it is no event: the rest passes as it is.
    lost: bool,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { reader: EventReader::new(), kept: Vec::new(), tokens: 0, last: None, lost: false }
    }

    /// Passes on what is complete.
    pub(super) async fn pass(&mut self, exchange: &Exchange, guide: &mut Guide, bytes: &[u8], sink: &mut impl Sink) -> io::Result<Flow> {
        let mut rest = bytes;
        while !self.lost && !rest.is_empty() {
            let before = rest;
            let event = self.reader.read(&mut rest);
            self.kept.extend_from_slice(&before[..before.len() - rest.len()]);
            match event {
                Ok(Some(event)) => {
                    let text = std::mem::take(&mut self.kept);
                    let flow = self.event(exchange, guide, (&event, &text), sink).await?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                // Comments keep a connection alive: they are not kept back.
                Ok(None) if self.reader.is_between() => sink.content(&std::mem::take(&mut self.kept)).await?,
                Ok(None) => {}
                Err(_) => self.lost = true,
            }
        }
        if self.lost {
            self.end(sink).await?;
            sink.content(rest).await?;
        }
        Ok(Flow::On)
    }

    /// The stream is over: what is left was no whole event.
    pub(super) async fn end(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        sink.content(&std::mem::take(&mut self.kept)).await
    }

    async fn event(
        &mut self,
        exchange: &Exchange,
        guide: &mut Guide,
        (event, text): (&Event, &[u8]),
        sink: &mut impl Sink,
    ) -> io::Result<Flow> {
        let is_token = is_token(event);
        let mut instead = None;
        for toxic in guide.meant(exchange) {
            match self.verdict(&toxic, event, is_token) {
                OnEvent::Pass => continue,
                OnEvent::Wait(time) => {
                    toxic.met();
                    sink.flush().await?;
                    unless_given_up(guide.wait(&toxic, time), sink).await?;
                    continue;
                }
                OnEvent::Hold => {
                    toxic.met();
                    sink.flush().await?;
                    unless_given_up(guide.hold(&toxic), sink).await?;
                    continue;
                }
                OnEvent::Cut(ending) => {
                    toxic.met();
                    return Ok(Flow::Cut(ending));
                }
                OnEvent::Last(bytes) => {
                    toxic.met();
                    sink.content(&bytes).await?;
                    return Ok(Flow::Over);
                }
                OnEvent::Instead(bytes) => instead = Some(bytes),
            }
            toxic.met();
        }
        sink.content(instead.as_deref().unwrap_or(text)).await?;
        self.tokens += u64::from(is_token);
        self.last = Some(Mono::now());
        Ok(Flow::On)
    }

    fn verdict(&self, toxic: &Arc<ArmedToxic>, event: &Event, is_token: bool) -> OnEvent {
        let since_last = self.last.map(|last| Mono::now().since(last));
        let place = Place { tokens: self.tokens, is_token, since_last };
        toxic.act.http().map_or(OnEvent::Pass, |act| act.on_event(event, place))
    }
}

/// What a reader of the stream would call a token: a piece of text. The first chunk of a chat (its role), the last (why it ended)
/// and `[DONE]` are none.
fn is_token(event: &Event) -> bool {
    match Chunk::parse(&event.data) {
        Chunk::Piece { text, .. } => text.is_some(),
        Chunk::Other | Chunk::Malformed => true,
        Chunk::Done | Chunk::Error(_) => false,
    }
}
