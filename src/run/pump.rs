//! The one loop that listens to everything at once: executor, probes, signals, lever, clock. It puts what happens in
//! one order, and ends a phase early when it must.

use std::future::Future;
use std::time::Duration;

use chaos_core::clock::{Boot, Mono};
use chaos_core::event::{AbortedBy, What};
use chaos_core::lever::Lever;
use chaos_core::link::{ExecutorLink, Heard as FromExecutor};
use chaos_core::sample::SampleBatch;
use chaos_core::wire::{Reply, Request};
use tokio::sync::mpsc;

use super::signals::{Heard, Signals};
use super::stage::Stage;
use crate::judge::StopWatch;

/// Why a run ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupt {
    /// By whom.
    pub by: AbortedBy,
    /// In words.
    pub because: String,
}

/// How often lever and clock are looked at. Rules ask for once a second at the least.
const TICK: Duration = Duration::from_millis(500);
/// How often those who listen may redraw.
const REDRAW: Duration = Duration::from_millis(100);

/// The loop's own state.
pub struct Pump<'a> {
    stage: &'a Stage<'a>,
    link: ExecutorLink,
    requests: mpsc::UnboundedReceiver<Request>,
    samples: Option<mpsc::Receiver<SampleBatch>>,
    signals: Signals,
    lever: Lever,
    stops: Vec<StopWatch>,
    interrupted: bool,
    hurry: bool,
    last_tick: (Mono, Boot),
    lease: Duration,
}

impl<'a> Pump<'a> {
    /// Starts to listen.
    pub fn new(stage: &'a Stage<'a>, link: ExecutorLink, requests: mpsc::UnboundedReceiver<Request>, signals: Signals, lever: Lever, lease: Duration) -> Self {
        Self {
            stage,
            link,
            requests,
            samples: None,
            signals,
            lever,
            stops: Vec::new(),
            interrupted: false,
            hurry: false,
            last_tick: (Mono::now(), Boot::now()),
            lease,
        }
    }

    /// From now on samples come from here.
    pub fn listen_to(&mut self, samples: mpsc::Receiver<SampleBatch>) {
        self.samples = Some(samples);
    }

    /// From now on these conditions are watched.
    pub fn watch(&mut self, stops: Vec<StopWatch>) {
        self.stops = stops;
    }

    /// From now on no condition is watched.
    pub fn unwatch(&mut self) {
        self.stops.clear();
    }

    /// Somebody pressed Ctrl-C twice.
    #[must_use]
    pub fn hurry(&self) -> bool {
        self.hurry
    }

    /// Lets `work` run while listening, and ends it early when the run must stop.
    ///
    /// # Errors
    /// With the reason, if the run must stop; `work` is dropped then.
    pub async fn until<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                interrupt = self.one() => if let Some(interrupt) = interrupt && !self.interrupted {
                    self.interrupted = true;
                    return Err(interrupt);
                },
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Lets `work` run to its end while listening; interrupts no longer end anything, but a second Ctrl-C hurries.
    pub async fn to_the_end<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                _ = self.one() => {}
                done = &mut work => return done,
            }
        }
    }

    /// As [`Self::to_the_end`], but a second Ctrl-C ends it.
    pub async fn unless_hurried<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            if self.hurry {
                return None;
            }
            tokio::select! {
                biased;
                _ = self.one() => {}
                done = &mut work => return Some(done),
            }
        }
    }

    /// Listens until the prober, told to stop, has handed over its last sample.
    pub async fn until_dry(&mut self) {
        while self.samples.is_some() {
            self.one().await;
        }
    }

    /// Takes in one thing that happens.
    async fn one(&mut self) -> Option<Interrupt> {
        let tick = self.last_tick.0.plus(REDRAW).from_now();
        tokio::select! {
            biased;
            Some(request) = self.requests.recv() => {
                self.link.send(request).await;
                None
            }
            heard = self.link.next() => self.from_executor(heard),
            heard = self.signals.next() => self.heard(heard),
            batch = next_batch(&mut self.samples) => match batch {
                Some(batch) => self.batch(batch),
                None => {
                    self.samples = None;
                    None
                }
            },
            () = tokio::time::sleep(tick) => self.tick(),
        }
    }

    fn from_executor(&mut self, heard: FromExecutor) -> Option<Interrupt> {
        match heard {
            FromExecutor::Reply(Reply::Event(event)) => {
                self.stage.forward(*event);
                None
            }
            FromExecutor::Reply(reply) => {
                self.stage.watched.reply(reply);
                None
            }
            FromExecutor::Lost { message } => {
                self.stage.say(What::ExecutorLost { message: message.clone() });
                self.stop(AbortedBy::Executor, message)
            }
            FromExecutor::Recovered { residue, message } => {
                self.stage.say(What::Note(message));
                self.stage.watched.reply(Reply::Closed { residue });
                None
            }
        }
    }

    fn heard(&mut self, heard: Heard) -> Option<Interrupt> {
        match heard {
            Heard::Pause => {
                let text = "Ctrl-Z refused: a run is not paused while faults may act; Ctrl-C stops it and takes everything back";
                self.stage.say(What::Note(text.into()));
                None
            }
            Heard::Stop(by, what) => {
                if self.interrupted && by == AbortedBy::Person {
                    self.hurry = true;
                    self.stage.say(What::Note("hurrying: everything is still taken back, but recovery is not watched".into()));
                }
                self.stop(by, what.to_owned())
            }
        }
    }

    fn batch(&mut self, batch: SampleBatch) -> Option<Interrupt> {
        let armed = self.stage.planned().is_some_and(|p| self.stage.watched.look(|s| s.anything_intended(p)));
        let mut met = None;
        for stop in &mut self.stops {
            if let Some(observed) = stop.push(&batch)
                && armed
                && met.is_none()
            {
                met = Some((stop.condition().to_string(), observed));
            }
        }
        self.stage.samples(batch);
        let (condition, observed) = met?;
        if self.interrupted {
            return None;
        }
        self.stage.say(What::StopCondition { condition: condition.clone(), observed: observed.clone() });
        self.stop(AbortedBy::StopCondition, format!("{condition} (observed: {observed})"))
    }

    fn tick(&mut self) -> Option<Interrupt> {
        let (mono, boot) = (Mono::now(), Boot::now());
        let (mono_gap, boot_gap) = (mono.since(self.last_tick.0), boot.since(self.last_tick.1));
        self.last_tick = (mono, boot);
        self.stage.recorder.tick();
        if boot_gap.saturating_sub(mono_gap) > Duration::from_secs(1) {
            return self.stop(AbortedBy::Slept, format!("the machine slept for {} s", boot_gap.saturating_sub(mono_gap).as_secs()));
        }
        if mono_gap > self.lease {
            return self.stop(AbortedBy::Slept, format!("`chaos` stood still for {} s, longer than its lease", mono_gap.as_secs()));
        }
        if self.lever_due(mono)
            && let Some(engaged) = self.lever.engaged()
        {
            return self.stop(AbortedBy::Lever, format!("`chaos halt`: {engaged}"));
        }
        None
    }

    fn lever_due(&self, now: Mono) -> bool {
        now.0 / u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX) != now.minus(REDRAW).0 / u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The first reason counts; what comes after it changes nothing.
    fn stop(&self, by: AbortedBy, because: String) -> Option<Interrupt> {
        (!self.interrupted).then_some(Interrupt { by, because })
    }
}

async fn next_batch(samples: &mut Option<mpsc::Receiver<SampleBatch>>) -> Option<SampleBatch> {
    match samples {
        Some(samples) => samples.recv().await,
        None => std::future::pending().await,
    }
}
