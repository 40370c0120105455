//! Is this grant good? The executor trusts no message: only ids of the approved plan, freshly granted, once.

use std::collections::BTreeMap;

use crate::clock::Boot;
use crate::fault::FaultError;
use crate::plan::{GRANT_VALIDITY, Grant, Plan, PlannedInjection};

/// The plan as approved, and its hash as computed here.
pub(super) struct ApprovedPlan {
    pub(super) plan: Plan,
    pub(super) hash: String,
}

/// The injection that a grant permits.
///
/// `slots` has every slot granted so far, and whether it is over.
///
/// # Errors
/// The first thing that is wrong with it; nothing was done.
pub(super) fn check<'a>(
    approved: Option<&'a ApprovedPlan>,
    grant: &Grant,
    slots: &BTreeMap<String, bool>,
    now: Boot,
) -> Result<&'a PlannedInjection, FaultError> {
    let refuse = |why: String| FaultError::new(format!("not injected: {why}"));
    let approved = approved.ok_or_else(|| refuse("no plan has been approved".into()))?;
    if grant.plan != approved.hash {
        return Err(refuse("the grant is for another plan than the one approved".into()));
    }
    let planned = approved.plan.injection(&grant.slot).ok_or_else(|| refuse(format!("the plan has no injection {}", grant.slot)))?;
    if slots.contains_key(&grant.slot) {
        return Err(refuse(format!("{} was granted before", grant.slot)));
    }
    let age = now.since(grant.issued);
    if grant.issued > now || age > GRANT_VALIDITY {
        let says = format!("the grant is {:.1} s old, and good for {} s", age.as_secs_f64(), GRANT_VALIDITY.as_secs());
        return Err(refuse(says).hint("was this machine or the run suspended?"));
    }
    let in_force = slots.iter().filter(|(slot, over)| !**over && !slot.starts_with("system.")).count() as u64;
    if in_force >= approved.plan.at_once {
        return Err(refuse(format!("{in_force} injections are in force, and the plan allows {} at once", approved.plan.at_once)));
    }
    Ok(planned)
}
