//! The contract of a probe: a question asked repeatedly. It never judges.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::fault::{BoxFuture, SpecError};
use crate::target::Target;
use crate::value::{FieldType, FieldValue};

/// What one question was answered. `latency` is not in it: the prober measures that itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    fields: Vec<(&'static str, FieldValue)>,
}

impl Answer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: FieldValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// A field by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// A question that got no answer: `connection refused`. Becomes a bad sample with this reason, never an error of the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A probe that cannot even be opened (a CA file that is not there). Refuses the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProbeError {
    /// What was being opened and what happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// How a question will be asked; given when a probe is opened.
#[derive(Debug, Clone)]
pub struct Asking {
    /// After this the prober gives up on an answer.
    pub timeout: Duration,
    /// How many questions can be in flight at once: ⌈timeout/every⌉ × 1.5 (RULES 30).
    pub in_flight_max: usize,
    /// The fields that `good:` and the objectives read; nothing else need be filled.
    pub wanted: BTreeSet<String>,
    /// The members of the target set in `of:`, for probes that look at targets.
    pub targets: Vec<Target>,
    /// Relative paths start at the experiment's folder.
    pub folder: std::path::PathBuf,
}

/// One kind of question, typed for its author. One file and one line in a table make a new one.
pub trait Probe: Send + Sync + 'static {
    /// The probe's own fields under `with:`.
    type Spec: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// What is kept between questions: connections, parsed requests.
    type Client: Send + Sync + 'static;
    /// Its name in the file.
    const KIND: &'static str;

    /// How it describes itself.
    fn profile(&self) -> ProbeProfile;

    /// Errors in the spec, by path inside `with:`.
    fn check(&self, _spec: &Self::Spec) -> Vec<SpecError> {
        Vec::new()
    }

    /// Gets ready to ask. Secrets are filled in by now.
    ///
    /// # Errors
    /// If no question could ever be asked this way.
    fn open(&self, spec: Self::Spec, asking: &Asking) -> impl Future<Output = Result<Self::Client, ProbeError>> + Send;

    /// Asks once. The prober watches the timeout and may drop this future.
    fn ask(client: &Self::Client) -> impl Future<Output = Result<Answer, NoAnswer>> + Send;
}

/// How a probe describes itself.
#[derive(Debug, Clone)]
pub struct ProbeProfile {
    /// One line: what it asks.
    pub summary: &'static str,
    /// A paragraph for the reference page.
    pub about: &'static str,
    /// A hypothesis, as YAML, that is valid as it stands.
    pub example: &'static str,
    /// The fields of its answer, `latency` excepted.
    pub fields: &'static [ProbeField],
    /// What is good where the file does not say; none: `good:` is required.
    pub good: Option<&'static str>,
    /// The kinds of target that `of:` may name; empty: no `of:`.
    pub of: &'static [&'static str],
}

/// One field of an answer.
#[derive(Debug, Clone, Copy)]
pub struct ProbeField {
    /// Its name in expressions.
    pub name: &'static str,
    /// Its type.
    pub is: FieldType,
    /// What it means, with its unit.
    pub about: &'static str,
}

/// A [`Probe`] without its types.
pub trait AnyProbe: Send + Sync {
    /// Its name in the file.
    fn kind(&self) -> &'static str;
    /// How it describes itself.
    fn profile(&self) -> ProbeProfile;
    /// The schema of its `with:`.
    fn schema(&self) -> Schema;
    /// Errors in a spec, by path.
    fn check(&self, spec: &Value) -> Vec<SpecError>;
    /// See [`Probe::open`].
    fn open<'a>(&'a self, spec: &'a Value, asking: &'a Asking) -> BoxFuture<'a, Result<Arc<dyn AnyClient>, ProbeError>>;
}

/// An opened probe.
pub trait AnyClient: Send + Sync {
    /// See [`Probe::ask`].
    fn ask(&self) -> BoxFuture<'_, Result<Answer, NoAnswer>>;
}

/// Every probe that this program can ask.
#[derive(Default)]
pub struct ProbeTable {
    probes: Vec<Box<dyn AnyProbe>>,
}

impl ProbeTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a probe: the one line that a new probe costs.
    ///
    /// # Panics
    /// If the kind is taken.
    #[must_use]
    pub fn with<P: Probe>(mut self, probe: P) -> Self {
        assert!(self.get(P::KIND).is_none(), "two probes are called {}", P::KIND);
        self.probes.push(Box::new(Erased(probe)));
        self
    }

    /// The probe of this name.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&dyn AnyProbe> {
        self.iter().find(|p| p.kind() == kind)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyProbe> {
        self.probes.iter().map(AsRef::as_ref)
    }

    /// Joins another table to this one.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.probes.extend(other.probes);
        self
    }
}

struct Erased<P>(P);

struct Opened<P: Probe>(P::Client);

impl<P: Probe> AnyProbe for Erased<P> {
    fn kind(&self) -> &'static str {
        P::KIND
    }

    fn profile(&self) -> ProbeProfile {
        self.0.profile()
    }

    fn schema(&self) -> Schema {
        SchemaGenerator::default().into_root_schema_for::<P::Spec>()
    }

    fn check(&self, spec: &Value) -> Vec<SpecError> {
        match crate::table::decode_spec::<P::Spec>(spec) {
            Ok(spec) => self.0.check(&spec),
            Err(e) => vec![e],
        }
    }

    fn open<'a>(&'a self, spec: &'a Value, asking: &'a Asking) -> BoxFuture<'a, Result<Arc<dyn AnyClient>, ProbeError>> {
        Box::pin(async move {
            let spec = crate::table::decode_spec::<P::Spec>(spec)
                .map_err(|e| ProbeError { message: format!("{}: {}", P::KIND, e.message), hint: e.hint })?;
            let client = self.0.open(spec, asking).await?;
            Ok(Arc::new(Opened::<P>(client)) as Arc<dyn AnyClient>)
        })
    }
}

impl<P: Probe> AnyClient for Opened<P> {
    fn ask(&self) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        Box::pin(P::ask(&self.0))
    }
}
