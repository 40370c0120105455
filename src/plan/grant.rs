//! Permission for the injections of one asking, in the world as it is found right before it.

use chaos_core::clock::Boot;
use chaos_core::experiment::{Experiment, Inject};
use chaos_core::plan::{Grant, Plan};
use chaos_core::target::Target;

use super::limits::{self, Harmed, Populations};
use super::schedule::Asking;
use super::{Refusal, candidates, choice, repetition};

/// The world and the run so far, as found just now.
pub struct Now<'a> {
    /// Every set, resolved again.
    pub populations: &'a Populations,
    /// What is harmed at this moment.
    pub harmed: &'a [Harmed],
    /// What was harmed at any time in this run.
    pub ever_harmed: &'a [Harmed],
    /// What `never` names.
    pub never: &'a [Target],
}

/// Chooses the targets of one asking again, by the same rule and seed as the plan, checks every limit again, and grants
/// the slots that the plan approved. In an unchanged world these are exactly the planned targets.
///
/// # Errors
/// If the limits no longer fit: nothing of this asking is injected.
pub fn grants(
    approved: &Plan,
    hash: &str,
    experiment: &Experiment,
    inject: &Inject,
    asking: Asking<'_>,
    now: &Now<'_>,
) -> Result<Vec<Grant>, Refusal> {
    let slots: Vec<_> =
        approved.injections.iter().filter(|i| i.step == asking.step && repetition(&i.slot) == Some(asking.repetition)).collect();
    let members = candidates(now.populations, &inject.into, now.never);
    let position = format!("{}/{}", asking.step, asking.repetition);
    let mut chosen = choice::choose(&members, &inject.into, inject.pick, approved.seed, &position, asking.step)?;
    chosen.truncate(slots.len());
    let harmed = |targets: &[Target], before: &[Harmed]| -> Vec<Harmed> {
        before.iter().cloned().chain(targets.iter().map(|t| Harmed { set: inject.into.clone(), target: t.clone() })).collect()
    };
    limits::at_once(&experiment.blast_radius, now.populations, &harmed(&chosen, now.harmed))?;
    limits::in_total(&experiment.blast_radius, &harmed(&chosen, now.ever_harmed))?;
    let issued = Boot::now();
    Ok(slots.iter().zip(chosen).map(|(slot, target)| Grant { slot: slot.slot.clone(), plan: hash.to_owned(), target, issued }).collect())
}
