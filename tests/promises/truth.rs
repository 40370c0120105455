//! The verdict is true: it says what happened, and claims no more than that.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::scaffold::{Answer, HALF, Server, Stage, Text, Victim, answers, root, until};

mod secrets;
mod steps;
mod system;

/// A run that ends with this exit code, on a system that answers badly while the victim does not run.
fn ends(change: impl FnOnce(Text, &Server) -> Text, exit: i32) -> (Stage, Victim, crate::scaffold::Outcome) {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let server = victim.server();
    let text = change(Text::new(&server, &victim), &server);
    let outcome = stage.run(&text.yaml()).expect(exit);
    stage.assert_clean();
    (stage, victim, outcome)
}

#[test]
fn a_claim_that_holds_is_upheld() {
    let (_, victim, outcome) = ends(|text, server| text.steady_state(answers(server, "recovery: {within: 20s, hold: 200ms}")), 0);
    victim.assert_well();
    outcome.says("UPHELD").says("The fault was taken back; inspection found nothing left");
}

#[test]
fn a_claim_that_does_not_hold_is_refuted() {
    let steady = |server: &Server| answers(server, "during: {success: '>= 90%'}");
    let (_, victim, outcome) = ends(|text, server| text.steady_state(steady(server)), 1);
    victim.assert_well();
    outcome.says("REFUTED");
}

#[test]
fn a_baseline_that_is_not_met_injects_nothing() {
    let stage = Stage::new();
    let (server, victim) = (Server::new(|| Answer::Bad), Victim::new(&stage));
    let outcome = stage.run(&Text::new(&server, &victim).yaml()).expect(4);
    stage.assert_nothing_was_done();
    victim.assert_well();
    outcome.says("BASELINE NOT MET").says("Nothing was injected, so nothing is left");
}

#[test]
fn nobody_answers_at_all() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).yaml();
    drop(server);
    stage.run(&text).expect(4);
    stage.assert_nothing_was_done();
}

#[test]
fn a_fault_that_is_never_in_place_is_not_injected() {
    let stage = Stage::new();
    let mut deaf = std::process::Command::new("sh");
    deaf.args(["-c", "trap '' TERM; while true; do sleep 0.1; done"]);
    let victim = Victim::of(&stage, "victim", &mut deaf);
    // A shell hears everything until it has said otherwise.
    until("the victim is deaf", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", victim.pid())).unwrap_or_default();
        let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).unwrap_or("0").trim().to_owned();
        u64::from_str_radix(&ignored, 16).unwrap_or(0) & (1 << (Signal::TERM.as_raw() - 1)) != 0
    });
    let server = Server::well();
    let text = Text::new(&server, &victim).method("[{inject: process.kill, into: victim, with: {signal: TERM}}]");
    stage.run(&text.yaml()).expect(6).says("NOT INJECTED").says("process.kill could not be injected");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn rule_31_a_fault_that_nothing_met_proves_nothing() {
    if !root("rule_31_a_fault_that_nothing_met_proves_nothing") {
        return;
    }
    let stage = Stage::new();
    let Some(group) = crate::scenes::Group::new("cpu") else {
        return crate::scaffold::not_covered("rule_31_a_fault_that_nothing_met_proves_nothing", "no cpu control group can be made");
    };
    let (server, victim) = (Server::well(), Victim::new(&stage));
    group.take(victim.pid());
    let text = Text::new(&server, &victim).method("[{inject: cpu.limit, into: victim, with: {cores: 0.1}, for: 1500ms}]");
    stage.run(&text.yaml()).expect(3).says("INCONCLUSIVE").says("nothing met");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn rule_30_a_prober_that_stood_still_proves_nothing() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).method("[{inject: process.pause, into: victim, for: 6s}]").yaml();
    // Answers within 200 ms are asked for, and for two seconds nobody can say whether they came.
    let mut run = stage.start_run(&text.replace("timeout: 2s", "timeout: 200ms"));
    run.until("the fault acts", || victim.is_stopped());
    run.signal(Signal::STOP);
    std::thread::sleep(std::time::Duration::from_secs(2));
    run.signal(Signal::CONT);
    run.wait().expect(3).says("INCONCLUSIVE").says("because the prober itself was late");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn a_target_that_dies_by_itself_is_said() {
    let stage = Stage::new();
    let mut victim = Victim::new(&stage);
    let server = Server::well();
    let text = Text::new(&server, &victim).method("[{inject: process.pause, into: victim, for: 5s}]");
    let mut run = stage.start_run(&text.yaml());
    run.until("the fault acts", || stage.record().contains("\"present\""));
    victim.kill();
    let outcome = run.wait().expect(3);
    outcome.says("not by any fault of ours").says("has ended").says("INCONCLUSIVE");
    stage.assert_clean();
}

#[test]
fn somebody_else_takes_the_fault_away() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).method("[{inject: process.pause, into: victim, for: 6s}]");
    let mut run = stage.start_run(&text.yaml());
    run.until("the fault acts", || stage.record().contains("\"present\""));
    let pid = rustix::process::Pid::from_raw(victim.pid()).unwrap();
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    let outcome = run.wait().expect(3);
    outcome.says("INCONCLUSIVE").says("not by any fault of ours");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn a_stop_condition_takes_everything_back_at_once() {
    let stop = "stop_when: [{answers: success < 50% over 300ms}]";
    let (stage, victim, outcome) = ends(
        |text, server| {
            let steady = answers(server, "recovery: {within: 60s, hold: 200ms}");
            text.top(stop).steady_state(steady).method("[{inject: process.pause, into: victim, for: 100s}, {wait: 1s}]")
        },
        5,
    );
    victim.assert_well();
    outcome.says("STOPPED").says("success < 50% over 300ms");
    assert!(!stage.record().contains("\"path\":\"method[1]\",\"state\":\"began\""), "the rest of the method is left out");
}

#[test]
fn what_was_said_is_said_again() {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let server = victim.server();
    let text = Text::new(&server, &victim).steady_state(answers(&server, "during: {success: '>= 90%'}"));
    stage.write("experiment.yaml", text.yaml());
    let then = stage.chaos(&["run", &stage.experiment(), "--quiet", "--json", "-"]).expect(1).json();
    let now = stage.chaos(&["report", "last", "--json", "-"]).expect(0).json();
    assert_eq!(then["verdict"], now["verdict"]);
    assert!(then["verdict"].is_object(), "{then:#}");
    let run = stage.runs()[0].file_name().unwrap().to_str().unwrap().to_owned();
    for name in [&run[..], &run[..run.len() - 2], stage.runs()[0].to_str().unwrap()] {
        stage.chaos(&["report", name]).expect(0).says("REFUTED").says(&format!("run {run}"));
    }
}

#[test]
fn rule_34_a_record_without_an_end_is_of_an_aborted_run() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).method("[{inject: process.pause, into: victim, for: 100s}]");
    let mut run = stage.start_run(&text.yaml());
    run.until("the effect is on record", || stage.record().contains("\"present\""));
    run.signal(Signal::KILL);
    until("the executor takes it back by itself", || !victim.is_stopped());
    until("the executor has ended", || std::fs::read_dir(stage.state().join("journals/done")).is_ok_and(|done| done.count() == 1));
    stage.chaos(&["report", "last"]).expect(0).says("ABORTED").says("The coordinator was lost").says("inspection found nothing left");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn a_system_that_never_recovers_is_refuted() {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let (pid, hurt) = (victim.pid(), AtomicBool::new(false));
    // It never forgets that it was stopped once.
    let server = Server::new(move || {
        if crate::scaffold::victim::state(pid) == 'T' {
            hurt.store(true, Ordering::Relaxed);
        }
        if hurt.load(Ordering::Relaxed) { Answer::Bad } else { Answer::Well }
    });
    let steady = answers(&server, "recovery: {after_revert: 1s, hold: 200ms}");
    stage.run(&Text::new(&server, &victim).steady_state(steady).yaml()).expect(1).says("REFUTED").says("not recovered");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn two_claims_are_judged_by_the_worse() {
    let (_, victim, outcome) = ends(
        |text, server| {
            let other = answers(server, "during: {success: '>= 99.9%'}").replacen("answers", "nobody notices", 1);
            text.steady_state(format!("{}\n  {other}", answers(server, HALF.split(", recovery").next().unwrap_or_default())))
        },
        1,
    );
    victim.assert_well();
    outcome.says("nobody notices");
}
