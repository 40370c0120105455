//! The executor's one loop: requests, signals, the lever, the lease, and what its injections come to.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::first::pass_on;
use super::grant::{self, ApprovedPlan};
use super::injection::{self, Command, Order};
use super::shared::Shared;
use super::take_down::{Bounds, Handle, Progress, WRITTEN_WITHIN, take_down};
use crate::boot_timer;
use crate::clock::Boot;
use crate::event::{AbortedBy, InjectionState, What};
use crate::experiment::SystemProcess;
use crate::fault::{FaultError, InjectionId};
use crate::journal::Record;
use crate::lever::Pulled;
use crate::lines::Lines;
use crate::plan::{Grant, Plan};
use crate::target::{Facets, Identity, Target};
use crate::wire::{Reply, Request};

/// The internal fault by which processes of `system:` are started, journaled and taken down.
pub const SYSTEM_PROCESS: &str = "system.process";

/// How often lever and lease are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A coordinator that was asked to end, and has faults in force after this, is not waited for.
const COORDINATOR_ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Why a session ends.
enum End {
    /// The coordinator asked for it.
    Asked,
    /// Everything must come back although nobody asked.
    Alone(String),
}

pub(super) struct Session {
    shared: Arc<Shared>,
    lease: Duration,
    /// Our child, in a container; it is asked to end first.
    coordinator: Option<i32>,
    last_heard: Boot,
    approved: Option<ApprovedPlan>,
    /// A plan whose hash is on its way to the disk.
    approving: Option<(ApprovedPlan, JoinHandle<Result<(), FaultError>>)>,
    handles: BTreeMap<String, Handle>,
    /// Set by the first injection of the plan.
    deadline: Option<Boot>,
    /// The coordinator asked to close: everything is being taken down.
    closing: Option<JoinHandle<()>>,
    /// Every fault was taken back because of this; said once.
    stopped: bool,
    /// When the faults are taken back although the coordinator, asked to end, may still do that itself.
    impatient: Boot,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, lease: Duration, coordinator: Option<i32>) -> Self {
        Self {
            shared,
            lease,
            coordinator,
            last_heard: Boot::now(),
            approved: None,
            approving: None,
            handles: BTreeMap::new(),
            deadline: None,
            closing: None,
            stopped: false,
            impatient: Boot(u64::MAX),
        }
    }

    pub(super) async fn run(mut self, mut requests: Lines<OwnedReadHalf, Request>) -> Vec<String> {
        let end = match Signals::new() {
            Ok(signals) => self.listen(&mut requests, signals).await,
            Err(e) => End::Alone(format!("signals cannot be heard: {e}")),
        };
        if let End::Alone(because) = end {
            self.shared.reporter.note(format!("the executor takes everything back by itself: {because}"));
            take_down(self.all(), because, self.bounds()).await;
        }
        self.finish().await
    }

    async fn listen(&mut self, requests: &mut Lines<OwnedReadHalf, Request>, mut signals: Signals) -> End {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut trouble = self.shared.trouble.subscribe();
        let mut lever = watch_lever(&self.shared);
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    Ok(Some(request)) => self.request(request),
                    Ok(None) => return End::Alone("the coordinator is gone: its socket closed".into()),
                    Err(e) => return End::Alone(format!("the coordinator cannot be understood: {e}")),
                },
                (signal, name) = signals.next() => {
                    if self.coordinator.is_some_and(|pid| pass_on(pid, signal)) {
                        self.impatient = self.impatient.min(Boot::now().plus(COORDINATOR_ENDS_WITHIN));
                        continue;
                    }
                    let because = format!("the executor was asked to end by {name}");
                    self.shared.reporter.event(What::Aborted { by: AbortedBy::Signal, because: because.clone() });
                    return End::Alone(because);
                }
                _ = look.tick() => {
                    let silence = Boot::now().since(self.last_heard);
                    if silence > self.lease {
                        return End::Alone(format!("lease: the coordinator has been silent for {:.0} s", silence.as_secs_f64()));
                    }
                }
                _ = trouble.changed() => {
                    let because = trouble.borrow_and_update().clone();
                    if let Some(because) = because {
                        self.stop_faults(AbortedBy::Failure, because);
                    }
                }
                Ok(()) = lever.changed() => {
                    let pulled = lever.borrow_and_update().clone();
                    match pulled {
                        Some(pulled) => self.stop_faults(AbortedBy::Lever, pulled.to_string()),
                        None => self.stopped = self.shared.trouble.borrow().is_some(),
                    }
                }
                () = boot_timer::until(self.impatient) => {
                    self.impatient = Boot(u64::MAX);
                    self.stop_faults(AbortedBy::Signal, "the coordinator was asked to end, and has not taken everything back".into());
                }
                written = written(&mut self.approving) => self.approved(written),
                () = closed(&mut self.closing) => return End::Asked,
            }
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds { class: self.shared.class_patience, give_up: self.shared.patience.give_up }
    }

    /// Takes every fault back, and says so once. The system stays: the coordinator still watches it recover.
    fn stop_faults(&mut self, by: AbortedBy, because: String) {
        if !self.stopped {
            self.stopped = true;
            self.shared.reporter.event(What::Aborted { by, because: because.clone() });
        }
        let unasked: Vec<Handle> = self.faults().into_iter().filter(|h| !*h.cancel.borrow()).collect();
        if !unasked.is_empty() {
            tokio::spawn(take_down(unasked, because, self.bounds()));
        }
    }

    fn request(&mut self, request: Request) {
        self.last_heard = Boot::now();
        match request {
            Request::Ping { n } => {
                let in_force = self.faults().iter().filter(|h| h.is_in_force()).map(|h| h.slot.clone()).collect();
                self.shared.reporter.reply(Reply::Pong { n, in_force });
            }
            Request::Begin(_) => self.refuse("the run has begun already"),
            Request::Approve(plan) => self.approve(*plan),
            Request::StartSystem(process) => self.start_system(&process),
            Request::Grant(grant) => self.grant(*grant),
            Request::Adjust { slot, with } => {
                if let Some(handle) = self.handles.get(&slot) {
                    let _ = handle.commands.send(Command::Adjust(with));
                }
            }
            Request::Revert { slots, because } => {
                let wanted = self.faults().into_iter().filter(|h| slots.is_empty() || slots.contains(&h.slot)).collect();
                tokio::spawn(take_down(wanted, because, self.bounds()));
            }
            Request::Close => {
                let down = take_down(self.all(), "the run ends".into(), self.bounds());
                self.closing.get_or_insert_with(|| tokio::spawn(down));
            }
        }
    }

    fn refuse(&self, message: impl Into<String>) {
        self.shared.reporter.reply(Reply::Refused { message: message.into(), hint: None });
    }

    fn approve(&mut self, plan: Plan) {
        if self.approved.is_some() || self.approving.is_some() {
            return self.refuse("a plan was approved already");
        }
        if plan.run != self.shared.run {
            return self.refuse(format!("the plan is for run {}, not {}", plan.run, self.shared.run));
        }
        let hash = plan.hash();
        let (shared, record) = (Arc::clone(&self.shared), Record::Approved { plan: hash.clone() });
        let writing = tokio::spawn(async move { shared.journal(move |journal| journal.note(&record)).await });
        self.approving = Some((ApprovedPlan { plan, hash }, writing));
    }

    fn approved(&mut self, written: Result<(), FaultError>) {
        match (written, self.approving.take()) {
            (Ok(()), Some((approved, _))) => {
                let plan = approved.hash.clone();
                self.approved = Some(approved);
                self.shared.reporter.reply(Reply::Approved { plan });
            }
            (Err(e), _) => self.shared.reporter.reply(Reply::Refused { message: e.message, hint: e.hint }),
            (Ok(()), None) => {}
        }
    }

    fn grant(&mut self, grant: Grant) {
        let slots = self.handles.iter().map(|(slot, h)| (slot.clone(), h.is_over())).collect();
        let checked = grant::check(self.approved.as_ref(), &grant, &slots, Boot::now());
        let (planned, lasts) = match (checked, &self.approved, &self.closing) {
            (Ok(planned), Some(approved), None) => (planned.clone(), approved.plan.lasts_at_most.get()),
            (Err(e), _, _) => return self.shared.reporter.injection(&grant.slot, InjectionState::Refused(e)),
            _ => {
                let e = FaultError::new("not injected: the run ends");
                return self.shared.reporter.injection(&grant.slot, InjectionState::Refused(e));
            }
        };
        let deadline = *self.deadline.get_or_insert_with(|| Boot::now().plus(lasts));
        let order = Order {
            slot: grant.slot,
            spec: planned.with.clone(),
            target: grant.target,
            hold: planned.hold.map(crate::literal::Duration::get),
            deadline,
            planned: Some(planned.clone()),
            tell: None,
        };
        self.begin(&planned.fault, order);
    }

    fn start_system(&mut self, process: &SystemProcess) {
        let slot = format!("system.{}", process.name);
        let refused = match serde_json::to_value(process) {
            _ if self.closing.is_some() => FaultError::new("not started: the run ends"),
            _ if self.handles.contains_key(&slot) => FaultError::new("not started: it was started before"),
            Ok(spec) => {
                let order = Order {
                    slot,
                    spec,
                    target: system_target(&self.shared.run, &process.name),
                    hold: None,
                    deadline: Boot(u64::MAX),
                    planned: None,
                    tell: None,
                };
                return self.begin(SYSTEM_PROCESS, order);
            }
            Err(e) => FaultError::new(format!("not started: {e}")),
        };
        self.shared.reporter.injection(&slot, InjectionState::Refused(refused));
    }

    /// Starts the task of one injection.
    fn begin(&mut self, kind: &str, order: Order) {
        let slot = order.slot.clone();
        match injection::start(&self.shared, kind, order) {
            Ok(handle) => {
                self.handles.insert(slot, handle);
            }
            Err(e) => self.shared.reporter.injection(&slot, InjectionState::Refused(e)),
        }
    }

    fn all(&self) -> Vec<Handle> {
        self.handles.values().filter(|h| !h.is_over()).cloned().collect()
    }

    fn faults(&self) -> Vec<Handle> {
        self.handles.values().filter(|h| !h.is_over() && !h.slot.starts_with("system.")).cloned().collect()
    }

    /// Puts the journal away if nothing is left, and says what is.
    async fn finish(&mut self) -> Vec<String> {
        let scaffolds = self.shared.scaffolds.handles();
        let standing = scaffolds.iter().filter(|h| !h.is_over()).cloned().collect();
        take_down(standing, "the run ends".into(), self.bounds()).await;
        self.handles.extend(scaffolds.into_iter().map(|h| (h.slot.clone(), h)));
        for handle in self.all() {
            self.shared.reporter.injection(&handle.slot, InjectionState::Residue(FaultError::new(hangs(handle.progress()))));
        }
        let left = |h: &&Handle| h.left_residue() || !h.is_over();
        let residue: Vec<String> = self.handles.values().filter(left).map(|h| h.slot.clone()).collect();
        if residue.is_empty() {
            let shared = Arc::clone(&self.shared);
            let finishing = self.shared.journal(move |journal| journal.finish(&shared.state));
            let finished = tokio::time::timeout(WRITTEN_WITHIN, finishing).await;
            if let Err(e) = finished.unwrap_or_else(|_| Err(FaultError::new("its disk does not answer"))) {
                self.shared.reporter.note(format!("everything is taken back, but its journal stays: {e}"));
            }
        }
        self.shared.reporter.written().await;
        self.shared.reporter.last_reply(Reply::Closed { residue: residue.clone() });
        residue
    }
}

/// What is known of one that does not end.
fn hangs(progress: Progress) -> &'static str {
    match progress {
        Progress::Preparing => "nothing was injected, but its undo may be on disk: the journal's disk does not answer",
        Progress::InForce | Progress::Stuck => "a call of this fault has not ended, and nothing is taken back before it has",
        Progress::Gone | Progress::Over { .. } => "it is taken back, but that cannot be written down: the journal's disk does not answer",
    }
}

/// Looks at the lever every second, for as long as somebody listens.
fn watch_lever(shared: &Arc<Shared>) -> watch::Receiver<Option<Pulled>> {
    let (seen, pulled) = watch::channel(None);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            let now = shared.lever.pulled().await;
            seen.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
            tokio::select! {
                () = seen.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    });
    pulled
}

async fn written(approving: &mut Option<(ApprovedPlan, JoinHandle<Result<(), FaultError>>)>) -> Result<(), FaultError> {
    match approving {
        Some((_, writing)) => writing.await.unwrap_or_else(|e| Err(FaultError::new(format!("a defect while journaling: {e}")))),
        None => std::future::pending().await,
    }
}

async fn closed(closing: &mut Option<JoinHandle<()>>) {
    match closing {
        Some(down) => {
            let _ = down.await;
        }
        None => std::future::pending().await,
    }
}

fn system_target(run: &str, name: &str) -> Target {
    let id = InjectionId { run: run.to_owned(), slot: format!("system.{name}") };
    Target {
        identity: Identity(format!("system:{id}")),
        label: name.to_owned(),
        place: "here".into(),
        order: name.to_owned(),
        healthy: true,
        started: 0,
        groups: BTreeMap::new(),
        facets: Facets::default(),
    }
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> (rustix::process::Signal, &'static str) {
        use rustix::process::Signal;
        tokio::select! {
            _ = self.terminate.recv() => (Signal::TERM, "SIGTERM"),
            _ = self.interrupt.recv() => (Signal::INT, "SIGINT"),
            _ = self.hang_up.recv() => (Signal::HUP, "SIGHUP"),
        }
    }
}
