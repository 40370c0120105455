//! `steady_state`: what healthy means.

use chaos_core::experiment::{Baseline, Health, Hypothesis, Prove, Recovery};
use chaos_core::literal::{Comparison, Duration, Operand, Percent};

use super::evidence::Need;
use super::objective::About;
use super::question::Asked;
use super::{Builder, Watched};
use crate::experiment::file;
use crate::experiment::tree::Node;

impl Builder<'_> {
    pub(super) fn hypotheses(&mut self) -> Vec<Hypothesis> {
        let defined: Vec<(String, &Node)> = self.names.hypotheses.iter().map(|defined| (defined.name.clone(), defined.node)).collect();
        defined.into_iter().map(|(name, node)| self.hypothesis(name, node)).collect()
    }

    fn hypothesis(&mut self, name: String, node: &Node) -> Hypothesis {
        let written: file::Hypothesis = self.decode(node);
        let at = self.at(written.at, node);
        // Where the cadence is wrong, nothing is said about the samples that it gives.
        let cadence_is_known = written.every.is_some() || node.get("every").is_none();
        let asked = Asked { probe: written.probe, of: written.of, at, every: written.every, timeout: written.timeout };
        let question = self.question(node, asked);
        let probe = Some(question.probe.clone()).filter(|kind| self.vocabulary.probes.get(kind).is_some());
        let mut needs = Vec::new();
        let about = |baseline, beyond| About { probe: probe.as_deref(), timeout: question.timeout, baseline, beyond };
        let baseline = node.get("baseline").map(|node| self.baseline(node, &about(true, false), &mut needs));
        let during = node.get("during").map(|node| self.objectives(node, &[], &about(false, false), &mut needs)).unwrap_or_default();
        let prove = node.get("prove").map(|node| {
            let objectives = self.objectives(node, &["confidence"], &about(false, true), &mut needs);
            let confidence =
                node.get("confidence").and_then(|value| self.literal(value, "confidence", "percent", "95%")?.parse::<Percent>().ok());
            Prove { objectives, confidence: confidence.unwrap_or(Percent::whole(95)) }
        });
        let recovery = node.get("recovery").map(|node| self.recovery(node));
        let health = node.get("health").map(|node| self.health(node, &question.at));
        if baseline.is_none() {
            for key in ["during", "recovery"] {
                if let Some((key, _)) = node.entry(key) {
                    let message = format!("`{}` needs a `baseline`: what was never seen well cannot be found ill", key.text);
                    self.problems.error(key.place, "missing-key", message, "add `baseline: {success: \">= 99%\"}`".to_owned());
                }
            }
        }
        if let (Some(recovery), Some(node)) = (&recovery, node.get("recovery")) {
            self.fine_enough(recovery, node, question.every, question.timeout);
        }
        if !cadence_is_known {
            needs.clear();
        }
        self.watched.push(Watched {
            name: name.clone(),
            every: question.every,
            timeout: question.timeout,
            judged: !during.is_empty() || recovery.is_some(),
            probe,
            baseline: baseline.as_ref().map(|baseline| baseline.lasts),
            needs,
        });
        Hypothesis { name, question, baseline, during, prove, recovery, health }
    }

    fn baseline(&mut self, node: &Node, about: &About<'_>, needs: &mut Vec<Need>) -> Baseline {
        let objectives = self.objectives(node, &["for"], about, needs);
        let lasts = node.get("for").and_then(|value| self.literal(value, "for", "duration", "10s")?.parse::<Duration>().ok());
        Baseline { objectives, lasts: lasts.unwrap_or(Duration::from_secs(10)) }
    }

    fn recovery(&mut self, node: &Node) -> Recovery {
        let written: file::Recovery = self.decode(node);
        if node.is_map() && written.preset.is_none() && ["preset", "within", "after_revert"].iter().all(|key| node.get(key).is_none()) {
            let hint = "add `within: 30s` (from the effect) or `after_revert: 10s`";
            self.problems.error(crate::experiment::walk::start(node), "missing-key", "`recovery` asks for no time", hint.to_owned());
        }
        Recovery {
            within: written.within.or(written.preset.map(file::Preset::within)),
            after_revert: written.after_revert,
            hold: written.hold.unwrap_or(Duration::from_secs(3)),
            preset: written.preset.map(|preset| preset.word().to_owned()),
        }
    }

    /// RULES 29: an objective below what the cadence can tell comes out inconclusive.
    fn fine_enough(&mut self, recovery: &Recovery, node: &Node, every: Duration, timeout: Duration) {
        let finest = Duration::from((every.get() + timeout.get()) * 3);
        for (key, objective) in [("within", recovery.within), ("after_revert", recovery.after_revert)] {
            if let (Some(objective), Some(value)) = (objective, node.get(key))
                && objective < finest
            {
                let message = format!("{objective} is finer than these samples can surely tell ({finest})");
                let hint = format!("a sample may take its whole timeout of {timeout}: say a shorter `timeout`");
                self.problems.warning(value.place, "coarse-samples", message, hint);
            }
        }
    }

    fn health(&mut self, node: &Node, at: &str) -> Health {
        let written: file::Health = self.decode(node);
        let at = match written.at {
            Some(own) => self.at(Some(own), node),
            None => at.to_owned(),
        };
        let asked = Asked { probe: written.probe, of: None, at, every: written.every, timeout: written.timeout };
        let question = self.question(node, asked);
        for (key, limit) in [("false_ready", written.false_ready), ("false_alarm", written.false_alarm)] {
            self.is_time(node, key, limit);
        }
        Health { question, false_ready: written.false_ready, false_alarm: written.false_alarm }
    }

    fn is_time(&mut self, node: &Node, key: &str, limit: Option<Comparison>) {
        if let (Some(limit), Some(value)) = (limit, node.get(key))
            && !matches!(limit.operand, Operand::Duration(_))
        {
            let message = format!("`{key}` is a duration, not {}", limit.operand.kind());
            self.problems.error(value.place, "wrong-literal", message, "for example `<= 4s`".to_owned());
        }
    }

    /// The literal of this format under a key, as its text.
    pub(super) fn literal(&mut self, value: &Node, key: &str, format: &str, example: &str) -> Option<String> {
        let schema = serde_json::json!({"type": "string", "format": format, "examples": [example]});
        let json = crate::experiment::walk::single(self.problems, value, &schema, key, None)?;
        json.as_str().map(str::to_owned)
    }
}
