//! The reference pages of faults and probes, from the tables themselves: what is documented is what there is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use chaos_core::fault::{Persistence, Reversibility, SecondNet};
use chaos_core::probe::{AnyProbe, ProbeTable};
use chaos_core::target::{AnyTargetKind, TargetKindTable};
use chaos_core::{AnyFault, Table};
use serde_json::Value;

/// The whole reference, by file name: a page for each fault, probe and kind of target, and `README.md`, which lists them.
#[must_use]
pub fn pages(faults: &Table, probes: &ProbeTable, kinds: &TargetKindTable) -> BTreeMap<String, String> {
    let offered = faults.iter().filter(|f| !f.profile().internal);
    let faults: Vec<_> = offered.map(|f| (Entry::of("fault", f.kind(), f.profile().summary), fault(f))).collect();
    let probes: Vec<_> = probes.iter().map(|p| (Entry::of("probe", p.kind(), p.profile().summary), probe(p))).collect();
    let kinds: Vec<_> = kinds.iter().map(|k| (Entry::of("target", k.kind(), k.profile().summary), target_kind(k))).collect();
    let mut index = INDEX.to_owned();
    for (title, about, chapter) in [
        ("Faults", "What `inject:` can break. `chaos faults KIND` shows the same page.", &faults),
        ("Probes", "What `probe:` can ask. `chaos probes KIND` shows the same page.", &probes),
        ("Targets", "What `targets:` can find.", &kinds),
    ] {
        let _ = write!(index, "\n## {title}\n\n{about}\n\n| | |\n|---|---|\n");
        for (entry, _) in chapter {
            let _ = writeln!(index, "| [{}]({}) | {} |", entry.kind, entry.file, cell(entry.summary));
        }
    }
    let all = [faults, probes, kinds].into_iter().flatten().map(|(entry, page)| (entry.file, page));
    all.chain([("README.md".to_owned(), index)]).collect()
}

const INDEX: &str = "# Reference\n\nWhat this version can break, ask and find. The pages are written by the program's own tables, and a test holds them to it.\n";

/// A page, as the index lists it.
struct Entry {
    kind: &'static str,
    summary: &'static str,
    file: String,
}

impl Entry {
    fn of(what: &str, kind: &'static str, summary: &'static str) -> Self {
        Self { kind, summary, file: format!("{what}-{kind}.md") }
    }
}

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
        ("taking it back takes at most", takes_at_most(p.revert_budget, p.settle)),
        ("`ramp` moves", rampable),
        ("latent", if p.latent { "yes: nothing happens until somebody reads or restarts" } else { "no" }.to_owned()),
    ];
    for (what, is) in rows {
        let _ = writeln!(page, "| {what} | {is} |");
    }
    page
}

fn takes_at_most(reverting: Duration, settling: Duration) -> String {
    let [reverting, settling] = [reverting, settling].map(chaos_core::literal::Duration::from);
    if settling.get().is_zero() {
        return reverting.to_string();
    }
    format!("{reverting}; {settling} more where what it asked for was not answered, and so may still arrive")
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
    let fields = fields(kind.schema().as_value());
    format!("# {}\n\n{}\n\n{}\n\n```yaml\n{}\n```\n\n## Fields\n\n{fields}", kind.kind(), p.summary, p.about.trim(), p.example.trim())
}

/// The fields of a schema as a table: name, type, meaning. Fields of a map in it are written `map.field`.
fn fields(schema: &Value) -> String {
    let rows = rows(schema, schema, "");
    if rows.is_empty() {
        return "None.\n".to_owned();
    }
    let starred = if rows.contains("`* |") { "\n`*` required.\n" } else { "" };
    format!("| field | type | meaning |\n|---|---|---|\n{rows}{starred}")
}

fn rows(map: &Value, root: &Value, within: &str) -> String {
    let required: Vec<&str> = map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows = String::new();
    for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let star = if required.contains(&name.as_str()) { "*" } else { "" };
        let inner = shape(property, root);
        let about = property.get("description").or_else(|| inner.get("description")).and_then(Value::as_str).unwrap_or_default();
        let default = property.get("default").filter(|d| !d.is_null()).map_or(String::new(), |d| format!(" Default: `{}`.", plain(d)));
        let _ = writeln!(rows, "| `{within}{name}`{star} | {} | {}{default} |", cell(&type_of(property, root)), cell(about));
        rows += &self::rows(inner, root, &format!("{within}{name}."));
    }
    rows
}

/// What a property is, where it is not null.
fn shape<'a>(property: &'a Value, root: &'a Value) -> &'a Value {
    let choices = property.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let mut given = choices.filter(|c| c.get("type").and_then(Value::as_str) != Some("null"));
    match (given.next(), given.next()) {
        (Some(only), None) => resolved(only, root),
        _ => resolved(property, root),
    }
}

fn resolved<'a>(property: &'a Value, root: &'a Value) -> &'a Value {
    let Some(pointer) = property.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else { return property };
    root.pointer(pointer).unwrap_or(property)
}

fn type_of(property: &Value, root: &Value) -> String {
    let property = resolved(property, root);
    if let Some(format) = property.get("format").and_then(Value::as_str).filter(|_| is_text(property)) {
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

/// Text, or what is text where it is not left out.
fn is_text(property: &Value) -> bool {
    match property.get("type") {
        Some(Value::Array(types)) => types.iter().any(|t| t == "string"),
        is => is.is_some_and(|t| t == "string"),
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
