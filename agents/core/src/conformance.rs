//! The contract suite: what every fault of every table must hold, checked through the erased layer on a scene of its own.
//!
//! A crate's test goes through its table and gives a [`Stage`] for each kind; a fault without one fails the test.
//!
//! # What is checked
//! - `prepare` changes nothing; the undo comes back from its JSON text as it was.
//! - Revert without inject, after staging alone, after an inject that was asked to stop half-way, and twice: all leave the scene as it was.
//! - Inject makes `inspect` say *whole*, and an independent look sees a difference; after revert `inspect` says *none* and the look sees none.
//! - An irreversible fault is seen to act, and reverts without a word.
//!
//! A fault that stands on scaffolds gets them, as the executor would bring them up; *as it was* is then what they look like alone,
//! and when they have been taken back, too, what it was before.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Boot;
use crate::fault::{Armed, FaultError, InPlace, InjectionId, Prepared, Presence, Reversibility, UndoJson};
use crate::table::{AnyFault, Table};
use crate::target::Target;

/// How long an effect may take to be seen, or to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something to harm, fresh for one law.
pub struct Scene {
    /// The target.
    pub target: Target,
    /// What stands under `with:`.
    pub spec: Value,
    /// Looks at the target by other means than the fault's own: the same text means the same state.
    pub look: Box<dyn Fn() -> String + Send>,
    /// Whatever must live as long as the scene.
    pub keep: Box<dyn std::any::Any + Send>,
}

/// Makes a fresh [`Scene`].
pub type Stage<'a> = &'a dyn Fn() -> Scene;

/// Checks one fault against the whole contract; the table has what it stands on.
///
/// # Panics
/// At the first law that is broken, naming fault and law.
pub async fn check(table: &Table, fault: &dyn AnyFault, stage: Stage<'_>) {
    let irreversible = reversibility(fault, &stage()).await == Reversibility::Irreversible;
    the_profile_is_filled(fault);
    preparing_changes_nothing(fault, stage()).await;
    it_acts_and_is_taken_back(table, fault, stage(), irreversible).await;
    if !irreversible {
        reverting_without_inject_changes_nothing(table, fault, stage(), false).await;
        reverting_without_inject_changes_nothing(table, fault, stage(), true).await;
        a_half_run_inject_is_taken_back(table, fault, stage()).await;
    }
}

/// What only the journal can make: permission to inject, with a minute until its deadline. For tests that look closer than the suite.
#[must_use]
pub fn arm(id: InjectionId, undo: UndoJson) -> Armed<UndoJson> {
    let (_, asked) = watch::channel(false);
    Armed::new(id, Boot::now().plus(PATIENCE * 3), asked, undo)
}

fn the_profile_is_filled(fault: &dyn AnyFault) {
    let (kind, profile) = (fault.kind(), fault.profile());
    for (what, text) in
        [("summary", profile.summary), ("about", profile.about), ("example", profile.example), ("privileges", profile.privileges)]
    {
        assert!(!text.trim().is_empty(), "{kind}: the profile has no {what}");
    }
    assert!(profile.internal || profile.example.contains(kind), "{kind}: its example does not use it");
    assert!(profile.internal || !profile.takes.is_empty(), "{kind}: takes no kind of target");
}

async fn preparing_changes_nothing(fault: &dyn AnyFault, scene: Scene) {
    let kind = fault.kind();
    let before = (scene.look)();
    let undo = prepared(fault, &scene, &fresh_id()).await.undo;
    let now = looks(&scene, |now| now == before).await;
    assert_eq!(now, before, "{kind}: prepare changed the world");
    let text = serde_json::to_string(&undo).unwrap_or_default();
    let again: UndoJson = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(again, undo, "{kind}: the undo does not come back from its text");
    assert!(undo.get("version").is_some(), "{kind}: the undo has no version");
    assert!(!fault.explain(&undo).is_empty(), "{kind}: the undo does not explain itself");
    assert!(fault.explain(&Value::Null)[0].starts_with('#'), "{kind}: an unreadable undo must be said to be so");
}

/// As it is for this very scene.
async fn reversibility(fault: &dyn AnyFault, scene: &Scene) -> Reversibility {
    let prepared = prepared(fault, scene, &fresh_id()).await;
    prepared.reversibility.unwrap_or_else(|| fault.reversibility(&scene.spec))
}

async fn it_acts_and_is_taken_back(table: &Table, fault: &dyn AnyFault, scene: Scene, irreversible: bool) {
    let kind = fault.kind();
    let Ready { id, undo, ground } = Ready::new(table, fault, &scene).await;
    let before = ground.look.clone();
    let (_cancel, asked) = watch::channel(false);
    let armed = || Armed::new(id.clone(), Boot::now().plus(PATIENCE * 3), asked.clone(), undo.clone());
    fault.stage(&armed()).await.unwrap_or_else(|e| panic!("{kind}: stage: {e}"));
    fault.inject(armed()).await.unwrap_or_else(|e| panic!("{kind}: inject: {e}"));
    let presence = until(fault, &undo, InPlace::Whole).await;
    assert_eq!(presence.in_place, InPlace::Whole, "{kind}: injected, but inspect says {presence:?}");
    if irreversible {
        for _ in 0..2 {
            fault.revert(&undo).await.unwrap_or_else(|e| panic!("{kind}: revert of what cannot be reverted must be quiet: {e}"));
        }
        return;
    }
    // By other means the effect may be seen a little later than by the fault's own: a process exists before it has written what it writes.
    let now = looks(&scene, |now| now != before).await;
    assert_ne!(now, before, "{kind}: inspect says whole, but nothing is to be seen");
    for time in ["once", "twice"] {
        reverted(fault, &undo, &scene, &before, &format!("reverted {time}")).await;
    }
    ground.leave(&scene).await;
}

async fn reverting_without_inject_changes_nothing(table: &Table, fault: &dyn AnyFault, scene: Scene, staged: bool) {
    let kind = fault.kind();
    let Ready { id, undo, ground } = Ready::new(table, fault, &scene).await;
    if staged {
        let (_cancel, asked) = watch::channel(false);
        let armed = Armed::new(id, Boot::now().plus(PATIENCE), asked, undo.clone());
        fault.stage(&armed).await.unwrap_or_else(|e| panic!("{kind}: stage: {e}"));
    }
    let what = if staged { "staged, never injected, reverted" } else { "never injected, reverted" };
    reverted(fault, &undo, &scene, &ground.look, what).await;
    ground.leave(&scene).await;
}

async fn a_half_run_inject_is_taken_back(table: &Table, fault: &dyn AnyFault, scene: Scene) {
    let kind = fault.kind();
    let Ready { id, undo, ground } = Ready::new(table, fault, &scene).await;
    let (_cancel, asked) = watch::channel(true);
    let armed = || Armed::new(id.clone(), Boot::now().plus(PATIENCE), asked.clone(), undo.clone());
    let staged = fault.stage(&armed()).await;
    let done = match staged {
        Ok(()) => fault.inject(armed()).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        assert!(error.cancelled, "{kind}: asked to stop, it failed instead: {error}");
    }
    reverted(fault, &undo, &scene, &ground.look, "stopped half-way, reverted").await;
    ground.leave(&scene).await;
}

async fn reverted(fault: &dyn AnyFault, undo: &UndoJson, scene: &Scene, before: &str, what: &str) {
    let kind = fault.kind();
    fault.revert(undo).await.unwrap_or_else(|e| panic!("{kind}: {what}: {e}"));
    let presence = until(fault, undo, InPlace::None).await;
    assert_eq!(presence.in_place, InPlace::None, "{kind}: {what}, but inspect says {presence:?}");
    let now = looks(scene, |now| now == before).await;
    assert_eq!(now, before, "{kind}: {what}, but the world is not as it was");
}

/// Waits until the independent look is as wanted, at most [`PATIENCE`]; gives the last. Asserts are about that one: another look may
/// differ for reasons of its own, such as a busy machine.
async fn looks(scene: &Scene, wanted: impl Fn(&str) -> bool) -> String {
    let since = Instant::now();
    loop {
        let now = (scene.look)();
        if wanted(&now) || since.elapsed() > PATIENCE {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until(fault: &dyn AnyFault, undo: &UndoJson, wanted: InPlace) -> Presence {
    let since = Instant::now();
    loop {
        let presence = fault.inspect(undo).await.unwrap_or_else(|e| panic!("{}: inspect: {e}", fault.kind()));
        if presence.in_place == wanted || since.elapsed() > PATIENCE {
            return presence;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A fault that could be injected now.
struct Ready<'a> {
    id: InjectionId,
    undo: UndoJson,
    ground: Ground<'a>,
}

/// The scaffolds that it stands on, as they are brought up by the executor.
struct Ground<'a> {
    /// What the scene looked like without them.
    before: String,
    /// What it looks like with them alone.
    look: String,
    scaffolds: Vec<(&'a dyn AnyFault, UndoJson)>,
}

impl<'a> Ready<'a> {
    async fn new(table: &'a Table, fault: &dyn AnyFault, scene: &Scene) -> Self {
        let kind = fault.kind();
        let before = (scene.look)();
        let id = fresh_id();
        let prepared = prepared(fault, scene, &id).await;
        let mut scaffolds = Vec::new();
        for (n, scaffold) in prepared.scaffolds.iter().enumerate() {
            let base = table.get(&scaffold.fault).unwrap_or_else(|| panic!("{kind} stands on {}, which the table lacks", scaffold.fault));
            let id = InjectionId { slot: format!("scaffold.{n}"), ..id.clone() };
            let undo =
                base.prepare(&scaffold.spec, &scene.target, &id).await.unwrap_or_else(|e| panic!("{kind}: {}: {e}", base.kind())).undo;
            let armed = || arm(id.clone(), undo.clone());
            base.stage(&armed()).await.unwrap_or_else(|e| panic!("{kind}: {}: stage: {e}", base.kind()));
            base.inject(armed()).await.unwrap_or_else(|e| panic!("{kind}: {}: inject: {e}", base.kind()));
            let presence = until(base, &undo, InPlace::Whole).await;
            assert_eq!(presence.in_place, InPlace::Whole, "{kind}: {} was brought up, but inspect says {presence:?}", base.kind());
            scaffolds.push((base, undo));
        }
        Self { id, undo: prepared.undo, ground: Ground { before, look: (scene.look)(), scaffolds } }
    }
}

impl Ground<'_> {
    async fn leave(self, scene: &Scene) {
        for (base, undo) in self.scaffolds.iter().rev() {
            base.revert(undo).await.unwrap_or_else(|e| panic!("{}: revert: {e}", base.kind()));
            let presence = until(*base, undo, InPlace::None).await;
            assert_eq!(presence.in_place, InPlace::None, "{}: reverted, but inspect says {presence:?}", base.kind());
        }
        let now = looks(scene, |now| now == self.before).await;
        assert_eq!(now, self.before, "what it stood on was taken back, but the world is not as it was");
    }
}

fn fresh_id() -> InjectionId {
    InjectionId { run: format!("conformance-{:x}", Boot::now().0), slot: "0.0.0".into() }
}

async fn prepared(fault: &dyn AnyFault, scene: &Scene, id: &InjectionId) -> Prepared<UndoJson> {
    let errors = fault.check(&scene.spec);
    assert!(errors.is_empty(), "{}: the spec is refused: {errors:?}", fault.kind());
    let prepared = fault.prepare(&scene.spec, &scene.target, id).await;
    prepared.unwrap_or_else(|e: FaultError| panic!("{}: prepare: {e}", fault.kind()))
}
