use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::probe::Answer;
use crate::value::FieldValue;

const HTTP: [(&str, FieldType); 6] = [
    ("status", FieldType::Number),
    ("body", FieldType::Any),
    ("text", FieldType::Text),
    ("headers", FieldType::Map),
    ("bytes", FieldType::Size),
    ("latency", FieldType::Duration),
];

fn answer() -> Answer {
    let body = json!({
        "outputs": [{"data": [0.7312]}], "state": "open", "n": 3, "none": null, "list": [1, 2, 3],
        "items": [{"ok": true}, {"ok": false}],
    });
    Answer::new()
        .with("status", FieldValue::Number(200.0))
        .with("body", FieldValue::Any(body))
        .with("headers", FieldValue::Any(json!({"content-type": "application/json"})))
        .with("text", FieldValue::Text("it is ok".into()))
        .with("latency", FieldValue::Duration(std::time::Duration::from_millis(120)))
}

fn ask(text: &str) -> Result<(), String> {
    Expression::parse(text, &HTTP).unwrap_or_else(|error| panic!("{text}: {error}")).is_good(&answer())
}

fn refused(text: &str) -> ExpressionError {
    Expression::parse(text, &HTTP).expect_err(text)
}

#[test]
fn the_expressions_of_the_language_are_good() {
    for text in [
        "status == 200 && size(body.outputs) > 0",
        "status == 200 && near(body.outputs[0].data[0], 0.731, 0.001)",
        "body.state == \"open\"",
        "body.state in ['open', \"half-open\"]",
        "latency < 300ms && latency >= 100ms + 20ms && latency * 2 == 240ms && latency / 60ms == 2",
        "!has(body.missing) && has(body.outputs) && has(body.outputs[0].data)",
        "headers[\"content-type\"].startsWith(\"application/\") && \"content-type\" in headers",
        "text.contains(\"ok\") && text.endsWith('ok') && text.matches(\"^it .s ok$\")",
        "body.list.all(x, x > 0) && body.list.exists(x, x == 3) && body.items.exists(item, item.ok && body.n == 3)",
        "body.list == [1, 2, 3] && body.none == null && body.n != null",
        "min(3, body.n, 5) == 3 && max(1, 2) == 2 && abs(-2) == 2",
        "number(\"1.5\") == 1.5 && text(body.n) == \"3\" && size(\"äöü\") == 3",
        "status == 200 ? true : body.missing == 1",
        "status == 200 || body.missing == 1",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 4 - 3 == 3 && 1e3 == 1000",
        "34% < 35% && 5MB == 5000kB && 1h30m == 90m && 1.5s > 1s && 1KiB == 1024B",
        "(status == 200) == true",
        "\"a\" + \"b\" == \"ab\"",
    ] {
        assert_eq!(ask(text), Ok(()), "{text}");
    }
}

#[test]
fn a_bad_sample_says_why() {
    for (text, reason) in [
        ("status == 503", "status == 503 was false: status is 200"),
        ("status == 200 && latency < 100ms", "latency < 100ms was false: latency is 120ms"),
        ("size(body.missing) > 0", "no field missing"),
        ("body.outputs[3].x == 1", "no element 3"),
        ("bytes > 1kB", "no field bytes"),
        ("body.state == 3", "body.state == 3 was false: body.state is \"open\""),
        ("body.state != 3", "body.state != 3 was false: body.state is \"open\""),
        ("body.state", "\"open\" is a text, not true or false"),
        ("!(status == 200)", "!(status == 200) was false: status is 200"),
        ("status / 0 > 1", "division by zero"),
        ("status in [201, 204]", "status in [201, 204] was false: status is 200"),
        ("body.items.all(i, i.ok)", "body.items.all(i, i.ok) was false"),
        ("text.matches(\"^no\")", "text.matches(\"^no\") was false: text is \"it is ok\""),
        ("number(text) > 1", "\"it is ok\" is not a number"),
        ("body.list.contains(\"x\")", "[1,2,3] is a list, not a text"),
    ] {
        assert_eq!(ask(text), Err(reason.to_owned()), "{text}");
    }
}

#[test]
fn long_lists_are_given_up() {
    let long = Answer::new().with("body", FieldValue::Any(json!(vec![1; 20_000])));
    let good = Expression::parse("body.all(x, x == 1)", &HTTP).unwrap();
    assert_eq!(good.is_good(&long).unwrap_err(), "the expression takes more than 10000 steps on this sample");
}

#[test]
fn mistakes_have_a_place_and_a_hint() {
    for (text, place, message, hint) in [
        (
            "status == 200 && size(body.outputs) > O",
            "O",
            "unknown name `O` in an expression",
            Some("samples have status, body, text, headers, bytes, latency"),
        ),
        ("status = 200", "=", "`=` is not a comparison", Some("write `==`")),
        ("1 < status < 300", "< 300", "comparisons do not chain", Some("write `1 < x && x < 2`")),
        ("latency < 300", "300", "`latency` is a duration, and `300` is a number", Some("`300ms` or `300s`")),
        ("status == \"200\"", "\"200\"", "`status` is a number, and `\"200\"` is a text", Some("compare what is of one kind")),
        ("status % 2 == 0", "%", "`%` has no meaning in an expression", Some("`%` is a percentage (`34%`), never a remainder")),
        ("status == 200 and true", "and", "`and` does not belong here", Some("write `&&`")),
        ("status", "status", "an expression answers with true or false, this is a number", Some("compare it: `… == 200`, `… > 0`")),
        (
            "latency < 300mss",
            "300mss",
            "`300mss` is not a number with a unit",
            Some("units are us, ms, s, m, h, d, B, kB, MB, GB, KiB, MiB, GiB and %"),
        ),
        ("status ==", "", "the expression ends too early", None),
        ("", "", "the expression ends too early", None),
        (
            "len(body) > 0",
            "len",
            "unknown function `len` in an expression",
            Some(
                "functions are size, has, near, abs, min, max, number, text; of a text or list: contains, startsWith, endsWith, matches, all, exists",
            ),
        ),
        (
            "near(status, 1)",
            "near(status, 1)",
            "`near` is not asked like this",
            Some("`near(x, 0.731, 0.001)`: value, expected, tolerance"),
        ),
        ("text.matches(\"(\")", "\"(\"", "not a regular expression: found open group without closing ')'", None),
        ("\"ok\" in text", "text", "a text holds nothing to look in", Some("write `text.contains(part)`")),
        (
            "body.list.all(x, x) && y",
            "y",
            "unknown name `y` in an expression",
            Some("samples have status, body, text, headers, bytes, latency"),
        ),
        ("\"open", "\"", "this text has no end", Some("close it with `\"`")),
        ("latency + status > 1s", "latency + status", "`+` between a duration and a number", Some("both of one kind, or one a number")),
        ("status > null", "null", "null has no order", Some("compare with == or !=")),
    ] {
        let error = refused(text);
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, hint), "{text}");
        let shown = text.get(error.offset..).unwrap_or_default();
        assert!(shown.starts_with(place), "{text}: {shown}");
    }
}

#[test]
fn sizes_and_depths_are_bounded() {
    let long = format!("status == {}", "1".repeat(2000));
    assert_eq!(refused(&long).message, "an expression has at most 1024 bytes");
    for deep in ["(".repeat(1000), "!".repeat(1000), "-".repeat(1000), "[".repeat(1000), "min(".repeat(250), "a?".repeat(500)] {
        assert_eq!(refused(&deep).message, "an expression is at most 32 deep", "{deep}");
    }
    let chain = vec!["true"; 127].join("&&");
    assert_eq!(ask(&chain), Ok(()));
    assert_eq!(refused(&vec!["true"; 160].join("&&")).message, "an expression joins at most 128 parts");
    assert_eq!(refused("text.matches(\"(a{1000}){1000}\")").message.split(':').next(), Some("not a regular expression"));
}

#[test]
fn it_knows_what_it_reads() {
    let good = Expression::parse("status == 200 && body.list.all(x, x == status)", &HTTP).unwrap();
    assert_eq!(good.references(), ["status", "body"]);
    assert!(good.reads("body") && !good.reads("text"));
}

#[test]
fn it_is_its_text_in_json() {
    let good = Expression::parse("latency < 300ms", &HTTP).unwrap();
    let json = serde_json::to_string(&good).unwrap();
    assert_eq!(json, "\"latency < 300ms\"");
    assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), good);
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("status".to_owned()),
        Just("body".to_owned()),
        Just("body.list".to_owned()),
        Just("text".to_owned()),
        Just("latency".to_owned()),
        Just("3".to_owned()),
        Just("20ms".to_owned()),
        Just("5MB".to_owned()),
        Just("34%".to_owned()),
        Just("\"ok\"".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("x".to_owned()),
        Just("[1, 2]".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = ["==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "+", "-", "*", "/"];
        prop_oneof![
            (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}.all(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), prop::sample::select(vec!["!", "-", "size", "has", "abs", "min", "number", "text"]))
                .prop_map(|(a, function)| format!("{function}({a})")),
            inner.prop_map(|a| format!("{a}.contains(\"o\")")),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in ".{0,80}") {
        let _ = Expression::parse(&text, &HTTP);
        if let Ok(good) = Expression::parse_unchecked(&text) {
            let _ = good.is_good(&answer());
        }
    }

    #[test]
    fn no_row_of_words_is_a_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "[", "]", "!", "-", "&&", "||", "==", "<", "in", "?", ":", ".", ",", "x", "body", "all", "size", "has", "1", "2s",
                "\"a\"", "true", "null", "matches", "\\", "'", "%", "é",
            ]),
            0..60,
        )
    ) {
        let text = words.concat();
        for error in [Expression::parse(&text, &HTTP).err(), Expression::parse_unchecked(&text).err()].into_iter().flatten() {
            prop_assert!(error.offset <= text.len() && error.length >= 1);
            prop_assert!(text.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn what_parses_evaluates_and_reads_back(text in expression()) {
        for parsed in [Expression::parse(&text, &HTTP), Expression::parse_unchecked(&text)] {
            let Ok(good) = parsed else { continue };
            let _ = good.is_good(&answer());
            let again: Expression = serde_json::from_str(&serde_json::to_string(&good).unwrap()).unwrap();
            prop_assert_eq!(again.is_good(&answer()), good.is_good(&answer()));
        }
    }
}
