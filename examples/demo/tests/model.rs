//! Damage to a model file is latent: it shows when the replica starts again, and not before.

mod system;

use std::{fs, net::SocketAddr, path::Path, process::Command, thread::sleep, time::Duration};

use system::{PROGRAM, System, ask, wait_for};

fn demo(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).arg("demo").args(words).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_replica_refuses_a_corrupt_model_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ranker.bin");
    assert_eq!(demo(&["weights", directory.path().to_str().unwrap()]).0, Some(0));
    flip_a_byte(&file);
    let listen = format!("{}:8001", system::address());
    let (code, stderr) = demo(&["replica", "--listen", &listen, "--model", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is corrupt: its checksum does not match its content"), "{stderr}");
    assert!(stderr.contains("\nhint: "), "{stderr}");
}

#[test]
fn an_absent_model_file_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ranker.bin");
    let (code, stderr) = demo(&["replica", "--model", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("hint: `chaos demo weights DIR`"), "{stderr}");
}

#[test]
fn a_place_that_cannot_be_written_is_explained() {
    let (code, stderr) = demo(&["weights", "/proc/no-such-place"]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: could not write the model file"), "{stderr}");
}

#[test]
fn a_corrupt_model_file_keeps_a_restarted_replica_down_until_it_is_mended() {
    let models = tempfile::tempdir().unwrap();
    let system = System::start(&["--models", models.path().to_str().unwrap(), "--restart-after", "100ms"]);
    let replica = SocketAddr::new(system.ip, 8002);
    let up = || ask(replica, "GET", "/v2/health/ready", "").is_some_and(|(code, _)| code == 200);
    let file = models.path().join("replica-2/ranker.bin");
    let good = fs::read(&file).unwrap();
    flip_a_byte(&file);
    assert!(up(), "latent so far");
    assert_eq!(demo(&["restart", &replica.to_string()]), (Some(0), String::new()));
    wait_for("the replica is gone", || !up());
    assert_eq!(system.failures_of(30), 0, "the other replicas serve");
    sleep(Duration::from_millis(500));
    assert!(!up(), "it cannot come back");
    fs::write(&file, good).unwrap();
    wait_for("the replica is back", up);
    let (code, stderr) = demo(&["restart", &SocketAddr::new(system.ip, 9).to_string()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("did not take the request to restart"), "{stderr}");
}
