//! What is known of a run at this moment: a fold over its events, and the means to wait for something in it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chaos_core::FaultError;
use chaos_core::event::{Event, InjectionState, SystemState, What};
use chaos_core::fault::InPlace;
use chaos_core::plan::Plan;
use chaos_core::target::Target;
use chaos_core::wire::Reply;
use tokio::sync::Notify;

use crate::plan::limits::{Harmed, Populations};

/// Where one injection stands.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// What it was granted for.
    pub target: Option<Target>,
    /// Its undo is on disk: from here on it counts as harm.
    pub intended: bool,
    /// The first inspection after inject: the effect, or that there is none.
    pub effect: Option<InPlace>,
    /// It was refused, or could not be injected.
    pub failed: Option<FaultError>,
    /// Taken back and inspected, or refused before any effect.
    pub over: bool,
    /// Given up.
    pub residue: bool,
}

/// The fold.
#[derive(Debug, Default)]
pub struct State {
    slots: BTreeMap<String, Slot>,
    system: BTreeMap<String, SystemState>,
    approved: Option<Result<String, Refused>>,
    closed: Option<Vec<String>>,
}

/// The executor would not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl State {
    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Injection { slot, state } => self.apply_injection(slot, state),
            What::System { name, state } => {
                self.system.insert(name.clone(), state.clone());
            }
            _ => {}
        }
    }

    fn apply_injection(&mut self, slot: &str, state: &InjectionState) {
        let slot = self.slots.entry(slot.to_owned()).or_default();
        match state {
            InjectionState::Granted(target) => slot.target = Some((**target).clone()),
            InjectionState::Intended { target, .. } => {
                slot.target = Some((**target).clone());
                slot.intended = true;
            }
            InjectionState::Present(presence) => {
                slot.effect.get_or_insert(presence.in_place);
            }
            InjectionState::Refused(error) => {
                slot.failed = Some(error.clone());
                slot.over = true;
            }
            InjectionState::Failed(error) => slot.failed = Some(error.clone()),
            InjectionState::Reverted { .. } => slot.over = true,
            InjectionState::Residue(_) => {
                slot.residue = true;
                slot.over = true;
            }
            InjectionState::Staged
            | InjectionState::Injected { .. }
            | InjectionState::Adjusted { .. }
            | InjectionState::RevertAsked { .. }
            | InjectionState::RevertFailed(_) => {}
        }
    }

    /// Takes one answer in. `Begin` was answered before; a refusal is of the plan.
    pub fn apply_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Approved { plan } => self.approved = Some(Ok(plan)),
            Reply::Refused { message, hint } => self.approved = Some(Err(Refused { message, hint })),
            Reply::Closed { residue } => self.closed = Some(residue),
            Reply::Ready { .. } | Reply::Pong { .. } | Reply::Event(_) => {}
        }
    }

    /// The answer to `Approve`: the plan's hash.
    #[must_use]
    pub fn approved(&self) -> Option<Result<String, Refused>> {
        self.approved.clone()
    }

    /// The journal is finished: what is residue.
    #[must_use]
    pub fn closed(&self) -> Option<Vec<String>> {
        self.closed.clone()
    }

    /// One injection.
    #[must_use]
    pub fn slot(&self, slot: &str) -> Slot {
        self.slots.get(slot).cloned().unwrap_or_default()
    }

    /// A process of `system:`.
    #[must_use]
    pub fn system(&self, name: &str) -> Option<&SystemState> {
        self.system.get(name)
    }

    /// Was any process of `system:` started?
    #[must_use]
    pub fn has_system(&self) -> bool {
        !self.system.is_empty()
    }

    /// Has any fault been allowed to have an effect?
    #[must_use]
    pub fn anything_intended(&self, plan: &Plan) -> bool {
        plan.injections.iter().any(|i| self.slots.get(&i.slot).is_some_and(|s| s.intended))
    }

    /// Everything that counts as harmed now (RULES 25): in force; reverted but not yet seen well again; and after
    /// something irreversible, until its population is seen complete and healthy.
    #[must_use]
    pub fn harmed(&self, plan: &Plan, found: &Populations) -> Vec<Harmed> {
        let still = |i: &chaos_core::plan::PlannedInjection, slot: &Slot, target: &Target| {
            let now = found.get(&i.set).map(Vec::as_slice).unwrap_or_default();
            let planned = plan.populations.iter().find(|p| p.set == i.set).map_or(0, |p| p.members.len());
            let complete = now.len() >= planned && now.iter().all(|t| t.healthy);
            if i.reversibility == chaos_core::fault::Reversibility::Irreversible {
                return !complete;
            }
            let well = now.iter().any(|t| t.identity == target.identity && t.healthy);
            !slot.over || !(well || complete)
        };
        self.injections(plan)
            .filter(|(i, slot, target)| still(i, slot, target))
            .map(|(i, _, target)| Harmed { set: i.set.clone(), target })
            .collect()
    }

    /// Everything that was harmed at any time.
    #[must_use]
    pub fn ever_harmed(&self, plan: &Plan) -> Vec<Harmed> {
        self.injections(plan).map(|(i, _, target)| Harmed { set: i.set.clone(), target }).collect()
    }

    fn injections<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a chaos_core::plan::PlannedInjection, &'a Slot, Target)> {
        plan.injections.iter().filter_map(|i| {
            // What was granted counts from that moment, unless it was refused: its intent may only be on its way.
            let slot = self.slots.get(&i.slot).filter(|s| s.intended || (s.target.is_some() && !s.over))?;
            Some((i, slot, slot.target.clone()?))
        })
    }

    /// Slots that are neither over nor unasked, of the plan alone.
    #[must_use]
    pub fn in_force(&self, plan: &Plan) -> Vec<String> {
        let open = |i: &&chaos_core::plan::PlannedInjection| self.slots.get(&i.slot).is_some_and(|s| s.target.is_some() && !s.over);
        plan.injections.iter().filter(open).map(|i| i.slot.clone()).collect()
    }
}

/// A [`State`] that can be waited on. One thread, one run.
#[derive(Debug, Default)]
pub struct Watched {
    state: RefCell<State>,
    changed: Notify,
}

impl Watched {
    /// Takes an event in and wakes who waits.
    pub fn apply(&self, event: &Event) {
        self.state.borrow_mut().apply(event);
        self.changed.notify_waiters();
    }

    /// Takes an answer in and wakes who waits.
    pub fn reply(&self, reply: Reply) {
        self.state.borrow_mut().apply_reply(reply);
        self.changed.notify_waiters();
    }

    /// Looks.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.state.borrow())
    }

    /// Waits until `answer` has one.
    pub async fn until<T>(&self, mut answer: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = answer(&self.state.borrow()) {
                return found;
            }
            changed.await;
        }
    }
}
