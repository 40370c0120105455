//! Why a sample is bad, in a few words: the part of the expression that was false, and what stood there instead.

use super::evaluate::Evaluator;
use super::tree::{Kind, Node, Operator};
use super::value::{Computed, Fields, Unit};
use crate::literal::{Duration, Size};

/// Longer values are cut here, in characters.
const SHOWN: usize = 60;

/// Says why `root`, which is false for these fields, is false.
pub(super) fn why_false(text: &str, root: &Node, fields: &dyn Fields) -> String {
    let evaluator = || Evaluator { fields, variables: Vec::new(), steps: 0 };
    let mut culprit = root;
    while let Kind::Binary(Operator::And, left, right) = &culprit.kind {
        let left_is_good = evaluator().boolean(left).unwrap_or(false);
        culprit = if left_is_good { right } else { left };
    }
    let written = cut(&text[culprit.start..culprit.end]);
    let mut found = Vec::new();
    for part in parts(culprit) {
        if let (false, Ok(value)) = (part.is_literal(), evaluator().value(part)) {
            found.push(format!("{} is {}", cut(&text[part.start..part.end]), show(&value)));
        }
    }
    if found.is_empty() || written == "false" {
        format!("{written} was false")
    } else {
        format!("{written} was false: {}", found.join(", "))
    }
}

/// The parts whose values explain a false answer.
fn parts(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Binary(operator, left, right) if operator.is_comparison() => vec![left, right],
        Kind::Call(_, arguments) => arguments.iter().collect(),
        Kind::Matches(text, _) => vec![text],
        Kind::Not(inner) => parts(inner),
        _ => Vec::new(),
    }
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let kept: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() { format!("{kept}…") } else { kept }
}

/// A value as a person would write it, cut where it is long.
pub(super) fn show(value: &Computed<'_>) -> String {
    match value {
        Computed::Null => "null".to_owned(),
        Computed::Bool(value) => value.to_string(),
        Computed::Quantity(unit, amount) => quantity(*unit, *amount),
        Computed::Text(text) => cut(&format!("{:?}", cut(text))),
        Computed::List(items) => {
            let shown: Vec<String> = items.iter().take(SHOWN / 4).map(show).collect();
            cut(&format!("[{}]", shown.join(", ")))
        }
        Computed::Json(json) => json_text(json),
    }
}

/// JSON, cut: small values in full, large ones by what they are, so that a large body costs nothing.
fn json_text(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Array(items) if items.len() > 8 => format!("a list of {}", items.len()),
        serde_json::Value::Object(map) if map.len() > 8 => format!("a map of {}", map.len()),
        _ => cut(&json.to_string()),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantity(unit: Unit, amount: f64) -> String {
    let sign = if amount < 0.0 { "-" } else { "" };
    let whole = amount.abs().min(9e15).round() as u64;
    match unit {
        Unit::Number => amount.to_string(),
        Unit::Duration => format!("{sign}{}", Duration::from(std::time::Duration::from_nanos(whole))),
        Unit::Size => format!("{sign}{}", Size::from_bytes(whole)),
        Unit::Percent => format!("{}%", amount / 10_000_000.0),
    }
}
