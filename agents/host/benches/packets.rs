//! How long it takes to put a fault on packets into the kernel, and to take it back: with its device, its filters and the hooks they stand on.
//!
//! `cargo bench -p chaos-host --bench packets`, as root; nothing of this machine's own network is touched.

#![allow(clippy::print_stdout, reason = "a bench says what it measured")]

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::AnyFault;
use chaos_core::conformance::arm;
use chaos_core::fault::{InjectionId, UndoJson};
use chaos_core::target::{Facets, Identity, ProcessId, Target};
use chaos_host::{Host, faults};
use chaos_testbed::Namespace;
use serde_json::json;

const TIMES: usize = 200;
/// What the project has promised, of each.
const ASKED: Duration = Duration::from_millis(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let there = match Namespace::new() {
        Ok(there) => there,
        Err(absent) => return println!("not measured: {absent}"),
    };
    let table = faults(&Arc::new(Host::new("/proc/self/exe")));
    let target = living_in(&there);
    for (kind, spec) in [
        ("net.rate", json!({"rate": "1 MB/s"})),
        ("net.rate", json!({"rate": "1 MB/s", "direction": "both"})),
        ("net.delay", json!({"delay": "100ms", "jitter": "10ms", "distribution": "normal"})),
    ] {
        let fault = table.get(kind).expect("a fault of the table");
        let root = table.get("net.root").expect("what it stands on");
        let mut took = Took::default();
        for n in 0..TIMES {
            let id = InjectionId { run: format!("bench-{}", std::process::id()), slot: n.to_string() };
            let since = Instant::now();
            let prepared = match fault.prepare(&spec, &target, &id).await {
                Ok(prepared) => prepared,
                Err(error) => {
                    println!("{kind} {spec}: not measured: {error}");
                    break;
                }
            };
            took.prepared.push(since.elapsed());
            let hooks = root.prepare(&prepared.scaffolds[0].spec, &target, &id).await.expect("prepared").undo;
            let since = Instant::now();
            put(root, &id, &hooks).await;
            put(fault, &id, &prepared.undo).await;
            took.injected.push(since.elapsed());
            let since = Instant::now();
            fault.revert(&prepared.undo).await.expect("reverted");
            took.reverted.push(since.elapsed());
            root.revert(&hooks).await.expect("reverted");
        }
        took.say(kind, &spec.to_string());
    }
}

async fn put(fault: &dyn AnyFault, id: &InjectionId, undo: &UndoJson) {
    fault.stage(&arm(id.clone(), undo.clone())).await.expect("staged");
    fault.inject(arm(id.clone(), undo.clone())).await.expect("injected");
}

fn living_in(there: &Namespace) -> Target {
    let pid = there.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let start_ticks = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok()).expect("a start time");
    let inode = std::fs::metadata(format!("/proc/{pid}/ns/net")).expect("a namespace").ino();
    Target {
        identity: Identity("bench".into()),
        label: "the bench's own".into(),
        place: "here".into(),
        order: String::new(),
        healthy: true,
        started: 0,
        groups: std::collections::BTreeMap::new(),
        facets: Facets {
            process: Some(ProcessId { pid, start_ticks }),
            listening: vec![8001],
            network_namespace: Some(inode),
            ..Facets::default()
        },
    }
}

#[derive(Default)]
struct Took {
    prepared: Vec<Duration>,
    injected: Vec<Duration>,
    reverted: Vec<Duration>,
}

impl Took {
    fn say(mut self, kind: &str, spec: &str) {
        if self.reverted.is_empty() {
            return;
        }
        println!("{kind} {spec}, {} times", self.reverted.len());
        for (what, times) in [("prepared", &mut self.prepared), ("injected", &mut self.injected), ("reverted", &mut self.reverted)] {
            times.sort();
            let at = |part: usize| times[(times.len() - 1) * part / 100];
            let verdict = match (what, at(50) <= ASKED) {
                ("prepared", _) => "",
                (_, true) => ", within the 10 ms asked for",
                (_, false) => ", more than the 10 ms asked for",
            };
            println!("  {what}: median {:.1?}, 90 of 100 {:.1?}, slowest {:.1?}{verdict}", at(50), at(90), at(100));
        }
    }
}
