//! Every experiment in `experiments/` is run for real, as its README says, and must come to the verdict that its
//! README promises; whatever the verdict, nothing of it is left.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments")
}

/// The exit code that the README's table promises for an experiment.
fn promised(name: &str) -> Option<i32> {
    let readme = std::fs::read_to_string(experiments().join("README.md")).expect("the README is there");
    let row = readme.lines().find(|line| line.starts_with(&format!("| [{name}]({name}.yaml)")))?;
    let code = row.rsplit_once('(')?.1.split(')').next()?;
    code.parse().ok()
}

/// Ports for one demo system, apart from those of every other test, below what the kernel gives to clients.
struct Ports {
    first: u16,
}

impl Ports {
    fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = u16::try_from(std::process::id() % 500).expect("small") * 20;
        loop {
            let first = 12_000 + (own + NEXT.fetch_add(8, Ordering::Relaxed)) % 18_000;
            if (first..first + 5).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Self { first };
            }
        }
    }

    fn settings(&self) -> [String; 3] {
        let first = self.first;
        [format!("gateway={first}"), format!("replicas={}-{}", first + 1, first + 3), format!("store={}", first + 4)]
    }

    fn in_use(&self) -> Vec<u16> {
        (self.first..self.first + 5).filter(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).collect()
    }
}

/// Runs an experiment with a state directory and a folder for models of its own, and holds it to its promise.
fn holds(name: &str, settings: &[&str], wrapper: &[&str]) {
    let folder = tempfile::Builder::new().prefix("experiment-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let models = folder.path().join("models");
    std::fs::create_dir(&models).expect("a folder for models");
    let ports = Ports::free();
    let filled = |word: &str| {
        let second = ports.first + 2;
        word.replace("MODELS", &models.display().to_string()).replace("SECOND", &second.to_string())
    };
    let words: Vec<String> = wrapper.iter().chain(&[CHAOS]).map(|word| filled(word)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("run").arg(experiments().join(format!("{name}.yaml")));
    command.arg("--state-dir").arg(folder.path().join("state"));
    for setting in ports.settings().iter().map(String::as_str).chain(settings.iter().copied()) {
        command.args(["--set", &filled(setting)]);
    }
    let output = command.output().expect("chaos runs");
    assert_eq!(output.status.code(), promised(name), "{}", told(&output));
    assert_eq!(ports.in_use(), [0; 0], "something of the demo system is left\n{}", told(&output));
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_readme_lists_every_experiment() {
    let files = std::fs::read_dir(experiments()).expect("the folder is there");
    for file in files.map(|file| file.expect("an entry").path()).filter(|file| file.extension().is_some_and(|e| e == "yaml")) {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(promised(&name).is_some(), "{name} has no row with a verdict in experiments/README.md");
    }
}

#[test]
fn quickstart() {
    holds("quickstart", &[], &[]);
}

#[test]
fn frozen_replica_shallow() {
    holds("frozen-replica-shallow", &[], &[]);
}

#[test]
fn killed_replica() {
    holds("killed-replica", &[], &[]);
}

#[test]
fn model_file_corrupted() {
    holds("model-file-corrupted", &["models=MODELS", "replica_two=SECOND"], &[]);
}

#[test]
fn feature_store_killed() {
    holds("feature-store-killed", &[], &[]);
}

#[test]
fn feature_store_killed_without_breaker() {
    holds("feature-store-killed-without-breaker", &[], &[]);
}

#[test]
fn cpu_contention() {
    holds("cpu-contention", &[], &[]);
}

/// The small file system lives in a mount namespace of its own, so that it goes with the processes in it.
#[test]
fn disk_full() {
    if !rustix::process::geteuid().is_root() || std::env::var_os("CHAOS_TESTS_QUICK").is_some() {
        not_covered("experiments/disk-full.yaml: mounting a small file system needs root");
        return;
    }
    let mount = r#"mount -t tmpfs -o size=8m tmpfs MODELS && exec "$@""#;
    holds("disk-full", &["models=MODELS"], &["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]);
}

/// Tells the test command what was not tested here.
fn not_covered(what: &str) {
    if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
        let mut list = std::fs::File::options().append(true).create(true).open(path).expect("the test command's list");
        writeln!(list, "{what}").expect("the test command's list");
    }
}
