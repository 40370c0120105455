//! One question: asked, timed, judged by its `good:`.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::expression::{Expression, Fields};
use chaos_core::probe::{Answer, AnyClient};
use chaos_core::value::FieldValue;

/// How a question ended.
pub(super) enum Ended {
    /// Answered; good, or bad for this reason.
    Answered(Answer, Result<(), String>),
    /// Asked, and no answer: why.
    NoAnswer(String),
    /// Nothing within the timeout.
    TimedOut,
}

/// A question that has ended, with its times.
pub(super) struct Observation {
    pub(super) due: Mono,
    pub(super) sent: Mono,
    pub(super) done: Mono,
    pub(super) ended: Ended,
}

/// Asks once. Latency runs from the due time; the system gets its whole timeout from the moment of sending, because the
/// prober's lag is not its fault. An answer that is there when the timeout is noticed counts as one.
pub(super) async fn ask(client: &dyn AnyClient, good: &Expression, due: Mono, timeout: Duration) -> Observation {
    let sent = Mono::now();
    let answer = tokio::time::timeout(timeout, without_panic(client)).await;
    let done = Mono::now();
    let ended = match answer {
        Err(_) => Ended::TimedOut,
        Ok(Err(reason)) => Ended::NoAnswer(reason),
        Ok(Ok(answer)) => {
            let judged = good.is_good(&Seen { answer: &answer, latency: FieldValue::Duration(done.since(due)) });
            Ended::Answered(answer, judged)
        }
    };
    Observation { due, sent, done, ended }
}

/// A panic inside a probe is a failure of that question alone.
async fn without_panic(client: &dyn AnyClient) -> Result<Answer, String> {
    let mut asking = pin!(async { client.ask().await });
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(cx)));
        match polled {
            Ok(poll) => poll.map_err(|no_answer| no_answer.0),
            Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
        }
    })
    .await
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the probe panicked: {}", text.unwrap_or("no message"))
}

/// An answer as `good:` sees it: with its latency.
struct Seen<'a> {
    answer: &'a Answer,
    latency: FieldValue,
}

impl Fields for Seen<'_> {
    fn field(&self, name: &str) -> Option<&FieldValue> {
        if name == "latency" {
            return Some(&self.latency);
        }
        self.answer.get(name)
    }
}
