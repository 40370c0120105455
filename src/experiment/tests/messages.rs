//! What a person reads: the messages of the language, as shown there.

use super::super::summary;
use super::{text, told};

const FREEZE: &str = r#"version: 1
experiment: freeze
title: One frozen replica of three costs users at most four seconds

steady_state:
  ranking answers:
    probe: http
    with:
      post: http://127.0.0.1:8080/v2/models/ranker/infer
    good: status == 200 && size(body.outputs) > O
    every: 20
  ranking is fast: {probe: http, with: {get: http://127.0.0.1:8080}, every: 20ms,
    baseline: {sucess: ">= 99%",
    p99: >= 80ms}}
  ranking is there: {probe: http, with: {get: http://127.0.0.1:8080}, every: 20ms,
    baseline: {success: ">= 99.9%"}}
targets:
  replicas: {processes: {listening_on: 8001-8003}}
blast_radius: {duration: 1m, targets: {replicas: {at_most: 1}}}
method:
  - {inject: process.pause, into: replicas, pick: 1, for: 30s}
"#;

const LINK: &str = r#"version: 1
experiment: link
steady_state:
  ranking answers:
    probe: http
    with: {get: http://127.0.0.1:8080}
    every: 20ms
    baseline: {success: ">= 99%"}

targets:
  gateway:
    processes: {listening_on: 8080}
  store:
    processes: {listening_on: 6379}




blast_radius:
  duration: 3m
  targets: {gateway: {at_most: 1}}

method:
  - inject: net.dealy
    into: gateway
    with: {delay: 200 kB, peer: store}
    for: 5m
  - with: {delay: 200ms}
  - wait: 40s
stop_when:
  - ranking answer: success < 50% over 5s
  - ranking answers: success < 50% over 80ms
"#;

#[test]
fn the_messages_of_the_language() {
    let mut all = String::new();
    for (name, file) in [("freeze.yaml", FREEZE), ("link.yaml", LINK)] {
        let problems = text(name, file).expect_err("wrong in many ways");
        all.push_str(&super::super::render(&problems, false));
        all.push_str(&format!("{}; nothing was run\n\n", summary(&problems)));
    }
    insta::assert_snapshot!(uncounted(&all));
}

/// Without how many words there are, which grows with every fault.
fn uncounted(told: &str) -> String {
    let mut parts = told.split("` lists ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, rest| format!("{all}` lists …{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())))
}

#[test]
fn programs_get_the_same() {
    let problems = text("freeze.yaml", FREEZE).expect_err("wrong in many ways");
    insta::assert_snapshot!(serde_json::to_string_pretty(&problems[0]).expect("JSON"));
}

/// A whole file around one hypothesis and one method.
fn file(hypothesis: &str, method: &str) -> String {
    format!(
        "version: 1\nexperiment: x\nsteady_state:\n  users: {{{hypothesis}}}\ntargets: {{replicas: {{processes: {{listening_on: 8001}}}}}}\n\
         blast_radius: {{duration: 10m, targets: {{replicas: {{at_most: 1}}}}}}\nmethod:\n{method}\n"
    )
}

const PROBE: &str = "probe: http, with: {get: http://127.0.0.1:8080}";
const PAUSE: &str = "  - {inject: process.pause, into: replicas, for: 30s}";

#[test]
fn mistakes_in_a_hypothesis() {
    let mut all = String::new();
    for rest in [
        "probe: htpp",
        "probe: http",
        "probe: http, with: {get: http://127.0.0.1:8080, headrs: {a: b}}",
        "with: {get: http://127.0.0.1:8080}, probe: http",
        "probe: process, good: alive == 3",
        "probe: process, of: replica, good: alive == 3",
        "probe: http, of: replicas, with: {get: http://127.0.0.1:8080}",
        "probe: http, with: {get: http://127.0.0.1:8080}, good: [a]",
        "probe: http, with: {get: http://127.0.0.1:8080}, at: there",
        "probe: http, with: {get: http://127.0.0.1:8080}, during: {success: \">= 90%\"}",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: {success: <= 20ms, bad: 3}",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: {p99: <= 2s, p95 of first_token: <= 1s}",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: {success: \">= 90%\"}, recovery: {within: 2s, loss: <= 1s}",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: {success: \">= 90%\"}, recovery: {preset: featur_store}",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: [success]",
        "probe: http, with: {get: http://127.0.0.1:8080}, timeout: 0s, every: -5s",
    ] {
        all.push_str(&told(&file(rest, PAUSE)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn mistakes_in_the_method() {
    let mut all = String::new();
    for method in [
        "  - {inject: process.pause, into: replicas}",
        "  - {inject: process.kill, into: replicas, for: 5s}",
        "  - {inject: process.pause, into: replica, for: 5s, pick: some}",
        "  - {inject: process.pause, into: replicas, for: 5s, meanwhile: [{wait: 1s}]}",
        "  - {inject: process.pause, into: replicas, for: 5s, every: 2s, times: 3}",
        "  - {inject: process.pause, into: replicas, for: 5s, times: 3}",
        "  - {inject: process.pause, into: replicas, for: 5s, ramp: {field: tree, from: 0ms, over: 2s}}",
        "  - {inject: net.delay, into: replicas, with: {delay: 20ms}, for: 5s, ramp: {field: delay, from: 5 MB, over: 2s}}",
        "  - {inject: net.delay, into: replicas, with: {delay: 20ms, direction: sideways, jitter: 5}, for: 5s}",
        "  - {wait: 5s, after: 3s}",
        "  - {wait_for: usrs, within: 5s}",
        "  - {wait_for: users}",
        "  - {run: \"sh -c 'x\"}",
        "  - {wiat: 5s}",
        "  - wait",
        "  - {wait: }",
        "  - {wait: 30m}",
        "  - parallel: [{parallel: [{parallel: [{parallel: [{parallel: [{wait: 1s}]}]}]}]}]",
    ] {
        all.push_str(&told(&file(PROBE, method)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn yaml_in_words_of_ours() {
    let mut all = String::new();
    for rest in [
        "probe: http, with: {get: http://127.0.0.1:8080}, good: !has(body.error)",
        "probe: http, with: {get: http://127.0.0.1:${port}}, good: status == 200",
        "probe: http, with: {get: http://127.0.0.1:8080}, baseline: {success: > 99%}",
    ] {
        all.push_str(&told(&file(rest, PAUSE)));
    }
    all.push_str(&told("version: 1\nexperiment: x\nsteady_state:\n  a:\n    probe: http\n    good: !has(body.error) && status == 200\n"));
    all.push_str(&told("version: 1\nexperiment: x\nexperiment: y\n"));
    insta::assert_snapshot!(all);
}

#[test]
fn limits_and_references() {
    let mut all = String::new();
    let good = file(PROBE, PAUSE);
    for (from, to) in [
        ("{replicas: {at_most: 1}}", "{}"),
        ("{replicas: {at_most: 1}}", "{replicas: {leave: 1}}"),
        ("{replicas: {at_most: 1}}", "{replicas: {share: 34}}"),
        ("{replicas: {at_most: 1}}", "{replicas: {at_most: 1}, stores: {leave: 1}}"),
        ("duration: 10m", "duration: 10m, reach: [hosts], zones: 1"),
        ("duration: 10m", "duration: 20s"),
        ("duration: 10m, ", ""),
        ("duration: 10m", "duration: 10m, never: [processes]"),
        ("experiment: x", "experiment: X y"),
        ("{processes: {listening_on: 8001}}", "{processes: {listening_on: 80011}, expect: 0, zone_label: z}"),
        ("{processes: {listening_on: 8001}}", "{processes: {system: api}}"),
        (
            "targets: {replicas: {processes: {listening_on: 8001}}}",
            "targets: {replicas: {processes: {listening_on: 8001}}, unused: {processes: {user: x}}}",
        ),
        ("users:", "2 users:"),
        ("method:", "stop_when: [{users: success < 80%}, {users: speed < 1 over 2s}, {users: p99 > 2 over 2s}, users]\nmethod:"),
        ("experiment: x", "experiment: x\nplaces: {lab: {kubernetes: {context: lab}}}"),
        ("experiment: x", "experiment: x\nparameters: {port: {one_of: [1, 2], default: 3}, Big: {}}\ntitle: $(port) $(prot) $(x"),
        ("experiment: x", "experiment: x\nparameters: {key: {env: CHAOS_TEST_KEY, secret: true}}\ntitle: $(key)"),
        ("experiment: x", "experiment: x\nuse: [{part: missing.yaml}]"),
    ] {
        assert!(good.contains(from), "{from}");
        all.push_str(&told(&good.replacen(from, to, 1)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_delay_that_nobody_waits_for() {
    let delayed = |by: &str, rest: &str| {
        let method = format!("  - {{inject: net.delay, into: replicas, with: {{delay: {by}}}, for: 30s}}");
        let judged = format!("{PROBE}, baseline: {{success: \">= 90%\"}}, during: {{success: \">= 80%\"}}{rest}");
        told(&file(&judged, &method))
    };
    insta::assert_snapshot!(format!("{}{}", delayed("1s", ""), delayed("3s", ", timeout: 2500ms")));
    assert_eq!(delayed("200ms", ""), "", "in time");
    assert_eq!(delayed("1s", ", timeout: 2s"), "", "patient enough");
    let observed = file(PROBE, "  - {inject: net.delay, into: replicas, with: {delay: 5s}, for: 30s}");
    assert_eq!(told(&observed), "", "an observation is not judged");
}

/// What these say depends on how many words there are, so only their beginning is held.
#[test]
fn unknown_words() {
    let good = file(PROBE, PAUSE);
    for (from, to, message) in [
        ("process.pause", "system.process", "x.yaml:8:14: error: unknown fault `system.process`"),
        ("{processes: {listening_on: 8001}}", "{machines: {names: [a]}}", "x.yaml:5:22: error: unknown kind of target `machines`"),
        ("{processes: {listening_on: 8001}}", "{at: here}", "x.yaml:5:22: error: a target set begins with what it finds"),
        ("probe: http", "probe: kserve", "x.yaml:4:18: error: unknown probe `kserve`"),
    ] {
        let told = told(&good.replacen(from, to, 1));
        assert!(told.starts_with(message), "{told}");
    }
}
