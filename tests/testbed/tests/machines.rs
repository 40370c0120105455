//! The test bed itself: machines boot, do what they are told, see one another, and leave nothing behind.

use std::time::Duration;

use chaos_testbed::{Machine, Network, Payload, not_covered};

#[test]
fn a_machine_has_what_this_kernel_may_lack() {
    let machine = match Machine::boot(&Payload::new().with_this_test()) {
        Ok(machine) => machine,
        Err(absent) => return not_covered("a_machine_has_what_this_kernel_may_lack", &absent.0),
    };
    assert_eq!(machine.run("echo said; exit 7", Duration::from_secs(60)).status, 7);
    machine.sh("tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root");
    machine.sh("nft add table inet x && nft delete table inet x");
    assert!(machine.sh("cat /sys/fs/cgroup/cgroup.controllers").contains("cpu"));
    assert!(machine.run_this_test(&["--exact", "is_guest", "--ignored"], Duration::from_secs(60)).contains("1 passed"));
    machine.abandon();
}

#[test]
#[ignore = "runs in the machine, and is true only there"]
fn is_guest() {
    assert!(chaos_testbed::is_guest());
}

#[test]
fn two_machines_reach_one_another() {
    let network = Network::new(2).expect("a folder");
    let machines = match Machine::boot_on(&network, 2, &Payload::new()) {
        Ok(machines) => machines,
        Err(absent) => return not_covered("two_machines_reach_one_another", &absent.0),
    };
    for address in [Network::address(1), "fd77::2".into()] {
        machines[0].sh(&format!("ping -c 3 -W 20 {address}"));
    }
}
