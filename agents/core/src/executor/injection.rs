//! One injection, from its grant to its end, in one task that is never dropped.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::scaffold::{self, Ground};
use super::shared::Shared;
use super::take_down::{Handle, Progress};
use crate::boot_timer;
use crate::claim::Claim;
use crate::clock::Boot;
use crate::event::{InjectionState, What};
use crate::failpoint;
use crate::fault::{
    Armed, BoxFuture, FaultError, InPlace, InjectionId, Persistence, Prepared, Presence, Profile, Reversibility, Reverted, UndoJson,
};
use crate::fault_call::{Call, FaultCall, Staged};
use crate::journal::{Intent, Record};
use crate::plan::PlannedInjection;
use crate::take_back::TakeBack;
use crate::target::Target;

/// How often an effect in force is inspected.
const INSPECT_EVERY: Duration = Duration::from_secs(1);
/// No effect is inspected more often.
const SHORTEST_INSPECTION: Duration = Duration::from_millis(50);

/// Reading the world takes no longer; a file system that hangs would.
const PREPARES_WITHIN: Duration = Duration::from_secs(30);

/// What a look may still take once its effect must go. One that takes longer hangs, and must not keep it in force.
const LOOK_GRACE: Duration = Duration::from_millis(250);

/// What an injection's task is told.
pub(super) enum Command {
    /// Take it back: why.
    Revert(String),
    /// Move it to this spec.
    Adjust(Value),
}

/// What is to be done.
pub(super) struct Order {
    pub(super) slot: String,
    pub(super) spec: Value,
    pub(super) target: Target,
    pub(super) hold: Option<Duration>,
    pub(super) deadline: Boot,
    /// As planned; none for a process of the system and for a scaffold, which nobody plans.
    pub(super) planned: Option<PlannedInjection>,
    /// Who waits to hear that it stands, or why not.
    pub(super) tell: Option<oneshot::Sender<Result<(), FaultError>>>,
}

/// One injection under way.
struct Injection {
    shared: Arc<Shared>,
    fault: FaultCall,
    profile: Profile,
    order: Order,
    commands: mpsc::UnboundedReceiver<Command>,
    cancel: watch::Sender<bool>,
    progress: watch::Sender<Progress>,
    /// Why it is to be taken back, once somebody asked.
    asked: Option<String>,
    /// The spec that it is to be moved to.
    adjust: Option<Value>,
    /// The note that the effect was had, on its way to the disk.
    noting: Option<JoinHandle<()>>,
    /// What it stands on.
    ground: Ground,
    /// Something was asked for, and nobody knows that it was answered.
    unanswered: bool,
}

/// Starts the task of one injection.
///
/// # Errors
/// If nobody knows this fault.
pub(super) fn start(shared: &Arc<Shared>, kind: &str, order: Order) -> Result<Handle, FaultError> {
    let fault = FaultCall::new(&shared.world.table, kind)?;
    let profile = fault.fault()?.profile();
    let (commands, received) = mpsc::unbounded_channel();
    let cancel = watch::Sender::new(false);
    let progress = watch::Sender::new(Progress::Preparing);
    let handle = Handle {
        slot: order.slot.clone(),
        class: profile.class,
        revert_budget: profile.revert_budget,
        commands,
        cancel: cancel.clone(),
        progress: progress.subscribe(),
    };
    let injection = Injection {
        shared: Arc::clone(shared),
        fault,
        profile,
        order,
        commands: received,
        cancel,
        progress,
        asked: None,
        adjust: None,
        noting: None,
        ground: Ground::new(),
        unanswered: false,
    };
    // Boxed: a scaffold is an injection that an injection starts.
    let task: BoxFuture<'static, ()> = Box::pin(injection.run());
    tokio::spawn(task);
    Ok(handle)
}

/// What is on disk, and held.
struct Standing {
    undo: UndoJson,
    reversibility: Reversibility,
    /// The time at which taking it back must begin.
    revert_by: Boot,
    claims: Arc<Vec<Claim>>,
}

impl Injection {
    /// Does it, holds it, takes it back.
    async fn run(mut self) {
        let (mut standing, armed) = match self.begin().await {
            Ok(begun) => begun,
            Err(e) => {
                self.tell(Err(&e));
                self.report(InjectionState::Refused(e));
                scaffold::leave(&self.shared, std::mem::take(&mut self.ground)).await;
                self.progress.send_replace(Progress::Over { residue: false });
                return;
            }
        };
        self.progress.send_replace(Progress::InForce);
        let because = match self.act(&standing, armed).await {
            Ok(because) => because,
            Err(e) => {
                self.tell(Err(&e));
                let because = self.asked.take().unwrap_or_else(|| "it could not be injected".into());
                if !e.cancelled {
                    self.report(InjectionState::Failed(e));
                }
                because
            }
        };
        let residue = self.take_back(&mut standing, because).await;
        scaffold::leave(&self.shared, std::mem::take(&mut self.ground)).await;
        self.progress.send_replace(Progress::Over { residue });
    }

    fn report(&self, state: InjectionState) {
        self.shared.reporter.injection(&self.order.slot, state);
    }

    fn tell(&mut self, stands: Result<(), &FaultError>) {
        if let Some(waiting) = self.order.tell.take() {
            let _ = waiting.send(stands.map_err(Clone::clone));
        }
    }

    fn id(&self) -> InjectionId {
        InjectionId { run: self.shared.run.clone(), slot: self.order.slot.clone() }
    }

    // ── before anything is done ──────────────────────────────────────────────

    /// Everything that may refuse, up to and with the intent on disk.
    async fn begin(&mut self) -> Result<(Standing, Armed<UndoJson>), FaultError> {
        self.may_begin().await?;
        let (prepared, claims) = self.prepare().await?;
        failpoint::pass(failpoint::PREPARED, &self.order.slot).await;
        self.may_begin().await?;
        scaffold::stand(&self.shared, &prepared.scaffolds, &self.order.target, &mut self.ground).await?;
        self.may_begin().await?;
        let claims = Arc::new(claims);
        self.fault = self.fault.clone().holding(Arc::new((Arc::clone(&self.shared), Arc::clone(&claims))));
        let reversibility = match prepared.reversibility {
            Some(reversibility) => reversibility,
            None => self.fault.fault()?.reversibility(&self.order.spec),
        };
        let deadline = self.order.deadline;
        let revert_by = if deadline == Boot(u64::MAX) { deadline } else { deadline.minus(self.profile.revert_budget) };
        if revert_by <= Boot::now() {
            return Err(FaultError::new("not injected: no time is left to take it back before the run's deadline")
                .hint("give `blast_radius.duration` more time"));
        }
        let intent = self.intent(&prepared, reversibility);
        let cancel = self.cancel.subscribe();
        let armed = self.shared.journal(move |journal| journal.intend(intent, cancel)).await?;
        let undo = armed.undo().clone();
        let explained = self.fault.fault()?.explain(&undo);
        self.report(InjectionState::Intended { target: Box::new(self.order.target.clone()), undo: explained });
        failpoint::pass(failpoint::AFTER_INTEND, &self.order.slot).await;
        Ok((Standing { undo, reversibility, revert_by, claims }, armed))
    }

    /// Nobody has asked to stop, and the journal outlives the effect.
    async fn may_begin(&mut self) -> Result<(), FaultError> {
        self.hear();
        self.unless_asked()?;
        if let Some(trouble) = &*self.shared.trouble.borrow() {
            return Err(FaultError::new(format!("not injected: {trouble}")));
        }
        if let Some(pulled) = self.shared.lever.pulled().await {
            return Err(FaultError::new(format!("not injected: {pulled}")).hint("`chaos resume` releases it"));
        }
        // What has no undo outlives none.
        let has_undo = self.fault.fault()?.reversibility(&self.order.spec) != Reversibility::Irreversible;
        match &self.shared.forgets {
            Some(forgets) if self.profile.persistence == Persistence::Durable && has_undo => {
                Err(FaultError::new(format!("not injected: {} would outlive its undo; {forgets}", self.fault.kind()))
                    .hint("say --state-dir DIR on a disk"))
            }
            _ => Ok(()),
        }
    }

    fn unless_asked(&self) -> Result<(), FaultError> {
        match &self.asked {
            Some(because) => Err(FaultError { cancelled: true, ..FaultError::new(format!("not injected: {because}")) }),
            None => Ok(()),
        }
    }

    /// Waits for what only reads the world: until it is asked to stop, and no longer than that may take.
    async fn read<T>(&mut self, what: &str, reading: impl Future<Output = Result<T, FaultError>>) -> Result<T, FaultError> {
        tokio::pin!(reading);
        let give_up = Boot::now().plus(PREPARES_WITHIN);
        loop {
            self.unless_asked()?;
            tokio::select! {
                result = &mut reading => return result,
                command = self.commands.recv() => self.note_command(command),
                () = boot_timer::until(give_up) => {
                    let says = format!("not injected: {what} has not ended after {} s", PREPARES_WITHIN.as_secs());
                    return Err(FaultError::new(says).hint("does a file system hang on this host?"));
                }
            }
        }
    }

    /// Prepares, claims, and prepares once more under the claims: what was captured before might be another run's doing.
    async fn prepare(&mut self) -> Result<(Prepared<UndoJson>, Vec<Claim>), FaultError> {
        if let Some(planned) = self.order.planned.clone() {
            let (shared, target) = (Arc::clone(&self.shared), self.order.target.clone());
            let allowed = on_thread("the guard", move || shared.world.guard.allow(&planned, &target));
            self.read("the guard's look", allowed).await?;
        }
        let first = self.prepare_once().await?;
        let (shared, wanted, id) = (Arc::clone(&self.shared), first.claims.clone(), self.id());
        let claiming = on_thread("claiming", move || {
            let claimed = shared.claims.take_all(&wanted, &id);
            claimed.map_err(|e| FaultError::new(format!("not injected: {e}")).hint("see `chaos status`"))
        });
        let claims = self.read("claiming", claiming).await?;
        if claims.is_empty() {
            return Ok((first, claims));
        }
        let prepared = self.prepare_once().await?;
        if prepared.claims != first.claims {
            return Err(FaultError::new("not injected: the target changed while it was being claimed"));
        }
        Ok((prepared, claims))
    }

    async fn prepare_once(&mut self) -> Result<Prepared<UndoJson>, FaultError> {
        let mut preparing = self.fault.prepare(self.order.spec.clone(), self.order.target.clone(), self.id());
        self.read("reading what is there", preparing.result()).await
    }

    fn intent(&self, prepared: &Prepared<UndoJson>, reversibility: Reversibility) -> Intent {
        Intent {
            slot: self.order.slot.clone(),
            fault: self.fault.kind().to_owned(),
            target: self.order.target.label.clone(),
            undo: prepared.undo.clone(),
            claims: prepared.claims.clone(),
            stands_on: prepared.scaffolds.iter().map(|s| s.claim.clone()).collect(),
            class: self.profile.class,
            persistence: self.profile.persistence,
            reversibility,
            deadline: self.order.deadline,
            at: Boot::now(),
        }
    }

    // ── in force ─────────────────────────────────────────────────────────────

    /// From the intent to the reason for taking it back.
    async fn act(&mut self, standing: &Standing, armed: Armed<UndoJson>) -> Result<String, FaultError> {
        self.unanswered = true;
        let mut staging = self.fault.stage(armed);
        let Staged { armed, staged } = self.attend(standing, staging.result()).await?;
        staged?;
        self.unanswered = false;
        let slot = self.order.slot.clone();
        self.shared.journal(move |journal| journal.staged(&slot)).await?;
        self.report(InjectionState::Staged);
        failpoint::pass(failpoint::STAGED, &self.order.slot).await;
        self.hear();
        if let Some(because) = self.asked.take() {
            return Ok(because);
        }
        if let Some(pulled) = self.shared.lever.pulled().await {
            return Ok(pulled.to_string());
        }
        self.inject(standing, armed).await?;
        let effect = Boot::now();
        self.tell(Ok(()));
        self.note_effect();
        let in_place = self.first_look(standing, effect).await;
        failpoint::pass(failpoint::INJECTED, &self.order.slot).await;
        if standing.reversibility == Reversibility::Irreversible && self.order.hold.is_none() && self.order.planned.is_some() {
            return Ok("it is done, and cannot be taken back".into());
        }
        Ok(self.hold(standing, effect, in_place).await)
    }

    /// For people: taking it back neither needs it nor waits for it. A failure is noticed by everybody all the same.
    fn note_effect(&mut self) {
        let (shared, slot) = (Arc::clone(&self.shared), self.order.slot.clone());
        self.noting = Some(tokio::spawn(async move {
            let _ = shared.journal(move |journal| journal.injected(&slot)).await;
        }));
    }

    async fn inject(&mut self, standing: &Standing, armed: Armed<UndoJson>) -> Result<(), FaultError> {
        self.unanswered = true;
        let mut injecting = self.fault.inject(armed);
        let observed = self.attend(standing, injecting.result()).await?;
        self.unanswered = false;
        self.report(InjectionState::Injected { notes: observed.notes });
        Ok(())
    }

    /// Waits for a call of the fault to really end, hearing meanwhile whether it should stop half-way.
    async fn attend<T>(&mut self, standing: &Standing, call: impl Future<Output = Result<T, FaultError>>) -> Result<T, FaultError> {
        tokio::pin!(call);
        let mut deadline = standing.revert_by;
        loop {
            tokio::select! {
                result = &mut call => return result,
                command = self.commands.recv() => self.note_command(command),
                () = boot_timer::until(deadline) => {
                    deadline = Boot(u64::MAX);
                    self.asked.get_or_insert_with(|| "deadline".into());
                    self.cancel.send_replace(true);
                }
            }
        }
    }

    fn hear(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.note_command(Some(command));
        }
    }

    fn note_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Revert(because)) => {
                self.asked.get_or_insert(because);
            }
            Some(Command::Adjust(spec)) => self.adjust = Some(spec),
            None => {
                self.asked.get_or_insert_with(|| "the executor ends".into());
            }
        }
    }

    /// The inspection that proves the effect.
    async fn first_look(&mut self, standing: &Standing, effect: Boot) -> bool {
        if self.order.planned.is_none() {
            return false;
        }
        let mut looking = self.fault.inspect(standing.undo.clone());
        let mut give_up = standing.revert_by.min(self.held_until(effect).plus(LOOK_GRACE));
        loop {
            if self.asked.is_some() {
                give_up = give_up.min(Boot::now().plus(LOOK_GRACE));
            }
            tokio::select! {
                looked = looking.result() => return self.presence(looked).is_some_and(|p| p.in_place != InPlace::None),
                command = self.commands.recv(), if self.asked.is_none() => self.note_command(command),
                // It only reads: what comes next need not wait for its end.
                () = boot_timer::until(give_up) => return false,
            }
        }
    }

    fn held_until(&self, effect: Boot) -> Boot {
        self.order.hold.map_or(Boot(u64::MAX), |hold| effect.plus(hold))
    }

    fn presence(&self, looked: Result<Presence, FaultError>) -> Option<Presence> {
        match looked {
            Ok(presence) => {
                self.report(InjectionState::Present(presence.clone()));
                Some(presence)
            }
            Err(e) => {
                self.shared.reporter.note(format!("{} could not be inspected: {e}", self.order.slot));
                None
            }
        }
    }

    /// Holds it, inspecting at least once a second, until there is a reason to take it back.
    async fn hold(&mut self, standing: &Standing, effect: Boot, mut in_place: bool) -> String {
        let held_until = self.held_until(effect);
        // What is held shortly is looked at half-way, so that it is seen whether anything met it.
        let period = self.order.hold.map_or(INSPECT_EVERY, |hold| (hold / 2).clamp(SHORTEST_INSPECTION, INSPECT_EVERY));
        let mut every = interval_at(Instant::now() + period, period);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking: Option<Call<Result<Presence, FaultError>>> = None;
        loop {
            if let Some(because) = self.asked.take() {
                return because;
            }
            if let Some(spec) = self.adjust.take() {
                self.adjust(standing, spec).await;
                continue;
            }
            tokio::select! {
                command = self.commands.recv() => self.note_command(command),
                () = boot_timer::until(held_until) => return self.held(),
                () = boot_timer::until(standing.revert_by) => return "deadline".into(),
                _ = every.tick(), if looking.is_none() && self.order.planned.is_some() => {
                    looking = Some(self.fault.inspect(standing.undo.clone()));
                }
                looked = result_of(&mut looking) => {
                    looking = None;
                    if let Some(presence) = self.presence(looked) {
                        let gone = presence.in_place == InPlace::None;
                        if in_place && gone {
                            // Somebody else's change wins: it is never applied again.
                            let finding = presence.finding.unwrap_or_else(|| "inspection finds nothing".into());
                            let because = format!("somebody else ended it: {finding}");
                            let target = Box::new(self.order.target.clone());
                            self.shared.reporter.event(What::TargetChanged { target, finding });
                            return because;
                        }
                        in_place |= !gone;
                    }
                }
            }
        }
    }

    fn held(&self) -> String {
        format!("held for {}", crate::literal::Duration::from(self.order.hold.unwrap_or_default()))
    }

    async fn adjust(&mut self, standing: &Standing, spec: Value) {
        let mut adjusting = self.fault.adjust(spec.clone(), standing.undo.clone());
        match self.attend(standing, adjusting.result()).await {
            Ok(()) => self.report(InjectionState::Adjusted { to: spec }),
            Err(e) => {
                self.unanswered = true;
                self.report(InjectionState::Failed(e));
                self.asked.get_or_insert_with(|| "it could not be adjusted".into());
            }
        }
    }

    // ── taking it back ───────────────────────────────────────────────────────

    /// True if something is left.
    async fn take_back(&mut self, standing: &mut Standing, because: String) -> bool {
        self.report(InjectionState::RevertAsked { because });
        failpoint::pass(failpoint::MID_REVERT, &self.order.slot).await;
        let task = TakeBack {
            fault: self.fault.clone(),
            undo: standing.undo.clone(),
            reversibility: standing.reversibility,
            unanswered: self.unanswered,
            patience: self.shared.patience,
            permits: Arc::clone(&self.shared.reverting),
        };
        let gone = task
            .until_gone(|e| {
                self.report(InjectionState::RevertFailed(e.clone()));
                self.progress.send_replace(Progress::Stuck);
            })
            .await;
        drop(task);
        match gone {
            Ok(reverted) => {
                self.gone(standing, reverted).await;
                false
            }
            Err(e) => {
                self.residue(standing, e).await;
                true
            }
        }
    }

    async fn gone(&mut self, standing: &mut Standing, reverted: Reverted) {
        failpoint::pass(failpoint::BEFORE_DONE, &self.order.slot).await;
        // Others need not wait for the journal, only for the effect.
        self.progress.send_replace(Progress::Gone);
        self.noted().await;
        let (slot, mut notes, met) = (self.order.slot.clone(), reverted.notes.clone(), reverted.met);
        if let Err(e) = self.shared.journal(move |journal| journal.reverted(&slot, &reverted.notes)).await {
            notes.push(format!("not journaled, so recovery will look at it once more: {e}"));
        }
        // Whoever hears that it is taken back may ask for the same thing again at once.
        standing.claims = Arc::default();
        self.fault = self.fault.clone().letting_go();
        self.report(InjectionState::Reverted { notes, met });
    }

    /// The journal knows one order of records.
    async fn noted(&mut self) {
        if let Some(noting) = self.noting.take() {
            let _ = noting.await;
        }
    }

    async fn residue(&mut self, standing: &Standing, e: FaultError) {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&standing.claims));
        let record = Record::Residue { slot: self.order.slot.clone(), finding: e.message.clone() };
        self.report(InjectionState::Residue(e));
        self.noted().await;
        let _ = self.shared.journal(move |journal| journal.note(&record)).await;
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Only a defect gets here with the task not over: whoever waits must not wait for ever, nor believe it clean.
        self.progress.send_if_modified(|p| {
            let over = matches!(p, Progress::Over { .. });
            if !over {
                *p = Progress::Over { residue: true };
            }
            !over
        });
    }
}

async fn on_thread<T: Send + 'static>(what: &str, call: impl FnOnce() -> Result<T, FaultError> + Send + 'static) -> Result<T, FaultError> {
    let called = tokio::task::spawn_blocking(call).await;
    called.unwrap_or_else(|e| Err(FaultError::new(format!("not injected: a defect in {what}: {e}"))))
}

async fn result_of<T>(call: &mut Option<Call<Result<T, FaultError>>>) -> Result<T, FaultError> {
    match call {
        Some(call) => call.result().await,
        None => std::future::pending().await,
    }
}
