//! Records that are torn, doubled, cut off or from the future.

use chaos_core::event::{Event, Source};
use serde_json::json;

use super::staged::{Staged, ranking, well};
use crate::judge::{Folding, Headline, Reading, Record, judge, read_events};

fn lines(events: &[Event]) -> String {
    let line = |e: &Event| serde_json::to_string(e).unwrap() + "\n";
    events.iter().map(line).collect()
}

fn read(files: &[(&str, &str)]) -> Record {
    let mut folding = Folding::default();
    for (name, text) in files {
        read_events(&mut folding, name, text.as_bytes()).unwrap();
    }
    folding.into_record(Reading::Back).unwrap()
}

fn run() -> Staged {
    Staged::frozen(ranking(json!({"recovery": {"within": "4s", "hold": "3s"}})), well)
}

#[test]
fn a_record_survives_its_file() {
    let events = run().events();
    let text = lines(&events);
    let back = judge(&read(&[("events.jsonl", &text)]));
    assert_eq!(back, judge(&Record::from_events(events).unwrap()));
    assert_eq!(back.headline, Headline::Upheld, "{back:#?}");
}

#[test]
fn rule_34_a_torn_last_line_is_left_out_and_named() {
    let mut events = run().events();
    events.pop();
    let whole = lines(&events);
    for cut in [1, 20, 39] {
        let record = read(&[("events.jsonl", &whole[..whole.len() - cut])]);
        assert_eq!(record.damage.len(), usize::from(cut > 1), "{:?}", record.damage);
        assert!(record.lost);
        for damage in &record.damage {
            assert!(damage.starts_with(&format!("events.jsonl:{}", events.len())));
            assert!(damage.contains("torn"), "{damage}");
        }
    }
}

#[test]
fn rule_34_without_its_end_the_coordinator_was_lost_and_the_undo_proof_stands() {
    let mut run = run();
    run.finished = false;
    let verdict = run.verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Aborted, 5));
    assert!(verdict.sentence.contains("coordinator was lost"));
    assert!(verdict.cleanup.clean, "{:?}", verdict.cleanup);
}

#[test]
fn rule_34_the_files_of_coordinator_and_executor_are_merged() {
    let mut staged = run();
    staged.finished = false;
    let events = staged.events();
    let of = |source: Source, until: usize| -> Vec<Event> {
        let mine = events.iter().filter(|e| e.from == source);
        mine.take(until).cloned().collect()
    };
    // The coordinator dies half-way with a copy of some of the executor's events; the executor lives to revert.
    let half = events.len() / 2;
    let coordinator = lines(&events[..half]);
    let executor = lines(&of(Source::Executor, usize::MAX));
    let record = read(&[("events.jsonl", &coordinator), ("executor.jsonl", &executor)]);
    let states = record.traces["0.0.0"].states.len();
    assert_eq!(states, of(Source::Executor, usize::MAX).len(), "none counts twice");
    let verdict = judge(&record);
    assert_eq!(verdict.headline, Headline::Aborted);
    assert!(verdict.cleanup.clean);
    let alone = judge(&read(&[("events.jsonl", &coordinator)]));
    assert_eq!(alone.headline, Headline::Residue, "no revert is on record");
}

#[test]
fn a_newer_record_is_refused_even_if_its_words_are_unknown() {
    let line = r#"{"seq":0,"at":1,"from":"coordinator","what":{"started":{"record":2,"moon":"full"}}}"#;
    let mut folding = Folding::default();
    let error = read_events(&mut folding, "events.jsonl", line.as_bytes()).unwrap_err();
    assert!(error.message.contains("version 2"), "{error}");
    assert!(error.hint.is_some());
}

#[test]
fn what_is_no_record_is_refused_with_a_hint() {
    let mut folding = Folding::default();
    read_events(&mut folding, "x", &b"\xff\xfe\n{}\n[[["[..]).unwrap();
    let error = folding.into_record(Reading::Back).unwrap_err();
    assert!(error.message.contains("does not say how the run was started"));
}

#[test]
fn its_own_run_is_judged_before_its_end_is_written() {
    let mut staged = run();
    staged.finished = false;
    let mut folding = Folding::default();
    for event in staged.events() {
        folding.push(event).unwrap();
    }
    let verdict = judge(&folding.into_record(Reading::OwnRun).unwrap());
    assert_eq!(verdict.headline, Headline::Upheld);
}

#[test]
fn a_verdict_survives_json() {
    let verdict = run().verdict();
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<crate::judge::Verdict>(&text).unwrap(), verdict);
}
