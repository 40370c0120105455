//! A world that does not fit the experiment: nothing there, something protected, something that changes.

use crate::scaffold::{Answer, Server, Stage, Text, Victim, answers, until};

use super::{refusals, right};

#[test]
fn rule_04_what_is_never_a_target() {
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let to = |selector: &str| {
        let targets = format!("{{victim: {{processes: {{{selector}}}}}}}");
        Text::new(&server, &victim).targets(targets).blast_radius("{duration: 2m, targets: {victim: {share: 100%}}}").yaml()
    };
    let own = stage.write("own.pid", std::process::id().to_string());
    let one = stage.write("one.pid", "1");
    let cases = [
        ("pid 1", to(&format!("pid_file: {}", one.display())), "pid 1 holds the whole system"),
        ("what started chaos", to(&format!("pid_file: {}", own.display())), "chaos was started from it"),
        ("chaos itself", to(&format!("executable: {}", env!("CARGO_BIN_EXE_chaos"))), "it is "),
        ("everything", to("command: '*'"), "never a target"),
    ];
    for (name, text, why) in cases {
        stage.run(&text).expect(2).says(why).says("never a target").says("nothing was injected");
        let planned = stage.chaos(&["plan", &stage.experiment()]).expect(2);
        assert!(planned.err.contains(why), "{name}: {}", planned.err);
    }
    stage.assert_nothing_was_done();
    victim.assert_well();
}

#[test]
fn targets_that_are_not_there() {
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to = |set: &str| Text::new(&server, &victim).targets(format!("{{victim: {{{set}}}}}")).yaml();
    let gone = stage.write("gone.pid", "4194303");
    let no_pid = stage.write("no.pid", "forty-two\n");
    let said = refusals(
        &stage,
        &[
            ("a pattern that nothing matches", to("processes: {command: 'no-such-program --at-all *'}")),
            ("a port on which nobody listens", to(&format!("processes: {{listening_on: {free}}}"))),
            ("a pid file of a process that is gone", to(&format!("processes: {{pid_file: {}}}", gone.display()))),
            ("a pid file without a pid", to(&format!("processes: {{pid_file: {}}}", no_pid.display()))),
            ("no pid file", to(&format!("processes: {{pid_file: {}}}", stage.path("none.pid").display()))),
            ("another number than expected", to(&format!("processes: {{pid_file: {}}}, expect: 3", victim.pid_file().display()))),
            ("a user that is not", to("processes: {user: nobody-knows-me, command: '*'}")),
        ],
    );
    victim.assert_well();
    let said = said.replace(&free.to_string(), "[port]").replace(&victim.pid().to_string(), "[pid]");
    // Who listens nearby differs from machine to machine.
    let listed = |line: &&str| line.starts_with("        ");
    let told = |line: &str| line.split("nearby listen:").next().unwrap_or_default().trim_end().to_owned() + "\n";
    let said: String = said.lines().filter(|line| !listed(line)).map(told).collect();
    insta::assert_snapshot!(said);
}

#[test]
fn a_limit_that_comes_to_nothing() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    let text = text.blast_radius("{duration: 2m, targets: {victim: {share: 99%}}}").yaml();
    stage.run(&text).expect(2).says("nothing was injected");
    stage.assert_nothing_was_done();
    victim.assert_well();
}

#[test]
fn a_target_that_is_stopped_already() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    let pid = rustix::process::Pid::from_raw(victim.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    until("the victim is stopped", || victim.is_stopped());
    stage.run(&text.yaml()).expect(2).says("is already stopped").says("`kill -CONT");
    stage.assert_nothing_was_done();
    assert!(victim.is_stopped(), "what somebody else stopped stays stopped");
}

/// A run that waits before its only injection until the test says so.
fn gated(server: &Server, gate: &Server, victim: &Victim) -> String {
    let gate = format!("the gate: {{probe: http, with: {{get: '{}'}}, every: 10ms, timeout: 2s}}", gate.url());
    Text::new(server, victim)
        .steady_state(format!("{}\n  {gate}", answers(server, crate::scaffold::HALF)))
        .method("[{wait_for: the gate, within: 60s}, {inject: process.pause, into: victim, for: 1s}]")
        .yaml()
}

fn gate() -> (Server, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&open);
    let answer = move || if seen.load(std::sync::atomic::Ordering::Relaxed) { Answer::Well } else { Answer::Bad };
    (Server::new(answer), open)
}

fn open(gate: &std::sync::atomic::AtomicBool) {
    gate.store(true, std::sync::atomic::Ordering::Relaxed);
}

#[test]
fn rule_24_a_target_that_exits_between_plan_and_inject() {
    let stage = Stage::new();
    let (server, mut victim) = (Server::well(), Victim::new(&stage));
    let (gate, opener) = gate();
    let mut run = stage.start_run(&gated(&server, &gate, &victim));
    run.until("the method begins", || stage.record().contains("\"phase\":\"method\""));
    victim.kill();
    open(&opener);
    run.wait().expect(5).says("not injected");
    stage.assert_nothing_was_done();
    stage.assert_clean();
}

#[test]
fn rule_07_two_runs_on_the_same_target() {
    let (first, second) = (Stage::new(), Stage::new());
    let (server, victim) = (Server::well(), Victim::new(&first));
    let ((gate_one, open_one), (gate_two, open_two)) = (gate(), gate());
    // Separate state directories: claims are of the host.
    let one = first.start_run(&gated(&server, &gate_one, &victim).replace("for: 1s", "for: 5s"));
    let two = second.start_run(&gated(&server, &gate_two, &victim));
    until("both methods begin", || first.record().contains("\"phase\":\"method\"") && second.record().contains("\"phase\":\"method\""));
    open(&open_one);
    until("the first run acts", || victim.is_stopped());
    open(&open_two);
    two.wait().expect(6).says("process.pause could not be injected");
    second.assert_nothing_was_done();
    assert!(victim.is_stopped(), "the second run must not take back what the first did");
    one.wait().expect(0);
    victim.assert_well();
    first.assert_clean();
    second.assert_clean();
}
