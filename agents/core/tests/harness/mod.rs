//! A small coordinator: makes plans by hand, grants, and listens.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

pub mod crash;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chaos_core::clock::Boot;
use chaos_core::event::{InjectionState, What};
use chaos_core::fault::{Bystanders, Grade, Reach, Reversibility};
use chaos_core::link::{ExecutorLink, Heard, LinkError};
use chaos_core::plan::{Grant, Plan, PlannedInjection};
use chaos_core::target::{Facets, Identity, Target};
use chaos_core::wire::{Begin, Reply, Request};
use serde_json::Value;

/// Nothing here takes longer, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A plan of these injections.
pub fn plan(run: &str, injections: Vec<PlannedInjection>) -> Plan {
    Plan {
        run: run.into(),
        experiment: "test".into(),
        seed: 1,
        at_once: 100,
        injections,
        not_drawn: vec![],
        populations: vec![],
        lasts_at_most: Duration::from_secs(600).into(),
        notes: vec![],
    }
}

/// One injection, held until asked unless said otherwise.
pub fn injection(slot: &str, fault: &str, with: Value, target: Target) -> PlannedInjection {
    PlannedInjection {
        slot: slot.into(),
        step: slot.into(),
        fault: fault.into(),
        with,
        set: "targets".into(),
        target,
        at: Duration::ZERO.into(),
        hold: None,
        grade: Grade::Leased,
        reversibility: Reversibility::Exact,
        reach: Reach::Target,
        revert_budget: Duration::from_secs(1).into(),
        latent: false,
        second_net: String::new(),
        notes: vec![],
        undo: vec![],
        bystanders: Bystanders::default(),
    }
}

/// Something with a name and nothing else.
pub fn target(name: &str) -> Target {
    Target {
        identity: Identity(name.into()),
        label: name.into(),
        place: "here".into(),
        order: name.into(),
        healthy: true,
        started: 0,
        groups: BTreeMap::new(),
        facets: Facets::default(),
    }
}

/// The first message.
pub fn begin(run: &str, state: &Path, lease: Duration) -> Begin {
    let folder = state.join("runs").join(run);
    std::fs::create_dir_all(&folder).unwrap();
    Begin { run: run.into(), chaos: "0.1.0".into(), run_folder: folder, secrets: BTreeMap::new(), lease: lease.into() }
}

/// A grant, as of now.
pub fn grant(plan: &Plan, slot: &str) -> Grant {
    let target = plan.injection(slot).map_or_else(|| target("nobody"), |i| i.target.clone());
    Grant { slot: slot.into(), plan: plan.hash(), target, issued: Boot::now() }
}

/// Starts an executor from a script that was just written: while another thread forks, its child has the script open for
/// writing for an instant, and the kernel refuses to execute it.
pub async fn spawn(program: &Path, state: &Path, run: &str, lease: Duration) -> Result<ExecutorLink, LinkError> {
    loop {
        match ExecutorLink::spawn(program, state, begin(run, state, lease)).await {
            Err(e) if e.message.contains("Text file busy") => tokio::time::sleep(Duration::from_millis(5)).await,
            spawned => return spawned,
        }
    }
}

/// A coordinator that remembers everything it heard.
pub struct Coordinator {
    pub link: ExecutorLink,
    pub states: Vec<(String, InjectionState)>,
    pub replies: Vec<Reply>,
    pub notes: Vec<String>,
    pub lost: Option<String>,
    pub recovered: Option<(Vec<String>, String)>,
    /// What is said to be taken back by recovery.
    pub reverted: Vec<String>,
}

impl Coordinator {
    pub fn new(link: ExecutorLink) -> Self {
        Self { link, states: vec![], replies: vec![], notes: vec![], lost: None, recovered: None, reverted: vec![] }
    }

    pub async fn approve(&mut self, plan: &Plan) {
        self.link.send(Request::Approve(Box::new(plan.clone()))).await;
        self.until("the plan is approved", |c| c.replies.iter().any(|r| matches!(r, Reply::Approved { .. }))).await;
    }

    pub async fn grant(&mut self, plan: &Plan, slot: &str) {
        self.link.send(Request::Grant(Box::new(grant(plan, slot)))).await;
    }

    /// Listens until something is so.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !so(self) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let heard = tokio::time::timeout(left, self.link.next()).await;
            let heard = heard.unwrap_or_else(|_| panic!("waited in vain until {what}; heard {:#?} {:?}", self.states, self.notes));
            self.hear(heard);
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Reply(Reply::Event(event)) => match event.what {
                What::Injection { slot, state } => self.states.push((slot, state)),
                other => self.notes.push(format!("{other:?}")),
            },
            Heard::Reply(reply) => self.replies.push(reply),
            Heard::Lost { message } => self.lost = Some(message),
            Heard::Recovered { residue, reverted, message } => {
                self.recovered = Some((residue, message));
                self.reverted = reverted;
            }
        }
    }

    pub fn has(&self, slot: &str, is: impl Fn(&InjectionState) -> bool) -> bool {
        self.states.iter().any(|(s, state)| s == slot && is(state))
    }

    pub async fn until_state(&mut self, slot: &str, what: &str, is: impl Fn(&InjectionState) -> bool) {
        self.until(&format!("{slot} is {what}"), |c| c.has(slot, &is)).await;
    }

    pub async fn until_present(&mut self, slot: &str) {
        self.until_state(slot, "present", |s| matches!(s, InjectionState::Present(_))).await;
    }

    pub async fn until_reverted(&mut self, slot: &str) {
        self.until_state(slot, "reverted", |s| matches!(s, InjectionState::Reverted { .. })).await;
    }

    /// Closes the run; the slots that are residue.
    pub async fn close(&mut self) -> Vec<String> {
        self.link.send(Request::Close).await;
        self.closed().await
    }

    pub fn has_closed(&self) -> bool {
        self.replies.iter().any(|r| matches!(r, Reply::Closed { .. }))
    }

    pub async fn closed(&mut self) -> Vec<String> {
        let residue = |r: &Reply| if let Reply::Closed { residue } = r { Some(residue.clone()) } else { None };
        self.until("the executor has closed", |c| c.replies.iter().any(|r| residue(r).is_some())).await;
        self.replies.iter().find_map(residue).unwrap_or_default()
    }

    /// Why a slot was refused.
    pub async fn refusal(&mut self, slot: &str) -> String {
        self.until_state(slot, "refused", |s| matches!(s, InjectionState::Refused(_))).await;
        let refused = self.states.iter().find_map(|(s, state)| match state {
            InjectionState::Refused(e) if s == slot => Some(e.message.clone()),
            _ => None,
        });
        refused.unwrap_or_default()
    }

    /// The names of a slot's states, in order, repeats left out.
    pub fn story(&self, slot: &str) -> Vec<&'static str> {
        let mut story: Vec<&'static str> = self.states.iter().filter(|(s, _)| s == slot).map(|(_, state)| name(state)).collect();
        story.dedup();
        story
    }
}

pub fn name(state: &InjectionState) -> &'static str {
    match state {
        InjectionState::Granted(_) => "granted",
        InjectionState::Refused(_) => "refused",
        InjectionState::Intended { .. } => "intended",
        InjectionState::Staged => "staged",
        InjectionState::Injected { .. } => "injected",
        InjectionState::Present(_) => "present",
        InjectionState::Adjusted { .. } => "adjusted",
        InjectionState::Failed(_) => "failed",
        InjectionState::RevertAsked { .. } => "revert asked",
        InjectionState::RevertFailed(_) => "revert failed",
        InjectionState::Reverted { .. } => "reverted",
        InjectionState::Residue(_) => "residue",
    }
}

/// Waits for something outside of any executor.
pub fn eventually(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`eventually`], while links of this thread go on listening.
pub async fn becomes(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
