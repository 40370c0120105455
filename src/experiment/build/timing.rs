//! Limits and lengths, once the method is known: every set that is harmed has a limit, and everything is over in time.

use std::time::Duration as Time;

use chaos_core::experiment::BlastRadius;
use chaos_core::literal::Duration;

use super::Builder;
use super::method::Planned;
use crate::experiment::tree::Node;

impl Builder<'_> {
    /// For every set that a step injects into, `at_most` or `share` at the least.
    pub(super) fn limits_of_method(&mut self, method: &[Planned], limits: &BlastRadius, node: &Node) {
        let mut told = Vec::new();
        for injected in method.iter().flat_map(|planned| &planned.injections) {
            let known = self.names.targets.iter().any(|set| set.name == injected.into);
            if !known || told.contains(&injected.into) {
                continue;
            }
            let found = limits.of(&injected.into);
            let written = node.get("targets").and_then(|targets| targets.entry(&injected.into));
            let limited = |limit: &str| written.is_some_and(|(_, limits)| limits.get(limit).is_some());
            if limited("at_most") || limited("share") {
                continue;
            }
            told.push(injected.into.clone());
            let place = written.map_or(injected.into_place, |(key, _)| key.place);
            let message = format!("nothing limits how many of `{}` are harmed at once", injected.into);
            let hint = match found {
                Some(_) => "add `at_most: 1` or `share: 34%`".to_owned(),
                None => format!("add `{}: {{at_most: 1}}` under `blast_radius: targets:`", injected.into),
            };
            self.problems.error(place, "unlimited", message, hint);
        }
    }

    /// `duration` covers the longest path through the method.
    pub(super) fn length(&mut self, method: &[Planned], limits: &BlastRadius, node: &Node) {
        let takes: Time = method.iter().map(|planned| planned.takes).sum();
        let Some(value) = node.get("duration") else { return };
        if takes <= limits.duration.get() {
            return;
        }
        let (shown, enough) = (Duration::from(takes), rounded_up(takes));
        let held = method.iter().flat_map(|planned| &planned.injections).filter_map(|injected| injected.hold);
        let mut longer = held.filter(|(hold, _)| *hold > limits.duration).peekable();
        if longer.peek().is_none() {
            let message = format!("the method takes up to {shown}, longer than this");
            let hint = format!("say `duration: {enough}`, or shorten the method (every `within` and `timeout` counts in full)");
            self.problems.error(value.place, "too-long", message, hint);
        }
        for (_, place) in longer {
            let message = format!("held longer than the blast radius lasts (`duration: {}`, line {})", limits.duration, value.place.line);
            let hint = format!("the method takes up to {shown}: shorten it, or say `duration: {enough}`");
            self.problems.error(place, "too-long", message, hint);
        }
    }
}

/// The next whole minute, or below one the next ten seconds: a little longer than needed.
fn rounded_up(time: Time) -> Duration {
    let unit = if time >= Time::from_secs(60) { 60 } else { 10 };
    Duration::from_secs((time.as_secs() / unit + 1) * unit)
}
