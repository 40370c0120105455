//! Kinds of target (`processes`, `files` …): typed for their authors, erased for everybody else.

use std::future::Future;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Population, ResolveContext, ResolveError};
use crate::experiment::SystemProcess;
use crate::fault::{BoxFuture, SpecError};

/// One kind of target: finds members by a selector. Read-only. One file and one line in a table make a new one.
pub trait TargetKind: Send + Sync + 'static {
    /// The fields of the selector, all of which must match. Documented: the schema is the reference page.
    type Selector: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// The word in the file; always plural.
    const KIND: &'static str;

    /// How it describes itself.
    fn profile(&self) -> TargetKindProfile;

    /// Errors in a selector that need no world, by path.
    fn check(&self, _selector: &Self::Selector) -> Vec<SpecError> {
        Vec::new()
    }

    /// Why this set and another of the same kind and file cannot both be, by path in this one's selector. Needs no world.
    fn excludes(&self, _selector: &Self::Selector, _other: &Self::Selector) -> Option<SpecError> {
        None
    }

    /// The processes that must stand for the whole run so that the members exist: proxies. Started as processes of `system:`, before the
    /// baseline, and stopped at the end. Those that stand already are not among them.
    ///
    /// # Errors
    /// If one can never stand.
    fn system(&self, _set: &str, _selector: &Self::Selector, _context: &ResolveContext) -> Result<Vec<SystemProcess>, ResolveError> {
        Ok(Vec::new())
    }

    /// Finds everything that matches, healthy or not.
    ///
    /// # Errors
    /// Whenever the population is not known for certain, is empty, or holds something that is never a target.
    fn resolve(&self, selector: &Self::Selector, context: &ResolveContext)
    -> impl Future<Output = Result<Population, ResolveError>> + Send;
}

/// How a kind of target describes itself.
#[derive(Debug, Clone)]
pub struct TargetKindProfile {
    /// One line: what is found.
    pub summary: &'static str,
    /// A paragraph or two for the reference page: what counts as one member, what is refused, what is not seen.
    pub about: &'static str,
    /// The example shown in reference and hints: one entry under `targets:`, as YAML.
    pub example: &'static str,
}

/// A [`TargetKind`] without its types.
pub trait AnyTargetKind: Send + Sync {
    /// The word in the file; always plural.
    fn kind(&self) -> &'static str;
    /// How it describes itself.
    fn profile(&self) -> TargetKindProfile;
    /// The schema of the selector.
    fn schema(&self) -> Schema;
    /// Errors in a selector that need no world, by path.
    fn check(&self, selector: &Value) -> Vec<SpecError>;
    /// See [`TargetKind::excludes`]; selectors that do not decode exclude nothing, for their own errors are told.
    fn excludes(&self, selector: &Value, other: &Value) -> Option<SpecError>;
    /// See [`TargetKind::system`].
    ///
    /// # Errors
    /// As there.
    fn system(&self, set: &str, selector: &Value, context: &ResolveContext) -> Result<Vec<SystemProcess>, ResolveError>;
    /// See [`TargetKind::resolve`].
    fn resolve<'a>(&'a self, selector: &'a Value, context: &'a ResolveContext) -> BoxFuture<'a, Result<Population, ResolveError>>;
}

/// Every kind of target that this program can find.
#[derive(Default)]
pub struct TargetKindTable {
    kinds: Vec<Box<dyn AnyTargetKind>>,
}

impl TargetKindTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind: the one line that a new kind costs.
    ///
    /// # Panics
    /// If the word is taken: a defect, found by the first test that builds the table.
    #[must_use]
    pub fn with<K: TargetKind>(mut self, kind: K) -> Self {
        assert!(self.get(K::KIND).is_none(), "two kinds of target are called {}", K::KIND);
        self.kinds.push(Box::new(Erased(kind)));
        self
    }

    /// The kind of this name.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&dyn AnyTargetKind> {
        self.iter().find(|k| k.kind() == kind)
    }

    /// All of them, in the order added.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyTargetKind> {
        self.kinds.iter().map(AsRef::as_ref)
    }

    /// Joins another table to this one.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.kinds.extend(other.kinds);
        self
    }
}

struct Erased<K>(K);

impl<K: TargetKind> AnyTargetKind for Erased<K> {
    fn kind(&self) -> &'static str {
        K::KIND
    }

    fn profile(&self) -> TargetKindProfile {
        self.0.profile()
    }

    fn schema(&self) -> Schema {
        SchemaGenerator::default().into_root_schema_for::<K::Selector>()
    }

    fn check(&self, selector: &Value) -> Vec<SpecError> {
        match crate::table::decode_spec::<K::Selector>(selector) {
            Ok(selector) => self.0.check(&selector),
            Err(e) => vec![e],
        }
    }

    fn excludes(&self, selector: &Value, other: &Value) -> Option<SpecError> {
        let decoded = |selector: &Value| crate::table::decode_spec::<K::Selector>(selector).ok();
        self.0.excludes(&decoded(selector)?, &decoded(other)?)
    }

    fn system(&self, set: &str, selector: &Value, context: &ResolveContext) -> Result<Vec<SystemProcess>, ResolveError> {
        self.0.system(set, &decode::<K>(selector)?, context)
    }

    fn resolve<'a>(&'a self, selector: &'a Value, context: &'a ResolveContext) -> BoxFuture<'a, Result<Population, ResolveError>> {
        Box::pin(async move { self.0.resolve(&decode::<K>(selector)?, context).await })
    }
}

fn decode<K: TargetKind>(selector: &Value) -> Result<K::Selector, ResolveError> {
    crate::table::decode_spec(selector)
        .map_err(|e| ResolveError { hint: e.hint, ..ResolveError::new(format!("{}: {}", K::KIND, e.message)) })
}
