//! What everything in a run shares: the experiment, the record, what is known so far, and the way to the executor.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::{Event, What};
use chaos_core::experiment::Experiment;
use chaos_core::plan::Plan;
use chaos_core::sample::{Asked, SampleBatch};
use chaos_core::secret::Secrets;
use chaos_core::wire::Request;
use tokio::sync::{mpsc, oneshot};

use super::recorder::Recorder;
use super::state::Watched;
use crate::judge::{Record, WaitWatch};
use crate::plan::{Approved, Known};

/// One run, seen from inside. Everything in it lives on one thread.
pub struct Stage<'a> {
    /// What is run.
    pub experiment: &'a Experiment,
    /// What may never be written down.
    pub secrets: &'a Secrets,
    /// The run's id.
    pub run: &'a str,
    /// Where its files lie.
    pub run_folder: &'a Path,
    /// The words, and the world behind them.
    pub known: &'a Known<'a>,
    /// Everything shown and judged comes from here.
    pub recorder: Recorder,
    /// What the executor says.
    pub watched: Watched,
    /// The record so far, folded for judging.
    pub record: RefCell<Record>,
    /// Latent faults that have been activated.
    pub activated: RefCell<BTreeSet<String>>,
    plan: OnceCell<Approved<Plan>>,
    outbox: mpsc::UnboundedSender<Request>,
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    hypothesis: usize,
    watch: WaitWatch,
    done: Option<oneshot::Sender<()>>,
}

impl<'a> Stage<'a> {
    /// A stage, and what is sent to the executor from it.
    pub fn new(
        experiment: &'a Experiment,
        secrets: &'a Secrets,
        run: &'a str,
        run_folder: &'a Path,
        known: &'a Known<'a>,
        recorder: Recorder,
    ) -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (outbox, requests) = mpsc::unbounded_channel();
        let stage = Self {
            experiment,
            secrets,
            run,
            run_folder,
            known,
            recorder,
            watched: Watched::default(),
            record: RefCell::default(),
            activated: RefCell::default(),
            plan: OnceCell::new(),
            outbox,
            waiting: RefCell::default(),
        };
        (stage, requests)
    }

    /// Sets the plan, once.
    pub fn approve(&self, plan: Approved<Plan>) {
        let _ = self.plan.set(plan);
    }

    /// The approved plan; steps run only after it is set.
    ///
    /// # Panics
    /// If there is none: a defect of the order of phases.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.plan.get().expect("steps run only after the plan is approved").get()
    }

    /// The plan, if there is one yet.
    #[must_use]
    pub fn planned(&self) -> Option<&Plan> {
        self.plan.get().map(Approved::get)
    }

    /// [`Plan::hash`].
    #[must_use]
    pub fn plan_hash(&self) -> String {
        self.plan().hash()
    }

    /// Is any of these faults latent?
    #[must_use]
    pub fn is_latent(&self, slots: &[String]) -> bool {
        slots.iter().filter_map(|s| self.plan().injection(s)).any(|i| i.latent)
    }

    /// Asks something of the executor.
    pub fn send(&self, request: Request) {
        let _ = self.outbox.send(request);
    }

    /// Records something that the coordinator says.
    pub fn say(&self, what: What) {
        let event = self.recorder.say(what);
        self.take_in(&event);
    }

    /// Records something that the executor said.
    pub fn forward(&self, event: &Event) {
        self.recorder.forward(event);
        self.take_in(event);
    }

    fn take_in(&self, event: &Event) {
        self.record.borrow_mut().push(event);
        self.watched.apply(event);
    }

    /// Records samples, and wakes who waits for them.
    pub fn samples(&self, batch: SampleBatch) {
        if batch.asked == Asked::Users {
            for waiting in self.waiting.borrow_mut().iter_mut().filter(|w| w.hypothesis == batch.hypothesis) {
                if waiting.watch.push(&batch)
                    && let Some(done) = waiting.done.take()
                {
                    let _ = done.send(());
                }
            }
            self.waiting.borrow_mut().retain(|w| w.done.is_some());
        }
        self.say(What::Samples(batch));
    }

    /// Waits until a hypothesis was good, on samples due from now on, for as long as `hold`.
    pub async fn until_good(&self, hypothesis: &str, hold: Duration) {
        let Some(index) = self.experiment.hypotheses.iter().position(|h| h.name == hypothesis) else {
            return std::future::pending().await;
        };
        let (done, met) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting { hypothesis: index, watch: WaitWatch::new(Mono::now(), hold), done: Some(done) });
        if met.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
