//! Calling a fault: each call on a thread of its own, so that one which blocks holds up nobody else.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::fault::{Armed, FaultError, InjectionId, Observed, Prepared, Presence, Reverted, UndoJson};
use crate::table::{AnyFault, Table};
use crate::target::Target;

/// One fault of a table, for any thread.
#[derive(Clone)]
pub(crate) struct FaultCall {
    table: Arc<Table>,
    kind: Arc<str>,
    /// Locks that must not be released before the last call has really ended, whoever still waits for it.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

/// What came of staging, and the permission, to be moved into inject next.
pub(crate) struct Staged {
    pub(crate) armed: Armed<UndoJson>,
    pub(crate) staged: Result<(), FaultError>,
}

/// A call under way. Dropping it does not stop the call.
pub(crate) struct Call<T>(JoinHandle<T>);

impl<T> Call<Result<T, FaultError>> {
    /// What it came to. May be awaited again if it was not ready.
    pub(crate) async fn result(&mut self) -> Result<T, FaultError> {
        (&mut self.0).await.unwrap_or_else(|e| Err(FaultError::new(format!("a defect in this fault: {e}"))))
    }
}

impl FaultCall {
    pub(crate) fn new(table: &Arc<Table>, kind: &str) -> Result<Self, FaultError> {
        if table.get(kind).is_none() {
            return Err(
                FaultError::new(format!("this chaos knows no fault {kind}")).hint("was it planned by another version? see `chaos faults`")
            );
        }
        Ok(Self { table: Arc::clone(table), kind: kind.into(), _held: None })
    }

    /// The same, holding on to these locks until its last call has ended: one that was given up goes on all the same, and
    /// nobody else may begin beside it.
    pub(crate) fn holding(self, locks: Arc<dyn Any + Send + Sync>) -> Self {
        Self { _held: Some(locks), ..self }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    pub(crate) fn fault(&self) -> Result<&dyn AnyFault, FaultError> {
        self.table.get(&self.kind).ok_or_else(|| FaultError::new(format!("this chaos knows no fault {}", self.kind)))
    }

    /// The same, without any locks.
    pub(crate) fn letting_go(self) -> Self {
        Self { _held: None, ..self }
    }

    /// For calls that only read: one that hangs may be left behind, and keeps nobody out.
    fn reading(&self) -> Self {
        self.clone().letting_go()
    }

    pub(crate) fn prepare(&self, spec: Value, target: Target, id: InjectionId) -> Call<Result<Prepared<UndoJson>, FaultError>> {
        let this = self.reading();
        on_thread(async move { this.fault()?.prepare(&spec, &target, &id).await })
    }

    pub(crate) fn stage(&self, armed: Armed<UndoJson>) -> Call<Result<Staged, FaultError>> {
        let this = self.clone();
        on_thread(async move {
            let staged = this.fault()?.stage(&armed).await;
            Ok(Staged { armed, staged })
        })
    }

    pub(crate) fn inject(&self, armed: Armed<UndoJson>) -> Call<Result<Observed, FaultError>> {
        let this = self.clone();
        on_thread(async move { this.fault()?.inject(armed).await })
    }

    pub(crate) fn adjust(&self, spec: Value, undo: Value) -> Call<Result<(), FaultError>> {
        let this = self.clone();
        on_thread(async move { this.fault()?.adjust(&spec, &undo).await })
    }

    pub(crate) fn inspect(&self, undo: Value) -> Call<Result<Presence, FaultError>> {
        let this = self.reading();
        on_thread(async move { this.fault()?.inspect(&undo).await })
    }

    pub(crate) fn revert(&self, undo: Value) -> Call<Result<Reverted, FaultError>> {
        let this = self.clone();
        on_thread(async move { this.fault()?.revert(&undo).await })
    }
}

fn on_thread<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> Call<T> {
    let runtime = Handle::current();
    Call(tokio::task::spawn_blocking(move || runtime.block_on(call)))
}
