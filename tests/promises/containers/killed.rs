//! Coordinator, executor, or both are killed while containers are harmed.

use rustix::process::Signal;

use super::{FROZEN, Shop, engine, kill};
use crate::scaffold::{Program, until};

#[test]
fn a_frozen_container_goes_on_as_if_nothing_had_been() {
    let Some(engine) = engine("a_frozen_container_goes_on_as_if_nothing_had_been") else { return };
    let shop = Shop::new(engine);
    shop.start("[{inject: container.pause, into: shop, for: 300ms}]").wait().expect(0).says("inspection found nothing left");
    shop.assert_as_before(&[]);
}

#[test]
fn rule_02_a_killed_coordinators_containers_go_on_without_any_command() {
    let Some(engine) = engine("rule_02_a_killed_coordinators_containers_go_on_without_any_command") else { return };
    let shop = Shop::new(engine);
    shop.frozen().signal(Signal::KILL);
    until("its executor has finished", || shop.is_finished());
    shop.assert_as_before(&[]);
}

#[test]
fn rule_09_a_killed_executors_containers_are_let_go_by_its_run() {
    let Some(engine) = engine("rule_09_a_killed_executors_containers_are_let_go_by_its_run") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    kill(shop.executor());
    run.wait().expect(5);
    shop.assert_as_before(&[]);
}

#[test]
fn rule_02_when_both_are_killed_the_next_command_lets_containers_go() {
    let Some(engine) = engine("rule_02_when_both_are_killed_the_next_command_lets_containers_go") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    shop.kill_both(&run);
    run.wait();
    assert!(shop.is_paused(shop.name()), "nobody is left to let it go");
    let printed = shop.stage.chaos(&["recover", "--print"]).expect(0);
    assert!(printed.out.contains("unpause"), "{printed:?}");
    assert!(shop.is_paused(shop.name()), "printing does nothing");
    shop.recover(0);
    assert!(!shop.is_paused(shop.name()));
    shop.assert_as_before(&[]);
}

/// The engine has what is needed, even where the journal is lost.
#[test]
fn rule_13_without_a_journal_the_stamp_tells_the_undo() {
    let Some(engine) = engine("rule_13_without_a_journal_the_stamp_tells_the_undo") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    shop.kill_both(&run);
    run.wait();
    let run_id = shop.run_id();
    std::fs::remove_dir_all(shop.stage.state()).expect("our own state");
    let swept = Program::start(&shop.stage, &["sweep"], &[("DOCKER_HOST", &engine.endpoint())]).wait().expect(7).says(shop.name());
    assert!(shop.is_paused(shop.name()), "looking does nothing");
    // What it prints of this run, done by hand: others have runs on this engine.
    let ours = swept.out.split("run ").find(|of| of.starts_with(&run_id)).expect("it names the run");
    let commands: String = ours.lines().filter_map(|line| line.strip_prefix("  ")).flat_map(|line| [line, "\n"]).collect();
    let done = std::process::Command::new("sh").args(["-ec", &commands]).output().expect("a shell");
    assert!(done.status.success(), "{commands}: {done:?}");
    assert!(!shop.is_paused(shop.name()));
    shop.assert_as_before(&[]);
}

#[test]
fn rule_07_two_runs_on_one_container_the_second_is_refused() {
    let Some(engine) = engine("rule_07_two_runs_on_one_container_the_second_is_refused") else { return };
    let shop = Shop::new(engine);
    let first = shop.frozen();
    let other = crate::scaffold::Stage::new();
    other.write("experiment.yaml", shop.text(FROZEN).yaml());
    let second = Program::start(&other, &["run", &other.experiment(), "--quiet"], &[("DOCKER_HOST", &engine.endpoint())]);
    let second = second.wait();
    assert!(![0, 1, 7, 70].contains(&second.exit), "{second:?}");
    let second = second.says(shop.name());
    assert!(!second.out.contains("HELD"), "{second:?}");
    assert!(shop.is_paused(shop.name()), "the first goes on");
    first.signal(Signal::INT);
    first.wait().expect(5);
    shop.assert_as_before(&[]);
}
