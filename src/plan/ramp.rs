//! A ramp: one field of a fault goes in equal steps from one value to another, in the unit that it is written in.

use std::str::FromStr;

use chaos_core::experiment::Ramp;
use chaos_core::literal::{Duration, Percent, Rate, Size};
use serde_json::{Number, Value};

/// The whole spec at step `n` of `ramp.steps` (0: where it starts; the last: as the file says).
///
/// A field that is no number, duration, percentage, size or rate stays at its end value.
#[must_use]
pub fn at(with: &Value, ramp: &Ramp, n: u32) -> Value {
    let mut spec = with.clone();
    let Some(to) = with.get(&ramp.field) else { return spec };
    let share = f64::from(n.min(ramp.steps)) / f64::from(ramp.steps.max(1));
    let value = if n >= ramp.steps { Some(to.clone()) } else { between(&ramp.from, to, share) };
    if let (Some(value), Some(map)) = (value, spec.as_object_mut()) {
        map.insert(ramp.field.clone(), value);
    }
    spec
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "values lie between two that fit")]
fn between(from: &Value, to: &Value, share: f64) -> Option<Value> {
    let mix = |a: f64, b: f64| a + (b - a) * share;
    if let (Some(a), Some(b)) = (from.as_f64(), to.as_f64()) {
        let value = mix(a, b);
        let whole = from.is_u64() && to.is_u64();
        return if whole { Some(Value::from(value.round() as u64)) } else { Number::from_f64(value).map(Value::Number) };
    }
    let (from, to) = (from.as_str()?, to.as_str()?);
    if let (Ok(a), Ok(b)) = (Duration::from_str(from), Duration::from_str(to)) {
        let nanos = mix(a.get().as_nanos() as f64, b.get().as_nanos() as f64);
        return Some(Duration::from(std::time::Duration::from_micros((nanos / 1_000.0).round() as u64)).to_string().into());
    }
    if let (Ok(a), Ok(b)) = (Percent::from_str(from), Percent::from_str(to)) {
        let written = format!("{:.4}%", mix(a.ratio() * 100.0, b.ratio() * 100.0));
        return Some(Percent::from_str(&written).map_or(written, |p| p.to_string()).into());
    }
    if let (Ok(a), Ok(b)) = (Size::from_str(from), Size::from_str(to)) {
        return Some(Size::from_bytes(mix(a.bytes() as f64, b.bytes() as f64).round() as u64).to_string().into());
    }
    let rates = (Rate::from_str(from).ok().and_then(Rate::bytes_per_second), Rate::from_str(to).ok().and_then(Rate::bytes_per_second));
    if let (Some(a), Some(b)) = rates {
        return Some(Rate::Bytes(mix(a as f64, b as f64).round() as u64).to_string().into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(from: Value, to: Value, n: u32) -> Value {
        let ramp = Ramp { field: "x".into(), from, over: Duration::from_secs(20), steps: 4 };
        at(&json!({"x": to, "y": 1}), &ramp, n)["x"].clone()
    }

    #[test]
    fn a_ramp_goes_in_equal_steps_in_the_unit_of_its_field() {
        assert_eq!(step(json!("0ms"), json!("200ms"), 0), json!("0s"));
        assert_eq!(step(json!("0ms"), json!("200ms"), 1), json!("50ms"));
        assert_eq!(step(json!("0ms"), json!("200ms"), 4), json!("200ms"));
        assert_eq!(step(json!(0), json!(8), 2), json!(4));
        assert_eq!(step(json!("0%"), json!("80%"), 1), json!("20%"));
        assert_eq!(step(json!("9 MB/s"), json!("8 Mbit/s"), 2), json!("5 MB/s"));
        assert_eq!(step(json!("0 B"), json!("4 kB"), 2).as_str().and_then(|s| s.parse::<Size>().ok()), Some(Size::from_bytes(2_000)));
    }
}
