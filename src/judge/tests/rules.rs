//! RULES part III, each by a run that would come out wrong without it.

use chaos_core::event::{AbortedBy, InjectionState, StepState, What};
use chaos_core::fault::{FaultError, Met, Presence, Reversibility};
use chaos_core::sample::{Asked, Outcome};
use serde_json::json;

use super::staged::{Staged, all_fail, at, freeze_step, ranking, third_fails, well};
use crate::judge::gate::gate;
use crate::judge::recovery::Merit;
use crate::judge::verdict::{HypothesisVerdict, Part};
use crate::judge::{Headline, State, Verdict};

fn recovering() -> chaos_core::experiment::Experiment {
    ranking(json!({
        "during": [{"metric": "success", "must": ">= 90%"}],
        "recovery": {"within": "4s", "hold": "3s"},
    }))
}

fn only(verdict: &Verdict) -> &HypothesisVerdict {
    &verdict.hypotheses[0]
}

fn line(verdict: &Verdict, part: Part) -> (State, String, Option<String>) {
    let lines = &only(verdict).lines;
    let line = lines.iter().find(|l| l.part == part).expect("such a line");
    (line.state, line.observed.clone(), line.why.clone())
}

#[test]
fn a_deep_health_check_is_upheld_and_recovers_by_itself() {
    let verdict = Staged::frozen(recovering(), third_fails(5.0, 7.6)).verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Upheld, 0), "{verdict:#?}");
    let clock = &only(&verdict).clocks[0];
    assert_eq!(clock.merit, Merit::ByItself);
    let recovery = clock.recovery.unwrap();
    assert!(recovery.from.0 <= 2.6 && 2.6 <= recovery.to.0 + 0.05, "{recovery:?}");
    assert!(verdict.cleanup.clean);
}

#[test]
fn a_shallow_health_check_is_refuted_and_only_the_revert_helps() {
    let verdict = Staged::frozen(recovering(), third_fails(5.0, 15.0)).verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Refuted, 1));
    assert_eq!(line(&verdict, Part::During).0, State::Refuted);
    assert_eq!(line(&verdict, Part::Recovery).0, State::Refuted);
    assert_eq!(only(&verdict).clocks[0].merit, Merit::AfterRevert);
}

#[test]
fn never_bad_is_unaffected_and_fulfils_both_objectives() {
    let experiment = ranking(json!({"recovery": {"within": "4s", "after_revert": "2s", "hold": "3s"}}));
    let verdict = Staged::frozen(experiment, well).verdict();
    assert_eq!(verdict.headline, Headline::Upheld);
    assert_eq!(only(&verdict).clocks[0].merit, Merit::Unaffected);
    assert_eq!(only(&verdict).lines.len(), 3);
}

#[test]
fn rule_27_an_objective_inside_the_interval_is_inconclusive_and_names_the_cadence() {
    let experiment = ranking(json!({
        "question": {"every": "200ms"}, "recovery": {"within": "2s", "hold": "3s"},
    }));
    let fails = all_fail(5.0, 7.0);
    let verdict = Staged::frozen(experiment, move |i, due| if i % 10 == 0 { fails(i, due) } else { (0, Outcome::Shed) });
    // Only every tenth sample exists: a cadence of 200 ms.
    let mut verdict = verdict;
    verdict.events.retain(|(_, _, what)| !matches!(what, What::Samples(b) if b.rows[0].outcome == Outcome::Shed));
    let verdict = verdict.verdict();
    let (state, observed, why) = line(&verdict, Part::Recovery);
    assert_eq!(state, State::Inconclusive, "{observed}");
    assert!(why.as_ref().unwrap().contains("asking every"), "{why:?}");
    assert_eq!(verdict.exit, 3);
}

#[test]
fn rule_28_during_is_a_census_and_too_few_samples_are_inconclusive() {
    let asked = |must: &str| ranking(json!({"during": [{"metric": "success", "must": must}]}));
    // 500 samples in the window, 49 of them bad: 90.2 %, whose interval reaches below 90 %. The census decides.
    let fails = |i: usize, due: f64| match (i % 10, (5.0..15.0).contains(&due), i == 300) {
        (0, true, false) => (5, Outcome::Bad(0)),
        _ => (5, Outcome::Good),
    };
    let verdict = Staged::frozen(asked(">= 90%"), fails).verdict();
    assert_eq!(line(&verdict, Part::During).0, State::Upheld);
    let verdict = Staged::frozen(asked(">= 99.9%"), well).verdict();
    let (state, _, why) = line(&verdict, Part::During);
    assert_eq!(state, State::Inconclusive);
    assert!(why.unwrap().contains("3,000 are needed"));
    // Too few to uphold it, yet more than enough to refute it: not even 2,500 more good ones would have helped.
    let verdict = Staged::frozen(asked(">= 99.9%"), third_fails(5.0, 15.0)).verdict();
    assert_eq!(line(&verdict, Part::During).0, State::Refuted);
}

#[test]
fn rule_28_the_gate_fails_only_on_evidence_against() {
    let experiment = ranking(json!({}));
    let series = |bad: usize| {
        let mut series = chaos_core::sample::Series::default();
        series.push(&super::staged::batch(
            (0_u32..250)
                .map(|i| {
                    let outcome = if (i as usize) < bad { Outcome::Bad(0) } else { Outcome::Good };
                    super::staged::sample(f64::from(i) * 0.02, 5, outcome)
                })
                .collect(),
        ));
        series
    };
    let judged = |bad| gate(&experiment.hypotheses[0], &series(bad), at(0.0), at(5.0));
    assert!(judged(0).met);
    assert!(judged(4).met, "1.6 % of 250 is no evidence for more than 1 %");
    let failed = judged(12);
    assert!(!failed.met);
    assert_eq!(failed.missed, ["ranking answers: success >= 99% was asked, 95.2% (238 of 250) observed"]);
    let never = gate(&experiment.hypotheses[0], &Default::default(), at(0.0), at(5.0));
    assert!(!never.met, "never sampled is never well");
}

#[test]
fn rule_28_prove_is_judged_by_interval() {
    let asked = |must: &str| ranking(json!({"prove": {"objectives": [{"metric": "success", "must": must}], "confidence": "95%"}}));
    // 500 of 500: the interval begins at 99.2 %.
    let state = |must| line(&Staged::frozen(asked(must), well).verdict(), Part::Prove).0;
    assert_eq!(state(">= 99%"), State::Upheld);
    assert_eq!(state(">= 99.9%"), State::Inconclusive);
}

#[test]
fn rule_29_a_third_of_replicas_bad_is_never_called_recovered() {
    let verdict = Staged::frozen(recovering(), third_fails(5.0, 25.0)).verdict();
    let clock = &only(&verdict).clocks[0];
    assert_eq!(clock.merit, Merit::NotRecovered);
    assert!(clock.more_than.unwrap().0 > 19.0);
    let (state, observed, _) = line(&verdict, Part::Recovery);
    assert_eq!(state, State::Refuted);
    assert!(observed.starts_with("more than 19"), "{observed}");
}

#[test]
fn rule_29_a_quantile_among_timeouts_is_more_than_the_timeout() {
    let experiment = ranking(json!({"during": [{"metric": "p99", "must": "<= 200ms"}]}));
    let verdict = Staged::frozen(experiment, third_fails(5.0, 15.0)).verdict();
    let (state, observed, _) = line(&verdict, Part::During);
    assert_eq!((state, observed.as_str()), (State::Refuted, "> 300ms"));
}

#[test]
fn rule_29_what_is_not_recovered_in_time_to_tell_is_censored() {
    let experiment = ranking(json!({"recovery": {"within": "25s", "hold": "3s"}}));
    let verdict = Staged::frozen(experiment, all_fail(5.0, 25.0)).verdict();
    let (state, observed, why) = line(&verdict, Part::Recovery);
    assert_eq!(state, State::Inconclusive);
    assert!(observed.starts_with("more than"));
    assert!(why.unwrap().contains("not recovered"));
}

#[test]
fn rule_30_a_prober_that_could_not_keep_up_is_inconclusive_not_refuted() {
    let sheds = |i: usize, due: f64| match (i % 10, due > 5.0) {
        (0, true) => (0, Outcome::Shed),
        _ => (5, Outcome::Good),
    };
    let verdict = Staged::frozen(recovering(), sheds).verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Inconclusive, 3));
    assert!(only(&verdict).why.as_ref().unwrap().contains("could not keep up"));
}

fn with_presence(presence: impl Fn(f64) -> Presence) -> Staged {
    let mut staged = Staged::frozen(recovering(), well);
    for (time, _, what) in &mut staged.events {
        if let What::Injection { state: InjectionState::Present(p), .. } = what {
            *p = presence(*time);
        }
    }
    staged
}

#[test]
fn rule_31_never_in_place_is_not_injected() {
    let verdict = with_presence(|_| Presence::none()).verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::NotInjected, 6));
    assert_eq!(only(&verdict).state, State::Inconclusive);
}

#[test]
fn rule_31_in_place_but_idle_is_inconclusive() {
    let verdict = with_presence(|_| Presence::whole().met(Met::Count(0))).verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Inconclusive, 3));
    assert!(only(&verdict).why.as_ref().unwrap().contains("nothing met the fault"));
    let once = |t: f64| Presence::whole().met(Met::Count(u64::from(t > 9.0)));
    assert_eq!(with_presence(once).verdict().headline, Headline::Upheld);
}

/// What meets it after the last look is counted as it ends.
#[test]
fn rule_31_what_is_counted_at_the_end_decides() {
    let ended = |looks: Met, end: Met| {
        let mut staged = with_presence(|_| Presence::whole().met(looks));
        for (_, _, what) in &mut staged.events {
            if let What::Injection { state: InjectionState::Reverted { met, .. }, .. } = what {
                *met = Some(end);
            }
        }
        staged.verdict()
    };
    let late = ended(Met::Idle, Met::Count(1));
    assert_eq!(late.headline, Headline::Upheld);
    assert_eq!((late.injections[0].met, late.injections[0].met_to_the_end), (Some(1), true));
    assert_eq!(ended(Met::Idle, Met::Idle).headline, Headline::Inconclusive);
    assert_eq!(ended(Met::Count(3), Met::Count(5)).injections[0].met, Some(5));
}

#[test]
fn less_than_nine_tenths_in_force_is_inconclusive_and_the_gap_is_left_out() {
    let gone = |t: f64| match t {
        8.0..12.0 => Presence::none().finding("somebody continued it"),
        _ => Presence::whole(),
    };
    let verdict = with_presence(gone).verdict();
    assert_eq!(verdict.exit, 3);
    assert!(only(&verdict).why.as_ref().unwrap().contains("of its time"));
    assert_eq!(only(&verdict).windows.len(), 2);
    assert_eq!(verdict.injections[0].findings.last().unwrap(), "continued");
}

#[test]
fn rule_31_an_irreversible_fault_is_observed_to_the_end_of_the_method() {
    let mut staged = Staged::bare(recovering(), all_fail(5.0, 6.0));
    staged.fault("0.0.0", 5.0, 6.5);
    staged.planned[0].reversibility = Reversibility::Irreversible;
    staged.events.retain(|(_, _, what)| {
        !matches!(what, What::Injection { state: InjectionState::RevertAsked { .. } | InjectionState::Reverted { .. }, .. })
    });
    let verdict = staged.verdict();
    assert_eq!(only(&verdict).clocks[0].merit, Merit::ByItself);
    assert_eq!(only(&verdict).clocks[0].after_revert, None);
    let window = only(&verdict).windows[0].span;
    assert!((window.to.0 - 15.05).abs() < 0.01, "{window:?}");
    assert!(verdict.cleanup.clean);
    assert_eq!(verdict.exit, 0);
}

#[test]
fn rule_32_an_abort_hides_a_refutation_and_a_stop_condition_does_not() {
    let ended = |what: What| {
        let mut staged = Staged::frozen(recovering(), third_fails(5.0, 15.0));
        staged.say(14.9, what);
        staged.verdict().headline
    };
    let by_person = What::Aborted { by: AbortedBy::Person, because: "Ctrl-C".into() };
    let by_condition =
        || What::StopCondition { condition: "ranking answers: success < 80% over 2s".into(), observed: "success 66.6% over 2s".into() };
    assert_eq!(ended(by_person), Headline::Aborted);
    assert_eq!(ended(by_condition()), Headline::Refuted);
    let mut staged = Staged::frozen(recovering(), well);
    staged.say(14.9, by_condition());
    assert_eq!(staged.verdict().headline, Headline::Stopped);
}

#[test]
fn rule_32_residue_outranks_everything() {
    let mut staged = Staged::frozen(recovering(), third_fails(5.0, 15.0));
    staged.say(16.0, What::Residue { slot: "0.0.0".into(), finding: "pid 4711 is still stopped; kill -CONT 4711".into() });
    let verdict = staged.verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::Residue, 7));
    assert_eq!(verdict.cleanup.residue.len(), 1);
}

#[test]
fn a_fault_that_fails_is_not_injected_and_one_that_was_cancelled_is_aborted() {
    let with = |error: FaultError, by: Option<AbortedBy>| {
        let mut staged = with_presence(|_| Presence::none());
        staged.events.retain(|(_, _, what)| !matches!(what, What::Injection { state: InjectionState::Present(_), .. }));
        staged.state(5.0, "0.0.0", InjectionState::Failed(error));
        if let Some(by) = by {
            let because = "Ctrl-C".into();
            staged.say(4.999, What::Aborted { by, because });
        }
        staged.verdict().exit
    };
    assert_eq!(with(FaultError::new("stop process 4711: operation not permitted"), None), 6);
    assert_eq!(with(FaultError::cancelled(), Some(AbortedBy::Person)), 5);
}

#[test]
fn a_step_left_out_is_at_best_inconclusive_and_a_failed_command_is_exit_6() {
    let failed = |method: serde_json::Value| {
        let mut experiment = recovering();
        experiment.method = serde_json::from_value(method).unwrap();
        let mut staged = Staged::frozen(experiment, well);
        staged.say(15.0, What::Step { path: "method[1]".into(), state: StepState::Failed("not in time".into()) });
        staged.verdict().exit
    };
    let method = |action: serde_json::Value| {
        let mut steps = freeze_step();
        let step = json!({"path": "method[1]", "action": action});
        steps.as_array_mut().unwrap().push(step);
        steps
    };
    let wait = json!({"wait_for": {"hypothesis": "ranking answers", "within": "5s", "hold": "0s"}});
    let run = json!({"run": {"command": ["false"], "timeout": "5s", "exit": 0}});
    assert_eq!(failed(method(wait)), 3);
    assert_eq!(failed(method(run)), 6);
}

#[test]
fn a_baseline_that_is_not_met_injects_nothing() {
    let mut staged = Staged::bare(recovering(), third_fails(0.0, 25.0));
    for (_, _, what) in &mut staged.events {
        if let What::Baseline { met, missed } = what {
            *met = false;
            missed.push("ranking answers: success >= 99% was asked, 66.6% observed".into());
        }
    }
    let verdict = staged.verdict();
    assert_eq!((verdict.headline, verdict.exit), (Headline::BaselineNotMet, 4));
    assert!(verdict.cleanup.clean);
}

#[test]
fn rule_33_windows_that_touch_are_one_episode_and_resilience_ends_at_its_first_revert() {
    let mut staged = Staged::bare(recovering(), all_fail(5.0, 9.5));
    staged.fault("0.0.0", 5.0, 9.0);
    staged.fault("1.0.0", 8.0, 15.0);
    let verdict = staged.verdict();
    let windows = &only(&verdict).windows;
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].slots, ["0.0.0", "1.0.0"]);
    let clocks = &only(&verdict).clocks;
    assert_eq!(clocks.len(), 2, "still waiting at the second effect, the first clock goes on");
    assert!(clocks.iter().all(|c| c.merit == Merit::AfterRevert), "{clocks:#?}");
}

#[test]
fn a_new_effect_closes_the_clocks_that_are_good_at_that_moment() {
    let mut staged = Staged::bare(recovering(), |i, due| {
        let down = |from: f64| from <= due && due < from + 1.0;
        if down(5.0) || down(8.0) || down(11.0) { (1, Outcome::Bad(0)) } else { well(i, due) }
    });
    staged.fault("0.0.0", 5.0, 5.5);
    staged.fault("0.1.0", 8.0, 8.5);
    staged.fault("0.2.0", 11.0, 11.5);
    let verdict = staged.verdict();
    let clocks = &only(&verdict).clocks;
    assert_eq!(clocks.len(), 3);
    for clock in clocks {
        let recovery = clock.recovery.unwrap();
        assert!(recovery.from.0 <= 1.0 && 1.0 <= recovery.to.0, "{recovery:?}");
    }
    assert_eq!(line(&verdict, Part::Recovery).0, State::Upheld);
}

#[test]
fn what_users_saw_before_the_effect_could_be_inspected_counts_from_where_it_began() {
    let slow = |down: std::ops::Range<f64>| {
        let mut staged = Staged::frozen(recovering(), move |i, due| if down.contains(&due) { (1, Outcome::Bad(0)) } else { well(i, due) });
        staged.state(4.2, "0.0.0", InjectionState::Staged);
        staged.verdict()
    };
    // Two seconds of outage, half of them before anybody had looked.
    let verdict = slow(4.4..6.4);
    let clock = &only(&verdict).clocks[0];
    assert!((clock.started.0 - 4.4).abs() < 0.021, "{clock:#?}");
    let recovery = clock.recovery.unwrap();
    assert!(recovery.from.0 <= 2.0 && 2.0 <= recovery.to.0, "{recovery:?}");
    // Nobody saw anything before: it is counted from where it was seen.
    assert!((only(&slow(7.0..8.0)).clocks[0].started.0 - 5.0).abs() < 1e-6);
    // What was bad before it could begin is not its doing.
    assert!((only(&slow(4.0..4.1)).clocks[0].started.0 - 5.0).abs() < 1e-6);
}

#[test]
fn a_latent_fault_opens_at_its_activation_and_without_one_it_is_inconclusive() {
    let latent = |activated: bool| {
        let mut staged = Staged::frozen(recovering(), all_fail(10.0, 12.0));
        staged.planned[0].latent = true;
        if activated {
            let by = "method[0].meanwhile[0]".into();
            staged.say(9.0, What::Activated { slot: "0.0.0".into(), by });
        }
        staged.verdict()
    };
    let verdict = latent(true);
    assert!((only(&verdict).clocks[0].started.0 - 9.0).abs() < 1e-6);
    // Without an activation on record, the first bad sample is one.
    let verdict = latent(false);
    assert!((only(&verdict).clocks[0].started.0 - 10.0).abs() < 0.021);
    let mut never = Staged::frozen(recovering(), well);
    never.planned[0].latent = true;
    let verdict = never.verdict();
    assert_eq!(verdict.exit, 3);
    assert!(only(&verdict).why.as_ref().unwrap().contains("nothing activated it"));
}

#[test]
fn after_revert_counts_from_the_revert() {
    let experiment = ranking(json!({"recovery": {"after_revert": "1s", "hold": "3s"}}));
    let state = |until| {
        let verdict = Staged::frozen(experiment.clone(), all_fail(5.0, until)).verdict();
        line(&verdict, Part::Recovery).0
    };
    assert_eq!(state(15.5), State::Upheld);
    assert_eq!(state(16.5), State::Refuted);
}

#[test]
fn health_that_says_well_while_users_get_errors_is_a_lie_by_the_second() {
    let experiment = ranking(json!({
        "recovery": {"within": "4s", "hold": "3s"},
        "health": {"question": {"every": "100ms"}, "false_ready": "<= 1s", "false_alarm": "<= 1s"},
    }));
    let mut staged = Staged::frozen(experiment, all_fail(5.0, 7.0));
    // Health notices after 1.5 s, and takes until 9.0 to be well again.
    staged.samples(Asked::Health, 0.1, 25.0, |_, due| match due {
        6.5..9.0 => (1, Outcome::Bad(0)),
        _ => (1, Outcome::Good),
    });
    let verdict = staged.verdict();
    let truth = only(&verdict).truth.unwrap();
    assert!((truth.false_ready.0 - 1.5).abs() < 0.15, "{truth:?}");
    assert!((truth.false_alarm.0 - 2.0).abs() < 0.15, "{truth:?}");
    assert_eq!(line(&verdict, Part::Health).0, State::Refuted);
    assert_eq!(verdict.exit, 1);
}

#[test]
fn five_minutes_allow_eight_failures_a_month_at_three_nines_and_not_one_at_four() {
    let verdict = Staged::frozen(recovering(), all_fail(5.0, 8.0)).verdict();
    let allowance = only(&verdict).allowance.unwrap();
    let expected = 0.001 * 30.0 * 86_400.0 / allowance.recovery.0;
    assert!((allowance.at_99_9 - expected).abs() < 1e-6);
    assert!((allowance.at_99_99 * 10.0 - expected).abs() < 1e-6);
    assert!((allowance.recovery.0 - 3.0).abs() < 0.05);
}

#[test]
fn an_observation_is_never_judged() {
    let mut experiment = recovering();
    experiment.hypotheses[0].baseline = None;
    experiment.hypotheses[0].during.clear();
    experiment.hypotheses[0].recovery = None;
    let verdict = Staged::frozen(experiment, all_fail(0.0, 25.0)).verdict();
    assert_eq!(only(&verdict).state, State::Observed);
    assert_eq!(verdict.exit, 3, "with nothing to judge, nothing was proved");
}

#[test]
fn nothing_drawn_is_exit_6() {
    let verdict = Staged::bare(recovering(), well).verdict();
    assert_eq!(verdict.exit, 6);
}

#[test]
fn the_end_of_the_system_is_no_outage() {
    let mut staged = Staged::frozen(recovering(), all_fail(22.0, 25.0));
    staged.say(22.0, What::Phase(chaos_core::event::Phase::Teardown));
    let verdict = staged.verdict();
    assert_eq!(verdict.headline, Headline::Upheld, "{verdict:#?}");
    assert_eq!(only(&verdict).outages.failed, 0);
}
