//! What everything in a run shares: the experiment, the record, what is known so far, and the way to the executor.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

use chaos_core::clock::Mono;
use chaos_core::event::{Event, What};
use chaos_core::experiment::{Experiment, WaitFor};
use chaos_core::plan::Plan;
use chaos_core::sample::{Asked, SampleBatch, Series};
use chaos_core::secret::Secrets;
use chaos_core::wire::Request;
use tokio::sync::{mpsc, oneshot};

use super::recorder::Recorder;
use super::state::Watched;
use crate::judge::{Folding, RecoveryWatch, WaitWatch, gate};
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
    /// Who listens on a port of this host, in words.
    pub port_owner: &'a dyn Fn(u16) -> Option<String>,
    /// Everything shown and judged comes from here.
    pub recorder: Recorder,
    /// What the executor says.
    pub watched: Watched,
    /// The record so far, folded for judging.
    pub folding: RefCell<Folding>,
    /// Latent faults that have been activated.
    pub activated: RefCell<BTreeSet<String>>,
    plan: OnceCell<Approved<Plan>>,
    outbox: mpsc::UnboundedSender<Request>,
    /// What users saw during the baseline; nothing once it is judged.
    baseline: RefCell<Option<Vec<Series>>>,
    waiting: RefCell<Vec<Waiting>>,
    recovering: RefCell<Vec<RecoveryWatch>>,
}

struct Waiting {
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
        port_owner: &'a dyn Fn(u16) -> Option<String>,
        recorder: Recorder,
    ) -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (outbox, requests) = mpsc::unbounded_channel();
        let stage = Self {
            experiment,
            secrets,
            run,
            run_folder,
            known,
            port_owner,
            recorder,
            watched: Watched::default(),
            folding: RefCell::default(),
            activated: RefCell::default(),
            plan: OnceCell::new(),
            outbox,
            baseline: RefCell::default(),
            waiting: RefCell::default(),
            recovering: RefCell::default(),
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
        self.take_in(event);
    }

    /// Records something that the executor said.
    pub fn forward(&self, event: Event) {
        self.recorder.forward(&event);
        self.take_in(event);
    }

    fn take_in(&self, event: Event) {
        self.watched.apply(&event);
        // Only a newer version is refused, and this event is of our own.
        let _ = self.folding.borrow_mut().push(event);
    }

    /// Records samples, and wakes who waits for them.
    pub fn samples(&self, batch: SampleBatch) {
        if batch.asked == Asked::Users {
            self.show(&batch);
        }
        self.say(What::Samples(batch));
    }

    fn show(&self, batch: &SampleBatch) {
        if let Some(baseline) = self.baseline.borrow_mut().as_mut()
            && let Some(series) = baseline.get_mut(batch.hypothesis)
        {
            series.push(batch);
        }
        for watch in self.recovering.borrow_mut().iter_mut() {
            watch.push(batch);
        }
        let mut waiting = self.waiting.borrow_mut();
        for one in waiting.iter_mut() {
            if one.watch.push(batch)
                && let Some(done) = one.done.take()
            {
                let _ = done.send(());
            }
        }
        waiting.retain(|w| w.done.as_ref().is_some_and(|d| !d.is_closed()));
    }

    /// Begins to keep what users see, for the gate.
    pub fn begin_baseline(&self) {
        *self.baseline.borrow_mut() = Some(vec![Series::default(); self.experiment.hypotheses.len()]);
    }

    /// What is evidently missed of every baseline, over the samples due in `[from, to)`.
    #[must_use]
    pub fn missed_baseline(&self, from: Mono, to: Mono) -> Vec<String> {
        let baseline = self.baseline.borrow();
        let each = self.experiment.hypotheses.iter().zip(baseline.iter().flatten());
        each.flat_map(|(hypothesis, series)| gate(hypothesis, series, from, to).missed).collect()
    }

    /// The gate is judged: what was kept for it is let go.
    pub fn end_baseline(&self) {
        *self.baseline.borrow_mut() = None;
    }

    /// Begins to watch for recovery of every hypothesis that can tell it.
    pub fn begin_recovery(&self) {
        let now = Mono::now();
        let told = self.experiment.hypotheses.iter().enumerate().filter(|(_, h)| !h.is_observation());
        *self.recovering.borrow_mut() = told.map(|(index, _)| RecoveryWatch::new(self.experiment, index, now)).collect();
    }

    /// Is everything well again?
    #[must_use]
    pub fn recovered(&self) -> bool {
        let now = Mono::now();
        self.recovering.borrow().iter().all(|w| w.recovered(now))
    }

    /// Waits until a hypothesis was good, on samples due from now on, for as long as the step says.
    pub async fn until_good(&self, wait: &WaitFor) {
        let Some(watch) = WaitWatch::new(self.experiment, wait, Mono::now()) else {
            return std::future::pending().await;
        };
        let (done, met) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting { watch, done: Some(done) });
        if met.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
