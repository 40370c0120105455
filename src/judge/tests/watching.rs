//! What a run asks while it goes on.

use chaos_core::clock::Mono;
use chaos_core::experiment::{StopCondition, WaitFor};
use chaos_core::sample::{FieldColumn, Outcome};
use serde_json::json;

use super::staged::{at, batch, ranking, sample};
use crate::judge::{RecoveryWatch, StopWatch, WaitWatch};

fn condition(metric: &str, must: &str) -> StopCondition {
    serde_json::from_value(json!({
        "hypothesis": "ranking answers",
        "when": {"metric": metric, "must": must},
        "over": "1s",
    }))
    .unwrap()
}

fn watch(metric: &str, must: &str) -> StopWatch {
    StopWatch::new(&ranking(json!({})), &condition(metric, must), at(0.0)).unwrap()
}

fn good(due: f64) -> chaos_core::sample::Sample {
    sample(due, 5, Outcome::Good)
}

fn bad(due: f64) -> chaos_core::sample::Sample {
    sample(due, 5, Outcome::Bad(0))
}

#[test]
fn a_stop_condition_is_met_at_the_very_sample_that_breaches_it() {
    let mut watch = watch("success", "< 80%");
    for i in 0..60 {
        assert_eq!(watch.push(&batch(vec![good(f64::from(i) * 0.02)])), None);
    }
    // The window holds the last second: 50 samples. Ten bad ones are 80 %, the eleventh breaches.
    for i in 60..70 {
        assert_eq!(watch.push(&batch(vec![bad(f64::from(i) * 0.02)])), None);
    }
    let met = watch.push(&batch(vec![bad(70.0 * 0.02)]));
    assert_eq!(met.as_deref(), Some("success 78% over 1s"));
}

#[test]
fn a_stop_condition_waits_until_so_much_time_was_watched() {
    let mut early = watch("success", "< 80%");
    for i in 0..49 {
        assert_eq!(early.push(&batch(vec![bad(f64::from(i) * 0.02)])), None);
    }
    assert!(early.push(&batch(vec![bad(1.0)])).is_some());
}

#[test]
fn a_stop_condition_needs_five_samples() {
    let mut sparse = watch("success", "< 80%");
    for i in 0..20 {
        assert_eq!(sparse.push(&batch(vec![bad(f64::from(i) * 0.3)])), None);
    }
}

#[test]
fn a_stop_condition_ignores_other_questions_and_shed_samples() {
    let mut mine = watch("bad", "> 3");
    let mut others = batch((0..100).map(|i| bad(f64::from(i) * 0.02)).collect());
    others.hypothesis = 1;
    assert_eq!(mine.push(&others), None);
    let shed = (0..100).map(|i| sample(f64::from(i) * 0.02, 0, Outcome::Shed));
    assert_eq!(mine.push(&batch(shed.collect())), None);
}

#[test]
fn quantiles_fields_and_outages_can_stop_a_run() {
    let slow = |due: f64| sample(due, 250, Outcome::Good);
    let fast = || (0..100).map(|i| good(f64::from(i) * 0.01));
    let mut p90 = watch("p90", "> 200ms");
    assert_eq!(p90.push(&batch(fast().collect())), None);
    assert_eq!(p90.push(&batch((0..30).map(|i| slow(1.0 + f64::from(i) * 0.01)).collect())), Some("p90 250ms over 1s".into()));
    let mut outage = watch("longest_outage", "> 300ms");
    assert_eq!(outage.push(&batch(fast().collect())), None);
    assert!(outage.push(&batch((0..40).map(|i| bad(1.0 + f64::from(i) * 0.01)).collect())).is_some());
    let mut field = watch("min of ready", "< 2");
    let mut rows = batch((0..100).map(|i| good(f64::from(i) * 0.02)).collect());
    rows.values = vec![FieldColumn { field: "ready".into(), values: (0..100).map(|i| Some(if i == 99 { 1.0 } else { 3.0 })).collect() }];
    assert_eq!(field.push(&rows), Some("min of ready 1 over 1s".into()));
}

#[test]
fn wait_for_one_good_sample_or_a_row() {
    let wait = |hold: &str| -> WaitFor {
        serde_json::from_value(json!({"hypothesis": "ranking answers", "within": "10s", "hold": hold})).unwrap()
    };
    let experiment = ranking(json!({}));
    let mut one = WaitWatch::new(&experiment, &wait("0s"), at(1.0)).unwrap();
    assert!(!one.push(&batch(vec![good(0.9)])), "due before the step began");
    assert!(!one.push(&batch(vec![bad(1.1)])));
    assert!(one.push(&batch(vec![good(1.2)])));
    let mut row = WaitWatch::new(&experiment, &wait("1s"), at(1.0)).unwrap();
    assert!(!row.push(&batch(vec![good(1.0), good(1.5), bad(1.6), good(1.7), good(2.6)])));
    // A timeout that was due in the middle of the row breaks it, however late it ends.
    assert!(!row.push(&batch(vec![sample(2.0, 300, Outcome::TimedOut)])));
    assert!(!row.push(&batch(vec![good(3.5)])));
    assert!(row.push(&batch(vec![good(3.6)])));
}

#[test]
fn rule_29_recovered_means_twelve_in_a_row_that_last_and_are_settled() {
    let experiment = ranking(json!({"recovery": {"within": "4s", "hold": "1s"}}));
    let mut watch = RecoveryWatch::new(&experiment, 0, at(0.0));
    for i in 0..20 {
        watch.push(&batch(vec![bad(f64::from(i) * 0.1)]));
    }
    for i in 20..31 {
        watch.push(&batch(vec![good(f64::from(i) * 0.1)]));
    }
    assert!(!watch.recovered(at(9.0)), "11 are not 12");
    watch.push(&batch(vec![good(3.1)]));
    assert!(!watch.recovered(at(3.2)), "some may still be in flight");
    assert!(watch.recovered(at(3.41)));
    watch.effect(at(3.15));
    assert!(!watch.recovered(at(9.0)), "a new effect starts anew");
    let later = |i: u32| 4.0 + f64::from(i) * 0.02;
    for i in 0..3_000 {
        watch.push(&batch(vec![good(later(i))]));
    }
    assert!(watch.recovered(Mono(u64::MAX)));
}
