//! Faults erased over JSON, so that journal and executor stay uniform.
//!
//! ```text
//! Fault (typed, by its author) ── bound to its World ──▶ AnyFault (JSON) ──▶ Table
//! ```

use std::sync::Arc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::{
    Armed, BoxFuture, Fault, FaultError, InjectionId, Observed, Prepared, Presence, Profile, Reversibility, Reverted, SpecError, UndoJson,
    World,
};
use crate::target::Target;

/// A [`Fault`] without its types, bound to the world it acts on.
pub trait AnyFault: Send + Sync {
    /// Its name in the file.
    fn kind(&self) -> &'static str;
    /// What kind of fault it is.
    fn profile(&self) -> Profile;
    /// The schema of its `with:`.
    fn schema(&self) -> Schema;
    /// Errors in a spec, by path.
    fn check(&self, spec: &Value) -> Vec<SpecError>;
    /// See [`Fault::fits`]; a spec that does not decode fits, for its own errors are told.
    fn fits(&self, spec: &Value, selector: &Value) -> Option<SpecError>;
    /// Can this very spec be reverted? A spec that does not decode counts as irreversible.
    fn reversibility(&self, spec: &Value) -> Reversibility;
    /// See [`Fault::looked_up`].
    ///
    /// # Errors
    /// If a name is not known.
    fn looked_up(&self, spec: &Value) -> Result<Value, FaultError>;
    /// See [`Fault::prepare`].
    fn prepare<'a>(
        &'a self,
        spec: &'a Value,
        target: &'a Target,
        id: &'a InjectionId,
    ) -> BoxFuture<'a, Result<Prepared<UndoJson>, FaultError>>;
    /// See [`Fault::stage`].
    fn stage<'a>(&'a self, armed: &'a Armed<UndoJson>) -> BoxFuture<'a, Result<(), FaultError>>;
    /// See [`Fault::inject`].
    fn inject<'a>(&'a self, armed: Armed<UndoJson>) -> BoxFuture<'a, Result<Observed, FaultError>>;
    /// See [`Fault::adjust`].
    fn adjust<'a>(&'a self, spec: &'a Value, undo: &'a UndoJson) -> BoxFuture<'a, Result<(), FaultError>>;
    /// See [`Fault::inspect`].
    fn inspect<'a>(&'a self, undo: &'a UndoJson) -> BoxFuture<'a, Result<Presence, FaultError>>;
    /// See [`Fault::settle`]; that of an undo that cannot be read is the profile's.
    fn settle(&self, undo: &UndoJson) -> Duration;
    /// See [`Fault::revert`].
    fn revert<'a>(&'a self, undo: &'a UndoJson) -> BoxFuture<'a, Result<Reverted, FaultError>>;
    /// See [`Fault::meets`]; undos that cannot be read meet nothing.
    fn meets(&self, undo: &UndoJson, other: &str, others_undo: &UndoJson) -> Option<String>;
    /// See [`Fault::explain`]; an unreadable undo is said to be so.
    fn explain(&self, undo: &UndoJson) -> Vec<String>;
}

/// Every fault that this program can do, assembled in one place.
#[derive(Default)]
pub struct Table {
    faults: Vec<Box<dyn AnyFault>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault, bound to its world. This is the one line that a new fault costs.
    ///
    /// # Panics
    /// If the kind is taken: two faults of one name are a defect, found by the first test that builds the table.
    #[must_use]
    pub fn with<F: Fault>(mut self, fault: F, world: &Arc<F::World>) -> Self {
        assert!(self.get(F::KIND).is_none(), "two faults are called {}", F::KIND);
        self.faults.push(Box::new(Bound { fault, world: Arc::clone(world) }));
        self
    }

    /// The fault of this name.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&dyn AnyFault> {
        self.faults.iter().map(AsRef::as_ref).find(|f| f.kind() == kind)
    }

    /// All of them, in the order added.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyFault> {
        self.faults.iter().map(AsRef::as_ref)
    }

    /// Joins another table to this one.
    ///
    /// # Panics
    /// If both have a fault of one name: a defect, found by the first test that builds the table.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for fault in other.faults {
            assert!(self.get(fault.kind()).is_none(), "two faults are called {}", fault.kind());
            self.faults.push(fault);
        }
        self
    }
}

struct Bound<F: Fault> {
    fault: F,
    world: Arc<F::World>,
}

impl<F: Fault> AnyFault for Bound<F> {
    fn kind(&self) -> &'static str {
        F::KIND
    }

    fn profile(&self) -> Profile {
        self.fault.profile()
    }

    fn schema(&self) -> Schema {
        SchemaGenerator::default().into_root_schema_for::<F::Spec>()
    }

    fn check(&self, spec: &Value) -> Vec<SpecError> {
        match decode_spec::<F::Spec>(spec) {
            Ok(spec) => self.fault.check(&spec),
            Err(e) => vec![e],
        }
    }

    fn fits(&self, spec: &Value, selector: &Value) -> Option<SpecError> {
        self.fault.fits(&decode_spec::<F::Spec>(spec).ok()?, selector)
    }

    fn reversibility(&self, spec: &Value) -> Reversibility {
        decode_spec::<F::Spec>(spec).map_or(Reversibility::Irreversible, |s| self.fault.reversibility(&s))
    }

    fn looked_up(&self, spec: &Value) -> Result<Value, FaultError> {
        let spec = decode_spec::<F::Spec>(spec).map_err(|e| FaultError::new(format!("{}: {}", F::KIND, e.message)))?;
        encode(F::KIND, &self.fault.looked_up(spec, self.world.view())?)
    }

    fn prepare<'a>(
        &'a self,
        spec: &'a Value,
        target: &'a Target,
        id: &'a InjectionId,
    ) -> BoxFuture<'a, Result<Prepared<UndoJson>, FaultError>> {
        Box::pin(async move {
            let spec = decode_spec::<F::Spec>(spec).map_err(|e| FaultError::new(format!("{}: {}", F::KIND, e.message)))?;
            let p = self.fault.prepare(&spec, target, id, self.world.view()).await?;
            let undo = encode(F::KIND, &p.undo)?;
            Ok(p.map(|_| undo))
        })
    }

    fn stage<'a>(&'a self, armed: &'a Armed<UndoJson>) -> BoxFuture<'a, Result<(), FaultError>> {
        Box::pin(async move {
            let undo = decode_undo::<F::Undo>(F::KIND, armed.undo())?;
            self.fault.stage(&armed.with_undo(undo), &self.world).await
        })
    }

    fn inject<'a>(&'a self, armed: Armed<UndoJson>) -> BoxFuture<'a, Result<Observed, FaultError>> {
        Box::pin(async move {
            let undo = decode_undo::<F::Undo>(F::KIND, armed.undo())?;
            self.fault.inject(armed.map(|_| undo), &self.world).await
        })
    }

    fn adjust<'a>(&'a self, spec: &'a Value, undo: &'a UndoJson) -> BoxFuture<'a, Result<(), FaultError>> {
        Box::pin(async move {
            let spec = decode_spec::<F::Spec>(spec).map_err(|e| FaultError::new(e.message))?;
            let undo = decode_undo::<F::Undo>(F::KIND, undo)?;
            self.fault.adjust(&spec, &undo, &self.world).await
        })
    }

    fn inspect<'a>(&'a self, undo: &'a UndoJson) -> BoxFuture<'a, Result<Presence, FaultError>> {
        Box::pin(async move {
            let undo = decode_undo::<F::Undo>(F::KIND, undo)?;
            self.fault.inspect(&undo, self.world.view()).await
        })
    }

    fn settle(&self, undo: &UndoJson) -> Duration {
        decode_undo::<F::Undo>(F::KIND, undo).map_or_else(|_| self.fault.profile().settle, |undo| self.fault.settle(&undo))
    }

    fn revert<'a>(&'a self, undo: &'a UndoJson) -> BoxFuture<'a, Result<Reverted, FaultError>> {
        Box::pin(async move {
            let undo = decode_undo::<F::Undo>(F::KIND, undo)?;
            self.fault.revert(&undo, &self.world).await
        })
    }

    fn meets(&self, undo: &UndoJson, other: &str, others_undo: &UndoJson) -> Option<String> {
        self.fault.meets(&decode_undo::<F::Undo>(F::KIND, undo).ok()?, other, others_undo)
    }

    fn explain(&self, undo: &UndoJson) -> Vec<String> {
        match decode_undo::<F::Undo>(F::KIND, undo) {
            Ok(undo) => self.fault.explain(&undo),
            Err(e) => vec![format!("# {}", e.message)],
        }
    }
}

pub(crate) fn decode_spec<T: DeserializeOwned>(spec: &Value) -> Result<T, SpecError> {
    serde_path_to_error::deserialize(spec).map_err(|e| {
        let path = e.path().to_string();
        SpecError::new(if path == "." { String::new() } else { path }, e.into_inner().to_string())
    })
}

fn decode_undo<T: DeserializeOwned>(kind: &str, undo: &UndoJson) -> Result<T, FaultError> {
    T::deserialize(undo).map_err(|e| {
        FaultError::new(format!("read the undo of {kind}: {e}")).hint("was it written by a newer chaos? recover with that version")
    })
}

fn encode<T: Serialize>(kind: &str, what: &T) -> Result<Value, FaultError> {
    serde_json::to_value(what).map_err(|e| FaultError::new(format!("write down what is known of {kind}: {e}")))
}
