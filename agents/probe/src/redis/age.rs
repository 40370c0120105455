//! When a value was written, by its own word.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

/// How long ago the time in `field` was; a time to come is no time ago, because clocks differ.
pub(super) fn of(value: &Json, field: &str) -> Option<Duration> {
    let written = since_1970(found(value, field)?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(written))
}

/// In a map, or in a list of names and values: a hash as RESP2 sends it.
fn found<'a>(value: &'a Json, field: &str) -> Option<&'a Json> {
    match value {
        Json::Object(map) => map.get(field),
        Json::Array(items) => items.chunks_exact(2).find(|pair| pair[0].as_str() == Some(field)).map(|pair| &pair[1]),
        _ => None,
    }
}

fn since_1970(time: &Json) -> Option<Duration> {
    let number = match time {
        Json::Number(n) => n.as_f64()?,
        Json::String(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                return text
                    .trim()
                    .parse::<jiff::Timestamp>()
                    .ok()
                    .and_then(|t| t.duration_since(jiff::Timestamp::UNIX_EPOCH).try_into().ok());
            }
        },
        _ => return None,
    };
    // Seconds reach 10^11 in the year 5138, milliseconds 10^14.
    let seconds = match number {
        n if n >= 1e14 => n / 1e6,
        n if n >= 1e11 => n / 1e3,
        n => n,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_understood_in_every_usual_form() {
        let second = Duration::from_secs(1_763_629_200);
        for time in [
            json!(1_763_629_200),
            json!(1_763_629_200_000_u64),
            json!("1763629200000000"),
            json!("1763629200.0"),
            json!("2025-11-20T09:00:00Z"),
            json!("2025-11-20T10:00:00+01:00"),
        ] {
            assert_eq!(since_1970(&time), Some(second), "{time}");
        }
        for time in [json!("yesterday"), json!(-1), json!(null), json!("nan"), json!(true)] {
            assert_eq!(since_1970(&time), None, "{time}");
        }
    }

    #[test]
    fn the_field_is_found_in_a_map_and_in_a_flat_list() {
        for value in [json!({"a": 1, "updated": 5}), json!(["a", "1", "updated", 5])] {
            assert!(of(&value, "updated").is_some());
            assert!(of(&value, "b").is_none());
        }
        assert_eq!(of(&json!({"updated": 99_999_999_999_u64}), "updated"), Some(Duration::ZERO));
    }
}
