//! Ten faults on one interface, taken back by the real executor in orders drawn at random (RULES 8): what stands on the others' hooks,
//! when these are made and when they go is the executor's business alone.

use chaos_core::event::InjectionState;
use chaos_core::plan::{Plan, PlannedInjection};
use chaos_core::wire::Request;
use chaos_testbed::{Namespace, Twin, is_guest};
use serde_json::{Value, json};

use crate::chaos;
use crate::harness::{Coordinator, injection, plan, spawn};
use crate::scaffold::{PATIENCE, Program, Server, Stage, Text, Victim, root};
use crate::scenes::network_target;

const AT_ONCE: usize = 10;

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the seed repeats a failure")]
async fn rule_08_ten_faults_on_one_interface_go_in_any_order_through_the_executor() {
    if !root("rule_08_ten_faults_on_one_interface_go_in_any_order_through_the_executor") {
        return;
    }
    let seed = asked("CHAOS_ORDERS_SEED").unwrap_or(20_261_120);
    let orders = asked("CHAOS_ORDERS").unwrap_or(if is_guest() { 1 } else { 8 });
    println!("{orders} orders of seed {seed} (CHAOS_ORDERS, CHAOS_ORDERS_SEED)");
    let (stage, network) = (Stage::new(), Namespace::new().expect("a network"));
    let before = Twin::of(network.pid());
    let mut dice = Dice(seed);
    for order in 0..orders {
        // A plan for each: an injection is granted once.
        let plan = ten_faults(&format!("orders-{}-{order}", std::process::id()), &network, &mut dice);
        let link = spawn(chaos(), &stage.state(), &plan.run, PATIENCE).await.expect("an executor");
        let mut executor = Coordinator::new(link);
        executor.approve(&plan).await;
        let mut slots: Vec<String> = plan.injections.iter().map(|i| i.slot.clone()).collect();
        for slot in &slots {
            executor.grant(&plan, slot).await;
        }
        for slot in &slots {
            executor.until_present(slot).await;
        }
        dice.shuffle(&mut slots);
        // Some alone, some several at once, the last few by the end of the run.
        let (asked, left) = slots.split_at(AT_ONCE - dice.below(3));
        let mut asked = asked.to_vec();
        while !asked.is_empty() {
            let now: Vec<String> = asked.drain(..(1 + dice.below(2)).min(asked.len())).collect();
            executor.link.send(Request::Revert { slots: now.clone(), because: "asked".into() }).await;
            for slot in &now {
                executor.until_reverted(slot).await;
            }
        }
        for slot in left {
            assert!(!executor.has(slot, |s| matches!(s, InjectionState::RevertAsked { .. })), "{slot}, order {order} of seed {seed}");
        }
        assert_eq!(executor.close().await, Vec::<String>::new(), "order {order} of seed {seed}");
        for slot in &slots {
            let counted = |s: &InjectionState| matches!(s, InjectionState::Reverted { met: Some(_), .. });
            assert!(executor.has(slot, counted), "{slot}: {:?}", executor.story(slot));
        }
        before.assert_same(&Twin::of(network.pid()), &format!("order {order} of seed {seed}"));
    }
}

/// What another run stands on is known before anything begins, not after the baseline.
#[tokio::test]
async fn rule_07_a_plan_says_what_another_run_holds() {
    if !root("rule_07_a_plan_says_what_another_run_holds") {
        return;
    }
    let (stage, network) = (Stage::new(), Namespace::new().expect("a network"));
    let server = Server::well();
    let mut theirs = network.command("sleep");
    theirs.arg("600");
    let victim = Victim::of(&stage, "there", &mut theirs);
    let method = "[{inject: net.rate, into: victim, with: {rate: 1 MB/s, hosts: [127.0.0.1], ports: 8000}, for: 1s}]";
    let text = Text::new(&server, &victim)
        .method(method.to_owned())
        .blast_radius("{duration: 2m, reach: [network namespace], targets: {victim: {at_most: 1}}}");
    let file = stage.write("second.yaml", text.yaml());
    let planned = || Program::start(&stage, &["plan", file.to_str().expect("a path")], &[]).wait();
    let run = format!("first-{}", std::process::id());
    let plan = ten_faults(&run, &network, &mut Dice(7));
    let link = spawn(chaos(), &stage.state(), &run, PATIENCE).await.expect("an executor");
    let mut executor = Coordinator::new(link);
    executor.approve(&plan).await;
    executor.grant(&plan, "0.0.0").await;
    executor.until_present("0.0.0").await;
    planned().expect(0).says(&format!("is held now, by injection scaffold.1 of run {run}"));
    assert_eq!(executor.close().await, Vec::<String>::new());
    assert!(!planned().expect(0).out.contains("is held now"));
}

fn ten_faults(run: &str, network: &Namespace, dice: &mut Dice) -> Plan {
    // What needs `netem` is tried on the other kernel.
    let kinds: &[(&str, Value)] = &[
        ("net.rate", json!({"rate": "1 MB/s"})),
        ("net.delay", json!({"delay": "2ms", "jitter": "1ms"})),
        ("net.loss", json!({"share": "1%"})),
        ("net.duplicate", json!({"share": "1%"})),
        ("net.corrupt", json!({"share": "1%"})),
        ("net.reorder", json!({"share": "1%"})),
    ];
    let kinds = if is_guest() { kinds } else { &kinds[..1] };
    let one = |n: usize, direction: &str| -> PlannedInjection {
        let (kind, mut with) = kinds[n % kinds.len()].clone();
        with["ports"] = json!((7000 + n).to_string());
        with["direction"] = json!(direction);
        injection(&format!("{n}.0.0"), kind, with, network_target(network))
    };
    plan(run, (0..AT_ONCE).map(|n| one(n, ["out", "in", "both"][dice.below(3)])).collect())
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// Numbers that a seed repeats (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % most
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
