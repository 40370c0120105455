//! Objectives: a metric that the probe has, and a comparison that fits it.

use chaos_core::experiment::{Metric, Objective};
use chaos_core::literal::{Comparison, Duration, Operand, Operator};
use chaos_core::value::FieldType;

use super::Builder;
use super::evidence::Need;
use super::question::fields_of;
use crate::experiment::file::METRICS;
use crate::experiment::problems::meant;
use crate::experiment::tree::{Key, Node, Place};
use crate::experiment::{later, walk};

/// What is needed to check an objective.
pub(super) struct About<'o> {
    /// The probe's kind, where it is known.
    pub(super) probe: Option<&'o str>,
    pub(super) timeout: Duration,
    /// Is it about the baseline?
    pub(super) baseline: bool,
    /// Does it claim anything beyond the run? Then the samples that it needs are no matter of this file.
    pub(super) beyond: bool,
}

impl Builder<'_> {
    /// The objectives of a map, whose other keys are `beside`.
    pub(super) fn objectives(&mut self, node: &Node, beside: &[&str], about: &About<'_>, needs: &mut Vec<Need>) -> Vec<Objective> {
        if !node.is_map() {
            let hint = "for example `{success: \">= 99%\"}`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", format!("objectives are a map, not {}", node.describe()), hint);
        }
        let mut found = Vec::new();
        for (key, value) in node.entries().iter().filter(|(key, _)| !beside.contains(&key.text.as_str())) {
            let metric = self.metric(key, beside, about.probe);
            let must = self.comparison(&key.text, value);
            let (Some(metric), Some(must)) = (metric, must) else { continue };
            if !self.fits(&metric, must, value.place, about) {
                continue;
            }
            if !about.beyond {
                needs.extend(Need::of(&metric, must, value, about.baseline));
            }
            found.push(Objective { metric, must });
        }
        found
    }

    fn comparison(&mut self, key: &str, value: &Node) -> Option<Comparison> {
        self.literal(value, key, "comparison", ">= 99%")?.parse().ok()
    }

    /// The metric that a key names.
    pub(super) fn metric(&mut self, key: &Key, beside: &[&str], probe: Option<&str>) -> Option<Metric> {
        match key.text.parse::<Metric>() {
            Ok(Metric::Field(_, field)) if !self.has_field(&field, probe) => {
                let kind = probe.unwrap_or_default();
                let names: Vec<&str> = fields_of(self.vocabulary.probes.get(kind)).iter().map(|(name, _)| *name).collect();
                let hint = format!("`{kind}` samples have {}", names.join(", "));
                self.problems.error(key.place, "unknown-metric", format!("no field `{field}` to take a value of"), hint);
                None
            }
            Ok(metric) => Some(metric),
            Err(_) => {
                self.unknown_metric(&key.text, key.place, beside, probe);
                None
            }
        }
    }

    fn has_field(&self, field: &str, probe: Option<&str>) -> bool {
        let Some(kind) = probe else { return true };
        fields_of(self.vocabulary.probes.get(kind)).iter().any(|(name, _)| *name == field)
    }

    /// Says that there is no such metric, and which there are.
    pub(super) fn unknown_metric(&mut self, text: &str, place: Place, beside: &[&str], probe: Option<&str>) {
        if let Some(hint) = later::key(text) {
            self.problems.error(place, later::CODE, format!("unknown metric `{text}`"), hint.to_owned());
            return;
        }
        let hypothesis = probe.map_or_else(|| "hypothesis".to_owned(), |probe| format!("`{probe}` hypothesis"));
        let known = format!("A {hypothesis} has success, bad, p50 … p999, max, longest_outage, downtime");
        let words = METRICS.iter().chain(beside).copied();
        let hint = match meant(text, words) {
            Some(word) => format!("did you mean `{word}`? {known}"),
            None => known,
        };
        self.problems.error(place, "unknown-metric", format!("unknown metric `{text}`"), hint);
    }

    /// Does the comparison fit the metric, and can it come out either way?
    pub(super) fn fits(&mut self, metric: &Metric, must: Comparison, place: Place, about: &About<'_>) -> bool {
        let wanted = match metric {
            Metric::Success => FieldType::Percent,
            Metric::Bad => FieldType::Number,
            Metric::Latency(_) | Metric::LongestOutage | Metric::Downtime => FieldType::Duration,
            Metric::Field(_, field) => {
                let fields = fields_of(about.probe.and_then(|kind| self.vocabulary.probes.get(kind)));
                fields.iter().find(|(name, _)| name == field).map_or(FieldType::Any, |(_, is)| *is)
            }
        };
        let fits = match (wanted, must.operand) {
            (FieldType::Percent, Operand::Percent(_))
            | (FieldType::Number, Operand::Number(_))
            | (FieldType::Duration, Operand::Duration(_))
            | (FieldType::Size, Operand::Size(_)) => true,
            (FieldType::Any, _) => about.probe.is_none() || matches!(must.operand, Operand::Number(_)),
            _ => false,
        };
        if !fits {
            let example = match wanted {
                FieldType::Percent => "for example `\">= 99%\"`",
                FieldType::Duration => "for example `<= 250ms`",
                FieldType::Size => "for example `<= 4 MB`",
                FieldType::Number | FieldType::Any => "for example `== 0`",
                _ => "only numbers, durations and sizes have a smallest, a largest and quantiles",
            };
            let message = format!("`{metric}` is {}, not {}", wanted.describe(), must.operand.kind());
            self.problems.error(place, "wrong-literal", message, example.to_owned());
            return false;
        }
        self.latency_below_timeout(metric, must, place, about.timeout);
        true
    }

    /// RULES 29: a latency that the timeout cuts off can never be seen.
    fn latency_below_timeout(&mut self, metric: &Metric, must: Comparison, place: Place, timeout: Duration) {
        let upper = matches!(must.operator, Operator::AtMost | Operator::Below);
        if let (Metric::Latency(_), true, Operand::Duration(limit)) = (metric, upper, must.operand)
            && limit >= timeout
        {
            let message = format!("`{metric}` cannot exceed the timeout of {timeout}, so {limit} is never missed");
            let longer = Duration::from(limit.get() * 2);
            self.problems.error(place, "objective-beyond-timeout", message, format!("say `timeout: {longer}`, or ask for less"));
        }
    }
}
