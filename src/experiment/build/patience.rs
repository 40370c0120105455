//! Delays against timeouts: a hypothesis that gives up before a delayed answer can come measures its own timeout, not the delay.

use chaos_core::literal::Duration;

use super::Builder;
use super::method::{Injected, Planned};
use crate::experiment::tree::{Node, Place};

/// The field of faults that make an answer late by as much as it says.
const DELAY: &str = "delay";

/// Probes that look at this host itself, not through anything that a fault could make late.
const LOOK_HERE: [&str; 3] = ["process", "file", "command"];

/// How late a fault makes what it meets, and where that stands.
#[derive(Clone, Copy)]
pub(super) struct Late {
    by: Duration,
    place: Place,
}

impl Late {
    /// Read off the fault's own fields.
    pub(super) fn of(with: &Node) -> Option<Self> {
        let (_, value) = with.entry(DELAY)?;
        Some(Self { by: value.text()?.parse().ok()?, place: value.place })
    }
}

impl Builder<'_> {
    /// Warns of delays that a judged hypothesis does not wait for.
    pub(super) fn patience(&mut self, method: &[Planned]) {
        let injected = method.iter().flat_map(|planned| &planned.injections);
        for Late { by, place } in injected.filter_map(|Injected { late, .. }| *late) {
            let through = |probe: &String| !LOOK_HERE.contains(&probe.as_str());
            let impatient = self.watched.iter().filter(|w| w.judged && w.probe.as_ref().is_some_and(through) && w.timeout <= by);
            let Some(first) = impatient.min_by_key(|watched| watched.timeout) else { continue };
            let message = format!("a delay of {by}, and `{}` waits {} for an answer", first.name, first.timeout);
            let hint =
                "an answer that is this late is bad whatever the system does; to see how late, give that hypothesis a longer `timeout`";
            self.problems.warning(place, "longer-than-timeout", message, hint.to_owned());
        }
    }
}
