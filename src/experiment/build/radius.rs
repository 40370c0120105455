//! `blast_radius` and `stop_when`: how much at most, and when to stop.

use chaos_core::experiment::{BlastRadius, NeverSelector, Objective, SetLimits, StopCondition};
use chaos_core::literal::{Comparison, Duration, LiteralError};

use super::Builder;
use super::objective::About;
use crate::experiment::file;
use crate::experiment::tree::{Key, Node};
use crate::experiment::walk;

/// A window must hold so many samples.
const FEWEST: u32 = 5;

impl Builder<'_> {
    pub(super) fn blast_radius(&mut self, node: &Node) -> Option<BlastRadius> {
        let written: file::BlastRadius = self.decode(node);
        let never = node.get("never").map(|node| self.never(node)).unwrap_or_default();
        let targets = node.get("targets").map(|node| self.set_limits(node)).unwrap_or_default();
        Some(BlastRadius {
            duration: written.duration?,
            at_most: written.at_most,
            reach: written.reach.unwrap_or_default().into_iter().flatten().collect(),
            never,
            targets,
        })
    }

    fn never(&mut self, node: &Node) -> Vec<NeverSelector> {
        let items = self.list(node, "`never` is a list of selectors");
        items.iter().filter_map(|item| self.lone_selector(item)).map(|(kind, selector)| NeverSelector { kind, selector }).collect()
    }

    fn set_limits(&mut self, node: &Node) -> Vec<SetLimits> {
        if !node.is_map() {
            let hint = "for example `{replicas: {at_most: 1}}`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", format!("`targets` is a map, not {}", node.describe()), hint);
        }
        let mut limits = Vec::new();
        for (key, value) in node.entries() {
            self.set(&key.text, key.place);
            let written: file::SetLimits = self.decode(value);
            limits.push(SetLimits {
                set: key.text.clone(),
                at_most: written.at_most,
                share: written.share,
                leave: written.leave,
                per: written.per,
                in_total: written.in_total,
            });
        }
        limits
    }

    /// The items of a list, or an error.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        if !matches!(node.data, crate::experiment::tree::Data::List(_)) {
            let message = format!("{what}, not {}", node.describe());
            self.problems.error(walk::start(node), "wrong-shape", message, "each item begins with `- `".to_owned());
        }
        node.items()
    }

    pub(super) fn stop_when(&mut self, node: &Node) -> Vec<StopCondition> {
        let items = self.list(node, "`stop_when` is a list of conditions");
        items.iter().filter_map(|item| self.stop_condition(item)).collect()
    }

    fn stop_condition(&mut self, node: &Node) -> Option<StopCondition> {
        let [(key, value)] = node.entries() else {
            let hint = "for example `- users are served: success < 80% over 2s`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", "one hypothesis with its condition stands here", hint);
            return None;
        };
        let known = self.hypothesis_called(&key.text, key.place);
        let (objective, over) = self.condition(key, value)?;
        if known {
            self.wide_enough(key, value, over);
        }
        Some(StopCondition { hypothesis: key.text.clone(), when: objective, over })
    }

    /// `success < 80% over 2s`.
    fn condition(&mut self, key: &Key, value: &Node) -> Option<(Objective, Duration)> {
        let example = "for example `success < 80% over 2s`".to_owned();
        let Some(text) = value.text().filter(|_| !value.is_null()) else {
            self.problems.error(walk::start(value), "wrong-shape", "a stop condition is a metric, a comparison and a window", example);
            return None;
        };
        let Some((left, window)) = text.rsplit_once(" over ") else {
            let hint = format!("say over how long: `{} over 2s`", text.trim_end());
            self.problems.error(value.place, "wrong-literal", "a stop condition needs its window", hint);
            return None;
        };
        let Some(sign) = left.find(['<', '>', '=']) else {
            self.problems.error(value.place, "wrong-literal", "a stop condition compares a metric", example);
            return None;
        };
        let (metric, comparison) = (left[..sign].trim(), &left[sign..]);
        let watched = self.watched.iter().find(|watched| watched.name == key.text);
        let (probe, timeout) = watched.map_or((None, Duration::MAX), |watched| (watched.probe.clone(), watched.timeout));
        let about = About { probe: probe.as_deref(), timeout, baseline: false, beyond: true };
        let named = Key { text: metric.to_owned(), place: self.problems.inside(value, 0, metric.len()) };
        let metric = self.metric(&named, &[], about.probe);
        let must = self.part::<Comparison>(value, sign, comparison);
        let over = self.part::<Duration>(value, left.len() + " over ".len(), window);
        let (metric, must, over) = (metric?, must?, over?);
        let place = self.problems.inside(value, sign, comparison.trim_end().len());
        self.fits(&metric, must, place, &About { timeout: Duration::MAX, ..about }).then_some((Objective { metric, must }, over))
    }

    /// A literal within a text.
    fn part<T: std::str::FromStr<Err = LiteralError>>(&mut self, value: &Node, offset: usize, text: &str) -> Option<T> {
        text.trim()
            .parse()
            .map_err(|error: LiteralError| {
                let lead = text.len() - text.trim_start().len();
                let place = self.problems.inside(value, offset + lead, text.trim().len());
                self.problems.error(place, "wrong-literal", error.message, error.hint);
            })
            .ok()
    }

    fn wide_enough(&mut self, key: &Key, value: &Node, over: Duration) {
        let Some(watched) = self.watched.iter().find(|watched| watched.name == key.text) else { return };
        let needed = watched.every.get() * FEWEST;
        if over.get() < needed {
            let held = over.get().as_nanos() / watched.every.get().as_nanos().max(1);
            let message = format!("a window of {over} holds {held} samples at one every {}, and {FEWEST} are needed", watched.every);
            let hint = format!("say `over {}`, or sample more often", Duration::from(needed));
            self.problems.error(value.place, "short-window", message, hint);
        }
    }
}
