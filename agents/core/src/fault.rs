//! The contract of a fault.
//!
//! # Expected flow
//! 1. `prepare` reads the world, chooses every name, captures what was there before, and returns the [`Fault::Undo`].
//! 2. The journal puts the undo on disk and hands back an [`Armed`], holding the undo *as read back from those bytes*.
//! 3. `stage` makes our own, tagged objects only (a backup, an empty table, a helper); the journal notes it.
//! 4. `inject` takes the `Armed` by value and has the effect. `inspect` proves it.
//! 5. `revert` takes it back; `inspect` proves that nothing is left.
//!
//! # Guarantees to an author
//! - inject, adjust and revert of one injection run one after the other in one task and are never dropped half-way.
//! - `revert` and `inspect` get the undo alone: after a crash there is nothing else.
//!
//! # What an author guarantees
//! - `revert` is idempotent. It tolerates inject never run, half run, and itself run twice; it removes only what bears
//!   our tag and restores a captured value only where the present value is still ours.
//! - `inject` works in bounded steps and asks [`Armed::cancelled`] between them.
//! - Nothing learned during inject is *needed* by revert; [`Observed`] may only improve it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::clock::Boot;
use crate::target::{Facet, Target};

/// A boxed future, for the erased layer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a fault acts on: a host, a Docker engine, a cluster, a proxy. Each crate defines its own.
pub trait World: Send + Sync + 'static {
    /// The part of the world that can only be read.
    type View: Send + Sync;
    /// The read-only part.
    fn view(&self) -> &Self::View;
}

/// One fault, typed for its author. One file and one line in a table make a new one.
///
/// # Errors
/// All methods speak [`FaultError`]: what was being done, to what, and what happened.
pub trait Fault: Send + Sync + 'static {
    /// What it acts on.
    type World: World;
    /// The fault's own fields under `with:`. Documented: its schema is the reference page.
    type Spec: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// The record that suffices, by itself, to take the injection back. Old versions stay readable.
    type Undo: Serialize + DeserializeOwned + Send + Sync;
    /// Unique over all tables; never renamed once shipped. `process.pause`.
    const KIND: &'static str;

    /// What kind of fault this is.
    fn profile(&self) -> Profile;

    /// Errors in the spec that need no world, by path inside `with:`.
    fn check(&self, _spec: &Self::Spec) -> Vec<SpecError> {
        Vec::new()
    }

    /// What makes a target set unfit, as far as the file alone shows it: its kind is one that the fault takes, and `selector` says whom it
    /// finds. Most faults can take whatever their kinds of target find.
    fn fits(&self, _spec: &Self::Spec, _selector: &Value) -> Option<SpecError> {
        None
    }

    /// Can this very spec be reverted? Most faults answer from the profile.
    fn reversibility(&self, _spec: &Self::Spec) -> Reversibility {
        self.profile().reversibility
    }

    /// The spec with what it names looked up: host names become addresses. Asked once, when the run is planned; what it gives stands in
    /// the plan and is what is prepared later, so that nothing is harmed that no plan showed.
    fn looked_up(&self, spec: Self::Spec, _view: &<Self::World as World>::View) -> Result<Self::Spec, FaultError> {
        Ok(spec)
    }

    /// Reads the world, refuses what cannot be done, and writes down how to take it back.
    fn prepare(
        &self,
        spec: &Self::Spec,
        target: &Target,
        injection: &InjectionId,
        view: &<Self::World as World>::View,
    ) -> impl Future<Output = Result<Prepared<Self::Undo>, FaultError>> + Send;

    /// Makes our own tagged objects, before the effect. May write its progress nowhere but into them.
    fn stage(&self, _armed: &Armed<Self::Undo>, _world: &Self::World) -> impl Future<Output = Result<(), FaultError>> + Send {
        async { Ok(()) }
    }

    /// Has the effect.
    fn inject(&self, armed: Armed<Self::Undo>, world: &Self::World) -> impl Future<Output = Result<Observed, FaultError>> + Send;

    /// Changes the strength of a running injection (ramps). Only for fields that the profile lists as rampable.
    fn adjust(&self, _spec: &Self::Spec, _undo: &Self::Undo, _world: &Self::World) -> impl Future<Output = Result<(), FaultError>> + Send {
        async { Err(FaultError::new("this fault cannot be adjusted while it acts")) }
    }

    /// Is the effect there, and did anything meet it?
    fn inspect(&self, undo: &Self::Undo, view: &<Self::World as World>::View) -> impl Future<Output = Result<Presence, FaultError>> + Send;

    /// Would this injection and another of its plan act on the same thing, although what they claim differs? Says what they share:
    /// `TCP from port 8001 on lo`. Asked of any two that may be in force at one moment, either way round.
    fn meets(&self, _undo: &Self::Undo, _other: &str, _others_undo: &UndoJson) -> Option<String> {
        None
    }

    /// How long an effect of this very injection may still arrive after its request was given up.
    fn settle(&self, _undo: &Self::Undo) -> Duration {
        self.profile().settle
    }

    /// Takes it back.
    fn revert(&self, undo: &Self::Undo, world: &Self::World) -> impl Future<Output = Result<Reverted, FaultError>> + Send;

    /// The same as shell commands for a person (`chaos recover --print`). Quoted, never run by us.
    fn explain(&self, undo: &Self::Undo) -> Vec<String>;
}

/// What `prepare` gives: the undo and what it implies.
#[derive(Debug, Clone)]
pub struct Prepared<U> {
    /// How to take it back.
    pub undo: U,
    /// What nobody else may touch meanwhile: `pid:123@456`, `file:/srv/m/x`. Exclusive on this host (RULES 7, 8).
    pub claims: Vec<String>,
    /// Sentences for the plan: what will be lost, who else feels it, what is kept.
    pub notes: Vec<String>,
    /// Who else feels it, when the reach is wider than the target: count and top names.
    pub bystanders: Bystanders,
    /// The grade this very injection has, where it differs from the profile's.
    pub grade: Option<Grade>,
    /// Whether this very injection can be taken back, where that hangs on its target: what removes itself as it ends does not come back.
    pub reversibility: Option<Reversibility>,
    /// What feels this very injection, where it differs from the profile's: a fault on one port reaches less than one on a namespace.
    pub reach: Option<Reach>,
    /// What it stands on, brought up before it and taken back after the last that stands on it (RULES 8).
    pub scaffolds: Vec<Scaffold>,
}

impl<U> Prepared<U> {
    /// With no claims, notes or bystanders.
    pub fn new(undo: U) -> Self {
        Self {
            undo,
            claims: Vec::new(),
            notes: Vec::new(),
            bystanders: Bystanders::default(),
            grade: None,
            reversibility: None,
            reach: None,
            scaffolds: Vec::new(),
        }
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, claim: impl Into<String>) -> Self {
        self.claims.push(claim.into());
        self
    }

    /// Adds a sentence for the plan.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same around an undo of another type.
    pub(crate) fn map<V>(self, f: impl FnOnce(U) -> V) -> Prepared<V> {
        let Self { undo, claims, notes, bystanders, grade, reversibility, reach, scaffolds } = self;
        Prepared { undo: f(undo), claims, notes, bystanders, grade, reversibility, reach, scaffolds }
    }
}

/// A shared base: the hook of an interface, a redirect, an overlay (RULES 8).
///
/// It alone captures and restores what was there before. The executor brings it up before the first injection of a run that
/// names it, as a journaled injection of its own, and takes it back when the last one is gone:
/// ```text
/// net.root on eth0 ──┬── net.delay to 10.0.0.7     leaves: created and deleted by id,
///                    └── net.loss  to 10.0.0.8     in any order
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaffold {
    /// Kind of the internal fault that makes it: `net.root`.
    pub fault: String,
    /// That fault's spec.
    pub spec: Value,
    /// What it claims as a whole: the same claim is the same scaffold. Another run's is refused.
    pub claim: String,
    /// What a person calls it: `eth0 of the network namespace 4026531840`.
    pub label: String,
}

/// Who feels a fault although it is not the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bystanders {
    /// How many.
    pub count: u64,
    /// The first few by name.
    pub names: Vec<String>,
}

/// The id of one planned injection, unique within its run: `2.0.1` is step 2, repetition 0, slot 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct InjectionId {
    /// The run.
    pub run: String,
    /// Its place in the plan.
    pub slot: String,
}

impl InjectionId {
    /// The mark that every object made for this injection carries, in name, argv or environ.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("chaos-{}-{}", self.run, self.slot)
    }
}

impl std::fmt::Display for InjectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.run, self.slot)
    }
}

/// Permission to have an effect. Only the journal makes one, after the undo is on disk; it is moved into `inject`.
#[derive(Debug)]
pub struct Armed<U> {
    id: InjectionId,
    deadline: Boot,
    cancel: tokio::sync::watch::Receiver<bool>,
    undo: U,
}

impl<U> Armed<U> {
    /// For the erased layer and the journal; nobody else has the bytes that were fsynced.
    pub(crate) fn new(id: InjectionId, deadline: Boot, cancel: tokio::sync::watch::Receiver<bool>, undo: U) -> Self {
        Self { id, deadline, cancel, undo }
    }

    /// Which injection this is.
    #[must_use]
    pub fn id(&self) -> &InjectionId {
        &self.id
    }

    /// When the effect must be gone, whatever happens.
    #[must_use]
    pub fn deadline(&self) -> Boot {
        self.deadline
    }

    /// Has somebody asked to stop? A long inject asks between its steps, and returns [`FaultError::cancelled`].
    #[must_use]
    pub fn cancelled(&self) -> bool {
        crate::failpoint::reach(crate::failpoint::MID_INJECT, &self.id.slot);
        *self.cancel.borrow()
    }

    /// The undo, as decoded from the bytes that were fsynced.
    #[must_use]
    pub fn undo(&self) -> &U {
        &self.undo
    }

    /// The same permission around an undo of another type: JSON on one side of the erasure, typed on the other.
    pub(crate) fn with_undo<V>(&self, undo: V) -> Armed<V> {
        Armed { id: self.id.clone(), deadline: self.deadline, cancel: self.cancel.clone(), undo }
    }

    pub(crate) fn map<V>(self, f: impl FnOnce(U) -> V) -> Armed<V> {
        Armed { id: self.id, deadline: self.deadline, cancel: self.cancel, undo: f(self.undo) }
    }
}

/// What was learned while injecting; never needed by revert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Sentences for timeline and report: `4 processes stopped`.
    pub notes: Vec<String>,
}

impl Observed {
    /// With one sentence.
    pub fn note(text: impl Into<String>) -> Self {
        Self { notes: vec![text.into()] }
    }
}

/// What revert did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reverted {
    /// Sentences for the report: `kept the file that the system wrote since`.
    pub notes: Vec<String>,
    /// What had met it by its end, counted in the very act of ending it: no look from outside comes so late. None: nobody counts, or it
    /// was gone before. Unknown: the last count is lost, so what was counted before it is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<Met>,
}

impl Reverted {
    /// With one sentence.
    pub fn note(text: impl Into<String>) -> Self {
        Self { notes: vec![text.into()], met: None }
    }

    /// With what had met it by its end.
    #[must_use]
    pub fn met(mut self, met: Option<Met>) -> Self {
        self.met = met;
        self
    }
}

/// The two answers of `inspect` (RULES 31).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Is the effect where we put it?
    pub in_place: InPlace,
    /// Did anything meet it?
    pub met: Met,
    /// Set when somebody else ended or changed it, or the target is gone: says what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

impl Presence {
    /// In place as a whole, and certainly felt.
    #[must_use]
    pub fn whole() -> Self {
        Self { in_place: InPlace::Whole, met: Met::Unknown, finding: None }
    }

    /// Nothing there.
    #[must_use]
    pub fn none() -> Self {
        Self { in_place: InPlace::None, met: Met::Unknown, finding: None }
    }

    /// A part of it is there.
    #[must_use]
    pub fn partial(finding: impl Into<String>) -> Self {
        Self { in_place: InPlace::Partial, met: Met::Unknown, finding: Some(finding.into()) }
    }

    /// With what met it.
    #[must_use]
    pub fn met(mut self, met: Met) -> Self {
        self.met = met;
        self
    }

    /// With what was found.
    #[must_use]
    pub fn finding(mut self, finding: impl Into<String>) -> Self {
        self.finding = Some(finding.into());
        self
    }
}

/// Is the effect where we put it?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// Nothing of it.
    None,
    /// Some of it.
    Partial,
    /// All of it.
    Whole,
}

/// Did anything meet the effect? From kernel counters where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Met {
    /// Nobody can say.
    Unknown,
    /// Nothing did: present but idle.
    Idle,
    /// So many times.
    Count(u64),
}

impl Met {
    /// So many times, or not at all.
    #[must_use]
    pub fn times(count: u64) -> Self {
        if count == 0 { Self::Idle } else { Self::Count(count) }
    }
}

/// How a fault describes itself: everything that plan, guard, executor, reference page and tests need to know.
#[derive(Debug, Clone)]
pub struct Profile {
    /// One line: what it does.
    pub summary: &'static str,
    /// A paragraph or two for the reference page: mechanism, what is felt, what is kept, limits.
    pub about: &'static str,
    /// An inject step, as YAML, that is valid as it stands.
    pub example: &'static str,
    /// The kinds of target it takes: `processes`, `files`.
    pub takes: &'static [&'static str],
    /// The facets it needs of its target.
    pub facets: &'static [Facet],
    /// What it needs to be allowed: `root or the target's user`.
    pub privileges: &'static str,
    /// What feels it.
    pub reach: Reach,
    /// Can it be taken back?
    pub reversibility: Reversibility,
    /// What its effect survives.
    pub persistence: Persistence,
    /// Nothing happens until somebody reads or restarts (LANGUAGE section 5).
    pub latent: bool,
    /// Where, beside the journal, the undo can be found.
    pub second_net: SecondNet,
    /// How long an effect asked of another server may still arrive after the request was given up; the most that [`Fault::settle`] says.
    /// Zero for local faults. Waited for where nobody knows that every request was answered: where stage or inject failed, was stopped
    /// half-way, or died (RULES 1).
    pub settle: Duration,
    /// How long taking it back may take.
    pub revert_budget: Duration,
    /// Fields of the spec that `ramp` may move.
    pub rampable: &'static [&'static str],
    /// Order of reverting between classes.
    pub class: Class,
    /// Not offered in experiments: the runner's own.
    pub internal: bool,
}

/// What feels a fault. Ordered: a wider reach must be allowed in words (RULES 26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Reach {
    /// The target alone (a process and, where meant, its tree; a file).
    #[serde(rename = "target")]
    Target,
    /// Everything in the target's control group.
    #[serde(rename = "cgroup")]
    Cgroup,
    /// Everything in the network namespace.
    #[serde(rename = "network namespace")]
    NetworkNamespace,
    /// Everything that writes to the file system.
    #[serde(rename = "file system")]
    FileSystem,
    /// Everything on the host.
    #[serde(rename = "host")]
    Host,
    /// Everything on the Kubernetes node.
    #[serde(rename = "node")]
    Node,
    /// Everything in the cluster.
    #[serde(rename = "cluster")]
    Cluster,
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Target => "target",
            Self::Cgroup => "cgroup",
            Self::NetworkNamespace => "network namespace",
            Self::FileSystem => "file system",
            Self::Host => "host",
            Self::Node => "node",
            Self::Cluster => "cluster",
        })
    }
}

/// Can it be taken back?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    /// As it was, to the byte.
    Exact,
    /// Taken back, but something is lost; the plan lists what.
    WithLoss,
    /// Nothing is claimed undone; recovery is observed.
    Irreversible,
}

/// What the effect survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// The kernel or a lifeline removes it when the executor dies.
    DiesWithExecutor,
    /// It stays until reboot.
    UntilReboot,
    /// It survives a reboot. Refused where the journal would not.
    Durable,
}

/// What is promised of one injection, whatever dies (RULES 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The effect dies with the executor.
    Bound,
    /// The executor takes it back alone when the coordinator is gone.
    Leased,
    /// The undo waits on disk for the next `chaos` command or boot.
    Recorded,
}

/// Where, beside the journal, the undo can be found (RULES 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondNet {
    /// Every object made carries the run's tag.
    Tag,
    /// The undo is stored beside the effect.
    Stamp,
    /// None; the plan says so.
    None,
}

/// Order of reverting between classes; the system under test comes down last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Thaw, continue: whatever stands still must run before anything else can be asked of it.
    Process,
    /// Limits and helpers.
    Resource,
    /// Network.
    Network,
    /// Files and disks.
    File,
    /// API objects.
    Api,
    /// The processes of `system:`.
    System,
}

/// An error in a spec, by path inside the spec (`delay`, `peers[2]`). Core knows paths, never places in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecError {
    /// Path inside the spec; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl SpecError {
    /// An error at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a fault could not be prepared, injected, inspected or reverted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct FaultError {
    /// What was being done, to what, and what happened: `stop process 4711 (ranker): operation not permitted`.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Stopped because [`Armed::cancelled`] said so; not a failure.
    pub cancelled: bool,
    /// The target no longer exists.
    pub gone: bool,
}

impl FaultError {
    /// A failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, cancelled: false, gone: false }
    }

    /// Stopped half-way because it was asked to.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { message: "stopped half-way, as asked".into(), hint: None, cancelled: true, gone: false }
    }

    /// The target does not exist any more.
    pub fn gone(message: impl Into<String>) -> Self {
        Self { gone: true, ..Self::new(message) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The erased undo, as it stands in the journal.
pub type UndoJson = Value;
