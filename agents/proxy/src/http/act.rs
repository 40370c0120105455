//! What a toxic can do to an exchange.

use std::time::Duration;

use bytes::Bytes;
use chaos_protocol::sse::Event;

use super::message::{AnswerHead, RequestHead, reason};
use super::select::Meant;
use crate::toxic::Ending;

/// A toxic of HTTP: what it means, and what it does at each point of an exchange. Asked anew for every exchange and event, so that
/// it takes effect as soon as it is armed.
pub trait Act: Send + Sync {
    /// The exchanges that it means.
    fn meant(&self) -> &dyn Meant;

    /// A request has come, and nothing of it went on yet.
    fn on_request(&self, _request: &dyn RequestHead) -> OnRequest {
        OnRequest::Pass
    }

    /// The head of an answer has come: how long it waits, how its body passes; it may be changed.
    fn on_answer(&self, _head: &mut dyn AnswerHead, _course: &mut Course) {}

    /// An event of a stream has come, after so many tokens.
    fn on_event(&self, _event: &Event, _place: Place) -> OnEvent {
        OnEvent::Pass
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum OnRequest {
    /// It goes on.
    Pass,
    /// It goes on later.
    Wait(Duration),
    /// It never gets to the upstream: this is the answer.
    Answer(OwnAnswer),
}

/// How the head and the body of a message pass.
#[derive(Default)]
pub struct Course {
    /// How long the head waits.
    pub wait: Duration,
    /// After so many bytes of content, something happens.
    pub limit: Option<(u64, Limit)>,
    /// The whole content becomes another.
    pub replace: Option<Replace>,
    /// The head was changed.
    pub changed: bool,
}

/// Makes one content of another; `None` leaves it.
pub type Replace = Box<dyn FnOnce(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// What happens when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The message ends there and looks complete.
    Shorten,
    /// Nothing more passes while the toxic is armed.
    Hold,
    /// The connection ends. HTTP/2: the stream does, RST_STREAM with CANCEL (close) or INTERNAL_ERROR (reset).
    Cut(Ending),
}

/// Where in a stream an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Tokens that came before it.
    pub tokens: u64,
    /// Is it one?
    pub is_token: bool,
    /// Since the event before it was sent on; `None` for the first.
    pub since_last: Option<Duration>,
}

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnEvent {
    /// It goes on.
    Pass,
    /// It goes on later.
    Wait(Duration),
    /// Neither it nor anything after it goes on while the toxic is armed.
    Hold,
    /// The connection ends before it.
    Cut(Ending),
    /// These bytes go instead of it.
    Instead(Bytes),
    /// These bytes go instead of it and of everything after it, and the stream ends in order.
    Last(Bytes),
}

/// An answer of a toxic's own.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnAnswer {
    /// Its status.
    pub status: u16,
    /// Its fields, without the length.
    pub fields: Vec<(String, String)>,
    /// Its content.
    pub body: Bytes,
}

impl OwnAnswer {
    /// As HTTP/1.1 writes it. To a `HEAD` there is no content, but its length is told.
    #[must_use]
    pub fn text(&self, to_head: bool, last: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in &self.fields {
            text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !matches!(self.status, 204 | 304) {
            text.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        text.extend_from_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
        if !to_head {
            text.extend_from_slice(&self.body);
        }
        text
    }
}
