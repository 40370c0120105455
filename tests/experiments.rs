//! Every experiment in `experiments/` is run for real, as its README says, and must come to the verdict that its
//! README promises; whatever the verdict, nothing of it is left.

#[path = "containers/promised.rs"]
mod promised;

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use chaos_testbed::{Machine, Payload, not_covered};
use promised::{AGAIN, experiments, promised, proved, told};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

/// What experiments with the serving system set.
const SERVING: &[&str] = &["gateway=PORT0", "replicas=PORT1-PORT3", "store=PORT4"];
/// And those with a proxy before the feature store.
const STORE_BEHIND_A_PROXY: &[&str] = &["gateway=PORT0", "replicas=PORT1-PORT3", "store=PORT4", "proxy=PORT5"];
/// And those that name one replica.
const ONE_REPLICA: &[&str] = &["gateway=PORT0", "replicas=PORT1-PORT3", "replica_two=PORT2", "store=PORT4"];
/// What experiments with the language model set.
const STREAM: &[&str] = &["relay=PORT0", "proxy=PORT1", "model=PORT2"];

/// Runs what follows it in a network namespace of its own, in which loopback is up, with packets as long as elsewhere.
const NAMESPACE: &[&str] = &["unshare", "--net", "sh", "-c", r#"ip link set lo up mtu 1500 && exec "$@""#, "sh"];

/// Ports for one demo system, apart from those of every other test, below what the kernel gives to clients.
struct Ports {
    first: u16,
}

impl Ports {
    const COUNT: u16 = 6;

    fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = u16::try_from(std::process::id() % 500).expect("small") * 20;
        loop {
            let first = 12_000 + (own + NEXT.fetch_add(Self::COUNT, Ordering::Relaxed)) % 18_000;
            if (first..first + Self::COUNT).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Self { first };
            }
        }
    }

    /// A word with `PORT0`, `PORT1` … filled in.
    fn filled(&self, word: &str) -> String {
        (0..Self::COUNT).fold(word.to_owned(), |word, n| word.replace(&format!("PORT{n}"), &(self.first + n).to_string()))
    }

    fn in_use(&self) -> Vec<u16> {
        (self.first..self.first + Self::COUNT).filter(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).collect()
    }
}

/// Runs an experiment, and holds it to its promise.
fn holds(name: &str, settings: &[&str], wrapper: &[&str]) {
    comes_to(promised(name), name, settings, wrapper);
}

/// Runs an experiment with a state directory and a folder for models of its own, and expects this exit code.
fn comes_to(code: Option<i32>, name: &str, settings: &[&str], wrapper: &[&str]) {
    let folder = tempfile::Builder::new().prefix("experiment-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let models = folder.path().join("models");
    std::fs::create_dir(&models).expect("a folder for models");
    let ports = Ports::free();
    let filled = |word: &str| ports.filled(word).replace("MODELS", &models.display().to_string());
    let words: Vec<String> = wrapper.iter().chain(&[CHAOS]).map(|word| filled(word)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("run").arg(experiments().join(format!("{name}.yaml")));
    command.arg("--state-dir").arg(folder.path().join("state"));
    for setting in settings {
        command.args(["--set", &filled(setting)]);
    }
    let output = proved(code, || command.output().expect("chaos runs"));
    assert_eq!(output.status.code(), code, "{}", told(&output));
    assert_eq!(ports.in_use(), [0; 0], "something of the demo system is left\n{}", told(&output));
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
    holds("quickstart", SERVING, &[]);
}

#[test]
fn frozen_replica_shallow() {
    holds("frozen-replica-shallow", SERVING, &[]);
}

#[test]
fn killed_replica() {
    holds("killed-replica", SERVING, &[]);
}

#[test]
fn model_file_corrupted() {
    holds("model-file-corrupted", &[ONE_REPLICA, &["models=MODELS"]].concat(), &[]);
}

#[test]
fn feature_store_killed() {
    holds("feature-store-killed", SERVING, &[]);
}

#[test]
fn feature_store_killed_without_breaker() {
    holds("feature-store-killed-without-breaker", SERVING, &[]);
}

#[test]
fn cpu_contention() {
    holds("cpu-contention", SERVING, &[]);
}

#[test]
fn feature_store_slow() {
    holds("feature-store-slow", STORE_BEHIND_A_PROXY, &[]);
}

#[test]
fn feature_store_slow_without_breaker() {
    holds("feature-store-slow-without-breaker", STORE_BEHIND_A_PROXY, &[]);
}

#[test]
fn feature_store_throttled() {
    holds("feature-store-throttled", STORE_BEHIND_A_PROXY, &[]);
}

#[test]
fn feature_store_throttled_without_breaker() {
    holds("feature-store-throttled-without-breaker", STORE_BEHIND_A_PROXY, &[]);
}

#[test]
fn half_open_replica() {
    holds("half-open-replica", &[ONE_REPLICA, &["proxy=PORT5"]].concat(), &[]);
}

#[test]
fn half_open_replica_of_a_patient_gateway() {
    comes_to(Some(1), "half-open-replica", &[ONE_REPLICA, &["proxy=PORT5", "try_timeout=1s"]].concat(), &[]);
}

#[test]
fn token_stream_cut() {
    holds("token-stream-cut", STREAM, &[]);
}

#[test]
fn token_stream_cut_without_resume() {
    holds("token-stream-cut-without-resume", STREAM, &[]);
}

#[test]
fn cut_off_replica() {
    if in_a_namespace("cut-off-replica") {
        holds("cut-off-replica", ONE_REPLICA, NAMESPACE);
    }
}

#[test]
fn cut_off_replica_without_try_timeout() {
    if in_a_namespace("cut-off-replica-without-try-timeout") {
        holds("cut-off-replica-without-try-timeout", ONE_REPLICA, NAMESPACE);
    }
}

#[test]
fn narrow_link() {
    if in_a_namespace("narrow-link") {
        holds("narrow-link", ONE_REPLICA, NAMESPACE);
    }
}

/// Kernel faults need root, and a network that is nobody else's.
fn in_a_namespace(name: &str) -> bool {
    let may = rustix::process::geteuid().is_root() && std::env::var_os("CHAOS_TESTS_QUICK").is_none();
    if !may {
        not_covered(&format!("experiments/{name}.yaml"), "faults of the kernel's network need root");
    }
    may
}

/// Most kernels that tests run on have no netem, so a machine that has it is booted.
#[test]
fn lossy_replica() {
    let name = "lossy-replica";
    let file = experiments().join(format!("{name}.yaml"));
    let machine = match Machine::boot(&Payload::new().with_program(CHAOS).with_file(&file)) {
        Ok(machine) => machine,
        Err(absent) => return not_covered(&format!("experiments/{name}.yaml"), &absent.0),
    };
    // On a processor that is simulated, a program built for debugging serves few users, and those wait.
    let slow = ["every=300ms", "patience=5s", "try_timeout=1s", "held=32s"].map(|setting| format!(" --set {setting}")).concat();
    let script = format!("{CHAOS} run {}{slow}", file.display());
    // Nor is it the fault's doing when that processor is kept waiting by a busy host and the demo is slow for seconds: it is seen again.
    let mut output = machine.run(&script, Duration::from_secs(300));
    for _ in 0..AGAIN {
        if Some(output.status) != promised(name) {
            output = machine.run(&script, Duration::from_secs(300));
        }
    }
    assert_eq!(Some(output.status), promised(name), "{}", output.text);
}

/// The small file system lives in a mount namespace of its own, so that it goes with the processes in it.
#[test]
fn disk_full() {
    if !rustix::process::geteuid().is_root() || std::env::var_os("CHAOS_TESTS_QUICK").is_some() {
        not_covered("experiments/disk-full.yaml", "mounting a small file system needs root");
        return;
    }
    let mount = r#"mount -t tmpfs -o size=8m tmpfs MODELS && exec "$@""#;
    holds(
        "disk-full",
        &[SERVING, &["models=MODELS"]].concat(),
        &["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"],
    );
}
