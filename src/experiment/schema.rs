//! The JSON Schema of the language, for editors: made from the types that decode the file and the schemas of every fault, probe and kind.

use schemars::SchemaGenerator;
use serde_json::{Map, Value as Json, json};

use super::{Vocabulary, file, walk};

/// The JSON Schema (draft 2020-12) of experiment files that use these words. What `with:` holds is chosen by `inject` or `probe`.
#[must_use]
pub fn schema(vocabulary: &Vocabulary<'_>) -> Json {
    let mut generator = SchemaGenerator::default();
    let experiment = generator.subschema_for::<file::Experiment>().to_value();
    let part = generator.subschema_for::<file::Part>().to_value();
    let mut definitions: Map<String, Json> = generator.take_definitions(true);
    for probed in ["Hypothesis", "Health", "Ready"] {
        let probes = vocabulary.probes.iter().map(|probe| (probe.kind(), probe.profile().summary, probe.schema().to_value())).collect();
        chosen(&mut definitions, probed, "probe", probes);
    }
    let offered = vocabulary.faults.iter().filter(|fault| !fault.profile().internal);
    let faults = offered.map(|fault| (fault.kind(), fault.profile().summary, fault.schema().to_value())).collect();
    chosen(&mut definitions, "Inject", "inject", faults);
    kinds(&mut definitions, vocabulary);
    for definition in definitions.values_mut() {
        publish(definition);
    }
    definitions.insert("Step".into(), step());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chaos experiment",
        "description": "An experiment for `chaos`, or a part that experiments use.",
        "type": "object",
        "if": {"required": ["part"]},
        "then": part,
        "else": experiment,
        "$defs": definitions,
    })
}

/// `with:` by the word under `key`.
fn chosen(definitions: &mut Map<String, Json>, definition: &str, key: &str, words: Vec<(&str, &str, Json)>) {
    let mut rules = Vec::new();
    let mut known = Vec::new();
    for (kind, summary, schema) in words {
        let name = hoisted(definitions, key, kind, schema);
        let needed = definitions.get(&name).and_then(|schema| schema["required"].as_array()).is_some_and(|keys| !keys.is_empty());
        let mut then = json!({"properties": {"with": {"$ref": format!("#/$defs/{name}")}}});
        if needed {
            then["required"] = json!(["with"]);
        }
        rules.push(json!({"if": {"properties": {key: {"const": kind}}, "required": [key]}, "then": then}));
        known.push(json!({"const": kind, "description": summary}));
    }
    let Some(definition) = definitions.get_mut(definition) else { return };
    let mut word = json!({"oneOf": known});
    if let Some(description) = definition["properties"][key].get("description") {
        word["description"] = description.clone();
    }
    definition["properties"][key] = word;
    definition["allOf"] = Json::Array(rules);
}

/// A step by its first key, so that an editor offers the five of them, and then only what belongs to the one chosen.
fn step() -> Json {
    let mut properties = Map::new();
    let mut rules = Vec::new();
    let mut one = Vec::new();
    for (action, definition) in [("inject", "Inject"), ("wait", "Wait"), ("wait_for", "WaitFor"), ("run", "Run"), ("parallel", "Parallel")]
    {
        properties.insert(action.to_owned(), json!({"$ref": format!("#/$defs/{definition}/properties/{action}")}));
        rules.push(json!({"if": {"required": [action]}, "then": {"$ref": format!("#/$defs/{definition}")}}));
        one.push(json!({"required": [action]}));
    }
    let about = "One thing to do. It begins with what it does: inject, wait, wait_for, run or parallel.";
    json!({"type": "object", "description": about, "properties": properties, "oneOf": one, "allOf": rules})
}

/// The kinds of target, each as a key with its selector.
fn kinds(definitions: &mut Map<String, Json>, vocabulary: &Vocabulary<'_>) {
    let mut properties = Map::new();
    for kind in vocabulary.kinds.iter() {
        let name = hoisted(definitions, "targets", kind.kind(), kind.schema().to_value());
        let reference = json!({"$ref": format!("#/$defs/{name}"), "description": kind.profile().summary, "minProperties": 1});
        properties.insert(kind.kind().to_owned(), reference);
    }
    let one: Vec<Json> = properties.keys().map(|kind| json!({"required": [kind]})).collect();
    for definition in ["TargetSet", "Never"] {
        let Some(found) = definitions.get_mut(definition).and_then(Json::as_object_mut) else { continue };
        if let Some(own) = found.get_mut("properties").and_then(Json::as_object_mut) {
            own.extend(properties.clone());
        }
        found.insert("oneOf".into(), Json::Array(one.clone()));
    }
}

/// Puts a schema of its own among the definitions, with those that it brought along, and gives its name.
fn hoisted(definitions: &mut Map<String, Json>, family: &str, kind: &str, mut schema: Json) -> String {
    let name = format!("{family}:{kind}");
    if definitions.contains_key(&name) {
        return name;
    }
    let own = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("$schema");
        schema.remove("title");
    }
    for (inner, mut definition) in own.and_then(|own| own.as_object().cloned()).unwrap_or_default() {
        renamed(&mut definition, &name);
        definitions.insert(format!("{name}:{inner}"), definition);
    }
    renamed(&mut schema, &name);
    definitions.insert(name.clone(), schema);
    name
}

fn renamed(schema: &mut Json, name: &str) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::String(target)) = object.get_mut("$ref")
                && let Some(inner) = target.strip_prefix("#/$defs/")
            {
                *target = format!("#/$defs/{name}:{inner}");
            }
            object.values_mut().for_each(|value| renamed(value, name));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| renamed(item, name)),
        _ => {}
    }
}

/// From the schema that decodes to the schema that editors get: no `null` for what is left out, nothing beside what is known, scalars as
/// they may be written, and `$(name)` wherever a single value stands.
fn publish(schema: &mut Json) {
    let Json::Object(object) = schema else { return };
    object.remove(walk::PIECE);
    object.remove("default");
    without_null(object);
    for key in ["properties", "patternProperties", "$defs"] {
        if let Some(Json::Object(inner)) = object.get_mut(key) {
            inner.values_mut().for_each(publish);
        }
    }
    for key in ["items", "additionalProperties", "then"] {
        if let Some(inner) = object.get_mut(key) {
            publish(inner);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Json::Array(inner)) = object.get_mut(key) {
            inner.iter_mut().for_each(publish_option);
        }
    }
    if object.contains_key("properties") && object.get("type") == Some(&json!("object")) && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".into(), false.into());
    }
    as_written(schema);
}

/// An alternative. Words stay as they are: the value that they are words of is widened as a whole.
fn publish_option(option: &mut Json) {
    let is_word = option.get("const").is_some() || option.get("enum").is_some();
    let is_bare = option.as_object().is_some_and(|option| option.keys().all(|key| key == "required"));
    if !is_word && !is_bare {
        publish(option);
    }
}

fn without_null(object: &mut Map<String, Json>) {
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Json::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Json::Array(options)) = object.get_mut(key) {
            options.retain(|option| option.get("type") != Some(&json!("null")));
        }
    }
}

/// Single values may be written without quotes, and may be put together from parameters.
fn as_written(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else { return };
    let has = |key: &str| object.contains_key(key);
    let words = has("enum") || ["anyOf", "oneOf"].iter().any(|key| all_words(object.get(*key)));
    let kind = object.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    let limited = has("pattern") || has("minLength") || has("format");
    match kind.as_str() {
        "string" if !limited && !words => {
            object.insert("type".into(), json!(["string", "number", "boolean"]));
            return;
        }
        "string" | "integer" | "number" | "boolean" => {}
        _ if words => {}
        _ => return,
    }
    if has("const") {
        return;
    }
    let mut options = vec![Json::Null, json!({"type": "string", "pattern": r"\$\("})];
    if matches!(object.get("format").and_then(Json::as_str), Some("ports" | "pick")) {
        options.push(json!({"type": "integer", "minimum": 1, "maximum": 65535}));
    }
    let mut outer = Map::new();
    if let Some(description) = object.remove("description") {
        outer.insert("description".into(), description);
    }
    options[0] = Json::Object(std::mem::take(object));
    outer.insert("anyOf".into(), Json::Array(options));
    *schema = Json::Object(outer);
}

fn all_words(options: Option<&Json>) -> bool {
    let is_word = |option: &Json| option.get("const").is_some() || option.get("enum").is_some();
    options.and_then(Json::as_array).is_some_and(|options| !options.is_empty() && options.iter().all(is_word))
}
