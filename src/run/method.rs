//! The method: steps, one after the other, side by side, and inside each other.
//!
//! Owns no effect: it asks, and waits for what the executor says. Dropping it in the middle (a stop) leaves nothing
//! undone, because everything that was asked is taken back by [`super`] through the executor.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::{AbortedBy, InjectionState, StepState, What};
use chaos_core::experiment::{Action, Hold, Inject, Ramp, RunCommand, Step, WaitFor};
use chaos_core::fault::InPlace;
use chaos_core::wire::Request;

use super::command;
use super::pump::Interrupt;
use super::stage::Stage;
use crate::plan::grant::{Now, grants};
use crate::plan::schedule::Asking;
use crate::plan::{self, ramp};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// The next one follows.
    Next,
    /// A `wait_for` was not met: the rest of the method is left out.
    LeaveOut,
    /// Something failed: the run ends.
    End(Interrupt),
}

type Driving<'a> = Pin<Box<dyn Future<Output = Flow> + 'a>>;

/// Runs steps one after the other. `latent` are the slots of enclosing faults that wait for their activation.
pub fn sequence<'a>(stage: &'a Stage<'a>, steps: &'a [Step], latent: Vec<String>) -> Driving<'a> {
    Box::pin(async move {
        for (i, step) in steps.iter().enumerate() {
            let flow = one(stage, step, &latent).await;
            if flow != Flow::Next {
                left_out(stage, &steps[i + 1..]);
                return flow;
            }
        }
        Flow::Next
    })
}

fn left_out(stage: &Stage<'_>, steps: &[Step]) {
    for step in steps {
        let why = "a step before it did not end as it should".to_owned();
        stage.say(What::Step { path: step.path.clone(), state: StepState::LeftOut(why) });
    }
}

async fn one(stage: &Stage<'_>, step: &Step, latent: &[String]) -> Flow {
    let say = |state| stage.say(What::Step { path: step.path.clone(), state });
    say(StepState::Began);
    let flow = match &step.action {
        Action::Wait(d) => {
            tokio::time::sleep(d.get()).await;
            Flow::Next
        }
        Action::WaitFor(wait) => return wait_for(stage, step, wait).await,
        Action::Run(run) => {
            activate(stage, latent, &step.path);
            return run_command(stage, step, run).await;
        }
        Action::Parallel(branches) => parallel(stage, branches, latent).await,
        Action::Inject(inject) => {
            activate(stage, latent, &step.path);
            self::inject(stage, step, inject).await
        }
    };
    say(match &flow {
        Flow::Next => StepState::Ended,
        Flow::LeaveOut => StepState::Failed("a step inside it was not met in time".into()),
        Flow::End(interrupt) => StepState::Failed(interrupt.because.clone()),
    });
    flow
}

/// The first `run` or `inject` inside a latent fault is what activates it.
fn activate(stage: &Stage<'_>, latent: &[String], by: &str) {
    for slot in latent {
        if stage.activated.borrow_mut().insert(slot.clone()) {
            stage.say(What::Activated { slot: slot.clone(), by: by.to_owned() });
        }
    }
}

async fn wait_for(stage: &Stage<'_>, step: &Step, wait: &WaitFor) -> Flow {
    let met = stage.until_good(wait);
    let (state, flow) = match tokio::time::timeout(wait.within.get(), met).await {
        Ok(()) => (StepState::Ended, Flow::Next),
        Err(_) => (StepState::Failed(format!("`{}` was not good within {}", wait.hypothesis, wait.within)), Flow::LeaveOut),
    };
    stage.say(What::Step { path: step.path.clone(), state });
    flow
}

async fn run_command(stage: &Stage<'_>, step: &Step, run: &RunCommand) -> Flow {
    let log = stage.run_folder.join(format!("run-{}.log", plan::position(&step.path)));
    let ended = command::run(run, &stage.experiment.folder, &log, stage.secrets).await;
    let (exit, output, failed) = match ended {
        Ok(ended) => (ended.exit, ended.output, ended.failed),
        Err(message) => (None, String::new(), Some(message)),
    };
    stage.say(What::Command { path: step.path.clone(), command: run.command.clone(), exit, output });
    let (state, flow) = match failed {
        None => (StepState::Ended, Flow::Next),
        Some(why) => {
            let because = format!("`{}`: {why}", run.command.join(" "));
            (StepState::Failed(why), Flow::End(Interrupt { by: AbortedBy::Failure, because }))
        }
    };
    stage.say(What::Step { path: step.path.clone(), state });
    flow
}

/// All branches begin together; ends with the last, or at once with the first that fails.
async fn parallel(stage: &Stage<'_>, branches: &[Step], latent: &[String]) -> Flow {
    let mut running: Vec<Driving<'_>> = branches
        .iter()
        .map(|branch| {
            Box::pin(async move {
                tokio::time::sleep(branch.after.map_or(Duration::ZERO, chaos_core::literal::Duration::get)).await;
                one(stage, branch, latent).await
            }) as Driving<'_>
        })
        .collect();
    let mut worst = Flow::Next;
    while !running.is_empty() {
        let (done, flow) = first_of(&mut running).await;
        drop(running.swap_remove(done));
        match flow {
            Flow::Next => {}
            Flow::LeaveOut => worst = Flow::LeaveOut,
            Flow::End(_) => return flow,
        }
    }
    worst
}

/// The index and the result of the first branch that ends.
async fn first_of(running: &mut [Driving<'_>]) -> (usize, Flow) {
    std::future::poll_fn(|cx| {
        for (i, branch) in running.iter_mut().enumerate() {
            if let std::task::Poll::Ready(flow) = branch.as_mut().poll(cx) {
                return std::task::Poll::Ready((i, flow));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn inject(stage: &Stage<'_>, step: &Step, inject: &Inject) -> Flow {
    if stage.plan().not_drawn.contains(&step.path) {
        return pass_time(stage, inject).await;
    }
    let (every, times) = inject.repeat.map_or((Duration::ZERO, 1), |r| (r.every.get(), r.times));
    let began = Mono::now();
    for repetition in 0..times {
        tokio::time::sleep(began.plus(every * repetition).from_now()).await;
        let flow = asking(stage, inject, Asking { step: &step.path, repetition }).await;
        if flow != Flow::Next {
            return flow;
        }
    }
    Flow::Next
}

/// A step that was not drawn passes its time all the same.
async fn pass_time(stage: &Stage<'_>, inject: &Inject) -> Flow {
    let ramp = inject.ramp.as_ref().map_or(Duration::ZERO, |r| r.over.get());
    let repeats = inject.repeat.map_or(Duration::ZERO, |r| r.every.get() * r.times.saturating_sub(1));
    match &inject.hold {
        Hold::For(d) => tokio::time::sleep(repeats + ramp + d.get()).await,
        Hold::Meanwhile(inner) => return sequence(stage, inner, Vec::new()).await,
        Hold::Never => tokio::time::sleep(repeats).await,
    }
    Flow::Next
}

/// One asking: grant → effect on all → hold → reverted on all.
async fn asking(stage: &Stage<'_>, inject: &Inject, asking: Asking<'_>) -> Flow {
    let slots = match grant(stage, inject, asking).await {
        Ok(slots) => slots,
        Err(interrupt) => return Flow::End(interrupt),
    };
    let failed = first_effects(stage, &slots).await;
    if let Some(interrupt) = failed {
        take_back(stage, &slots, "another injection of the step failed").await;
        return Flow::End(interrupt);
    }
    let flow = hold(stage, inject, &slots).await;
    if flow == Flow::Next { over(stage, &slots).await } else { flow }
}

async fn hold(stage: &Stage<'_>, inject: &Inject, slots: &[String]) -> Flow {
    let ramping = async {
        if let Some(ramp) = &inject.ramp {
            climb(stage, inject, ramp, slots).await;
        }
    };
    match &inject.hold {
        Hold::Never => Flow::Next,
        // The executor holds the clock of `for`: it is exact there, and keeps it when we are gone.
        Hold::For(_) => {
            tokio::join!(ramping, all_over(stage, slots));
            Flow::Next
        }
        Hold::Meanwhile(inner) => {
            ramping.await;
            let latent = if stage.is_latent(slots) { slots.to_vec() } else { Vec::new() };
            let flow = sequence(stage, inner, latent).await;
            take_back(stage, slots, "`meanwhile` has ended").await;
            flow
        }
    }
}

async fn climb(stage: &Stage<'_>, inject: &Inject, ramp: &Ramp, slots: &[String]) {
    let began = Mono::now();
    for n in 1..=ramp.steps {
        tokio::time::sleep(began.plus(ramp.over.get() * n / ramp.steps.max(1)).from_now()).await;
        let with = ramp::at(&inject.with, ramp, n);
        for slot in slots {
            stage.send(Request::Adjust { slot: slot.clone(), with: with.clone() });
        }
    }
}

/// Finds the targets again, checks every limit again, and asks the executor. Nothing is asked if anything does not fit.
async fn grant(stage: &Stage<'_>, inject: &Inject, asking: Asking<'_>) -> Result<Vec<String>, Interrupt> {
    let guard = |because: String| Interrupt { by: AbortedBy::Guard, because };
    let refused = |refusals: Vec<plan::Refusal>| {
        guard(refusals.into_iter().map(|r| format!("not injected: {}", r.message)).collect::<Vec<_>>().join("; "))
    };
    let found = plan::find_again(stage.experiment, stage.run, stage.known).await.map_err(refused)?;
    let (harmed, ever) = stage.watched.look(|s| (s.harmed(stage.plan(), &found.populations), s.ever_harmed(stage.plan())));
    let now = Now { populations: &found.populations, harmed: &harmed, ever_harmed: &ever, never: &found.never };
    let granted = grants(stage.plan(), &stage.plan_hash(), stage.experiment, inject, asking, &now).map_err(|r| refused(vec![r]))?;
    let slots = granted.iter().map(|g| g.slot.clone()).collect();
    for grant in granted {
        let state = InjectionState::Granted(Box::new(grant.target.clone()));
        stage.say(What::Injection { slot: grant.slot.clone(), state });
        stage.send(Request::Grant(Box::new(grant)));
    }
    Ok(slots)
}

/// Waits until the effect is inspected on every target. Gives the failure, if there is one.
async fn first_effects(stage: &Stage<'_>, slots: &[String]) -> Option<Interrupt> {
    for slot in slots {
        let failed = stage
            .watched
            .until(|s| {
                let slot = s.slot(slot);
                match (slot.failed, slot.effect) {
                    (Some(e), _) => Some(Some(e.message)),
                    (None, Some(InPlace::None)) => Some(Some("inspection finds no effect".to_owned())),
                    (None, Some(_)) => Some(None),
                    (None, None) if slot.over => Some(Some("it was taken back before it had an effect".to_owned())),
                    (None, None) => None,
                }
            })
            .await;
        if let Some(message) = failed {
            let fault = stage.plan().injection(slot).map_or("the fault", |i| i.fault.as_str());
            return Some(Interrupt { by: AbortedBy::Failure, because: format!("{fault} could not be injected: {message}") });
        }
    }
    None
}

async fn take_back(stage: &Stage<'_>, slots: &[String], because: &str) {
    stage.send(Request::Revert { slots: slots.to_vec(), because: because.to_owned() });
    all_over(stage, slots).await;
}

async fn all_over(stage: &Stage<'_>, slots: &[String]) {
    for slot in slots {
        stage.watched.until(|s| s.slot(slot).over.then_some(())).await;
    }
}

/// After an irreversible fault there is nothing to wait for; anything else must be over, and not as residue.
async fn over(stage: &Stage<'_>, slots: &[String]) -> Flow {
    if stage.watched.look(|s| slots.iter().any(|slot| s.slot(slot).residue)) {
        return Flow::End(Interrupt { by: AbortedBy::Failure, because: "a fault could not be taken back".into() });
    }
    Flow::Next
}
