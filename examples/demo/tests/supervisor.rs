//! The supervisor and its children: none outlives it, and what is not its own is left alone.

mod system;

use std::{
    io::Read,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use system::{PROGRAM, System, address, children_of, lives, wait_for};

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn no_child_outlives_a_killed_supervisor_not_even_a_frozen_one() {
    let mut system = System::start(&[]);
    let children = children_of(system.supervisor.id());
    assert_eq!(children.len(), 5);
    system.signal(8001, Signal::STOP);
    system.supervisor.kill().unwrap();
    system.supervisor.wait().unwrap();
    wait_for("all children are gone", || !children.iter().any(|child| lives(*child)));
}

#[test]
fn a_terminated_supervisor_ends_its_children_and_itself_in_good_order() {
    let mut system = System::start(&["--restart-after", "10ms"]);
    let children = children_of(system.supervisor.id());
    system.signal(8001, Signal::STOP);
    kill_process(pid(&system.supervisor), Signal::TERM).unwrap();
    assert!(system.supervisor.wait().unwrap().success());
    assert!(!children.iter().any(|child| lives(*child)), "they were ended before it returned");
}

#[test]
fn a_store_that_is_there_already_is_used_and_left_alone() {
    let ip = address();
    let mut store = Command::new(PROGRAM).args(["demo", "store", "--listen", &format!("{ip}:6379")]).spawn().unwrap();
    wait_for("the store listens", || std::net::TcpStream::connect((ip, 6379)).is_ok());
    let system = System::start_at(ip, &[]);
    assert_eq!(children_of(system.supervisor.id()).len(), 4);
    assert_eq!(system.failures_of(3), 0);
    drop(system);
    assert!(store.try_wait().unwrap().is_none(), "the store is not the supervisor's to end");
    kill_process(pid(&store), Signal::TERM).unwrap();
    assert!(store.wait().unwrap().success());
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let ip = address();
    let _taken = std::net::TcpListener::bind((ip, 8002)).unwrap();
    let output = Command::new(PROGRAM)
        .args(["demo", "serving", "--listen", &format!("{ip}:8080")])
        .args(["--store", &format!("{ip}:6379")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = format!("error: something already listens on {ip}:8002, where the replica 8002");
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert!(stderr.contains("\nhint: "), "{stderr}");
}

#[test]
fn a_supervisor_whose_replica_cannot_start_says_why_and_ends() {
    let ip = address();
    let models = tempfile::tempdir().unwrap();
    let file = models.path().join("replica-2/ranker.bin");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, b"no model").unwrap();
    let mut supervisor = Command::new(PROGRAM)
        .args(["demo", "serving", "--listen", &format!("{ip}:8080")])
        .args(["--store", &format!("{ip}:6379"), "--models"])
        .arg(models.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = String::new();
    supervisor.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(1));
    assert!(stderr.contains("replica-2/ranker.bin is corrupt"), "{stderr}");
    assert!(stderr.contains("the replica 8002 ended before it was ready"), "{stderr}");
}
