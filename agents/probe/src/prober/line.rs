//! One question being asked: its client, what is in flight, what has been observed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaos_core::clock::Mono;
use chaos_core::probe::AnyClient;
use chaos_core::sample::Asked;
use chaos_core::target::Target;
use tokio::sync::Notify;

use super::AskedQuestion;
use super::ask::ask;
use super::ledger::{Ledger, is_too_late};
use super::limits::in_flight_max;
use super::open::Opener;

/// One question being asked.
pub(super) struct Line {
    asked: AskedQuestion,
    in_flight_max: usize,
    in_flight: AtomicUsize,
    client: Mutex<Arc<dyn AnyClient>>,
    ledger: Mutex<Ledger>,
    opener: Arc<Opener>,
    /// Rung when there is something to hand over.
    pressed: Arc<Notify>,
}

impl Line {
    pub(super) fn new(asked: AskedQuestion, client: Arc<dyn AnyClient>, opener: &Arc<Opener>, pressed: &Arc<Notify>) -> Self {
        Self {
            in_flight_max: in_flight_max(asked.question.timeout.get(), asked.question.every.get()),
            in_flight: AtomicUsize::new(0),
            client: Mutex::new(client),
            ledger: Mutex::new(Ledger::new(asked.hypothesis, asked.asked, &asked.measured)),
            opener: Arc::clone(opener),
            pressed: Arc::clone(pressed),
            asked,
        }
    }

    pub(super) fn every(&self) -> std::time::Duration {
        self.asked.question.every.get()
    }

    pub(super) fn is(&self, hypothesis: usize, asked: Asked) -> bool {
        self.asked.hypothesis == hypothesis && self.asked.asked == asked
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Asks in a task of its own, or sheds: what is in flight is bounded, and after the prober itself stood still (its host
    /// suspended, say) the system is not flooded with questions whose answers would be void.
    pub(super) fn send(self: &Arc<Self>, due: Mono, now: Mono) {
        if self.in_flight() >= self.in_flight_max || is_too_late(due, now, self.asked.question.timeout.get()) {
            self.ledger().shed(due, now);
            return;
        }
        let flight = Flight::begin(Arc::clone(self));
        tokio::spawn(async move { flight.0.ask(due).await });
    }

    async fn ask(&self, due: Mono) {
        let client = Arc::clone(&self.client());
        let question = &self.asked.question;
        let seen = ask(&*client, &question.good, due, question.timeout.get()).await;
        let mut ledger = self.ledger();
        let first = ledger.len() == 0;
        ledger.record(seen, |reason| self.opener.redact(reason));
        drop(ledger);
        if first {
            self.pressed.notify_one();
        }
    }

    /// Looks at other targets. The old client stays where the new one cannot be opened.
    pub(super) async fn retarget(self: Arc<Self>, targets: Vec<Target>) {
        let AskedQuestion { question, measured, .. } = &self.asked;
        match self.opener.open(question, measured, targets).await {
            Ok(client) => *self.client() = client,
            Err(e) => tracing::warn!(probe = question.probe, error = %e, "new targets could not be opened"),
        }
    }

    fn client(&self) -> MutexGuard<'_, Arc<dyn AnyClient>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one question as in flight for as long as it lives.
struct Flight(Arc<Line>);

impl Flight {
    fn begin(line: Arc<Line>) -> Self {
        line.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(line)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
