//! The reference pages of faults and probes, from the tables themselves: what is documented is what there is.

use std::fmt::Write;

use chaos_core::AnyFault;
use chaos_core::fault::{Persistence, Reversibility, SecondNet};
use chaos_core::probe::AnyProbe;
use chaos_core::target::AnyTargetKind;
use serde_json::Value;

/// The page of a fault, as Markdown.
#[must_use]
pub fn fault(fault: &dyn AnyFault) -> String {
    let p = fault.profile();
    let mut page =
        format!("# {}\n\n{}\n\n{}\n\n```yaml\n{}\n```\n\n## Fields\n\n", fault.kind(), p.summary, p.about.trim(), p.example.trim());
    page += &fields(fault.schema().as_value());
    page += "\n## What to know\n\n| | |\n|---|---|\n";
    let rampable = if p.rampable.is_empty() { "no field".to_owned() } else { code(p.rampable) };
    let rows = [
        ("takes", code(p.takes)),
        ("needs", p.privileges.to_owned()),
        ("felt by", format!("the {}", p.reach)),
        ("taken back", reversibility(p.reversibility).to_owned()),
        ("when everything of `chaos` is killed", persistence(p.persistence, p.reversibility).to_owned()),
        ("found without the journal", second_net(p.second_net).to_owned()),
        ("taking it back takes at most", chaos_core::literal::Duration::from(p.revert_budget).to_string()),
        ("`ramp` moves", rampable),
        ("latent", if p.latent { "yes: nothing happens until somebody reads or restarts" } else { "no" }.to_owned()),
    ];
    for (what, is) in rows {
        let _ = writeln!(page, "| {what} | {is} |");
    }
    page
}

/// The page of a probe, as Markdown.
#[must_use]
pub fn probe(probe: &dyn AnyProbe) -> String {
    let p = probe.profile();
    let mut page = format!(
        "# {}\n\n{}\n\n{}\n\n```yaml\n{}\n```\n\n## Fields of `with`\n\n",
        probe.kind(),
        p.summary,
        p.about.trim(),
        p.example.trim()
    );
    page += &fields(probe.schema().as_value());
    page += "\n## What a sample holds, for `good:`\n\n| field | type | meaning |\n|---|---|---|\n";
    for field in p.fields {
        let _ = writeln!(page, "| `{}` | {} | {} |", field.name, format!("{:?}", field.is).to_lowercase(), cell(field.about));
    }
    page += "| `latency` | duration | from the due time to the end of the answer |\n\n";
    page += &p.good.map_or("`good:` is required.\n".to_owned(), |good| format!("`good:` may be left out: `{good}`.\n"));
    if !p.of.is_empty() {
        let _ = writeln!(page, "\n`of:` names a target set of kind {}.", code(p.of));
    }
    page
}

/// The page of a kind of target, as Markdown.
#[must_use]
pub fn target_kind(kind: &dyn AnyTargetKind) -> String {
    let p = kind.profile();
    format!("# {}\n\n{}\n\n```yaml\n{}\n```\n\n## Fields\n\n{}", kind.kind(), p.summary, p.example.trim(), fields(kind.schema().as_value()))
}

/// The fields of a schema as a table: name, type, meaning.
fn fields(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty()) else {
        return "None.\n".to_owned();
    };
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut table = "| field | type | meaning |\n|---|---|---|\n".to_owned();
    for (name, property) in properties {
        let star = if required.contains(&name.as_str()) { "*" } else { "" };
        let about = property
            .get("description")
            .or_else(|| resolved(property, schema).get("description"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let default = property.get("default").filter(|d| !d.is_null()).map_or(String::new(), |d| format!(" Default: `{}`.", plain(d)));
        let _ = writeln!(table, "| `{name}`{star} | {} | {}{default} |", cell(&type_of(property, schema)), cell(about));
    }
    if !required.is_empty() {
        table += "\n`*` required.\n";
    }
    table
}

fn resolved<'a>(property: &'a Value, root: &'a Value) -> &'a Value {
    let Some(pointer) = property.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else { return property };
    root.pointer(pointer).unwrap_or(property)
}

fn type_of(property: &Value, root: &Value) -> String {
    let property = resolved(property, root);
    if let Some(format) = property.get("format").and_then(Value::as_str).filter(|_| property.get("type") == Some(&Value::from("string"))) {
        return format.to_owned();
    }
    let words: Vec<String> = ["anyOf", "oneOf"]
        .iter()
        .filter_map(|k| property.get(k))
        .filter_map(Value::as_array)
        .flatten()
        .map(|v| type_of(v, root))
        .filter(|t| t != "null")
        .collect();
    if !words.is_empty() {
        return words.join(" or ");
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values.iter().map(|v| format!("`{}`", plain(v))).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = property.get("const") {
        return format!("`{}`", plain(value));
    }
    match property.get("type") {
        Some(Value::String(t)) => word(t).to_owned(),
        Some(Value::Array(types)) => {
            types.iter().filter_map(Value::as_str).filter(|t| *t != "null").map(word).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn word(json: &str) -> &str {
    match json {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true or false",
        "object" => "map",
        "array" => "list",
        other => other,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn code(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

fn reversibility(r: Reversibility) -> &'static str {
    match r {
        Reversibility::Exact => "exactly",
        Reversibility::WithLoss => "with loss; the plan lists what",
        Reversibility::Irreversible => "never: how the system recovers by itself is what is observed",
    }
}

fn persistence(p: Persistence, r: Reversibility) -> &'static str {
    match (p, r) {
        (_, Reversibility::Irreversible) => "there is nothing to take back",
        (Persistence::DiesWithExecutor, _) => "the effect is gone with it (*bound*)",
        (Persistence::UntilReboot, _) => "it stays until the next `chaos` command, `chaos recover`, or a reboot",
        (Persistence::Durable, _) => "it stays until the next `chaos` command or `chaos recover`, across reboots",
    }
}

fn second_net(net: SecondNet) -> &'static str {
    match net {
        SecondNet::Tag => "yes: every object carries the run's tag (`chaos sweep`)",
        SecondNet::Stamp => "yes: the undo lies beside the effect (`chaos sweep`)",
        SecondNet::None => "no: only the journal knows",
    }
}
