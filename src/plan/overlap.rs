//! Two faults on one thing at one moment: refused, with both named (RULES 8).

use std::collections::HashSet;

use chaos_core::Table;

use super::{Ready, Refusal};

/// Fields by which a fault can be kept to a part of what it could act on.
const NARROWING: [&str; 3] = ["ports", "hosts", "direction"];

/// Looks at whatever is in force together, each two once.
pub(super) struct Overlaps<'a> {
    faults: &'a Table,
    seen: HashSet<(&'a str, &'a str)>,
}

impl<'a> Overlaps<'a> {
    /// Nothing was looked at yet.
    pub(super) fn new(faults: &'a Table) -> Self {
        Self { faults, seen: HashSet::new() }
    }

    /// Nothing is acted on twice at one moment.
    ///
    /// # Errors
    /// With the first two that meet, at the step of the later one.
    pub(super) fn none(&mut self, now: &[&'a Ready]) -> Result<(), Refusal> {
        for (at, second) in now.iter().enumerate() {
            for first in &now[..at] {
                if self.seen.insert((&first.planned.slot, &second.planned.slot))
                    && let Some(shared) = self.shared(first, second)
                {
                    return Err(self.refusal(first, second, &shared));
                }
            }
        }
        Ok(())
    }

    /// What both act on.
    fn shared(&self, first: &Ready, second: &Ready) -> Option<String> {
        let (a, b) = (&first.planned, &second.planned);
        if let Some(claim) = first.claims.iter().find(|claim| second.claims.contains(claim)) {
            let same = a.target.identity == b.target.identity;
            return Some(if same { b.target.label.clone() } else { format!("{claim} ({} and {})", a.target.label, b.target.label) });
        }
        let meets = |one: &Ready, other: &Ready| {
            let fault = self.faults.get(&one.planned.fault)?;
            fault.meets(&one.undo, &other.planned.fault, &other.undo)
        };
        meets(first, second).or_else(|| meets(second, first))
    }

    fn refusal(&self, first: &Ready, second: &Ready, shared: &str) -> Refusal {
        let (a, b) = (&first.planned, &second.planned);
        let whose = if a.step == b.step { String::new() } else { format!(" ({})", a.step) };
        let message = format!("{} and {}{whose} would act at once on {shared}", b.fault, a.fault);
        let hint = match self.narrowing(&b.fault).as_slice() {
            [] => "let them run one after the other, or pick different targets".to_owned(),
            [fields @ .., last] => {
                let others = if fields.is_empty() { String::new() } else { format!("{} or ", fields.join(", ")) };
                format!("let them run one after the other, or narrow them to different traffic by {others}{last}")
            }
        };
        Refusal::new(format!("{}.inject", b.step), message).hint(hint)
    }

    /// The fields, quoted, by which this fault can be narrowed.
    fn narrowing(&self, fault: &str) -> Vec<String> {
        let schema = self.faults.get(fault).map(|fault| fault.schema().to_value()).unwrap_or_default();
        NARROWING.iter().filter(|field| schema["properties"].get(field).is_some()).map(|field| format!("`{field}`")).collect()
    }
}
