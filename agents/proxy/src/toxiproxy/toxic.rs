//! Toxiproxy's toxics, and what they are here.

use serde_json::{Map, Value, json};

use super::collection::ApiError;
use super::form::{ToxicForm, ToxicInput, ToxicUpdate, share};

/// Every type of toxic and its attributes, whole numbers all of them.
const TYPES: &[(&str, &[&str])] = &[
    ("latency", &["latency", "jitter"]),
    ("bandwidth", &["rate"]),
    ("slow_close", &["delay"]),
    ("timeout", &["timeout"]),
    ("reset_peer", &["timeout"]),
    ("slicer", &["average_size", "size_variation", "delay"]),
    ("limit_data", &["bytes"]),
];

/// A toxic of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Toxic {
    pub(super) name: String,
    kind: &'static str,
    upstream: bool,
    toxicity: f32,
    attributes: Vec<(&'static str, i64)>,
}

impl Toxic {
    /// From what the API was given.
    pub(super) fn new(input: ToxicInput) -> Result<Self, ApiError> {
        let upstream = match input.stream.to_lowercase().as_str() {
            "upstream" => true,
            "downstream" => false,
            _ => return Err(ApiError::new(400, "stream was invalid, can be either upstream or downstream")),
        };
        let (kind, names) = TYPES.iter().find(|(kind, _)| *kind == input.kind).ok_or_else(|| ApiError::new(400, "invalid toxic type"))?;
        let name = if input.name.is_empty() { format!("{}_{}", input.kind, input.stream) } else { input.name };
        let mut toxic = Self { name, kind, upstream, toxicity: input.toxicity, attributes: names.iter().map(|n| (*n, 0)).collect() };
        toxic.set(&input.attributes)?;
        Ok(toxic)
    }

    /// With other attributes; what is not given stays.
    pub(super) fn updated(&self, update: &ToxicUpdate) -> Result<Self, ApiError> {
        let mut toxic = self.clone();
        toxic.toxicity = update.toxicity.unwrap_or(toxic.toxicity);
        toxic.set(&update.attributes)?;
        Ok(toxic)
    }

    fn set(&mut self, given: &Map<String, Value>) -> Result<(), ApiError> {
        for (name, value) in &mut self.attributes {
            let Some(given) = given.get(*name).filter(|v| !v.is_null()) else { continue };
            let number = given.as_i64().or_else(|| whole(given));
            *value = number.ok_or_else(|| ApiError::bad_body(format!("attribute {name} is no whole number: {given}")))?;
        }
        Ok(())
    }

    /// Does it act on what goes to the upstream?
    pub(super) fn is_upstream(&self) -> bool {
        self.upstream
    }

    /// As the API shows it.
    pub(super) fn form(&self) -> ToxicForm {
        ToxicForm {
            attributes: Value::Object(self.attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()),
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            stream: if self.upstream { "upstream" } else { "downstream" }.to_owned(),
            toxicity: share(self.toxicity),
        }
    }

    fn attribute(&self, name: &str) -> i64 {
        self.attributes.iter().find(|(n, _)| *n == name).map_or(0, |(_, value)| (*value).max(0))
    }

    /// Kind and fields of the fault that it is.
    pub(super) fn fault(&self) -> (&'static str, Value) {
        let ms = |name| format!("{}ms", self.attribute(name));
        let direction = if self.upstream { "requests" } else { "answers" };
        let (kind, mut with) = match self.kind {
            "latency" => ("tcp.latency", json!({"delay": ms("latency"), "jitter": ms("jitter"), "direction": direction})),
            "bandwidth" if self.attribute("rate") == 0 => ("tcp.blackhole", json!({"direction": direction})),
            "bandwidth" => ("tcp.rate", json!({"rate": format!("{} kB/s", self.attribute("rate")), "direction": direction})),
            "slow_close" => ("tcp.slow_close", json!({"delay": ms("delay"), "direction": direction})),
            "timeout" if self.attribute("timeout") == 0 => ("tcp.blackhole", json!({"direction": direction})),
            "timeout" => ("tcp.blackhole", json!({"timeout": ms("timeout"), "direction": direction})),
            "reset_peer" => ("tcp.reset", json!({"after": ms("timeout")})),
            "slicer" => {
                let size = self.attribute("average_size").max(1);
                // Here the size varies by less than itself.
                let spread = self.attribute("size_variation").min(size - 1);
                let gap = format!("{}us", self.attribute("delay"));
                ("tcp.slice", json!({"size": format!("{size} B"), "spread": format!("{spread} B"), "gap": gap, "direction": direction}))
            }
            _ => ("tcp.limit", json!({"bytes": format!("{} B", self.attribute("bytes")), "direction": direction})),
        };
        with["connections"] = json!(percent(self.toxicity));
        (kind, with)
    }
}

/// A whole number that was written with a fraction of zero, as some languages do.
fn whole(value: &Value) -> Option<i64> {
    let number = value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15)?;
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    Some(number as i64)
}

/// A share as percent. Through its shortest decimal text, so that 0.3 is 30%.
fn percent(toxicity: f32) -> String {
    let share: f64 = toxicity.clamp(0.0, 1.0).to_string().parse().unwrap_or(1.0);
    let text = format!("{:.5}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
