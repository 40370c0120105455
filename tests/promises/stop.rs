//! A run can be stopped at any moment, and takes everything back first.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::scaffold::victim::state;
use crate::scaffold::{Answer, Outcome, Program, Server, Stage, Text, Victim, answers, until};

const LONG: &str = "[{inject: process.pause, into: victim, for: 100s}, {wait: 1s}]";

struct Scene {
    stage: Stage,
    server: Server,
    victim: Victim,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let victim = Victim::new(&stage);
        Self { server: Server::well(), victim, stage }
    }

    fn text(&self) -> Text {
        Text::new(&self.server, &self.victim).method(LONG)
    }

    /// A run whose fault acts.
    fn acting(&self) -> Program {
        let mut run = self.stage.start_run(&self.text().yaml());
        run.until("the fault acts", || self.victim.is_stopped() && self.stage.record().contains("\"present\""));
        run
    }

    #[track_caller]
    fn assert_taken_back(&self) {
        self.victim.assert_well();
        self.stage.assert_clean();
    }
}

fn stopped_by(signal: Signal, words: &str) -> Outcome {
    let scene = Scene::new();
    let run = scene.acting();
    run.signal(signal);
    let outcome = run.wait().expect(5).says("ABORTED").says(words).says("inspection found nothing left");
    scene.assert_taken_back();
    assert!(!scene.stage.record().contains("\"path\":\"method[1]\",\"state\":\"began\""), "the rest of the method is left out");
    outcome
}

#[test]
fn ctrl_c_stops_and_takes_back() {
    stopped_by(Signal::INT, "Ctrl-C");
}

#[test]
fn sigterm_stops_and_takes_back() {
    stopped_by(Signal::TERM, "SIGTERM");
}

#[test]
fn sighup_stops_and_takes_back() {
    stopped_by(Signal::HUP, "SIGHUP");
}

#[test]
fn ctrl_backslash_stops_and_takes_back() {
    stopped_by(Signal::QUIT, "Ctrl-\\");
}

#[test]
fn ctrl_c_during_the_baseline_injects_nothing() {
    let scene = Scene::new();
    let mut run = scene.stage.start_run(&scene.text().yaml().replace("for: 300ms}", "for: 100s}"));
    run.until("the baseline begins", || scene.stage.record().contains("\"phase\":\"baseline\""));
    run.signal(Signal::INT);
    run.wait().expect(5).says("ABORTED");
    scene.stage.assert_nothing_was_done();
    scene.assert_taken_back();
}

#[test]
fn ctrl_c_twice_hurries_and_still_takes_back() {
    let stage = Stage::new();
    let victim = Victim::new(&stage);
    let (pid, hurt) = (victim.pid(), AtomicBool::new(false));
    let server = Server::new(move || {
        hurt.fetch_or(state(pid) == 'T', Ordering::Relaxed);
        if hurt.load(Ordering::Relaxed) { Answer::Bad } else { Answer::Well }
    });
    // It never recovers: without hurry this waits longer than any test does.
    let steady = answers(&server, "recovery: {within: 1h, hold: 200ms}");
    let text = Text::new(&server, &victim).steady_state(steady).method(LONG);
    let mut run = stage.start_run(&text.yaml());
    run.until("the fault acts", || stage.record().contains("\"present\""));
    run.signal(Signal::INT);
    until("recovery is watched", || stage.record().contains("\"phase\":\"verify\""));
    victim.assert_well();
    run.signal(Signal::INT);
    run.wait().expect(5).says("hurrying: everything is still taken back");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn many_ctrl_c_at_once_still_take_back() {
    let scene = Scene::new();
    let mut run = scene.acting();
    for _ in 0..20 {
        if run.is_running() {
            run.signal(Signal::INT);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    run.wait().expect(5);
    scene.assert_taken_back();
}

#[test]
fn rule_06_ctrl_z_is_refused() {
    let scene = Scene::new();
    let run = scene.acting();
    run.signal(Signal::TSTP);
    until("it is refused", || scene.stage.record().contains("Ctrl-Z refused"));
    assert_ne!(state(run.pid().as_raw_nonzero().get()), 'T', "it goes on");
    assert!(scene.victim.is_stopped(), "and so does its fault");
    run.signal(Signal::INT);
    run.wait().expect(5).says("Ctrl-Z refused");
    scene.assert_taken_back();
}

#[test]
fn rule_06_a_run_that_stood_still_past_its_lease() {
    let scene = Scene::new();
    let run = scene.acting();
    run.signal(Signal::STOP);
    until("the executor takes it back by itself", || !scene.victim.is_stopped());
    assert_eq!(state(run.pid().as_raw_nonzero().get()), 'T');
    run.signal(Signal::CONT);
    run.wait().expect(5).says("ABORTED").says("lease");
    scene.assert_taken_back();
}

#[test]
fn a_reader_that_has_gone_away() {
    let scene = Scene::new();
    scene.stage.write("experiment.yaml", scene.text().yaml().replace("for: 100s}", "for: 1s}"));
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let (out, err) = (write.try_clone().unwrap(), write);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(["run", &scene.stage.experiment(), "--state-dir"]).arg(scene.stage.state()).stdin(Stdio::null());
    let mut run = command.stdout(OwnedFd::from(out)).stderr(OwnedFd::from(err)).spawn().unwrap();
    drop(command);
    let code = run.wait().unwrap().code().expect("no signal ends it");
    // A machine that is too busy to measure proves nothing, and says so.
    assert!(matches!(code, 0 | 3), "{code}");
    assert!(scene.stage.record().contains(&format!("\"finished\":{{\"exit\":{code}")), "the verdict's code is the program's");
    scene.assert_taken_back();
}

#[test]
fn a_terminal_that_is_closed() {
    let scene = Scene::new();
    scene.stage.write("experiment.yaml", scene.text().yaml());
    let words =
        format!("exec {} run {} --state-dir {}", env!("CARGO_BIN_EXE_chaos"), scene.stage.experiment(), scene.stage.state().display());
    let mut script = Command::new("script");
    script.args(["-qfc", &words, "/dev/null"]).env("TERM", "xterm");
    let script = Program::spawn(&scene.stage, script);
    until("the fault acts", || scene.victim.is_stopped());
    // Its end of the terminal goes with it.
    script.signal(Signal::KILL);
    until("the run has ended", || scene.stage.record().contains("\"finished\":{\"exit\":5"));
    drop(script);
    scene.assert_taken_back();
}

#[test]
fn rule_36_halt_stops_every_run_until_resume() {
    let scene = Scene::new();
    let run = scene.acting();
    scene.stage.chaos(&["halt", "--because", "the shop is open"]).expect(0).says("halted: the runs of this state directory");
    run.wait().expect(5).says("ABORTED").says("the shop is open");
    scene.victim.assert_well();
    let refused = scene.stage.chaos(&["run", &scene.stage.experiment()]).expect(5).says("nothing was run").says("the shop is open");
    assert!(refused.err.contains("`chaos resume` allows runs again"), "{}", refused.err);
    assert_eq!(scene.stage.runs().len(), 1, "not even begun");
    scene.stage.chaos(&["status"]).expect(0).says("the shop is open");
    scene.stage.chaos(&["resume"]).expect(0).says("runs may inject faults");
    scene.stage.chaos(&["resume"]).expect(0);
    scene.stage.run(&scene.text().yaml().replace("for: 100s}", "for: 300ms}")).expect(0);
    scene.assert_taken_back();
}

#[test]
fn rule_36_a_lever_that_cannot_be_read_is_pulled() {
    let scene = Scene::new();
    scene.stage.chaos(&["status"]).expect(0);
    std::fs::create_dir(scene.stage.state().join("halt")).unwrap();
    scene.stage.run(&scene.text().yaml()).expect(5).says("counts as pulled");
    scene.stage.assert_nothing_was_done();
    scene.victim.assert_well();
}
