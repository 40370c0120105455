//! State directories that cannot be trusted or written.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::scaffold::{Answer, HALF, Outcome, Program, Server, Stage, Text, Victim, answers, root};

use super::right;

/// Runs the stage's experiment in a mount namespace of its own, after these commands.
fn run_after(stage: &Stage, commands: &str) -> Outcome {
    let script = format!(
        "set -e; {commands}; exec {} run {} --quiet --state-dir {}",
        env!("CARGO_BIN_EXE_chaos"),
        stage.experiment(),
        stage.state().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &script]);
    Program::spawn(stage, command).wait()
}

#[test]
fn a_read_only_state_directory() {
    if !root("a_read_only_state_directory") {
        return;
    }
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    stage.write("experiment.yaml", text.yaml());
    let state = stage.state();
    std::fs::create_dir(&state).unwrap();
    let at = state.display();
    let outcome = run_after(&stage, &format!("mount --bind {at} {at}; mount -o remount,ro,bind {at}")).expect(2);
    victim.assert_well();
    insta::assert_snapshot!(stage.plain(&outcome.err));
    // One that was in use before.
    stage.chaos(&["status"]).expect(0);
    let outcome = run_after(&stage, &format!("mount --bind {at} {at}; mount -o remount,ro,bind {at}")).expect(2);
    outcome.says("ead-only file system");
    victim.assert_well();
    stage.assert_nothing_was_done();
}

#[test]
fn rule_12_a_full_disk_under_the_journal() {
    if !root("rule_12_a_full_disk_under_the_journal") {
        return;
    }
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    stage.write("experiment.yaml", text.yaml());
    std::fs::create_dir(stage.state()).unwrap();
    let at = stage.state().display().to_string();
    let mount = format!("mount -t tmpfs -o size=256k,mode=0700 none {at}");
    // Too small for a journal from the beginning; and full to the last byte.
    let outcome = run_after(&stage, &mount).expect(2).says("o space left on device");
    victim.assert_well();
    insta::assert_snapshot!(stage.plain(&outcome.err));
    run_after(&stage, &format!("{mount}; head -c 1M /dev/zero >{at}/filler 2>/dev/null || true")).expect(2).says("o space left on device");
    victim.assert_well();
}

#[test]
fn rule_12_a_disk_that_fills_up_during_the_run() {
    if !root("rule_12_a_disk_that_fills_up_during_the_run") {
        return;
    }
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let filled = stage.path("filled");
    let seen = filled.clone();
    let gate = Server::new(move || if seen.exists() { Answer::Well } else { Answer::Bad });
    let gate = format!("the disk is full: {{probe: http, with: {{get: '{}'}}, every: 10ms, timeout: 2s}}", gate.url());
    let text = Text::new(&server, &victim)
        .steady_state(format!("{}\n  {gate}", answers(&server, HALF)))
        .method("[{wait_for: the disk is full, within: 90s}, {inject: process.pause, into: victim, for: 1s}]");
    stage.write("experiment.yaml", text.yaml());
    std::fs::create_dir(stage.state()).unwrap();
    let at = stage.state().display().to_string();
    // Filled by others once the run has its journal, whose room was taken before anything else.
    let fill = format!(
        "until grep -qs '\"phase\":\"method\"' {at}/runs/*/record.jsonl; do sleep 0.05; done; \
         head -c 8M /dev/zero >{at}/filler 2>/dev/null || true; touch {}",
        filled.display()
    );
    let outcome = run_after(&stage, &format!("mount -t tmpfs -o size=2M,mode=0700 none {at}; {{ ({fill}) >/dev/null 2>&1 & }}"));
    let outcome = outcome.expect(2).says("UPHELD").says("inspection found nothing left");
    outcome.says("write the re").says("o space left on device");
    victim.assert_well();
}

#[test]
fn what_a_user_may_not_do_is_not_done() {
    if !root("what_a_user_may_not_do_is_not_done") {
        return;
    }
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    let file = stage.write("experiment.yaml", text.yaml());
    let outcome = stage.chaos_as_nobody(&["run", file.to_str().unwrap(), "--quiet"]);
    assert!(matches!(outcome.exit, 2 | 6), "{} {} {}", outcome.exit, outcome.out, outcome.err);
    outcome.says("not permitted");
    victim.assert_well();
}

#[test]
fn rule_35_state_directories_that_others_may_write() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    stage.write("experiment.yaml", text.yaml());
    let mut said = String::new();
    for mode in [0o777, 0o770, 0o1777] {
        let _ = std::fs::create_dir(stage.state());
        std::fs::set_permissions(stage.state(), std::fs::Permissions::from_mode(mode)).unwrap();
        let outcome = stage.chaos(&["run", &stage.experiment(), "--quiet"]).expect(2);
        said.push_str(&outcome.err);
        for command in [&["status"][..], &["recover"], &["halt"], &["report", "last"]] {
            stage.chaos(command).expect(2).says("may be written by others");
        }
    }
    std::fs::set_permissions(stage.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(std::fs::read_dir(stage.state()).unwrap().count(), 0, "nothing was made in it");
    victim.assert_well();
    insta::assert_snapshot!(stage.plain(&said));
}

#[test]
fn state_directories_that_are_none() {
    let stage = Stage::new();
    let (_server, victim, text) = right(&stage);
    stage.write("experiment.yaml", text.yaml());
    let file = stage.write("file", "");
    std::os::unix::fs::symlink("nowhere", stage.path("link")).unwrap();
    let mut said = String::new();
    for path in [file, stage.path("file/below"), stage.path("link"), "/proc/chaos".into(), "".into()] {
        let path = path.to_str().unwrap();
        let outcome = stage.chaos(&["run", &stage.experiment(), "--quiet", "--state-dir", path]).expect(2);
        said.push_str(&format!("== {path}\n{}", outcome.err));
    }
    victim.assert_well();
    // What is missing of a path is made.
    let deep = stage.path("a/b/c");
    stage.chaos(&["status", "--state-dir", deep.to_str().unwrap()]).expect(0);
    insta::assert_snapshot!(stage.plain(&said));
}

#[test]
fn rule_35_a_state_directory_of_somebody_else() {
    if !root("rule_35_a_state_directory_of_somebody_else") {
        return;
    }
    let stage = Stage::new();
    std::fs::create_dir(stage.state()).unwrap();
    std::os::unix::fs::chown(stage.state(), Some(65_534), None).unwrap();
    stage.chaos(&["status"]).expect(2).says("belongs to user 65534, not to you");
}
