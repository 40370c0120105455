//! Every format of a few runs, as snapshots.

use chaos_core::event::{AbortedBy, InjectionState, Phase, What};
use chaos_core::experiment::Experiment;
use chaos_core::fault::Reversibility;
use chaos_core::sample::{Asked, Outcome};
use serde_json::json;

use super::{Live, Style, json, junit, markdown, terminal};
use crate::judge::tests::staged::{Staged, ranking, third_fails, well};
use crate::judge::{Record, Verdict, judge};

fn experiment() -> Experiment {
    ranking(json!({
        "during": [{"metric": "success", "must": ">= 90%"}, {"metric": "p50", "must": "<= 80ms"}],
        "recovery": {"within": "4s", "hold": "3s"},
        "health": {"question": {"every": "100ms"}, "false_ready": "<= 4s"},
    }))
}

/// Latencies as they come: mostly a few milliseconds, now and then many.
fn noise(i: usize) -> u64 {
    let roll = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    match roll % 100 {
        0..2 => 40 + roll % 37,
        2..12 => 9 + roll % 11,
        _ => 3 + roll % 6,
    }
}

/// A third of the requests fails from the freeze until `until`; health notices after 2 s where it is `deep`.
fn frozen(until: f64, deep: bool) -> Record {
    let fails = third_fails(5.0, until);
    let mut staged = Staged::frozen(experiment(), move |i, due| match fails(i, due) {
        (_, Outcome::Good) => (noise(i), Outcome::Good),
        bad => bad,
    });
    staged.samples(Asked::Health, 0.1, 25.0, move |_, due| match due {
        7.0..15.2 if deep => (2, Outcome::Bad(0)),
        _ => (2, Outcome::Good),
    });
    staged.record()
}

/// Well within the time that was asked for, but only because the fault had ended.
fn rolled_back() -> Record {
    let experiment = ranking(json!({"recovery": {"within": "20s", "hold": "3s"}}));
    Staged::frozen(experiment, third_fails(5.0, 15.0)).record()
}

fn residue() -> Record {
    let mut staged = Staged::frozen(experiment(), well);
    staged.samples(Asked::Health, 0.1, 25.0, |_, _| (2, Outcome::Good));
    staged.say(16.0, What::Residue { slot: "0.0.0".into(), finding: "pid 4711 <is> still stopped & \"waits\"; kill -CONT 4711".into() });
    staged.record()
}

/// Every request is answered with 502, and nothing is injected.
fn not_well() -> Record {
    let mut staged = Staged::bare(experiment(), |_, _| (3, Outcome::Bad(0)));
    staged.samples(Asked::Health, 0.1, 6.0, |_, _| (2, Outcome::Good));
    staged.events.retain(|(at, _, what)| *at < 6.0 && !matches!(what, What::Baseline { .. } | What::Phase(Phase::Method)));
    staged.say(5.0, What::Baseline { met: false, missed: vec!["ranking answers: success >= 99%: 0% (0 of 250)".into()] });
    staged.record()
}

/// A port that the experiment's own system wants is taken.
fn not_started() -> Record {
    let mut experiment = experiment();
    experiment.parameters.insert("gateway".into(), "127.0.0.1:8080".into());
    experiment.parameters.insert("tag".into(), "it's mine".into());
    experiment.set.insert("tag".into());
    let mut staged = Staged::bare(experiment, well);
    staged.events.clear();
    staged.say(0.0, What::Phase(Phase::System));
    let missed = vec!["`serving` was not started: port 8080 is held by python3 (pid 29484)".into()];
    staged.say(0.4, What::Baseline { met: false, missed });
    let mut events = staged.events();
    events.retain(|e| !matches!(e.what, What::Planned(_)));
    Record::from_events(events).unwrap()
}

/// A person pressed Ctrl-C while everything was still well.
fn aborted() -> Record {
    let mut staged = Staged::bare(experiment(), well);
    staged.fault("0.0.0", 5.0, 9.0);
    staged.samples(Asked::Health, 0.1, 10.0, |_, _| (2, Outcome::Good));
    staged.events.retain(|(at, ..)| *at < 10.0);
    staged.say(9.0, What::Aborted { by: AbortedBy::Person, because: "Ctrl-C".into() });
    staged.record()
}

fn runs() -> [(&'static str, Record, Verdict); 7] {
    [
        ("upheld", frozen(7.6, true)),
        ("upheld_by_rollback", rolled_back()),
        ("refuted", frozen(15.0, false)),
        ("residue", residue()),
        ("not_well", not_well()),
        ("not_started", not_started()),
        ("aborted", aborted()),
    ]
    .map(|(name, record)| {
        let verdict = judge(&record);
        (name, record, verdict)
    })
}

#[test]
fn terminal_screens() {
    for (name, record, verdict) in runs() {
        let screen = terminal(&record, &verdict, Style::default());
        let widest = screen.lines().map(|l| l.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} columns:\n{screen}");
        insta::assert_snapshot!(format!("terminal_{name}"), screen);
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    for (_, record, verdict) in runs() {
        let style = Style { colour: true, ..Style::default() };
        let painted = terminal(&record, &verdict, style);
        assert!(painted.contains('\x1b'));
        let stripped = anstream::adapter::strip_str(&painted).to_string();
        assert_eq!(stripped, terminal(&record, &verdict, Style::default()));
    }
}

#[test]
fn junit_documents() {
    for (name, record, verdict) in runs() {
        insta::assert_snapshot!(format!("junit_{name}"), junit(&record, &verdict));
    }
}

#[test]
fn markdown_summaries() {
    for (name, record, verdict) in runs() {
        insta::assert_snapshot!(format!("markdown_{name}"), markdown(&record, &verdict));
    }
}

#[test]
fn json_holds_the_verdict_and_the_facts() {
    let (_, record, verdict) = runs().into_iter().find(|(name, ..)| *name == "refuted").unwrap();
    let text = json(&record, &verdict);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["exit"], 1);
    let back: Verdict = serde_json::from_value(document["verdict"].clone()).unwrap();
    assert_eq!(back, verdict);
    insta::assert_snapshot!("json_refuted", serde_json::to_string_pretty(&document["verdict"]).unwrap());
}

#[test]
fn rule_34_a_verdict_of_then_stands_and_a_difference_is_shown() {
    let mut staged = Staged::frozen(experiment(), third_fails(5.0, 15.0));
    let mut then = judge(&frozen(15.0, false));
    then.headline = crate::judge::Headline::Upheld;
    then.exit = 0;
    staged.say(25.0, What::Judged(serde_json::to_value(&then).unwrap()));
    let record = staged.record();
    let screen = terminal(&record, &then, Style::default());
    assert!(screen.contains("UPHELD"), "{screen}");
    assert!(screen.contains("the run would be refuted"), "{screen}");
}

#[test]
fn rule_36_text_from_outside_cannot_become_markup_or_move_a_cursor() {
    let evil = "<script>alert(1)</script>\u{1b}[2J]]>&\"'|`x`\u{0}";
    let mut experiment = experiment();
    experiment.title = evil.into();
    experiment.hypotheses[0].name = evil.into();
    let mut staged = Staged::frozen(experiment, third_fails(5.0, 15.0));
    staged.planned[0].target.label = evil.into();
    for (_, _, what) in &mut staged.events {
        if let What::Injection { state: InjectionState::Granted(t) | InjectionState::Intended { target: t, .. }, .. } = what {
            t.label = evil.into();
        }
    }
    staged.say(6.0, What::Note(evil.into()));
    let record = staged.record();
    let verdict = judge(&record);
    let xml = junit(&record, &verdict);
    assert!(!xml.contains("<script") && !xml.contains('\u{1b}') && !xml.contains('\u{0}'));
    let md = markdown(&record, &verdict);
    assert!(!md.contains("<script"), "{md}");
    assert!(!terminal(&record, &verdict, Style::default()).contains('\u{1b}'));
    let page = super::html(&record, &verdict);
    assert!(!page.contains("<script>alert"));
}

fn shown(redraw: bool) -> String {
    let mut out = Vec::new();
    let style = Style { colour: false, width: 80 };
    let mut live = Live::new(&mut out, style, redraw);
    let mut staged = Staged::frozen(experiment(), third_fails(5.0, 7.6));
    staged.say(25.0, What::Note("a \x1b[2J note".into()));
    for event in staged.events() {
        live.event(&event);
    }
    live.finish();
    String::from_utf8(out).unwrap()
}

#[test]
fn off_a_terminal_each_thing_that_happens_is_a_plain_line() {
    let log = shown(false);
    assert!(!log.contains('\x1b'), "no cursor is moved in a log");
    insta::assert_snapshot!("live_log", log);
}

#[test]
fn on_a_terminal_the_display_is_drawn_in_place_and_wiped_at_the_end() {
    let screen = shown(true);
    let frames: Vec<&str> = screen.split("\x1b[J").collect();
    assert!(frames.len() > 100, "drawn some ten times a second");
    assert!(screen.ends_with("\x1b[J"), "wiped at the end");
    let during = frames.iter().find(|f| f.contains("7s left") && f.contains('✗')).expect("a frame three seconds into the fault");
    for line in during.lines() {
        assert!(line.chars().count() <= 81, "{line}");
    }
    let frame = during.split("\x1b[").next().unwrap_or_default();
    insta::assert_snapshot!("live_frame", frame);
}

/// A run with a million samples, a fifth of which fail for a while.
fn a_million() -> Record {
    use chaos_core::sample::SampleBatch;
    let mut staged = Staged::frozen(experiment(), |_, _| (0, Outcome::Shed));
    staged.events.retain(|(_, _, what)| !matches!(what, What::Samples(_)));
    let rows = (0_u32..1_000_000)
        .map(|i| {
            let due = f64::from(i) * 25e-6;
            let bad = (5.0..9.0).contains(&due) && i % 5 == 0;
            let took = 2 + u64::from(i.wrapping_mul(2_654_435_761) >> 27);
            let outcome = if bad { Outcome::TimedOut } else { Outcome::Good };
            crate::judge::tests::staged::sample(due, if bad { 300 } else { took }, outcome)
        })
        .collect();
    let batch = SampleBatch { rows, ..crate::judge::tests::staged::batch(vec![]) };
    staged.say(24.0, What::Samples(batch));
    staged.record()
}

#[test]
fn a_page_with_a_million_samples_is_small_and_stands_alone() {
    let record = a_million();
    let page = super::html(&record, &judge(&record));
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    for outside in ["<script", "src=", "@import", "<link", "url("] {
        assert!(!page.contains(outside), "the page refers to something outside of it: {outside}");
    }
}

#[test]
fn what_is_taken_back_with_loss_is_not_told_as_if_nothing_had_been() {
    let told = |reversibility| {
        let mut staged = Staged::frozen(ranking(json!({"recovery": {"within": "20s", "hold": "3s"}})), well);
        staged.planned[0].reversibility = reversibility;
        let record = staged.record();
        let verdict = judge(&record);
        let screen = terminal(&record, &verdict, Style::default());
        (verdict.cleanup.sentence, screen)
    };
    let (sentence, screen) = told(Reversibility::Exact);
    assert!(!sentence.contains("lost") && !screen.contains("continued"), "{screen}");
    let (sentence, screen) = told(Reversibility::WithLoss);
    assert!(sentence.ends_with("What the plan lists as lost stays lost."), "{sentence}");
    assert!(screen.contains("4 threads stopped; continued"), "what came of it: {screen}");
}
