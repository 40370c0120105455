//! The one loop that listens to everything at once: executor, probes, signals, lever, clock. It puts what happens in
//! one order, and ends a phase early when it must.

use std::future::Future;
use std::time::Duration;

use chaos_core::FaultError;
use chaos_core::clock::{Boot, Mono};
use chaos_core::event::{AbortedBy, InjectionState, What};
use chaos_core::lever::Lever;
use chaos_core::link::{ExecutorLink, Heard as FromExecutor, LEASE};
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

/// How often the lever is looked at. Once a second is the least.
const LEVER: Duration = Duration::from_millis(500);
/// Boot time that monotonic time has not seen: the machine was suspended, and samples across it mean nothing.
const SLEPT: Duration = Duration::from_secs(1);
/// How often those who listen may redraw, and the clock is looked at.
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
    look_at_lever: Mono,
    /// The executor has said its last word.
    silent: bool,
    /// It was asked to.
    closing: bool,
}

impl<'a> Pump<'a> {
    /// Starts to listen.
    pub fn new(
        stage: &'a Stage<'a>,
        link: ExecutorLink,
        requests: mpsc::UnboundedReceiver<Request>,
        signals: Signals,
        lever: Lever,
    ) -> Self {
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
            look_at_lever: Mono::now(),
            silent: false,
            closing: false,
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

    /// Lets `work` run to its end while listening; what would interrupt is recorded, and a person's Ctrl-C hurries.
    pub async fn regardless<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                interrupt = self.one() => self.late(interrupt),
                done = &mut work => return done,
            }
        }
    }

    /// As [`Self::regardless`], but ends as soon as somebody hurries.
    pub async fn unless_hurried<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            if self.hurry {
                return None;
            }
            tokio::select! {
                biased;
                interrupt = self.one() => self.late(interrupt),
                done = &mut work => return Some(done),
            }
        }
    }

    /// An interrupt after the method: everything is being taken back already.
    fn late(&mut self, interrupt: Option<Interrupt>) {
        let Some(interrupt) = interrupt else { return };
        self.interrupted = true;
        self.hurry |= matches!(interrupt.by, AbortedBy::Person | AbortedBy::Signal);
        self.stage.say(What::Aborted { by: interrupt.by, because: interrupt.because });
    }

    /// Listens until the prober, told to stop, has its last answer. After a stop nobody waits for that.
    pub async fn while_in_flight(&mut self) {
        while self.samples.is_some() && !self.interrupted {
            let interrupt = self.one().await;
            self.late(interrupt);
        }
    }

    /// Listens until everything that the prober left is taken in.
    pub async fn until_dry(&mut self) {
        while self.samples.is_some() {
            let interrupt = self.one().await;
            self.late(interrupt);
        }
    }

    /// Takes in one thing that happens.
    async fn one(&mut self) -> Option<Interrupt> {
        let tick = self.last_tick.0.plus(REDRAW).from_now();
        tokio::select! {
            biased;
            Some(request) = self.requests.recv() => {
                self.closing |= matches!(request, Request::Close);
                self.link.send(request).await;
                None
            }
            heard = self.link.next(), if !self.silent => self.said(heard),
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

    fn said(&mut self, heard: FromExecutor) -> Option<Interrupt> {
        match heard {
            FromExecutor::Reply(Reply::Event(event)) => {
                self.stage.forward(*event);
                None
            }
            FromExecutor::Reply(reply) => {
                let ended = matches!(reply, Reply::Closed { .. });
                self.silent |= ended;
                self.stage.watched.reply(reply);
                if !ended || self.closing {
                    return None;
                }
                self.stop(AbortedBy::Executor, "the executor ended by itself, and took everything back".into())
            }
            FromExecutor::Lost { message } => {
                self.stage.say(What::ExecutorLost { message: message.clone() });
                self.stop(AbortedBy::Executor, message)
            }
            FromExecutor::Recovered { residue, reverted, message } => {
                self.recovered(&residue, &reverted, message);
                None
            }
        }
    }

    /// The executor is gone, and another one has taken back what it could: what was open is taken back if it says so, else left.
    fn recovered(&mut self, residue: &[String], reverted: &[String], message: String) {
        let open = self.stage.planned().map(|p| self.stage.watched.look(|s| s.in_force(p))).unwrap_or_default();
        for slot in open {
            let state = if reverted.contains(&slot) {
                InjectionState::Reverted { notes: vec!["taken back by a recovering executor".into()], met: None }
            } else if residue.is_empty() {
                // Nothing is left, and its undo was never on disk.
                InjectionState::Refused(FaultError::new("not injected: the executor was lost before"))
            } else {
                // Nothing is known of it, and that is no proof.
                InjectionState::Residue(FaultError::new(message.clone()))
            };
            self.stage.say(What::Injection { slot, state });
        }
        self.stage.say(What::Note(message));
    }

    fn heard(&mut self, heard: Heard) -> Option<Interrupt> {
        match heard {
            Heard::Pause => {
                let text = "Ctrl-Z refused: a run is not paused while faults may act; Ctrl-C stops it and takes everything back";
                self.stage.say(What::Note(text.into()));
                None
            }
            Heard::Stop(by, what) => {
                if self.interrupted {
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
        let (now, boot) = (Mono::now(), Boot::now());
        let stood_still = stood_still(self.last_tick, (now, boot));
        self.last_tick = (now, boot);
        self.stage.recorder.tick();
        if let Some(because) = stood_still {
            return self.stop(AbortedBy::Slept, because);
        }
        if now >= self.look_at_lever {
            self.look_at_lever = now.plus(LEVER);
            let pulled = self.lever.pulled()?;
            return self.stop(AbortedBy::Lever, pulled.to_string());
        }
        None
    }

    /// The first reason counts; what comes after it changes nothing.
    fn stop(&self, by: AbortedBy, because: String) -> Option<Interrupt> {
        (!self.interrupted).then_some(Interrupt { by, because })
    }
}

/// Why samples across two looks at the clocks mean nothing, if they do: boot time runs on while the machine sleeps, monotonic
/// time does not; and one who was stopped past the lease has lost the executor.
fn stood_still(before: (Mono, Boot), now: (Mono, Boot)) -> Option<String> {
    let gap = now.0.since(before.0);
    let slept = now.1.since(before.1).saturating_sub(gap);
    if slept > SLEPT {
        return Some(format!("the machine slept for {} s", slept.as_secs()));
    }
    (gap > LEASE).then(|| format!("`chaos` stood still for {} s, longer than its lease", gap.as_secs()))
}

async fn next_batch(samples: &mut Option<mpsc::Receiver<SampleBatch>>) -> Option<SampleBatch> {
    match samples {
        Some(samples) => samples.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_10_a_machine_that_slept_and_a_run_that_stood_still_are_noticed() {
        let start = (Mono(5_000_000_000), Boot(9_000_000_000));
        let after = |mono_s: u64, boot_s: u64| (start.0.plus(Duration::from_secs(mono_s)), start.1.plus(Duration::from_secs(boot_s)));
        assert_eq!(stood_still(start, after(1, 1)), None, "a busy machine");
        assert_eq!(stood_still(start, after(1, 3_601)), Some("the machine slept for 3600 s".into()), "a night with the lid closed");
        assert!(stood_still(start, after(11, 11)).is_some_and(|why| why.contains("longer than its lease")));
    }
}
