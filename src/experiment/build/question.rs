//! A probe with its fields, its cadence and what a good sample is: what hypothesis, health and `ready` share.

use chaos_core::experiment::Question;
use chaos_core::expression::{Expression, ExpressionError};
use chaos_core::literal::Duration;
use chaos_core::probe::AnyProbe;
use chaos_core::value::FieldType;
use serde_json::{Map, Value as Json};

use super::{Builder, Found};
use crate::experiment::problems::did_you_mean;
use crate::experiment::tree::{Data, Node, Style};
use crate::experiment::walk;

/// What the file says about a question, beside its probe's own fields.
pub(super) struct Asked {
    pub(super) probe: Option<String>,
    pub(super) of: Option<String>,
    pub(super) at: String,
    pub(super) every: Option<Duration>,
    pub(super) timeout: Option<Duration>,
}

impl Builder<'_> {
    /// Builds a question. The probe is `None` where it is not known, which has been said then.
    pub(super) fn question(&mut self, node: &Node, asked: Asked) -> Question {
        let every = asked.every.unwrap_or(Duration::from_millis(100));
        let timeout = asked.timeout.unwrap_or(Duration::from_secs(1));
        for (key, duration) in [("every", every), ("timeout", timeout)] {
            if duration.is_zero() {
                let place = node.get(key).map_or(node.place, |value| value.place);
                self.problems.error(place, "wrong-literal", format!("`{key}` is longer than nothing"), "for example `100ms`".to_owned());
            }
        }
        let vocabulary = self.vocabulary;
        let kind = asked.probe.clone().unwrap_or_default();
        let probe = vocabulary.probes.get(&kind);
        if let (None, Some(value)) = (probe, node.get("probe").filter(|_| asked.probe.is_some())) {
            let known: Vec<&str> = vocabulary.probes.iter().map(AnyProbe::kind).collect();
            let hint = did_you_mean(&kind, &known, |known| Some(format!("`chaos probes` lists {}", known.join(", "))));
            self.problems.error(value.place, "unknown-probe", format!("unknown probe `{kind}`"), hint);
        }
        self.comes_first(node, "probe");
        let with = self.probe_fields(node, probe);
        self.looked_at(node, asked.of.as_deref(), probe);
        let good = self.good(node, probe);
        Question { probe: kind, with, of: asked.of, at: asked.at, good, every, timeout }
    }

    fn probe_fields(&mut self, node: &Node, probe: Option<&dyn AnyProbe>) -> Json {
        let with = node.get("with");
        match probe {
            Some(probe) => {
                let place = node.get("probe").map_or(node.place, |value| value.place);
                let found = Found { family: "probe", kind: probe.kind(), node: with, place };
                self.fields(found, || probe.schema().to_value(), |spec| probe.check(spec))
            }
            None => with.map_or_else(|| Map::new().into(), walk::free),
        }
    }

    fn looked_at(&mut self, node: &Node, of: Option<&str>, probe: Option<&dyn AnyProbe>) {
        let Some(probe) = probe else {
            if let (Some(name), Some(value)) = (of, node.get("of")) {
                self.set(name, value.place);
            }
            return;
        };
        let kinds = probe.profile().of;
        match (of.zip(node.get("of")), kinds) {
            (Some((_, value)), []) => {
                let message = format!("the probe {} looks at no targets", probe.kind());
                self.problems.error(value.place, "wrong-field", message, "leave `of` out".to_owned());
            }
            (Some((name, value)), kinds) => {
                if self.set(name, value.place)
                    && let Some(kind) = self.kind_of_set(name).filter(|kind| !kinds.contains(&kind.as_str()))
                {
                    let message = format!("the probe {} looks at {}, and `{name}` is of kind `{kind}`", probe.kind(), kinds.join(" or "));
                    self.problems.error(value.place, "wrong-kind", message, None);
                }
            }
            (None, [_, ..]) if node.get("of").is_none() => {
                let place = node.get("probe").map_or(node.place, |value| value.place);
                let hint = format!("add `of: …`, a target set of {}", kinds.join(" or "));
                self.problems.error(place, "missing-key", format!("`of` is missing: which targets shall {} look at?", probe.kind()), hint);
            }
            (None, _) => {}
        }
    }

    fn good(&mut self, node: &Node, probe: Option<&dyn AnyProbe>) -> Expression {
        let fields = fields_of(probe);
        let anything = || Expression::parse_unchecked("true").unwrap_or_else(|_| unreachable!("`true` is an expression"));
        let Some(value) = node.get("good") else {
            if let (Some(probe), None) = (probe, probe.and_then(|probe| probe.profile().good)) {
                let place = node.get("probe").map_or(node.place, |value| value.place);
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                let hint = format!("say which samples are good; `{}` samples have {}", probe.kind(), names.join(", "));
                self.problems.error(place, "missing-key", "`good` is missing", hint);
            }
            let default = probe.and_then(|probe| probe.profile().good).unwrap_or("true");
            return Expression::parse_unchecked(default).unwrap_or_else(|_| anything());
        };
        let Data::Scalar { text, style } = &value.data else {
            let hint = "put it in quotes where it begins with `[`, `{` or `\"`";
            self.problems.error(
                walk::start(value),
                "wrong-shape",
                format!("`good` is an expression, not {}", value.describe()),
                hint.to_owned(),
            );
            return anything();
        };
        if value.is_null() {
            self.problems.error(value.place, "missing-value", "`good` has no value", "for example `status == 200`".to_owned());
            return anything();
        }
        let text = if *style == Style::Block { text.trim_end() } else { text };
        let parsed = match probe {
            Some(_) => Expression::parse(text, &fields),
            None => Expression::parse_unchecked(text),
        };
        parsed.unwrap_or_else(|error| {
            self.expression_error(value, &error, probe);
            anything()
        })
    }

    fn expression_error(&mut self, value: &Node, error: &ExpressionError, probe: Option<&dyn AnyProbe>) {
        let place = self.problems.inside(value, error.offset, error.length);
        let hint = match (probe, &error.unknown_name) {
            (Some(probe), Some(_)) => {
                let fields = fields_of(Some(probe));
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                Some(format!("`{}` samples have {}", probe.kind(), names.join(", ")))
            }
            _ => error.hint.clone(),
        };
        self.problems.error(place, "expression", error.message.clone(), hint);
    }
}

/// The fields of a probe's samples. Every sample has `latency`.
pub(super) fn fields_of(probe: Option<&dyn AnyProbe>) -> Vec<(&'static str, FieldType)> {
    let own = probe.map(|probe| probe.profile().fields).unwrap_or_default();
    own.iter().map(|field| (field.name, field.is)).chain([("latency", FieldType::Duration)]).collect()
}
