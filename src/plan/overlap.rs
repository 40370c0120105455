//! Two faults on one thing at one moment: refused, with both named (RULES 8).

use std::collections::BTreeMap;

use chaos_core::Table;
use chaos_core::plan::PlannedInjection;

use super::Refusal;
use super::schedule::{Asking, Moment};

/// What injections claim, by the asking that they belong to: the claim, and whose it is by slot.
pub(super) type Claims<'a> = BTreeMap<Asking<'a>, Vec<(String, String)>>;

/// Fields by which a fault can be kept to a part of what it could act on.
const NARROWING: [&str; 3] = ["ports", "hosts", "direction"];

/// Nothing is claimed twice at one moment.
///
/// # Errors
/// With the two that meet, at the step of the later one.
pub(super) fn none(moment: &Moment<'_>, claims: &Claims<'_>, injections: &[PlannedInjection], faults: &Table) -> Result<(), Refusal> {
    let planned = |slot: &str| injections.iter().find(|injection| injection.slot == slot);
    let mut taken = BTreeMap::<&str, &str>::new();
    for (claim, slot) in moment.in_force.iter().filter_map(|asking| claims.get(asking)).flatten() {
        if let Some(first) = taken.insert(claim, slot).filter(|first| first != slot)
            && let (Some(first), Some(second)) = (planned(first), planned(slot))
        {
            return Err(refusal(first, second, claim, faults));
        }
    }
    Ok(())
}

fn refusal(first: &PlannedInjection, second: &PlannedInjection, claim: &str, faults: &Table) -> Refusal {
    let what = if first.target.identity == second.target.identity {
        format!("{} at once", second.target.label)
    } else {
        format!("one thing at once: {} and {} share {claim}", first.target.label, second.target.label)
    };
    let whose = if first.step == second.step { String::new() } else { format!(" ({})", first.step) };
    let message = format!("{} and {}{whose} would act on {what}", second.fault, first.fault);
    let hint = match narrowing(faults, &second.fault).as_slice() {
        [] => "let them run one after the other, or pick different targets".to_owned(),
        fields => format!("let them run one after the other, or narrow them to different traffic by {}", fields.join(" or ")),
    };
    Refusal::new(format!("{}.inject", second.step), message).hint(hint)
}

/// The fields, quoted, by which this fault can be narrowed.
fn narrowing(faults: &Table, fault: &str) -> Vec<String> {
    let schema = faults.get(fault).map(|fault| fault.schema().to_value()).unwrap_or_default();
    NARROWING.iter().filter(|field| schema["properties"].get(field).is_some()).map(|field| format!("`{field}`")).collect()
}
