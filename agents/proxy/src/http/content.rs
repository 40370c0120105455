//! The content of a message on its way, under the toxics that mean it.

use std::future::Future;
use std::io;
use std::sync::Arc;

use super::act::{Limit, Replace};
use super::events::Events;
use super::exchange::{Courses, Exchange, Guide};
use crate::toxic::{ArmedToxic, Ending};

/// The largest content that is kept as a whole to be replaced; larger ones pass as they are.
pub(super) const WHOLE_MAX: usize = 4 * 1024 * 1024;

/// Where content goes.
pub(super) trait Sink: Send {
    /// Takes content; may keep it for a moment.
    fn content(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Sends what it kept.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits until the receiver has lost interest; for ever where that is seen elsewhere.
    fn given_up(&mut self) -> impl Future<Output = io::Error> + Send {
        std::future::pending()
    }
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// As it comes.
    On,
    /// The message is complete for the receiver; the rest of it goes nowhere.
    Over,
    /// The connection ends.
    Cut(Ending),
}

/// The content of one message on its way.
pub(super) struct Content {
    passed: u64,
    limits: Vec<(Arc<ArmedToxic>, u64, Limit)>,
    events: Option<Events>,
    over: bool,
}

impl Content {
    pub(super) fn new(courses: &Courses, is_event_stream: bool) -> Self {
        let limit = |(toxic, course): &(Arc<ArmedToxic>, super::Course)| course.limit.map(|(after, limit)| (toxic.clone(), after, limit));
        let mut limits: Vec<_> = courses.iter().filter_map(limit).collect();
        limits.sort_by_key(|(_, after, _)| *after);
        Self { passed: 0, limits, events: is_event_stream.then(Events::new), over: false }
    }

    /// Must it be written anew, because it may become shorter, or because its parts are told apart?
    pub(super) fn is_written_anew(&self) -> bool {
        self.events.is_some() || self.limits.iter().any(|(_, _, limit)| *limit == Limit::Shorten)
    }

    /// How long a content of that length becomes.
    pub(super) fn shortened(&self, length: u64) -> u64 {
        let shorter = self.limits.iter().filter(|(_, _, limit)| *limit == Limit::Shorten).map(|(_, after, _)| *after);
        shorter.fold(length, u64::min)
    }

    /// Passes on some more.
    pub(super) async fn pass(
        &mut self,
        exchange: &Exchange,
        guide: &mut Guide,
        mut bytes: &[u8],
        sink: &mut impl Sink,
    ) -> io::Result<Flow> {
        while !self.over && !bytes.is_empty() {
            let room = self.limits.first().map_or(u64::MAX, |(_, after, _)| after.saturating_sub(self.passed));
            let (now, rest) = bytes.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
            bytes = rest;
            self.passed += now.len() as u64;
            let flow = match &mut self.events {
                Some(events) => events.pass(exchange, guide, now, sink).await?,
                None => sink.content(now).await.map(|()| Flow::On)?,
            };
            let flow = if flow == Flow::On && !bytes.is_empty() { self.limit(guide, sink).await? } else { flow };
            self.over = flow == Flow::Over;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(if self.over { Flow::Over } else { Flow::On })
    }

    /// The content is over.
    pub(super) async fn end(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        match &mut self.events {
            Some(events) if !self.over => events.end(sink).await,
            _ => Ok(()),
        }
    }

    /// The nearest limit is reached, and there is more.
    async fn limit(&mut self, guide: &mut Guide, sink: &mut impl Sink) -> io::Result<Flow> {
        let (toxic, _, limit) = self.limits.remove(0);
        // Of a message that was promised to be shorter, no more may come, also when the toxic has gone meanwhile.
        if limit != Limit::Shorten && !guide.is_armed(&toxic) {
            return Ok(Flow::On);
        }
        toxic.met();
        match limit {
            Limit::Shorten => Ok(Flow::Over),
            Limit::Cut(ending) => Ok(Flow::Cut(ending)),
            Limit::Hold => {
                sink.flush().await?;
                unless_given_up(guide.hold(&toxic), sink).await?;
                Ok(Flow::On)
            }
        }
    }
}

/// Waits for a toxic, or until the receiver has lost interest.
pub(super) async fn unless_given_up(waiting: impl Future<Output = ()> + Send, sink: &mut impl Sink) -> io::Result<()> {
    tokio::select! {
        biased;
        () = waiting => Ok(()),
        error = sink.given_up() => Err(error),
    }
}

/// What makes one content of another, in the order of arming.
pub(super) fn replacements(courses: &mut Courses) -> Vec<(Arc<ArmedToxic>, Replace)> {
    courses.iter_mut().filter_map(|(toxic, course)| Some((toxic.clone(), course.replace.take()?))).collect()
}

/// Another content, or nothing where none of them changes it.
pub(super) fn replaced(content: &[u8], replacements: Vec<(Arc<ArmedToxic>, Replace)>) -> Option<Vec<u8>> {
    let mut new: Option<Vec<u8>> = None;
    for (toxic, replace) in replacements {
        if let Some(other) = replace(new.as_deref().unwrap_or(content)) {
            toxic.met();
            new = Some(other);
        }
    }
    new
}
