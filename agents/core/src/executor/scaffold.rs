//! Scaffolds: what several injections of a run stand on, brought up before the first and taken back after the last (RULES 8).
//!
//! ```text
//! leaf: prepare ─ claim ─ STAND ─ intend ─ stage ─ inject ─ … ─ revert ─ LEAVE ─ over
//!                           │                                              │
//! scaffold:                 └ intend ─ stage ─ inject ── holds ────────────┴ revert, when nobody stands on it any more
//! ```
//! The scaffold's intent is on disk before its leaves'; recovery takes it back when everything that stands on it was seen to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};
use tokio::time::timeout;

use super::injection::{self, Order};
use super::shared::Shared;
use super::take_down::{Handle, Progress, WRITTEN_WITHIN};
use crate::clock::Boot;
use crate::fault::{FaultError, Scaffold};
use crate::target::{Identity, Target};

/// Every slot of a scaffold begins with this.
const SLOT: &str = "scaffold.";

/// The scaffolds of one run.
#[derive(Default)]
pub(super) struct Scaffolds {
    /// By claim. One at a time comes up or goes: who stands on what is counted under this lock.
    standing: Turn<BTreeMap<String, Standing>>,
    /// All that were ever begun, for the end of the run.
    begun: Mutex<Vec<Handle>>,
}

struct Standing {
    handle: Handle,
    /// How many injections stand on it. None: it is being taken back.
    leaves: usize,
}

/// The claims of what an injection stands on, until [`leave`].
pub(super) type Ground = Vec<String>;

impl Scaffolds {
    /// Those that have not ended, or left something.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes one that is being begun; gives the slot its number.
    fn next_slot(&self) -> String {
        format!("{SLOT}{}", self.begun.lock().unwrap_or_else(PoisonError::into_inner).len() + 1)
    }
}

/// Brings up whatever of this does not stand yet. What was gained is in `ground` even when the rest fails.
pub(super) async fn stand(shared: &Arc<Shared>, wanted: &[Scaffold], target: &Target, ground: &mut Ground) -> Result<(), FaultError> {
    for scaffold in wanted {
        let mut standing = shared.scaffolds.standing.lock().await;
        standing.retain(|_, s| !s.handle.is_over());
        match standing.get_mut(&scaffold.claim) {
            Some(there) if there.leaves > 0 => there.leaves += 1,
            going => {
                // What was reported as taken back may be asked for again at once, before that is on disk.
                if let Some(going) = going
                    && !ended(&going.handle).await
                {
                    let says = format!("not injected: {} is still being taken back", scaffold.label);
                    return Err(FaultError::new(says).hint("see `chaos status`"));
                }
                let handle = bring_up(shared, scaffold, target).await?;
                standing.insert(scaffold.claim.clone(), Standing { handle, leaves: 1 });
            }
        }
        ground.push(scaffold.claim.clone());
    }
    Ok(())
}

/// Waits until it has ended, or cannot be taken back at once.
async fn ended(handle: &Handle) -> bool {
    let mut progress = handle.progress.clone();
    let settled = progress.wait_for(|p| matches!(p, Progress::Stuck | Progress::Over { .. }));
    let _ = timeout(handle.revert_budget + WRITTEN_WITHIN, settled).await;
    handle.is_over()
}

async fn bring_up(shared: &Arc<Shared>, scaffold: &Scaffold, target: &Target) -> Result<Handle, FaultError> {
    let (tell, told) = oneshot::channel();
    let order = Order {
        slot: shared.scaffolds.next_slot(),
        spec: scaffold.spec.clone(),
        target: Target { identity: Identity(scaffold.claim.clone()), label: scaffold.label.clone(), ..target.clone() },
        hold: None,
        // It stands for as long as anything stands on it; each of those has a deadline.
        deadline: Boot(u64::MAX),
        planned: None,
        tell: Some(tell),
    };
    let handle = injection::start(shared, &scaffold.fault, order)?;
    shared.scaffolds.begun.lock().unwrap_or_else(PoisonError::into_inner).push(handle.clone());
    let effect = told.await.unwrap_or_else(|_| Err(FaultError::new("it ended before it stood")));
    effect.map(|()| handle).map_err(|e| FaultError { message: format!("{}: {}", scaffold.label, e.message), ..e })
}

/// Takes back whatever nobody stands on any more. Waits until it is gone, or cannot be taken back at once.
pub(super) async fn leave(shared: &Arc<Shared>, ground: Ground) {
    for claim in ground.into_iter().rev() {
        let mut standing = shared.scaffolds.standing.lock().await;
        let Some(there) = standing.get_mut(&claim) else { continue };
        there.leaves = there.leaves.saturating_sub(1);
        if there.leaves == 0 {
            there.handle.revert("nothing stands on it any more");
            there.handle.reached(Progress::Stuck).await;
        }
    }
}
