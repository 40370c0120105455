//! What must stand so that targets exist: a proxy is a target only while it listens.

use std::collections::BTreeMap;

use chaos_core::experiment::{Experiment, SystemProcess, TargetSet};
use chaos_core::target::ResolveContext;

use super::{Known, Occasion, Refusal, members};

/// When it can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wave {
    /// Before the processes of `system:`, which may connect to it as soon as they start.
    First,
    /// After them: it stands before one of them (`before`).
    AfterSystem,
}

/// The processes that the run starts so that its target sets have members. What stands already is not among them.
///
/// # Errors
/// With every set that cannot be made to stand.
pub async fn standing(experiment: &Experiment, run: &str, known: &Known<'_>, wave: Wave) -> Result<Vec<SystemProcess>, Vec<Refusal>> {
    let mut context = ResolveContext { run: run.to_owned(), sets: BTreeMap::new(), folder: experiment.folder.clone() };
    let (mut processes, mut refusals) = (Vec::new(), Vec::new());
    for set in experiment.targets.iter().filter(|set| stood_before(set).is_some() == (wave == Wave::AfterSystem)) {
        let Some(kind) = known.kinds.get(&set.kind) else { continue };
        let behind = experiment.targets.iter().find(|other| stood_before(set) == Some(&other.name));
        if let Some(behind) = behind.filter(|b| !context.sets.contains_key(&b.name)) {
            match members(behind, &context, known, Occasion::Planning).await {
                Ok(found) => drop(context.sets.insert(behind.name.clone(), found)),
                Err(refusal) => {
                    refusals.push(refusal);
                    continue;
                }
            }
        }
        match kind.system(&set.name, &set.selector, &context) {
            Ok(more) => processes.extend(more),
            Err(e) => refusals.push(Refusal { path: format!("targets.{}.{}", set.name, set.kind), message: e.message, hint: e.hint }),
        }
    }
    if refusals.is_empty() { Ok(processes) } else { Err(refusals) }
}

/// The set that this one stands before.
fn stood_before(set: &TargetSet) -> Option<&str> {
    set.selector.get("before")?.as_str()
}
