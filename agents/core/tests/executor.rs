//! The executor, driven through its link, with faults that misbehave as they are told.

mod fakes;
mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chaos_core::event::InjectionState as S;
use chaos_core::experiment::SystemProcess;
use chaos_core::fault::InPlace;
use chaos_core::journal::{Journal, Status};
use chaos_core::plan::Plan;
use chaos_core::recover::{Standing, survey};
use chaos_core::state_dir::StateDir;
use chaos_core::wire::{Reply, Request};
use fakes::{FILE, Spec, read_log};
use harness::{Coordinator, becomes, eventually, grant, injection, plan, spawn, target};

const LEASE: Duration = Duration::from_secs(10);

/// A state directory, a folder for effects, and the program.
struct Place {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
    /// Lines of shell before the program.
    first: &'static str,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("effects")).unwrap();
        Self { folder, env: vec![], first: "" }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn effect(&self, name: &str) -> PathBuf {
        self.folder.path().join("effects").join(name)
    }

    fn spec(&self, name: &str) -> Spec {
        Spec { path: self.effect(name), ..Spec::default() }
    }

    /// The executor with this place's environment, as a script of its own: tests run beside one another.
    fn program(&self) -> PathBuf {
        let program = Path::new(env!("CARGO_BIN_EXE_fake-executor"));
        let exports: String = self.env.iter().map(|(k, v)| format!("export {k}='{v}'\n")).collect();
        let script = self.folder.path().join("program");
        std::fs::write(&script, format!("#!/bin/sh\n{exports}{}\nexec '{}' \"$@\"\n", self.first, program.display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        script
    }

    async fn start(&self, lease: Duration) -> Coordinator {
        StateDir::open(&self.state()).unwrap();
        let link = spawn(&self.program(), &self.state(), "r1", lease).await;
        Coordinator::new(link.unwrap())
    }

    async fn approved(&self, plan: &Plan) -> Coordinator {
        let mut coordinator = self.start(LEASE).await;
        coordinator.approve(plan).await;
        coordinator
    }

    /// A plan of one injection, `1.0.0`.
    fn one(&self, spec: &Spec) -> Plan {
        plan("r1", vec![injection("1.0.0", FILE, spec.json(), target("a"))])
    }

    fn finished(&self) -> bool {
        self.state().join("journals/done/r1.journal").exists()
    }
}

#[tokio::test]
async fn an_injection_is_intended_staged_injected_inspected_and_taken_back() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    assert!(spec.path.exists());
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(!spec.path.exists());
    assert_eq!(c.story("1.0.0"), ["intended", "staged", "injected", "present", "revert asked", "reverted"]);
    assert_eq!(read_log(&spec.path), ["stage", "inject", "effect", "revert", "gone"]);
    assert!(place.finished());
    let events = std::fs::read_to_string(place.state().join("runs/r1/executor.jsonl")).unwrap();
    assert!(events.lines().last().unwrap().contains("reverted"), "the executor's own record has the proof: {events}");
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_counts_from_the_effect() {
    let place = Place::new();
    let mut plan = place.one(&Spec { steps: 3, step_ms: 100, ..place.spec("a") });
    plan.injections[0].hold = Some(Duration::from_millis(400).into());
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_state("1.0.0", "injected", |s| matches!(s, S::Injected { .. })).await;
    let effect = Instant::now();
    c.until_reverted("1.0.0").await;
    assert!(effect.elapsed() >= Duration::from_millis(350), "{:?}", effect.elapsed());
    assert!(c.has("1.0.0", |s| matches!(s, S::RevertAsked { because } if because == "held for 400ms")));
}

#[tokio::test]
async fn rule_01_a_revert_starts_only_when_the_inject_has_really_ended() {
    let place = Place::new();
    // Deaf to being cancelled, as a request that was sent already.
    let spec = Spec { steps: 10, step_ms: 50, deaf: true, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    becomes("the inject is under way", || read_log(&spec.path).contains(&"inject".to_owned())).await;
    c.link.send(Request::Revert { slots: vec![], because: "asked".into() }).await;
    c.until_reverted("1.0.0").await;
    assert_eq!(read_log(&spec.path), ["stage", "inject", "effect", "revert", "gone"]);
    assert!(!spec.path.exists());
}

#[tokio::test]
async fn rule_01_an_inject_that_listens_stops_half_way() {
    let place = Place::new();
    let spec = Spec { steps: 10_000, step_ms: 10, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    becomes("the inject is under way", || read_log(&spec.path).contains(&"inject".to_owned())).await;
    assert_eq!(c.close().await, Vec::<String>::new());
    assert_eq!(read_log(&spec.path), ["stage", "inject", "revert", "gone"]);
    assert!(!c.has("1.0.0", |s| matches!(s, S::Failed(_))), "being stopped is no failure");
}

#[tokio::test]
async fn what_fails_half_way_is_taken_back() {
    let place = Place::new();
    let spec = Spec { fails: true, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_reverted("1.0.0").await;
    assert_eq!(c.story("1.0.0"), ["intended", "staged", "failed", "revert asked", "reverted"]);
    assert!(!spec.path.exists());
}

#[tokio::test]
async fn rule_11_a_revert_that_fails_is_tried_again_and_holds_up_nobody_else() {
    let place = Place::new();
    let bad = Spec { revert_fails: 4, ..place.spec("a") };
    let good = place.spec("b");
    let later = place.spec("c");
    let plan = plan(
        "r1",
        vec![
            injection("1.0.0", FILE, bad.json(), target("a")),
            injection("1.0.1", FILE, good.json(), target("b")),
            injection("1.0.2", fakes::API, later.json(), target("c")),
        ],
    );
    let mut c = place.approved(&plan).await;
    for slot in ["1.0.0", "1.0.1", "1.0.2"] {
        c.grant(&plan, slot).await;
        c.until_present(slot).await;
    }
    assert_eq!(c.close().await, Vec::<String>::new());
    let failures = c.states.iter().filter(|(s, state)| s == "1.0.0" && matches!(state, S::RevertFailed(_))).count();
    assert_eq!(failures, 4);
    let order: Vec<&str> = c.states.iter().filter(|(_, s)| matches!(s, S::Reverted { .. })).map(|(slot, _)| slot.as_str()).collect();
    assert_eq!(order.last(), Some(&"1.0.0"), "the others, a later class among them, did not wait: {order:?}");
}

#[tokio::test]
async fn rule_11_after_its_bound_it_is_residue_and_recovery_tries_again() {
    let place = Place::new().env("FAKE_GIVE_UP_MS", "300");
    let spec = Spec { revert_fails: 8, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    assert_eq!(c.close().await, ["1.0.0"]);
    assert!(c.has("1.0.0", |s| matches!(s, S::Residue(_))));
    assert!(!place.finished());
    let state = StateDir::open(&place.state()).unwrap();
    becomes("the executor has ended", || survey(&state).is_ok_and(|f| f[0].standing == Standing::Residue)).await;
    assert_eq!(survey(&state).unwrap()[0].contents.entries[0].status, Status::Residue);
    recover_until_clean(&place);
    assert!(!spec.path.exists());
}

/// As a person would: again, until it says that nothing is left.
fn recover_until_clean(place: &Place) {
    eventually("recovery finds nothing left", || {
        let mut command = std::process::Command::new(place.program());
        let command = command.args(["executor", "--state-dir"]).arg(place.state()).args(["--recover", "r1"]);
        command.output().unwrap().status.success()
    });
    assert!(place.finished());
}

#[tokio::test]
async fn rule_24_only_what_the_plan_approved_is_done_and_only_once_and_only_fresh() {
    let place = Place::new();
    let spec = place.spec("a");
    let mut plan = plan(
        "r1",
        vec![
            injection("1.0.0", FILE, spec.json(), target("a")),
            injection("1.0.1", FILE, place.spec("b").json(), target("b")),
            injection("1.0.2", FILE, place.spec("c").json(), target("untouchable")),
        ],
    );
    plan.at_once = 1;
    let mut c = place.start(LEASE).await;
    c.grant(&plan, "1.0.0").await;
    assert!(c.refusal("1.0.0").await.contains("no plan has been approved"));
    c.approve(&plan).await;
    c.grant(&plan, "9.9.9").await;
    assert!(c.refusal("9.9.9").await.contains("the plan has no injection 9.9.9"));

    let mut other = plan.clone();
    other.seed = 2;
    c.states.clear();
    c.grant(&other, "1.0.0").await;
    assert!(c.refusal("1.0.0").await.contains("another plan"));

    let mut stale = grant(&plan, "1.0.0");
    stale.issued = stale.issued.minus(Duration::from_secs(6));
    c.states.clear();
    c.link.send(Request::Grant(Box::new(stale))).await;
    assert!(c.refusal("1.0.0").await.contains("good for 5 s"));

    c.grant(&plan, "1.0.2").await;
    assert!(c.refusal("1.0.2").await.contains("untouchable"));

    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    c.states.clear();
    c.grant(&plan, "1.0.0").await;
    assert!(c.refusal("1.0.0").await.contains("was granted before"));
    c.grant(&plan, "1.0.1").await;
    assert!(c.refusal("1.0.1").await.contains("allows 1 at once"));

    c.link.send(Request::Approve(Box::new(other))).await;
    c.until("a second plan is refused", |c| c.replies.iter().any(|r| matches!(r, Reply::Refused { .. }))).await;
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(!place.effect("b").exists() && !place.effect("c").exists());
    assert_eq!(read_log(&place.effect("b")), Vec::<String>::new());
}

#[tokio::test]
async fn rule_08_a_claim_of_another_run_refuses_and_names_it() {
    let place = Place::new();
    let claims = vec!["file:x".to_owned()];
    let plan = plan(
        "r1",
        vec![
            injection("1.0.0", FILE, Spec { claims: claims.clone(), ..place.spec("a") }.json(), target("a")),
            injection("1.0.1", FILE, Spec { claims, ..place.spec("b") }.json(), target("b")),
        ],
    );
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    c.grant(&plan, "1.0.1").await;
    let refusal = c.refusal("1.0.1").await;
    assert!(refusal.contains("file:x is held by injection 1.0.0 of run r1"), "{refusal}");
    c.close().await;
}

#[tokio::test]
async fn what_is_taken_back_may_be_claimed_again_at_once() {
    let place = Place::new();
    let spec = Spec { claims: vec!["file:x".into()], ..place.spec("a") };
    let slots: Vec<String> = (0..20).map(|n| format!("{n}.0.0")).collect();
    let plan = plan("r1", slots.iter().map(|slot| injection(slot, FILE, spec.json(), target("a"))).collect());
    let mut c = place.approved(&plan).await;
    for slot in &slots {
        c.grant(&plan, slot).await;
        c.until_present(slot).await;
        c.link.send(Request::Revert { slots: vec![slot.clone()], because: "asked".into() }).await;
        c.until_reverted(slot).await;
    }
    assert_eq!(c.close().await, Vec::<String>::new());
}

/// Leaves that stand on one base: their files, and the base's.
fn leaves(place: &Place, base: Spec, count: usize) -> Plan {
    let leaf = |n: usize| Spec { stands_on: Some(Box::new(base.clone())), ..place.spec(&format!("leaf {n}")) };
    let slot = |n: usize| format!("1.0.{n}");
    plan("r1", (0..count).map(|n| injection(&slot(n), FILE, leaf(n).json(), target(&slot(n)))).collect())
}

#[tokio::test]
async fn rule_08_a_scaffold_comes_before_the_first_leaf_and_goes_after_the_last_whatever_their_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let place = Place::new();
        let base = place.spec("base");
        let plan = leaves(&place, base.clone(), 3);
        let mut c = place.approved(&plan).await;
        for injection in &plan.injections {
            c.grant(&plan, &injection.slot).await;
            c.until_present(&injection.slot).await;
        }
        for n in order {
            assert!(base.path.exists(), "something stands on it");
            let slot = format!("1.0.{n}");
            c.link.send(Request::Revert { slots: vec![slot.clone()], because: "asked".into() }).await;
            c.until_reverted(&slot).await;
        }
        c.until_reverted("scaffold.1").await;
        assert!(!base.path.exists());
        assert_eq!(read_log(&base.path), ["stage", "inject", "effect", "revert", "gone"], "once, for all of them");
        assert_eq!(c.close().await, Vec::<String>::new());
        assert!(place.finished());
    }
}

#[tokio::test]
async fn rule_08_a_scaffold_that_cannot_be_brought_up_refuses_its_leaf_and_is_taken_back() {
    let place = Place::new();
    let base = Spec { fails: true, ..place.spec("base") };
    let plan = leaves(&place, base.clone(), 1);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    let refusal = c.refusal("1.0.0").await;
    assert!(refusal.contains("the base: it broke half-way"), "{refusal}");
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(!base.path.exists() && !place.effect("leaf 0").exists());
}

#[tokio::test]
async fn rule_08_what_comes_while_a_scaffold_goes_waits_and_brings_up_its_own() {
    let place = Place::new();
    let base = Spec { revert_ms: 200, ..place.spec("base") };
    let plan = leaves(&place, base.clone(), 5);
    let mut c = place.approved(&plan).await;
    for injection in &plan.injections {
        c.grant(&plan, &injection.slot).await;
        c.until_present(&injection.slot).await;
        assert!(base.path.exists());
        c.link.send(Request::Revert { slots: vec![injection.slot.clone()], because: "asked".into() }).await;
        c.until_reverted(&injection.slot).await;
    }
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(!base.path.exists());
}

#[tokio::test]
async fn rule_08_a_scaffold_that_stays_is_residue() {
    let place = Place::new().env("FAKE_GIVE_UP_MS", "300");
    let base = Spec { revert_fails: 1_000, ..place.spec("base") };
    let plan = leaves(&place, base.clone(), 1);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    assert_eq!(c.close().await, ["scaffold.1"]);
    assert!(base.path.exists() && !place.effect("leaf 0").exists());
}

#[tokio::test]
async fn rule_08_recovery_takes_the_leaves_back_before_what_they_stand_on() {
    let place = Place::new();
    let base = place.spec("base");
    let plan = leaves(&place, base.clone(), 3);
    let mut c = place.approved(&plan).await;
    for injection in &plan.injections {
        c.grant(&plan, &injection.slot).await;
        c.until_present(&injection.slot).await;
    }
    kill(executor_of(&place.state()));
    c.until("the executor is recovered", |c| c.recovered.is_some()).await;
    assert_eq!(c.recovered.clone().unwrap().0, Vec::<String>::new());
    assert!(!base.path.exists() && (0..3).all(|n| !place.effect(&format!("leaf {n}")).exists()));
    assert_eq!(c.reverted.last().unwrap(), "scaffold.1");
    assert!(place.finished());
}

#[tokio::test]
async fn rule_36_the_lever_takes_everything_back_within_seconds_and_forbids_more() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = plan("r1", vec![injection("1.0.0", FILE, spec.json(), target("a")), injection("1.0.1", FILE, spec.json(), target("a"))]);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    chaos_core::lever::pull(&place.state().join("halt"), "enough").unwrap();
    c.until_reverted("1.0.0").await;
    assert!(!spec.path.exists());
    c.grant(&plan, "1.0.1").await;
    assert!(c.refusal("1.0.1").await.contains("enough"));
    assert!(c.notes.iter().any(|n| n.contains("Lever")), "{:?}", c.notes);
    assert_eq!(c.close().await, Vec::<String>::new());
}

#[tokio::test]
async fn rule_14_what_somebody_else_ended_is_not_applied_again() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    std::fs::remove_file(&spec.path).unwrap();
    c.until_reverted("1.0.0").await;
    assert!(c.has("1.0.0", |s| matches!(s, S::Present(p) if p.in_place == InPlace::None)));
    assert!(c.has("1.0.0", |s| matches!(s, S::RevertAsked { because } if because.contains("somebody else ended it"))));
    assert!(!spec.path.exists());
}

#[tokio::test]
async fn rule_10_the_deadline_takes_it_back_whatever_the_coordinator_wants() {
    let place = Place::new();
    let spec = place.spec("a");
    let mut plan = place.one(&spec);
    plan.lasts_at_most = Duration::from_millis(700).into();
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_reverted("1.0.0").await;
    assert!(c.has("1.0.0", |s| matches!(s, S::RevertAsked { because } if because == "deadline")));
    assert!(!spec.path.exists());
}

#[tokio::test]
async fn a_ramp_adjusts_what_is_in_force() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    let with = Spec { steps: 7, ..spec.clone() }.json();
    c.link.send(Request::Adjust { slot: "1.0.0".into(), with }).await;
    c.until_state("1.0.0", "adjusted", |s| matches!(s, S::Adjusted { .. })).await;
    assert!(read_log(&spec.path).contains(&"adjust 7".to_owned()));
    c.close().await;
}

fn system(place: &Place) -> SystemProcess {
    SystemProcess {
        name: "db".into(),
        run: vec!["db".into()],
        env: Default::default(),
        folder: place.folder.path().join("effects"),
        ready: None,
        log: None,
        restart_after: None,
        stop_grace: Duration::from_secs(1).into(),
    }
}

#[tokio::test]
async fn rule_39_the_system_comes_down_last() {
    let place = Place::new();
    let plan = plan("r1", vec![injection("1.0.0", FILE, Spec { revert_fails: 3, ..place.spec("a") }.json(), target("a"))]);
    let mut c = place.approved(&plan).await;
    c.link.send(Request::StartSystem(Box::new(system(&place)))).await;
    c.until_state("system.db", "injected", |s| matches!(s, S::Injected { .. })).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    c.link.send(Request::Revert { slots: vec![], because: "asked".into() }).await;
    c.until_reverted("1.0.0").await;
    assert!(place.effect("system").exists(), "every fault is taken back; the system stays");
    assert_eq!(c.close().await, Vec::<String>::new());
    let order: Vec<&str> = c.states.iter().filter(|(_, s)| matches!(s, S::Reverted { .. })).map(|(slot, _)| slot.as_str()).collect();
    assert_eq!(order, ["1.0.0", "system.db"]);
}

#[tokio::test]
async fn rule_39_when_the_executor_dies_the_system_stands_until_the_run_closes() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.link.send(Request::StartSystem(Box::new(system(&place)))).await;
    c.until_state("system.db", "injected", |s| matches!(s, S::Injected { .. })).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    kill(executor_of(&place.state()));
    c.until("the executor is recovered", |c| c.recovered.is_some()).await;
    assert_eq!((c.recovered.clone().unwrap().0, c.reverted.clone()), (vec![], vec!["1.0.0".to_owned()]));
    assert!(!spec.path.exists() && place.effect("system").exists(), "faults are taken back, the system is still watched");
    assert!(!place.finished());
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(!place.effect("system").exists());
    assert!(place.finished());
}

#[tokio::test]
async fn rule_06_a_closed_socket_is_a_dead_coordinator_and_silence_is_the_lease() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    let died = Instant::now();
    drop(c);
    becomes("the effect is gone", || !spec.path.exists()).await;
    assert!(died.elapsed() < Duration::from_secs(5), "at once, not after the lease: {:?}", died.elapsed());
    becomes("the journal is finished", || place.finished()).await;
}

#[test]
fn rule_06_a_coordinator_that_stands_still_loses_its_lease() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _link = runtime.block_on(async {
        let mut c = place.start(Duration::from_secs(2)).await;
        c.approve(&plan).await;
        c.grant(&plan, "1.0.0").await;
        c.until_present("1.0.0").await;
        c
    });
    // Nobody runs the runtime any more: its socket stays open, its heart stands still.
    eventually("the effect is gone", || !spec.path.exists());
    eventually("the journal is finished", || place.finished());
}

#[tokio::test]
async fn rule_12_no_room_for_the_journal_and_nothing_is_injected() {
    let place = Place::new();
    StateDir::open(&place.state()).unwrap();
    // The journal's own name is taken by something that cannot be written.
    std::fs::create_dir(place.state().join("journals/r1.journal")).unwrap();
    let link = spawn(&place.program(), &place.state(), "r1", LEASE).await;
    let refused = link.err().expect("nothing may begin");
    assert!(refused.message.contains("journals/r1.journal"), "{}", refused.message);
    let state = StateDir::open(&place.state()).unwrap();
    assert!(Journal::look(&state, "r1").is_err());
}

/// The journal can grow no more, as on a full disk: what is in force is taken back, and nothing new is done.
#[tokio::test]
async fn rule_12_when_the_journal_fails_everything_is_taken_back() {
    let mut place = Place::new();
    place.first = "trap '' XFSZ; ulimit -f 16";
    let spec = place.spec("a");
    let long = Spec { claims: vec!["x".repeat(20_000)], ..place.spec("b") };
    let plan = plan(
        "r1",
        vec![
            injection("1.0.0", FILE, spec.json(), target("a")),
            injection("1.0.1", FILE, long.json(), target("b")),
            injection("1.0.2", FILE, place.spec("c").json(), target("c")),
        ],
    );
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    c.grant(&plan, "1.0.1").await;
    let refusal = c.refusal("1.0.1").await;
    assert!(refusal.contains("write the journal"), "{refusal}");
    c.until_reverted("1.0.0").await;
    assert!(c.has("1.0.0", |s| matches!(s, S::Reverted { notes, .. } if notes.iter().any(|n| n.contains("not journaled")))));
    c.grant(&plan, "1.0.2").await;
    assert!(c.refusal("1.0.2").await.contains("write the journal"));
    assert_eq!(c.close().await, Vec::<String>::new());
    for effect in ["a", "b", "c"] {
        assert!(!place.effect(effect).exists(), "{effect}");
    }
    assert_eq!(read_log(&place.effect("b")), Vec::<String>::new(), "not even staged");
}

#[tokio::test]
async fn rule_09_a_dead_executor_is_recovered_at_once_and_the_coordinator_hears_it() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    kill(executor_of(&place.state()));
    c.until("the executor is recovered", |c| c.recovered.is_some()).await;
    assert!(c.lost.as_ref().unwrap().contains("signal: 9"), "{:?}", c.lost);
    let (residue, message) = c.recovered.clone().unwrap();
    assert_eq!(residue, Vec::<String>::new(), "{message}");
    assert_eq!(c.reverted, ["1.0.0"]);
    assert!(!spec.path.exists());
    assert!(place.finished());
    let events = std::fs::read_to_string(place.state().join("runs/r1/executor.jsonl")).unwrap();
    assert!(events.contains("recovery") && events.lines().last().unwrap().contains("reverted"), "{events}");
}

#[tokio::test]
async fn rule_09_an_executor_that_stands_still_is_replaced() {
    let place = Place::new();
    let spec = place.spec("a");
    let plan = place.one(&spec);
    let mut c = place.start(Duration::from_secs(2)).await;
    c.approve(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    signal(executor_of(&place.state()), rustix::process::Signal::STOP);
    c.until("the executor is recovered", |c| c.recovered.is_some()).await;
    assert!(c.lost.as_ref().unwrap().contains("silent"), "{:?}", c.lost);
    assert_eq!(c.recovered.clone().unwrap().0, Vec::<String>::new());
    assert!(!spec.path.exists());
}

/// An inspection that hangs, as on a mount whose server is gone, only reads: nothing is in force for longer because of it.
#[tokio::test]
async fn rule_10_an_inspection_that_hangs_keeps_nothing_in_force() {
    let place = Place::new();
    let spec = Spec { inspect_ms: 600_000, ..place.spec("a") };
    let mut plan = place.one(&spec);
    plan.injections[0].hold = Some(Duration::from_millis(100).into());
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_reverted("1.0.0").await;
    assert!(!spec.path.exists());
    assert_eq!(c.close().await, Vec::<String>::new());
}

#[tokio::test]
async fn rule_01_reading_the_world_ends_when_the_run_does() {
    let place = Place::new();
    let spec = Spec { prepare_ms: 600_000, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    assert_eq!(c.close().await, Vec::<String>::new());
    assert!(c.refusal("1.0.0").await.contains("the run ends"));
    assert_eq!(read_log(&spec.path), Vec::<String>::new());
}

/// What hangs in the kernel cannot be taken back before it ends; the run ends all the same, and says so.
#[tokio::test]
async fn rule_11_an_inject_that_never_ends_is_residue_and_does_not_keep_the_run() {
    let place = Place::new().env("FAKE_GIVE_UP_MS", "300");
    let spec = Spec { steps: 1, step_ms: 600_000, deaf: true, ..place.spec("a") };
    let plan = place.one(&spec);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    becomes("the inject is under way", || read_log(&spec.path).contains(&"inject".to_owned())).await;
    let process = system(&place);
    c.link.send(Request::StartSystem(Box::new(process))).await;
    c.until_state("system.db", "injected", |s| matches!(s, S::Injected { .. })).await;
    assert_eq!(c.close().await, ["1.0.0"]);
    assert!(c.has("1.0.0", |s| matches!(s, S::Residue(e) if e.message.contains("has not ended"))));
    assert!(!place.effect("system").exists(), "the system came down");
    let state = StateDir::open(&place.state()).unwrap();
    becomes("the executor has ended", || survey(&state).is_ok_and(|f| f[0].standing == Standing::Residue)).await;
    recover_until_clean(&place);
}

#[tokio::test]
async fn rule_07_what_is_left_stays_claimed_while_its_executor_lives() {
    let place = Place::new().env("FAKE_GIVE_UP_MS", "200");
    let claims = vec!["file:x".to_owned()];
    let left = Spec { revert_fails: 1_000_000, claims: claims.clone(), ..place.spec("a") };
    let next = Spec { claims, ..place.spec("b") };
    let plan = plan("r1", vec![injection("1.0.0", FILE, left.json(), target("a")), injection("1.0.1", FILE, next.json(), target("b"))]);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    c.until_present("1.0.0").await;
    c.link.send(Request::Revert { slots: vec![], because: "asked".into() }).await;
    c.until_state("1.0.0", "residue", |s| matches!(s, S::Residue(_))).await;
    c.grant(&plan, "1.0.1").await;
    assert!(c.refusal("1.0.1").await.contains("file:x is held by injection 1.0.0"));
    assert_eq!(c.close().await, ["1.0.0"]);
}

/// In a container the state directory is often forgotten with it; what has no undo needs none that lasts.
#[tokio::test]
async fn rule_12_what_outlives_its_undo_is_refused_and_what_has_none_is_not() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    std::fs::create_dir(folder.path().join("effects")).unwrap();
    let place = Place { folder, env: vec![], first: "" };
    if StateDir::open(&place.state()).unwrap().forgets().is_none() {
        return;
    }
    let gone = Spec { irreversible: true, ..place.spec("b") };
    let plan =
        plan("r1", vec![injection("1.0.0", FILE, place.spec("a").json(), target("a")), injection("1.0.1", FILE, gone.json(), target("b"))]);
    let mut c = place.approved(&plan).await;
    c.grant(&plan, "1.0.0").await;
    assert!(c.refusal("1.0.0").await.contains("would outlive its undo"));
    c.grant(&plan, "1.0.1").await;
    c.until_reverted("1.0.1").await;
    c.close().await;
}

/// What a launcher left open must not reach the system under test.
#[tokio::test]
async fn what_the_launcher_had_open_goes_no_further() {
    let mut place = Place::new();
    place.first = "exec 7</dev/null";
    let c = place.start(LEASE).await;
    let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/7", executor_of(&place.state()))).unwrap();
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap().trim();
    assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "close-on-exec: {info}");
    drop(c);
}

fn executor_of(state: &Path) -> i32 {
    let state = StateDir::open(state).unwrap();
    Journal::look(&state, "r1").unwrap().0.writer.unwrap().pid
}

fn kill(pid: i32) {
    signal(pid, rustix::process::Signal::KILL);
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}
