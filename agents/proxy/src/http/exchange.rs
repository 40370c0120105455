//! One request and its answer, and which toxics mean it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chaos_core::clock::Mono;

use super::act::{Act, Course, OnRequest, OwnAnswer};
use super::message::{AnswerHead, RequestHead};
use crate::engine::{Chance, Clock, Live};
use crate::toxic::ArmedToxic;

/// One request and its answer.
pub(super) struct Exchange {
    /// Its number on this connection.
    number: u64,
    /// The request's head, as it came.
    pub(super) request: Box<dyn RequestHead>,
}

/// Toxics in force, each with how it has a message pass.
pub(super) type Courses = Vec<(Arc<ArmedToxic>, Course)>;

/// What one part of a connection knows of the toxics in force, and of time.
pub(super) struct Guide {
    live: Live,
    clock: Clock,
}

impl Exchange {
    pub(super) fn new(number: u64, request: Box<dyn RequestHead>) -> Self {
        Self { number, request }
    }
}

impl Guide {
    pub(super) fn new(live: Live, clock: Clock) -> Self {
        Self { live, clock }
    }

    /// For another part of the same connection.
    pub(super) fn another(&self) -> Self {
        Self::new(self.live.another(), self.clock.clone())
    }

    /// The toxics that are armed now and mean this exchange.
    pub(super) fn meant(&mut self, exchange: &Exchange) -> Vec<Arc<ArmedToxic>> {
        let connection = self.live.connection();
        let means = |toxic: &&Arc<ArmedToxic>| {
            let act = toxic.act.http().filter(|act| act.meant().fits(exchange.request.as_ref()));
            act.is_some_and(|act| drawn(toxic, act, connection, exchange.number))
        };
        self.live.current().iter().filter(means).cloned().collect()
    }

    /// Before anything of a request goes on: waits, and the answer of a toxic's own if there is one.
    pub(super) async fn ask(&mut self, exchange: &Exchange) -> Option<OwnAnswer> {
        for toxic in self.meant(exchange) {
            match toxic.act.http().map_or(OnRequest::Pass, |act| act.on_request(exchange.request.as_ref())) {
                OnRequest::Pass => {}
                OnRequest::Wait(time) => {
                    toxic.met();
                    self.wait(&toxic, time).await;
                }
                OnRequest::Answer(answer) => {
                    toxic.met();
                    return Some(answer);
                }
            }
        }
        None
    }

    /// How an answer passes; its head may be changed.
    pub(super) fn courses(&mut self, exchange: &Exchange, head: &mut dyn AnswerHead) -> Courses {
        let mut courses = Courses::new();
        for toxic in self.meant(exchange) {
            let mut course = Course::default();
            if let Some(act) = toxic.act.http() {
                act.on_answer(head, &mut course);
            }
            if course.changed {
                toxic.met();
            }
            courses.push((toxic, course));
        }
        courses
    }

    /// Waits as long as every toxic wants the head to wait.
    pub(super) async fn wait_for_head(&mut self, courses: &Courses) {
        for (toxic, course) in courses.iter().filter(|(_, course)| !course.wait.is_zero()) {
            toxic.met();
            self.wait(toxic, course.wait).await;
        }
    }

    /// Waits so long, or until the toxic is disarmed.
    pub(super) async fn wait(&mut self, toxic: &ArmedToxic, time: Duration) {
        let due = Mono::now().plus(time);
        let mut alarm = self.clock.alarm();
        poll_fn(|cx| {
            while self.is_armed(toxic) {
                if self.live.poll_changed(cx).is_pending() {
                    return alarm.poll(cx, due);
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Waits so long.
    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// Waits until the toxic is disarmed.
    pub(super) async fn hold(&mut self, toxic: &ArmedToxic) {
        while self.is_armed(toxic) {
            self.live.changed().await;
        }
    }

    pub(super) fn is_armed(&mut self, toxic: &ArmedToxic) -> bool {
        self.live.current().iter().any(|armed| armed.serial == toxic.serial)
    }
}

/// Is this exchange one of the share that is meant? The same for its whole life, however often it is asked.
fn drawn(toxic: &ArmedToxic, act: &dyn Act, connection: u64, number: u64) -> bool {
    let Some(share) = act.meant().share() else { return true };
    let drawn = Chance::new(!toxic.seed, connection.rotate_left(32) ^ number).number() % 1_000_000_000;
    drawn < u64::from(share.parts_per_billion())
}
