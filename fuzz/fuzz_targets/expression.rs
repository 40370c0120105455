//! Any text as an expression, asked of samples of every type: it is refused at a place inside of it, or it answers; never a
//! panic, never past its limits.
#![no_main]

use std::sync::LazyLock;

use chaos_core::expression::Expression;
use chaos_core::probe::Answer;
use chaos_core::value::{FieldType, FieldValue};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const FIELDS: [(&str, FieldType); 6] = [
    ("status", FieldType::Number),
    ("body", FieldType::Any),
    ("text", FieldType::Text),
    ("bytes", FieldType::Size),
    ("latency", FieldType::Duration),
    ("alive", FieldType::Bool),
];

static SAMPLES: LazyLock<[Answer; 2]> = LazyLock::new(|| {
    let full = Answer::new()
        .with("status", FieldValue::Number(200.0))
        .with("body", FieldValue::Any(json!({"outputs": [{"data": [0.731, -1, 1e300]}], "state": "open", "none": null, "deep": [[[[]]]]})))
        .with("text", FieldValue::Text("ünïcödé, and a line\n".into()))
        .with("bytes", FieldValue::Size(u64::MAX))
        .with("latency", FieldValue::Duration(std::time::Duration::from_millis(80).into()))
        .with("alive", FieldValue::Bool(true));
    [full, Answer::new()]
});

fuzz_target!(|text: &str| {
    let _ = Expression::parse_unchecked(text);
    if let Ok(expression) = Expression::parse(text, &FIELDS) {
        let again = Expression::parse(expression.as_str(), &FIELDS).expect("what was read once is read again");
        assert_eq!(again.references(), expression.references());
        for sample in &*SAMPLES {
            assert_eq!(expression.is_good(sample).is_ok(), again.is_good(sample).is_ok(), "the same sample, another answer");
        }
    }
});
