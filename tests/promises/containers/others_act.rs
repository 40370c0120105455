//! Somebody else removes, renames, recreates or ends a container while it is harmed.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::{Shop, engine};
use crate::scaffold::Program;

/// Stops the run, which takes back what there is to take back, and leaves nothing of ours.
#[track_caller]
fn ends_well(shop: &Shop<'_>, run: Program) {
    run.signal(Signal::INT);
    run.wait().expect(5);
    shop.stage.assert_clean();
    shop.assert_no_stamp();
}

#[test]
fn a_container_removed_under_its_fault_is_no_residue() {
    let Some(engine) = engine("a_container_removed_under_its_fault_is_no_residue") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    engine.docker(&["rm", "--force", shop.name()]);
    ends_well(&shop, run);
}

#[test]
fn a_container_renamed_under_its_fault_is_let_go_all_the_same() {
    let Some(engine) = engine("a_container_renamed_under_its_fault_is_let_go_all_the_same") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    let other = format!("{}-renamed", shop.name());
    engine.docker(&["rename", shop.name(), &other]);
    ends_well(&shop, run);
    assert!(!shop.is_paused(&other));
    engine.docker(&["rename", &other, shop.name()]);
    shop.assert_as_before(&[]);
}

/// Another container of the same name is another one: somebody else's pause of it stays.
#[test]
fn a_container_recreated_under_its_fault_is_left_alone() {
    let Some(engine) = engine("a_container_recreated_under_its_fault_is_left_alone") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    engine.docker(&["rm", "--force", shop.name()]);
    let label = format!("test={}", shop.label);
    engine.docker(&["run", "--detach", "--name", shop.name(), "--label", &label, chaos_testbed::Engine::BUSYBOX, "sleep", "1000"]);
    engine.docker(&["pause", shop.name()]);
    ends_well(&shop, run);
    assert!(shop.is_paused(shop.name()), "what somebody else has frozen stays frozen");
}

#[test]
fn a_container_let_go_by_somebody_else_is_not_harmed_any_more() {
    let Some(engine) = engine("a_container_let_go_by_somebody_else_is_not_harmed_any_more") else { return };
    let shop = Shop::new(engine);
    let run = shop.frozen();
    engine.docker(&["unpause", shop.name()]);
    ends_well(&shop, run);
    shop.assert_as_before(&[]);
}

/// Thawed and killed behind the engine's back: its control group is gone.
#[test]
fn a_frozen_container_whose_control_group_is_gone_is_no_residue() {
    let test = "a_frozen_container_whose_control_group_is_gone_is_no_residue";
    let Some(engine) = engine(test) else { return };
    let shop = Shop::new(engine);
    let Some(group) = freezer_of(&shop.field(shop.name(), ".State.Pid")) else {
        return crate::scaffold::not_covered(test, "no freezer control group");
    };
    let run = shop.frozen();
    let pid = shop.field(shop.name(), ".State.Pid").parse().expect("a pid");
    let (file, thawed) = if group.join("freezer.state").exists() { ("freezer.state", "THAWED") } else { ("cgroup.freeze", "0") };
    // The engine must not see it run in between.
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it lives");
    std::fs::write(group.join(file), thawed).expect("it can be let go");
    crate::scaffold::until("its control group is gone", || !group.exists());
    ends_well(&shop, run);
    assert!(!shop.is_paused(shop.name()));
}

/// The control group by which a process is frozen, of either version.
fn freezer_of(pid: &str) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let of = |mark: &str| groups.lines().find_map(|line| Some(line.split_once(mark)?.1.to_owned()));
    let first = of(":freezer:").map(|path| PathBuf::from(format!("/sys/fs/cgroup/freezer{path}")));
    first.or_else(|| of("0::").map(|path| PathBuf::from(format!("/sys/fs/cgroup{path}")))).filter(|path| path.exists())
}
