//! A tree and a JSON Schema, walked together: what fits becomes JSON, what does not becomes an error at its place, all at once.
//!
//! The schema is the one that the type derives, so a fault's or probe's own `with:` is checked like everything else, and no fault knows of
//! YAML. Scalars are read as the type that the schema asks for; literals are chosen by their `format`.

use chaos_core::literal::{self, LiteralError};
use serde_json::{Map, Value as Json};

use super::later;
use super::pick;
use super::problems::{Problems, did_you_mean};
use super::tree::{Data, Node, Place, Style};

/// Marks a property that somebody else decodes, with more to say.
pub(super) const PIECE: &str = "x-piece";

/// Decodes `node` by `schema`. What is wrong is left out of the result: a list keeps `null` in its place.
pub(super) fn decode(problems: &mut Problems, node: &Node, schema: &Json, of: Option<&str>) -> Option<Json> {
    Walk { problems, root: schema, of, keys: Vec::new() }.value(node, schema)
}

/// Decodes the single value under a key.
pub(super) fn single(problems: &mut Problems, node: &Node, schema: &Json, key: &str, of: Option<&str>) -> Option<Json> {
    Walk { problems, root: schema, of, keys: vec![key.to_owned()] }.value(node, schema)
}

/// Reads a value without a schema: plain scalars by the core schema of YAML 1.2, the rest as text.
pub(super) fn free(node: &Node) -> Json {
    match &node.data {
        Data::List(items) => items.iter().map(free).collect(),
        Data::Map(entries) => entries.iter().map(|(key, value)| (key.text.clone(), free(value))).collect::<Map<_, _>>().into(),
        Data::Scalar { text, style } if *style == Style::Plain => plain(text),
        Data::Scalar { text, .. } => Json::String(text.clone()),
    }
}

fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits.len() + 1 < text.len() {
        return text.into();
    }
    if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    let radix = |prefix, radix| digits.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).filter(|_| digits.len() == text.len()) {
        return number.into();
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}

struct Walk<'w> {
    problems: &'w mut Problems,
    root: &'w Json,
    /// Whose fields these are, for messages: `net.delay`.
    of: Option<&'w str>,
    keys: Vec<String>,
}

impl<'w> Walk<'w> {
    fn value(&mut self, node: &Node, schema: &'w Json) -> Option<Json> {
        let schema = self.resolved(schema);
        if schema.get(PIECE).is_some() {
            return None;
        }
        if let Some(options) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array) {
            return self.one_of(node, options);
        }
        if let Some(constant) = schema.get("const") {
            return self.one_word(node, &[constant]);
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            let words: Vec<&Json> = words.iter().filter(|word| !word.is_null()).collect();
            return self.one_word(node, &words);
        }
        let types = types(schema);
        if types.is_empty() {
            return Some(free(node));
        }
        if node.is_null() {
            let name = self.name();
            self.problems.error(node.place, "missing-value", format!("{name} has no value"), example(schema));
            return None;
        }
        match &node.data {
            Data::Map(_) if types.contains(&"object") => Some(self.object(node, schema)),
            Data::List(items) if types.contains(&"array") => Some(self.array(items, schema)),
            Data::Scalar { text, style } => self.scalar(node, text, *style, schema, &types),
            _ => self.wrong_shape(node, schema),
        }
    }

    fn resolved(&self, schema: &'w Json) -> &'w Json {
        let mut schema = schema;
        for _ in 0..16 {
            let target = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
            match target.and_then(|path| self.root.pointer(path)) {
                Some(found) if schema.get(PIECE).is_none() => schema = found,
                _ => break,
            }
        }
        match schema.get("allOf").and_then(Json::as_array).map(Vec::as_slice) {
            Some([only]) => self.resolved(only),
            _ => schema,
        }
    }

    /// As a person would name the value: `` `delay` of net.delay ``.
    fn name(&self) -> String {
        match (self.keys.last(), self.of) {
            (Some(key), Some(of)) => format!("`{key}` of {of}"),
            (Some(key), None) => format!("`{key}`"),
            (None, Some(of)) => format!("`with` of {of}"),
            (None, None) => "this".to_owned(),
        }
    }

    fn wrong_shape(&mut self, node: &Node, schema: &Json) -> Option<Json> {
        let message = format!("{} is {}, not {}", self.name(), describe(schema), node.describe());
        self.problems.error(start(node), "wrong-shape", message, example(schema));
        types(schema).first().and_then(|kind| match *kind {
            "object" => Some(Json::Object(Map::new())),
            "array" => Some(Json::Array(Vec::new())),
            _ => None,
        })
    }

    fn object(&mut self, node: &Node, schema: &'w Json) -> Json {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        let others = schema.get("additionalProperties").filter(|others| **others != Json::Bool(false));
        let open = properties.is_empty() && schema.get("additionalProperties").is_none();
        let mut object = Map::new();
        for (key, value) in node.entries() {
            // Once a key stands twice, the first is taken; the second has its own error already.
            if object.contains_key(&key.text) {
                continue;
            }
            let found = schema.get("properties").and_then(|properties| properties.get(&key.text)).or(others);
            self.keys.push(key.text.clone());
            let decoded = match found {
                Some(found) => self.value(value, found),
                None if open => Some(free(value)),
                None => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    unknown_key(self.problems, &key.text, key.place, &known, self.of);
                    None
                }
            };
            self.keys.pop();
            if let Some(decoded) = decoded {
                object.insert(key.text.clone(), decoded);
            }
        }
        self.required(node, schema);
        object.into()
    }

    fn required(&mut self, node: &Node, schema: &'w Json) {
        let required = schema.get("required").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for key in required.iter().filter_map(Json::as_str).filter(|key| node.get(key).is_none()) {
            let property = schema.get("properties").and_then(|properties| properties.get(key));
            let shown = property.and_then(|property| self.resolved(property).get("examples")?.get(0).cloned());
            let shown = shown.map_or_else(|| "…".to_owned(), |shown| shown.as_str().map_or(shown.to_string(), quoted));
            let of = self.of.map(|of| format!(" in {of}")).unwrap_or_default();
            self.problems.error(start(node), "missing-key", format!("`{key}` is missing{of}"), format!("add `{key}: {shown}`"));
        }
    }

    fn array(&mut self, items: &[Node], schema: &'w Json) -> Json {
        let Some(inner) = schema.get("items") else { return items.iter().map(free).collect() };
        items.iter().map(|item| self.value(item, inner).unwrap_or(Json::Null)).collect()
    }

    fn scalar(&mut self, node: &Node, text: &str, style: Style, schema: &Json, types: &[&str]) -> Option<Json> {
        if style == Style::Plain && types.len() > 1 {
            let read = plain(text);
            let fits = |kind: &&str| match &read {
                Json::Bool(_) => *kind == "boolean",
                Json::Number(number) => *kind == "number" || (*kind == "integer" && !number.is_f64()),
                _ => false,
            };
            if types.iter().any(fits) {
                return Some(read);
            }
        }
        if types.contains(&"string") {
            return self.text(node, text, schema);
        }
        if types.contains(&"boolean") {
            return match text {
                "true" => Some(true.into()),
                "false" => Some(false.into()),
                _ => self.wrong_literal(node, "true or false", text),
            };
        }
        if types.contains(&"integer") {
            return self.whole_number(node, text, schema);
        }
        if types.contains(&"number") {
            return match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Some(number.into()),
                _ => self.wrong_literal(node, "a number", text),
            };
        }
        self.wrong_shape(node, schema)
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Json) -> Option<Json> {
        let Some(format) = schema.get("format").and_then(Json::as_str) else { return Some(text.into()) };
        if let Err(error) = check(format, text) {
            let other = literal::kind_of(text).filter(|kind| *kind != "a bare number");
            let mistaken = other.zip(noun(format)).filter(|(other, wanted)| other != wanted);
            match mistaken {
                Some((other, wanted)) => {
                    let message = format!("{} is {wanted}, not {other}", self.name());
                    self.problems.error(node.place, "wrong-literal", message, example(schema));
                }
                None => self.problems.error(node.place, "wrong-literal", error.message, error.hint),
            }
            return None;
        }
        Some(text.into())
    }

    fn whole_number(&mut self, node: &Node, text: &str, schema: &Json) -> Option<Json> {
        let Ok(number) = text.parse::<i64>().map(Json::from).or_else(|_| text.parse::<u64>().map(Json::from)) else {
            return self.wrong_literal(node, "a whole number", text);
        };
        let amount = number.as_f64().unwrap_or(f64::NAN);
        let least = schema.get("minimum").and_then(Json::as_f64);
        let most = schema.get("maximum").and_then(Json::as_f64);
        let bound = match (least, most) {
            (Some(least), _) if amount < least => format!("at least {least}"),
            (_, Some(most)) if amount > most => format!("at most {most}"),
            _ => return Some(number),
        };
        let message = format!("{} is {bound}, not {text}", self.name());
        self.problems.error(node.place, "wrong-literal", message, None);
        None
    }

    fn wrong_literal(&mut self, node: &Node, wanted: &str, found: &str) -> Option<Json> {
        let found = match literal::kind_of(found) {
            Some("a bare number") => "a number".to_owned(),
            Some(kind) => kind.to_owned(),
            None => format!("`{}`", cut(found)),
        };
        let message = format!("{} is {wanted}, not {found}", self.name());
        self.problems.error(node.place, "wrong-literal", message, None);
        None
    }

    fn one_word(&mut self, node: &Node, words: &[&Json]) -> Option<Json> {
        let texts: Vec<String> = words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
        let Some(text) = node.text().filter(|_| !node.is_null()) else {
            let message = format!("{} is one of {}, not {}", self.name(), texts.join(", "), node.describe());
            self.problems.error(start(node), "wrong-shape", message, None);
            return None;
        };
        if let Some(at) = texts.iter().position(|word| word == text) {
            return Some(words[at].clone());
        }
        let known: Vec<&str> = texts.iter().map(String::as_str).collect();
        let message = format!("{} is not `{}`", self.name(), cut(text));
        let hint = did_you_mean(text, &known, |known| Some(format!("it is one of {}", known.join(", "))));
        self.problems.error(node.place, "wrong-word", message, hint);
        None
    }

    fn one_of(&mut self, node: &Node, options: &'w [Json]) -> Option<Json> {
        let options: Vec<&Json> = options.iter().map(|option| self.resolved(option)).filter(|option| option["type"] != "null").collect();
        if let [only] = options[..] {
            return self.value(node, only);
        }
        let words: Vec<&Json> = options.iter().flat_map(|option| words(option)).collect();
        if options.iter().all(|option| !words_of(option).is_empty()) {
            return self.one_word(node, &words);
        }
        let fitting: Vec<&Json> = options.into_iter().filter(|option| shape_fits(node, option)).collect();
        match fitting[..] {
            [] => {
                let message = format!("{} is not {}", self.name(), node.describe());
                self.problems.error(start(node), "wrong-shape", message, None);
                None
            }
            [only] => self.value(node, only),
            [first, ..] if node.is_map() => {
                let by_key = |option: &&&Json| first_key(option).is_some_and(|key| node.get(key).is_some());
                match fitting.iter().find(by_key) {
                    Some(option) => self.value(node, option),
                    None => self.no_first_key(node, &fitting).or_else(|| self.value(node, first)),
                }
            }
            [first, ..] => {
                for option in &fitting {
                    let before = self.problems.list.len();
                    let decoded = self.value(node, option);
                    if self.problems.list.len() == before {
                        return decoded;
                    }
                    self.problems.list.truncate(before);
                }
                self.value(node, first)
            }
        }
    }

    fn no_first_key(&mut self, node: &Node, options: &[&Json]) -> Option<Json> {
        let keys: Vec<String> = options.iter().filter_map(|option| first_key(option)).map(|key| format!("`{key}`")).collect();
        if keys.len() != options.len() {
            return None;
        }
        self.problems.error(start(node), "missing-key", format!("{} needs one of {}", self.name(), keys.join(", ")), None);
        Some(Json::Object(Map::new()))
    }
}

/// An unknown key, with what was probably meant or what is known.
pub(super) fn unknown_key(problems: &mut Problems, key: &str, place: Place, known: &[&str], of: Option<&str>) {
    // Words of a later language; a fault's or probe's own fields are its own.
    if let Some(hint) = later::key(key).filter(|_| of.is_none()) {
        problems.error(place, later::CODE, format!("unknown key `{key}`"), hint.to_owned());
        return;
    }
    let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
    let hint = did_you_mean(key, known, |known| (!known.is_empty()).then(|| format!("known here: {}", known.join(", "))));
    problems.error(place, "unknown-key", format!("unknown key `{}`{of}", cut(key)), hint);
}

/// Where a map or list begins: its first key, or its opening bracket.
pub(super) fn start(node: &Node) -> Place {
    let first = node.entries().first().map(|(key, _)| key.place);
    let opening = Place { length: 1, ..node.place };
    match &node.data {
        Data::Map(_) => first.unwrap_or(opening),
        Data::List(_) => opening,
        Data::Scalar { .. } => node.place,
    }
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(kind)) => vec![kind.as_str()],
        Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).filter(|kind| *kind != "null").collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

fn words_of(schema: &Json) -> Vec<&Json> {
    match (schema.get("const"), schema.get("enum").and_then(Json::as_array)) {
        (Some(word), _) => vec![word],
        (None, Some(words)) => words.iter().collect(),
        (None, None) => Vec::new(),
    }
}

fn words<'j>(schema: &&'j Json) -> Vec<&'j Json> {
    words_of(schema)
}

fn first_key(schema: &Json) -> Option<&str> {
    schema.get("required")?.get(0)?.as_str()
}

fn shape_fits(node: &Node, schema: &Json) -> bool {
    let types = types(schema);
    if types.is_empty() {
        let nested = schema.get("anyOf").or_else(|| schema.get("oneOf")).is_some();
        return nested || words_of(schema).is_empty() || matches!(node.data, Data::Scalar { .. });
    }
    types.iter().any(|kind| match node.data {
        Data::Map(_) => *kind == "object",
        Data::List(_) => *kind == "array",
        Data::Scalar { .. } => !matches!(*kind, "object" | "array"),
    })
}

fn describe(schema: &Json) -> &'static str {
    let format = schema.get("format").and_then(Json::as_str).and_then(noun);
    match (types(schema).first(), format) {
        (Some(&"object"), _) => "a map",
        (Some(&"array"), _) => "a list",
        (Some(&"string"), Some(noun)) => noun,
        (Some(&"string"), None) => "a text",
        (Some(&"integer"), _) => "a whole number",
        (Some(&"number"), _) => "a number",
        (Some(&"boolean"), _) => "true or false",
        _ => "something else",
    }
}

fn example(schema: &Json) -> Option<String> {
    let shown = schema.get("examples")?.get(0)?;
    Some(format!("for example `{}`", shown.as_str().map_or_else(|| shown.to_string(), quoted)))
}

/// A text as it is written in YAML: in quotes where it begins with a sign of YAML's own.
fn quoted(text: &str) -> String {
    if text.starts_with(['>', '!', '[', '{', '&', '*', '"']) { format!("\"{text}\"") } else { text.to_owned() }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

fn noun(format: &str) -> Option<&'static str> {
    Some(match format {
        "duration" => "a duration",
        "percent" => "a percentage",
        "size" => "a size",
        "size-or-percent" => "a size or a percentage",
        "rate" => "a rate",
        "ports" => "a list of ports",
        "address" => "an address",
        "comparison" => "a comparison",
        _ => return None,
    })
}

fn check(format: &str, text: &str) -> Result<(), LiteralError> {
    fn is<T: std::str::FromStr<Err = LiteralError>>(text: &str) -> Result<(), LiteralError> {
        text.parse::<T>().map(|_| ())
    }
    match format {
        "duration" => is::<literal::Duration>(text),
        "percent" => is::<literal::Percent>(text),
        "size" => is::<literal::Size>(text),
        "size-or-percent" => is::<literal::SizeOrPercent>(text),
        "rate" => is::<literal::Rate>(text),
        "ports" => is::<literal::Ports>(text),
        "address" => is::<literal::Address>(text),
        "pattern" => is::<literal::Pattern>(text),
        "comparison" => is::<literal::Comparison>(text),
        "name" => is::<literal::Name>(text),
        "slug" => is::<literal::Slug>(text),
        "pick" => pick::parse(text).map(|_| ()),
        _ => Ok(()),
    }
}
