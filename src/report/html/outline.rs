//! JSON as an outline that reads like the file it came from.

use serde_json::Value;

/// `value` in YAML's block style, for people.
pub(super) fn outline(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out.trim_start_matches('\n').to_owned()
}

fn write(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("\n{indent}{key}:"));
                write(out, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                write(&mut inner, item, depth + 1);
                let text = inner.trim_start();
                out.push_str(&format!("\n{indent}- {text}"));
            }
        }
        Value::String(text) => out.push_str(&format!(" {text}")),
        other => out.push_str(&format!(" {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_outline_reads_like_the_file() {
        let value = json!({"title": "x", "with": {"get": "http://h/", "n": 3}, "list": [{"a": 1, "b": [2, 3]}, "c"], "none": {}});
        assert_eq!(
            super::outline(&value),
            "title: x\nwith:\n  get: http://h/\n  n: 3\nlist:\n  - a: 1\n    b:\n      - 2\n      - 3\n  - c\nnone: {}"
        );
    }
}
