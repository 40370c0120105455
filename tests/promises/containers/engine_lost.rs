//! The engine itself is restarted or killed while a container is harmed.

use chaos_testbed::EngineTwin;
use rustix::process::Signal;

use super::{FROZEN, Shop, own_engine};
use crate::scaffold::until;

/// What a container that nobody kept alive over its engine's end has lost by that.
const ENDED: &[&str] =
    &["State.Status", "State.Running", "State.ExitCode", "State.Error", "NetworkSettings", "cgroup.freezer.state", "cgroup"];

#[test]
fn a_killed_engine_that_comes_back_is_waited_for() {
    let Some(engine) = own_engine("a_killed_engine_that_comes_back_is_waited_for", &["--live-restore"]) else { return };
    let shop = Shop::new(&engine);
    let mut run = shop.frozen();
    engine.kill();
    run.signal(Signal::INT);
    run.until("taking back fails, and is said to", || {
        shop.stage.journals().contains("revert_failed") || shop.stage.record().contains("revert_failed")
    });
    assert!(run.is_running(), "it goes on trying");
    engine.bring_up();
    run.wait().expect(5);
    shop.assert_as_before(&[]);
}

#[test]
fn a_restarted_engine_that_keeps_its_containers_changes_nothing() {
    let Some(engine) = own_engine("a_restarted_engine_that_keeps_its_containers_changes_nothing", &["--live-restore"]) else { return };
    let shop = Shop::new(&engine);
    let run = shop.frozen();
    engine.restart();
    assert!(shop.is_paused(shop.name()), "still frozen");
    run.signal(Signal::INT);
    run.wait().expect(5);
    shop.assert_as_before(&[]);
}

/// It ends its containers when it comes back: what they were before is lost by that, and nothing is left of us.
#[test]
fn a_killed_engine_that_ends_its_containers_leaves_nothing_of_ours() {
    let Some(engine) = own_engine("a_killed_engine_that_ends_its_containers_leaves_nothing_of_ours", &[]) else { return };
    let shop = Shop::new(&engine);
    let run = shop.frozen();
    engine.kill();
    engine.bring_up();
    run.signal(Signal::INT);
    run.wait().expect(5);
    shop.assert_as_before(&[ENDED, EngineTwin::STARTED].concat());
    assert_eq!(shop.field(shop.name(), ".State.Paused"), "false");
}

#[test]
fn an_engine_that_does_not_come_back_leaves_a_residue_with_a_name_until_it_does() {
    let test = "an_engine_that_does_not_come_back_leaves_a_residue_with_a_name_until_it_does";
    let Some(engine) = own_engine(test, &["--live-restore"]) else { return };
    let shop = Shop::new(&engine);
    let run = shop.frozen();
    engine.kill();
    shop.kill_both(&run);
    run.wait();
    shop.recover(7).says(shop.name());
    shop.stage.chaos(&["status"]).says(shop.name());
    // Nothing else may be begun meanwhile.
    shop.stage.write("experiment.yaml", shop.text(FROZEN).yaml());
    let refused = shop.stage.chaos(&["run", &shop.stage.experiment(), "--quiet"]);
    assert_ne!(refused.exit, 0, "{refused:?}");
    engine.bring_up();
    assert!(shop.is_paused(shop.name()), "nobody has let it go");
    shop.recover(0);
    until("it goes on", || !shop.is_paused(shop.name()));
    shop.assert_as_before(&[]);
}
