//! What the program says of itself, and the reports that it writes.

use crate::scaffold::{Stage, Text, Victim, answers};

fn text_of(stage: &Stage, args: &[&str]) -> String {
    let outcome = stage.chaos(args).expect(0);
    outcome.out
}

#[test]
fn help_of_everything() {
    let stage = Stage::new();
    let whole = text_of(&stage, &["--help"]);
    insta::assert_snapshot!("help", whole);
    let commands = whole.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).unwrap_or_default();
    let commands: Vec<&str> = commands.lines().filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help").collect();
    assert!(commands.len() > 12, "{commands:?}");
    let mut short = String::new();
    for command in &commands {
        // What stands everywhere stands in the snapshot above.
        let help = text_of(&stage, &[command, "-h"]);
        let (own, everywhere) = help.split_once("\nEverywhere:").unwrap_or((&help, ""));
        assert!(everywhere.contains("--state-dir"), "{help}");
        short.push_str(&format!("== chaos {command} -h\n{own}\n"));
    }
    assert!(!short.contains("executor [") && !commands.contains(&"executor"), "hidden");
    insta::assert_snapshot!("help_of_every_command", short);
}

#[test]
fn completions_and_man_pages() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = text_of(&stage, &["completions", shell]);
        for word in ["validate", "--state-dir", "recover"] {
            assert!(text.contains(word.trim_start_matches("--")), "{shell}: {word}");
        }
    }
    let folder = stage.path("man");
    std::fs::create_dir(&folder).unwrap();
    stage.chaos(&["man", folder.to_str().unwrap()]).expect(0);
    let pages = crate::scaffold::files(&folder);
    let run = pages.iter().find(|p| p.ends_with("chaos-run.1")).unwrap_or_else(|| panic!("{pages:?}"));
    let page = std::fs::read_to_string(run).unwrap();
    assert!(page.contains(".TH") && page.contains("EXIT") || page.contains("seed"), "{page}");
}

#[test]
fn the_schema_is_one_and_takes_what_ships() {
    let stage = Stage::new();
    let schema: serde_json::Value = serde_json::from_str(&text_of(&stage, &["schema"])).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = serde_json::json!({
        "version": 1, "experiment": "x", "steady_state": {"a": {"probe": "tcp", "with": {"connect": "127.0.0.1:1"}}},
        "targets": {"t": {"processes": {"listening_on": 80}}}, "blast_radius": {"duration": "1m", "targets": {"t": {"at_most": 1}}},
        "method": [{"wait": "1s"}],
    });
    validator.validate(&good).unwrap();
    let mut bad = good;
    bad["method"][0]["wait"] = 20.into();
    assert!(validator.validate(&bad).is_err());
}

#[test]
fn version_and_lists() {
    let stage = Stage::new();
    assert_eq!(text_of(&stage, &["--version"]), format!("chaos {}\n", env!("CARGO_PKG_VERSION")));
    for (command, kind) in [("faults", "process.pause"), ("probes", "http")] {
        assert!(text_of(&stage, &[command]).contains(kind));
        assert!(text_of(&stage, &[command, kind]).contains(kind));
    }
    assert_eq!(text_of(&stage, &["status"]), "nothing is in force here, and nothing was left\n");
    let json: serde_json::Value = serde_json::from_str(&text_of(&stage, &["status", "--json"])).unwrap();
    assert_eq!(json["runs"], serde_json::json!([]));
    assert_eq!(text_of(&stage, &["recover"]), "nothing was left here\n");
    assert_eq!(text_of(&stage, &["recover", "--expired"]), "");
    assert_eq!(text_of(&stage, &["recover", "--print"]), "");
}

#[test]
fn every_report_is_written_and_is_what_it_says() {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let server = victim.server();
    let text = Text::new(&server, &victim).steady_state(answers(&server, "during: {success: '>= 90%'}"));
    stage.write("experiment.yaml", text.yaml());
    let path = |name: &str| stage.path(name).display().to_string();
    let (html, junit, markdown, json) = (path("r.html"), path("r.xml"), path("r.md"), path("r.json"));
    let outputs = ["--html", &html, "--junit", &junit, "--markdown", &markdown, "--json", &json];
    let experiment = stage.experiment();
    let run = [&["run", &experiment, "--quiet"][..], &outputs].concat();
    stage.chaos(&run).expect(1);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let then = [&html, &junit, &markdown, &json].map(|p| read(p));
    assert!(then[0].starts_with("<!DOCTYPE html>") && !then[0].contains("src=\"http"), "one self-contained page");
    assert!(then[1].starts_with("<?xml") && then[1].contains("name=\"cleanup\"") && then[1].contains("<failure"), "{}", then[1]);
    assert!(then[2].contains("refuted"), "{}", then[2]);
    let facts: serde_json::Value = serde_json::from_str(&then[3]).unwrap();
    assert_eq!(facts["verdict"]["exit"], 1, "{facts:#}");
    // The same again, from the record alone.
    let again = [&["report", "last"][..], &outputs].concat();
    stage.chaos(&again).expect(0);
    assert!(read(&html).starts_with("<!DOCTYPE html>"));
    for (path, then) in [&junit, &markdown, &json].iter().zip(&then[1..]) {
        assert_eq!(read(path), *then, "{path}");
    }
    let nowhere = path("no-such-folder/r.html");
    stage.chaos(&["report", "last", "--html", &nowhere]).says("write the report");
}
