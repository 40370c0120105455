//! Opens a probe as the prober would, with every field wanted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::fault::SpecError;
use chaos_core::probe::{Answer, AnyClient, Asking, ProbeError};
use chaos_core::value::FieldValue;
use serde_json::Value;

pub(crate) async fn open_in(folder: &Path, kind: &str, with: Value) -> Result<Arc<dyn AnyClient>, ProbeError> {
    let table = chaos_probe::probes();
    let probe = table.get(kind).unwrap();
    assert_eq!(probe.check(&with), []);
    let wanted = probe.profile().fields.iter().map(|f| f.name.to_owned()).collect();
    let asking = Asking { timeout: Duration::from_secs(5), in_flight_max: 4, wanted, targets: Vec::new(), folder: folder.to_owned() };
    probe.open(&with, &asking).await
}

pub(crate) async fn open(kind: &str, with: Value) -> Arc<dyn AnyClient> {
    open_in(Path::new("/"), kind, with).await.unwrap()
}

/// The answer to one question, or its reason, which must not take for ever.
pub(crate) async fn ask(client: &Arc<dyn AnyClient>) -> Result<Answer, String> {
    let answer = tokio::time::timeout(Duration::from_secs(30), client.ask()).await.expect("an answer within 30 s");
    answer.map_err(|no| no.0)
}

/// The first mistake in a spec: where, and what.
pub(crate) fn mistake(kind: &str, with: &Value) -> (String, String) {
    let errors: Vec<SpecError> = chaos_probe::probes().get(kind).unwrap().check(with);
    let first = errors.first().unwrap_or_else(|| panic!("{with} is taken"));
    (first.path.clone(), first.message.clone())
}

pub(crate) fn number(answer: &Answer, field: &str) -> f64 {
    answer.get(field).and_then(FieldValue::as_measure).unwrap_or_else(|| panic!("no {field} in {answer:?}"))
}

pub(crate) fn text<'a>(answer: &'a Answer, field: &str) -> &'a str {
    match answer.get(field) {
        Some(FieldValue::Text(text)) => text,
        other => panic!("{field} is {other:?}"),
    }
}

pub(crate) fn any<'a>(answer: &'a Answer, field: &str) -> &'a Value {
    match answer.get(field) {
        Some(FieldValue::Any(json)) => json,
        other => panic!("{field} is {other:?}"),
    }
}
