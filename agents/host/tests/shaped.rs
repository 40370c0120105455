//! The faults on packets, on networks of the tests' own: what is met and what is not, and that everything foreign stays as it was.
//!
//! This machine's kernel may have no `netem`: then the same tests run once more in a virtual machine with one that has.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::fault::{InPlace, InjectionId, Met, Presence, Reach};
use chaos_core::target::{Facets, SetRef};
use chaos_core::{AnyFault, Table};
use chaos_host::{Host, faults};
use chaos_testbed::{Namespace, Pair, Payload, Twin, also_in_a_machine};
use scenes::shaped::{Injected, lacks_netem, living_in};
use scenes::{not_covered, process_id, target};
use serde_json::{Value, json};

#[test]
fn packets_are_shaped_in_a_virtual_machine() {
    let payload = Payload::new().with_this_test().with_program(scenes::HELPER);
    also_in_a_machine("packets_are_shaped_in_a_virtual_machine", &payload);
}

fn table() -> Arc<Table> {
    Arc::new(faults(&Arc::new(Host::new(scenes::HELPER))))
}

fn namespace() -> Namespace {
    Namespace::new().expect("the tests run as root")
}

fn id(slot: &str) -> InjectionId {
    InjectionId { run: format!("shaped-{}", std::process::id()), slot: slot.into() }
}

fn kbytes(n: u64) -> u64 {
    n * 1000
}

/// Why a fault is refused, with its hint.
async fn refusal(table: &Table, kind: &str, spec: Value, target: &chaos_core::target::Target) -> String {
    let fault = table.get(kind).expect("the fault");
    let error = fault.prepare(&spec, target, &id("refused")).await.expect_err("refused");
    format!("{} | {}", error.message, error.hint.unwrap_or_default())
}

async fn presence(injected: &Injected) -> Presence {
    injected.fault().inspect(&injected.undo).await.expect("inspected")
}

/// Sends so many bytes from one to the other, and says how long it took until the last was read.
fn transfer(from: &Namespace, to: &Namespace, address: &str, port: u16, bytes: u64) -> Duration {
    let address = SocketAddr::new(address.parse().expect("an address"), port);
    let listener = to.run(|| TcpListener::bind(address).expect("a listener"));
    let since = Instant::now();
    let sent_by = from.run(|| {
        std::thread::spawn({
            let stream = TcpStream::connect(address).expect("connected");
            move || {
                let (mut stream, piece) = (stream, vec![7; 64 * 1024]);
                let mut left = bytes;
                while left > 0 {
                    let now = usize::try_from(left.min(piece.len() as u64)).expect("a piece");
                    stream.write_all(&piece[..now]).expect("sent");
                    left -= now as u64;
                }
            }
        })
    });
    let (mut stream, _) = listener.accept().expect("accepted");
    let mut read = Vec::new();
    stream.read_to_end(&mut read).expect("read");
    sent_by.join().expect("sent");
    assert!(read.len() as u64 == bytes && read.iter().all(|byte| *byte == 7), "the bytes that were sent");
    since.elapsed()
}

/// 1 MB over 500 kB/s takes two seconds, less what the bucket lets through at once; a busy machine is late.
fn assert_narrow(took: Duration, what: &str) {
    let late = if chaos_testbed::is_guest() { 20 } else { 6 };
    assert!(took > Duration::from_millis(1700) && took < Duration::from_secs(late), "1 MB over 500 kB/s, {what}, took {took:?}");
}

#[tokio::test]
async fn a_narrow_line_narrows_what_is_meant_and_nothing_else() {
    let (table, there) = (table(), namespace());
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    let spec = json!({"rate": "500 kB/s", "direction": "both"});
    let injected = Injected::new(&table, "net.rate", spec, &target, "1.0.0").await.expect("injected");
    assert_eq!(presence(&injected).await, Presence::whole().met(Met::Idle), "nothing has met it yet");
    for address in ["127.0.0.1", "::1"] {
        let slow = transfer(&there, &there, address, 8001, kbytes(1000));
        assert_narrow(slow, &format!("to {address}"));
        let quick = transfer(&there, &there, address, 8002, kbytes(20_000));
        assert!(quick < Duration::from_secs(20), "20 MB beside it to {address} took {quick:?}");
    }
    let seen = presence(&injected).await;
    let Met::Count(met) = seen.met else { panic!("it was met: {seen:?}") };
    assert!(met > 20, "{seen:?}");
    transfer(&there, &there, "127.0.0.1", 8001, 10);
    // Whatever came after the last look is counted as it ends.
    let all = injected.revert_leaf().await.met;
    assert!(matches!(all, Some(Met::Count(n)) if n > met), "{all:?}, {met} before");
    injected.revert().await;
    let free = transfer(&there, &there, "127.0.0.1", 8001, kbytes(20_000));
    assert!(free < Duration::from_secs(20), "20 MB afterwards took {free:?}");
    before.assert_same(&Twin::of(there.pid()), "reverted");
}

#[tokio::test]
async fn what_comes_in_is_met_before_anybody_has_it() {
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let before = Twin::of(pair.near.pid());
    let target = living_in(&pair.near, &[8001]);
    let spec = json!({"rate": "500 kB/s", "direction": "in", "interface": "eth0"});
    let injected = Injected::new(&table, "net.rate", spec, &target, "1.0.0").await.expect("injected");
    for address in Pair::NEAR {
        let slow = transfer(&pair.far, &pair.near, address, 8001, kbytes(1000));
        assert_narrow(slow, &format!("in, to {address}"));
        let beside = transfer(&pair.far, &pair.near, address, 8002, kbytes(10_000));
        assert!(beside < Duration::from_secs(15), "beside, to {address}: {beside:?}");
    }
    for address in Pair::FAR {
        let out = transfer(&pair.near, &pair.far, address, 8001, kbytes(10_000));
        assert!(out < Duration::from_secs(15), "out, to {address}: {out:?}");
    }
    injected.revert().await;
    before.assert_same(&Twin::of(pair.near.pid()), "reverted");
}

#[tokio::test]
async fn a_peer_is_met_by_address_and_port_over_the_interface_that_leads_there() {
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let target = living_in(&pair.near, &[]);
    for hosts in [json!(["198.18.0.0/24", "2001:2::/64"]), json!(Pair::FAR)] {
        let spec = json!({"rate": "500 kB/s", "hosts": hosts, "ports": "9001-9003"});
        let injected = Injected::new(&table, "net.rate", spec, &target, "1.0.0").await.expect("injected");
        let places = injected.undo["branches"][0]["places"].clone();
        assert_eq!(places[0]["interface"], "eth0", "{places}");
        assert_eq!(places.as_array().map(Vec::len), Some(1));
        for address in Pair::FAR {
            let slow = transfer(&pair.near, &pair.far, address, 9002, kbytes(1000));
            assert_narrow(slow, &format!("to {address}"));
            let beside = transfer(&pair.near, &pair.far, address, 9004, kbytes(10_000));
            assert!(beside < Duration::from_secs(15), "beside, to {address}: {beside:?}");
        }
        injected.revert().await;
    }
    // The same peer as a target set: its addresses, and the ports that it listens on.
    let peer = serde_json::to_value(SetRef::Members(vec![living_in(&pair.far, &[9001])])).expect("a set");
    let fault = table.get("net.rate").expect("the fault");
    let prepared = fault.prepare(&json!({"rate": "1 MB/s", "peer": peer}), &target, &id("2.0.0")).await.expect("prepared");
    let flow = &prepared.undo["packets"]["flows"][0];
    for address in Pair::FAR {
        assert!(flow["peers"].as_array().is_some_and(|p| p.contains(&json!(address))), "{flow}");
    }
    assert!(!flow["peers"].to_string().contains("127.0.0.1"), "{flow}");
    assert_eq!(flow["peer_ports"], json!([{"from": 9001, "to": 9001}]));
    assert_eq!(prepared.reach, Some(Reach::Target), "nobody else lives there");
}

/// On a host that passes packets of others on, as every host of containers does, a service's own are told from those by its own address.
#[tokio::test]
async fn what_a_host_passes_on_is_not_taken_for_its_own_service() {
    let (table, pair, behind) = (table(), Pair::new().expect("the tests run as root"), namespace());
    let (near, far) = (Pair::NEAR[0], Pair::FAR[0]);
    pair.near.sh(&format!("ip link add down0 type veth peer name up0 netns {}", behind.pid()));
    // An address of IPv6 would become another while it is made sure that it is nobody else's.
    pair.near.sh("echo 1 > /proc/sys/net/ipv6/conf/down0/disable_ipv6; echo 1 > /proc/sys/net/ipv4/ip_forward");
    pair.near.sh("ip address add 10.77.0.1/24 dev down0; ip link set down0 up");
    behind.sh("ip address add 10.77.0.2/24 dev up0; ip link set up0 up; ip route add default via 10.77.0.1");
    pair.far.sh(&format!("ip route add 10.77.0.0/24 via {near}"));
    scenes::wait_for("the line is up", || pair.near.sh("ip -o link show down0").contains("state UP"));
    let before = Twin::of(pair.near.pid());
    let target = living_in(&pair.near, &[8001]);
    let spec = json!({"rate": "1 MB/s", "direction": "both"});
    let fault = table.get("net.rate").expect("the fault");
    let prepared = fault.prepare(&spec, &target, &id("1.0.0")).await.expect("prepared");
    assert_eq!(prepared.reach, Some(Reach::Target));
    assert!(prepared.notes.iter().any(|n| n.contains("the addresses that it has itself")), "{:?}", prepared.notes);
    let others = fault.prepare(&json!({"rate": "1 MB/s", "ports": "8001"}), &target, &id("1.0.0")).await.expect("prepared");
    assert_eq!(others.reach, Some(Reach::NetworkNamespace), "a peer's port is everybody's");
    let injected = Injected::new(&table, "net.rate", spec, &target, "1.0.0").await.expect("injected");
    transfer(&pair.far, &behind, "10.77.0.2", 8001, kbytes(10));
    transfer(&behind, &pair.far, far, 8001, kbytes(10));
    assert_eq!(presence(&injected).await, Presence::whole().met(Met::Idle), "both have only passed");
    transfer(&pair.far, &pair.near, near, 8001, kbytes(10));
    let met = injected.revert_leaf().await.met;
    assert!(matches!(met, Some(Met::Count(n)) if n > 4), "{met:?}");
    injected.revert().await;
    before.assert_same(&Twin::of(pair.near.pid()), "reverted");
    // What we ourselves need passes here as well, as far as it knows.
    if let Some(resolver) = resolver() {
        let refused = refusal(&table, "net.rate", json!({"rate": "1 MB/s", "hosts": [resolver], "ports": "53"}), &target).await;
        assert!(refused.starts_with(&format!("this aims at DNS ({resolver})")), "{refused}");
    }
}

#[tokio::test]
async fn a_ramp_changes_the_rate_that_is_in_force() {
    let (table, there) = (table(), namespace());
    let target = living_in(&there, &[8001]);
    let injected = Injected::new(&table, "net.rate", json!({"rate": "1 MB/s"}), &target, "1.0.0").await.expect("injected");
    let rate = || there.sh("tc -d qdisc show | grep tbf");
    assert!(rate().contains("rate 8Mbit"), "{}", rate());
    injected.fault().adjust(&json!({"rate": "500 kB/s"}), &injected.undo).await.expect("adjusted");
    assert!(rate().contains("rate 4Mbit"), "{}", rate());
    assert_eq!(presence(&injected).await.in_place, InPlace::Whole);
    injected.revert().await;
}

/// However little was held up when the fault began.
#[tokio::test]
async fn what_waits_after_a_ramp_is_still_delivered() {
    const SENT: usize = 20;
    let (table, there) = (table(), namespace());
    let target = living_in(&there, &[]);
    if !has_netem(&table, &target).await {
        not_covered("what_waits_after_a_ramp_is_still_delivered", "this kernel has no sch_netem");
        return;
    }
    let spec = |delay: &str| json!({"delay": delay, "ports": "9001", "protocol": "udp"});
    let injected = Injected::new(&table, "net.delay", spec("1ms"), &target, "1.0.0").await.expect("injected");
    injected.fault().adjust(&spec("400ms"), &injected.undo).await.expect("adjusted");
    let socket = there.run(|| UdpSocket::bind("127.0.0.1:9001").expect("a socket"));
    for n in 0..SENT {
        socket.send_to(&[n as u8], "127.0.0.1:9001").expect("sent");
    }
    injected.revert().await;
    socket.set_nonblocking(true).expect("its mode");
    let arrived = std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count();
    assert_eq!(arrived, SENT);
}

/// Kinds of queueing disciplines, with what hangs below them: whatever this kernel has of them.
const FOREIGN: &[&str] = &[
    "tc qdisc add dev D root handle 5: pfifo limit 123",
    "tc qdisc add dev D root handle 5: tbf rate 80mbit burst 20000 limit 300000",
    "tc qdisc add dev D root handle 5: htb default 20; tc class add dev D parent 5: classid 5:1 htb rate 90mbit; \
     tc class add dev D parent 5:1 classid 5:20 htb rate 50mbit ceil 80mbit prio 3; tc qdisc add dev D parent 5:20 handle 50: pfifo limit 77; \
     tc filter add dev D parent 5: protocol ip prio 10 u32 match ip dport 7000 0xffff flowid 5:20",
    "tc qdisc add dev D root handle 5: bfifo limit 123456",
    "tc qdisc add dev D root handle 5: pfifo_fast",
    "tc qdisc add dev D root noqueue",
    "tc qdisc add dev D root handle 5: fq_codel limit 1000 target 3ms interval 40ms ecn",
    "tc qdisc add dev D root handle 5: fq flow_limit 50",
    "tc qdisc add dev D root handle 5: sfq perturb 10",
    "tc qdisc add dev D root handle 5: prio bands 4; tc qdisc add dev D parent 5:2 handle 52: pfifo limit 9",
    "tc qdisc add dev D root handle 5: cake bandwidth 50mbit",
    "tc qdisc add dev D root handle 5: netem delay 1ms 1ms loss 1% limit 333",
    "tc qdisc add dev D root handle 5: hfsc default 1; tc class add dev D parent 5: classid 5:1 hfsc sc rate 70mbit ul rate 70mbit",
];

#[tokio::test]
async fn rule_08_whatever_stands_at_the_root_stays_byte_for_byte() {
    let table = table();
    let mut kinds = 0;
    for foreign in FOREIGN {
        let pair = Pair::new().expect("the tests run as root");
        if !pair
            .near
            .command("sh")
            .args(["-ec", &foreign.replace('D', "eth0")])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
        {
            continue;
        }
        kinds += 1;
        let before = Twin::of(pair.near.pid());
        let target = living_in(&pair.near, &[8001]);
        let spec = json!({"rate": "2 MB/s", "direction": "both", "interface": "eth0"});
        let injected = Injected::new(&table, "net.rate", spec, &target, "1.0.0").await.expect("injected");
        assert_eq!(presence(&injected).await.in_place, InPlace::Whole, "{foreign}");
        let during = Twin::of(pair.near.pid());
        let touched: Vec<String> = before.differences(&during).into_iter().filter(|d| d.contains("\n  - ")).collect();
        assert!(touched.is_empty(), "{foreign}: {touched:#?}");
        // What is meant goes through both: ours, and then theirs. `cake` shows every flow that it has seen as a class of its own.
        if !foreign.contains("cake") {
            transfer(&pair.near, &pair.far, Pair::FAR[0], 8001, kbytes(100));
        }
        injected.revert().await;
        before.assert_same(&Twin::of(pair.near.pid()), foreign);
    }
    // The kernel of the machine has every one of them as a module.
    let least = if chaos_testbed::is_guest() { 8 } else { 5 };
    assert!(kinds >= least, "only {kinds} kinds of queueing disciplines could be tried");
    if kinds < 8 {
        not_covered("rule_08_whatever_stands_at_the_root_stays_byte_for_byte", &format!("this kernel has {kinds} of the kinds alone"));
    }
}

#[tokio::test]
async fn rule_08_foreign_hooks_and_filters_stay() {
    let (table, there) = (table(), namespace());
    there.sh("tc qdisc add dev lo clsact; tc filter add dev lo egress prio 49000 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    there.sh("tc filter add dev lo ingress prio 5 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    // In a chain into which nobody sends packets it does not stand first.
    there.sh("tc filter add dev lo egress chain 7 prio 1 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    let fault = table.get("net.rate").expect("the fault");
    let spec = json!({"rate": "1 MB/s", "direction": "both"});
    let prepared = fault.prepare(&spec, &target, &id("1.0.0")).await.expect("prepared");
    assert!(prepared.notes.iter().any(|n| n.starts_with("2 of somebody else's filters at the egress of lo stay")), "{:?}", prepared.notes);
    let injected = Injected::new(&table, "net.rate", spec.clone(), &target, "1.0.0").await.expect("injected");
    assert_eq!(presence(&injected).await.in_place, InPlace::Whole);
    injected.revert().await;
    before.assert_same(&Twin::of(there.pid()), "hooks that were there before");

    // Somebody puts a filter on hooks of ours: they stay, for that filter's sake.
    let there = namespace();
    let target = living_in(&there, &[8001]);
    let injected = Injected::new(&table, "net.rate", spec.clone(), &target, "2.0.0").await.expect("injected");
    there.sh("tc filter add dev lo egress prio 49000 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    injected.revert().await;
    let left = there.sh("tc qdisc show dev lo; tc filter show dev lo egress");
    assert!(left.contains("clsact") && left.contains("pref 49000 u32") && !left.contains("bpf"), "{left}");

    // Somebody who stands first would take packets from us.
    there.sh("tc filter add dev lo egress prio 1 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    let refused = refusal(&table, "net.rate", spec.clone(), &target).await;
    assert!(refused.starts_with("a filter of somebody else's stands first at the egress of lo"), "{refused}");

    // The older hook has one side alone.
    let pair = Pair::new().expect("the tests run as root");
    pair.near
        .sh("tc qdisc add dev eth0 ingress; tc filter add dev eth0 ingress prio 9 protocol ip u32 match ip dport 7000 0xffff flowid 1:1");
    let before = Twin::of(pair.near.pid());
    let target = living_in(&pair.near, &[8001]);
    let out = json!({"rate": "1 MB/s", "interface": "eth0"});
    let refused = refusal(&table, "net.rate", out, &target).await;
    assert!(refused.starts_with("eth0 has an `ingress` qdisc of somebody else's"), "{refused}");
    let inward = json!({"rate": "500 kB/s", "interface": "eth0", "direction": "in"});
    let injected = Injected::new(&table, "net.rate", inward, &target, "3.0.0").await.expect("injected");
    let slow = transfer(&pair.far, &pair.near, Pair::NEAR[0], 8001, kbytes(1000));
    assert_narrow(slow, "through the older hook");
    injected.revert().await;
    before.assert_same(&Twin::of(pair.near.pid()), "the older hook");
}

/// A generator of numbers that is the same everywhere (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ z >> 31) % n as u64).expect("small")
    }
}

#[tokio::test]
async fn rule_08_ten_faults_on_one_interface_are_taken_back_in_any_order() {
    const SEED: u64 = 20_261_120;
    let (table, there) = (table(), namespace());
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[]);
    let mut dice = Dice(SEED);
    // A machine without a processor of its own takes long for each.
    let orders = if chaos_testbed::is_guest() { 1 } else { 100 };
    // One kind after the other, as far as the kernel has them.
    let kinds = [
        ("net.rate", json!({"rate": "1 MB/s"})),
        ("net.delay", json!({"delay": "2ms", "jitter": "1ms"})),
        ("net.loss", json!({"share": "1%"})),
        ("net.duplicate", json!({"share": "1%"})),
        ("net.corrupt", json!({"share": "1%"})),
        ("net.reorder", json!({"share": "1%"})),
    ];
    let netem = has_netem(&table, &target).await;
    let kinds: Vec<_> = kinds.into_iter().filter(|(kind, _)| netem || *kind == "net.rate").collect();
    for order in 0..orders {
        let mut standing = Vec::new();
        for n in 0..10 {
            let (kind, mut spec) = kinds[n % kinds.len()].clone();
            spec["ports"] = json!(format!("{}", 7000 + n));
            spec["direction"] = json!(["out", "in", "both"][dice.below(3)]);
            standing.push(Injected::new(&table, kind, spec, &target, &format!("{order}.0.{n}")).await.expect("injected"));
        }
        // The hooks were made for the first, and the others found them there: they go with the last, whoever that is.
        let mut grounds = Vec::new();
        while !standing.is_empty() {
            let at = dice.below(standing.len());
            let injected = standing.swap_remove(at);
            let seen = presence(&injected).await;
            assert_eq!(seen.in_place, InPlace::Whole, "order {order} of seed {SEED}: {seen:?}");
            injected.revert_leaf().await;
            assert_eq!(presence(&injected).await.in_place, InPlace::None, "order {order} of seed {SEED}");
            grounds.push(injected);
        }
        for ground in grounds {
            ground.revert().await;
        }
        if order % 10 == 0 || order == orders - 1 {
            before.assert_same(&Twin::of(there.pid()), &format!("order {order} of seed {SEED}"));
        }
    }
}

async fn has_netem(table: &Table, target: &chaos_core::target::Target) -> bool {
    let fault = table.get("net.loss").expect("the fault");
    let prepared = fault.prepare(&json!({"share": "1%", "ports": "1"}), target, &id("asked")).await;
    !prepared.is_err_and(|e| lacks_netem(&e))
}

#[tokio::test]
async fn a_packet_meets_one_fault() {
    let (table, there) = (table(), namespace());
    let target = living_in(&there, &[8001]);
    let fault = table.get("net.rate").expect("the fault");
    let to = |ports: &str, direction: &str| json!({"rate": "1 MB/s", "ports": ports, "direction": direction});
    let injected = Injected::new(&table, "net.rate", to("7000-7009", "both"), &target, "1.0.0").await.expect("injected");
    let refused = refusal(&table, "net.rate", to("7005", "out"), &target).await;
    assert!(refused.contains(&id("1.0.0").tag()) && refused.contains("7000-7009") && refused.contains("narrow one"), "{refused}");
    let beside = fault.prepare(&to("7010", "both"), &target, &id("2.0.0")).await.expect("beside it");
    // The plan asks the same of any two, before anything stands.
    assert_eq!(fault.meets(&injected.undo, "net.rate", &beside.undo), None);
    let same = fault.meets(&injected.undo, "net.delay", &injected.undo).expect("the same packets");
    assert!(same.contains("egress of lo"), "{same}");
    assert_eq!(fault.meets(&injected.undo, "net.partition", &json!({"version": "1", "table": "x"})), None);
    injected.revert().await;
    fault.prepare(&to("7005", "out"), &target, &id("2.0.0")).await.expect("free again");
}

#[tokio::test]
async fn a_network_that_disappears_takes_the_fault_along() {
    let table = table();
    let there = namespace();
    let injected =
        Injected::new(&table, "net.rate", json!({"rate": "1 MB/s"}), &living_in(&there, &[8001]), "1.0.0").await.expect("injected");
    drop(there);
    let since = Instant::now();
    let gone = loop {
        let seen = presence(&injected).await;
        if seen.in_place == InPlace::None || since.elapsed() > Duration::from_secs(20) {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(gone, Presence::none().finding("the target's network namespace is gone"));
    injected.revert().await;
}

#[tokio::test]
async fn an_interface_that_disappears_takes_its_part_along() {
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let target = living_in(&pair.near, &[8001]);
    let before = Twin::of(pair.near.pid());
    let injected =
        Injected::new(&table, "net.rate", json!({"rate": "1 MB/s", "direction": "both"}), &target, "1.0.0").await.expect("injected");
    pair.near.sh("ip link del eth0");
    let seen = presence(&injected).await;
    assert_eq!((seen.in_place, seen.finding.as_deref()), (InPlace::Partial, Some("the interface eth0 is gone")), "lo is met still");
    pair.near.sh("tc qdisc del dev lo clsact");
    assert_eq!(presence(&injected).await.in_place, InPlace::None);
    injected.revert().await;
    let left: Vec<String> = before.differences(&Twin::of(pair.near.pid())).into_iter().filter(|d| d.contains("\n  + ")).collect();
    assert!(left.iter().all(|d| d.contains("Cannot find device") || d.contains("does not exist")), "{left:#?}");
}

#[tokio::test]
async fn what_somebody_else_changes_is_not_in_force_any_more() {
    let (table, there) = (table(), namespace());
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    for (change, finding) in [
        ("tc qdisc del dev lo clsact", "the filter at the egress of lo is gone"),
        ("tc filter del dev lo egress", "the filter at the egress of lo is gone"),
        ("ip link set CHAOS down", "was taken down: what should pass it is lost"),
        ("tc qdisc del dev CHAOS root", "is not what was put there"),
        ("ip link del CHAOS", "is gone"),
    ] {
        let injected = Injected::new(&table, "net.rate", json!({"rate": "1 MB/s"}), &target, "1.0.0").await.expect("injected");
        let device = injected.undo["branches"][0]["device"].as_str().expect("its device").to_owned();
        there.sh(&change.replace("CHAOS", &device));
        let seen = presence(&injected).await;
        assert!(seen.in_place == InPlace::None && seen.finding.as_ref().is_some_and(|f| f.contains(finding)), "{change}: {seen:?}");
        injected.revert().await;
        before.assert_same(&Twin::of(there.pid()), change);
    }
}

#[tokio::test]
async fn rule_13_what_a_lost_journal_left_is_found_and_removed_by_hand() {
    let (table, there) = (table(), namespace());
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    let spec = json!({"rate": "1 MB/s", "direction": "both"});
    let injected = Injected::new(&table, "net.rate", spec.clone(), &target, "1.0.0").await.expect("injected");
    let whose = format!("net:[{}]", there.inode());
    let found: Vec<_> =
        chaos_host::sweep(&[]).expect("swept").into_iter().filter(|f| f.run == id("").run && f.what.ends_with(&whose)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    run_by_hand(&found[0].remove);
    before.assert_same(&Twin::of(there.pid()), "by the commands of the sweep");
    assert_eq!(presence(&injected).await.in_place, InPlace::None);
    injected.revert().await;

    // The same with the commands that the journal's own explanation gives.
    let injected = Injected::new(&table, "net.rate", spec, &target, "2.0.0").await.expect("injected");
    run_by_hand(&injected.explain());
    before.assert_same(&Twin::of(there.pid()), "by the commands of the explanation");
    assert_eq!(presence(&injected).await.in_place, InPlace::None);
    injected.revert().await;

    // Whoever does it once more, or elsewhere than where the fault is, changes nothing.
    let injected = Injected::new(&table, "net.rate", json!({"rate": "1 MB/s"}), &target, "3.0.0").await.expect("injected");
    let commands = injected.explain();
    injected.revert().await;
    there.sh("tc qdisc add dev lo clsact");
    let theirs = Twin::of(there.pid());
    for command in &commands {
        // Of what is gone nothing can be removed.
        drop(std::process::Command::new("sh").args(["-c", command]).stderr(std::process::Stdio::null()).status());
    }
    theirs.assert_same(&Twin::of(there.pid()), "nothing of ours is left");
    drop(there);
    for command in &commands {
        let done = std::process::Command::new("sh").args(["-c", command]).stderr(std::process::Stdio::null()).status().expect("a shell");
        assert!(!done.success(), "where nobody lives any more: {command}");
    }
}

/// As a person would, who is where they are.
fn run_by_hand(commands: &[String]) {
    for command in commands {
        let done = std::process::Command::new("sh").args(["-ec", command]).status().expect("a shell");
        assert!(done.success(), "{command}");
    }
}

/// Hooks bear no name: what was made while nobody looked is not ours.
#[tokio::test]
async fn rule_08_hooks_that_somebody_else_makes_meanwhile_are_theirs() {
    let (table, there) = (table(), namespace());
    let fault = table.get("net.root").expect("the fault");
    let undo = fault.prepare(&scenes::shaped::hooks_of(&there), &living_in(&there, &[]), &id("scaffold.1")).await.expect("prepared").undo;
    there.sh("tc qdisc add dev lo clsact");
    let theirs = Twin::of(there.pid());
    // Whether we died before we made ours, or were told that there are some.
    for tries in [false, true] {
        if tries {
            let refused = fault.inject(chaos_core::conformance::arm(id("scaffold.1"), undo.clone())).await.expect_err("refused");
            assert_eq!(refused.message, "somebody else has made hooks on lo since it was looked at");
        }
        assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
        fault.revert(&undo).await.expect("reverted");
        run_by_hand(&fault.explain(&undo));
        theirs.assert_same(&Twin::of(there.pid()), "theirs");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_here_is_refused_and_changes_nothing() {
    let (table, there) = (table(), namespace());
    there.sh("ip link add idle0 type ifb");
    let before = Twin::of(there.pid());
    let (target, deaf) = (living_in(&there, &[8001]), living_in(&there, &[]));
    for (spec, target, why) in [
        (
            json!({"rate": "1 MB/s", "interface": "eth9"}),
            &target,
            "there is no interface `eth9` in the target's network namespace | there are lo, idle0",
        ),
        (json!({"rate": "1 MB/s", "interface": "idle0"}), &target, "the interface idle0 is down: nothing passes it"),
        (json!({"rate": "1 MB/s", "hosts": ["203.0.113.7"]}), &target, "there is no route to 203.0.113.7"),
        (json!({"rate": "1 MB/s", "hosts": ["nobody.invalid"]}), &target, "look up nobody.invalid: "),
        (json!({"rate": "1 MB/s"}), &deaf, "the test's own listens on no TCP port"),
    ] {
        let refused = refusal(&table, "net.rate", spec.clone(), target).await;
        assert!(refused.starts_with(why), "{spec}: {refused}");
    }
    let mut moved = living_in(&there, &[8001]);
    moved.facets.network_namespace = Some(1);
    let refused = refusal(&table, "net.rate", json!({"rate": "1 MB/s"}), &moved).await;
    assert!(refused.contains("now, and not in net:[1] any more"), "{refused}");
    let gone = target_that_ended();
    assert!(table.get("net.rate").expect("the fault").prepare(&json!({"rate": "1 MB/s"}), &gone, &id("1")).await.expect_err("gone").gone);
    before.assert_same(&Twin::of(there.pid()), "refused");
}

fn target_that_ended() -> chaos_core::target::Target {
    let started = scenes::Started::sleeping();
    let process = process_id(started.pid());
    drop(started);
    target(Facets { process: Some(process), listening: vec![1], ..Facets::default() })
}

/// The server of names of this machine.
fn resolver() -> Option<std::net::IpAddr> {
    let told = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    told.lines().find_map(|l| l.strip_prefix("nameserver ")).and_then(|a| a.trim().parse().ok())
}

/// In the executor's own network namespace the control path is left alone, and never aimed at.
#[tokio::test]
async fn the_control_path_is_never_aimed_at() {
    let table = table();
    let Some(resolver) = resolver() else {
        not_covered("the_control_path_is_never_aimed_at", "this machine has no resolver");
        return;
    };
    let here = scenes::Started::sleeping();
    let target = target(Facets { process: Some(here.id()), listening: vec![8001], ..Facets::default() });
    let refused = refusal(&table, "net.rate", json!({"rate": "1 MB/s", "hosts": [resolver], "ports": "53"}), &target).await;
    assert!(refused.starts_with(&format!("this aims at DNS ({resolver})")), "{refused}");
    let fault = table.get("net.rate").expect("the fault");
    // Only read: nothing is ever injected here.
    let prepared = fault.prepare(&json!({"rate": "1 MB/s", "hosts": [resolver]}), &target, &id("1.0.0")).await;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            assert!(error.message.starts_with("there is no route"), "{error}");
            return;
        }
    };
    assert!(prepared.notes.iter().any(|n| n.starts_with("left alone") && n.contains("DNS")), "{:?}", prepared.notes);
    assert_eq!(prepared.reach, Some(Reach::NetworkNamespace));
    assert!(prepared.bystanders.count > 0);
    // Where it is not met anyway, nothing is said of it.
    let service = fault.prepare(&json!({"rate": "1 MB/s", "interface": "lo"}), &target, &id("2.0.0")).await.expect("prepared");
    assert!(!service.notes.iter().any(|n| n.contains("DNS")), "{:?}", service.notes);
}

/// Never less than was asked for; what is not meant is not late at all.
#[tokio::test]
async fn a_delay_is_as_long_as_it_was_asked_for() {
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let before = Twin::of(pair.near.pid());
    let target = living_in(&pair.near, &[]);
    if !has_netem(&table, &target).await {
        not_covered("a_delay_is_as_long_as_it_was_asked_for", "this kernel has no sch_netem");
        return;
    }
    for (address, way) in [(Pair::FAR[0], "out"), (Pair::FAR[1], "out"), (Pair::FAR[0], "in"), (Pair::FAR[1], "in")] {
        let spec = json!({"delay": "100ms", "hosts": [address], "ports": "9001", "protocol": "udp", "direction": way});
        let injected = Injected::new(&table, "net.delay", spec, &target, "1.0.0").await.expect("injected");
        let (met, beside) = (round_trips(&pair, address, 9001), round_trips(&pair, address, 9002));
        // A busy machine is late; it is never early. So the quickest counts.
        assert!(met[0] >= Duration::from_millis(100) && met[0] < Duration::from_millis(180), "{way} to {address}: {met:?}");
        assert!(beside[0] < Duration::from_millis(80), "beside, {way} to {address}: {beside:?}");
        assert!(matches!(presence(&injected).await.met, Met::Count(n) if n >= 20));
        injected.revert().await;
    }
    before.assert_same(&Twin::of(pair.near.pid()), "reverted");
}

/// In rising order.
fn round_trips(pair: &Pair, address: &str, port: u16) -> Vec<Duration> {
    let to = SocketAddr::new(address.parse().expect("an address"), port);
    let server = pair.far.run(|| UdpSocket::bind(to).expect("a socket"));
    let client = pair.near.run(|| UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("a socket"));
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    client.connect(to).expect("connected");
    let mut times: Vec<Duration> = (0..20u8)
        .map(|n| {
            let since = Instant::now();
            client.send(&[n]).expect("sent");
            let mut buffer = [0; 8];
            let (length, from) = server.recv_from(&mut buffer).expect("received");
            server.send_to(&buffer[..length], from).expect("answered");
            client.recv(&mut buffer).expect("an answer");
            since.elapsed()
        })
        .collect();
    times.sort();
    times
}

/// What is lost, doubled and out of order is so in about the share asked for, by the sequence numbers of those who receive it.
#[tokio::test]
async fn what_is_lost_doubled_and_out_of_order_is_about_as_much_as_was_asked_for() {
    const SENT: u32 = 2000;
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let target = living_in(&pair.near, &[]);
    if !has_netem(&table, &target).await {
        not_covered("what_is_lost_doubled_and_out_of_order_is_about_as_much_as_was_asked_for", "this kernel has no sch_netem");
        return;
    }
    let with = |own: Value| {
        let mut spec = json!({"hosts": [Pair::FAR[0]], "ports": "9001", "protocol": "udp"});
        spec.as_object_mut().expect("a map").extend(own.as_object().expect("a map").clone());
        spec
    };
    for (kind, own, lost, doubled, late) in [
        ("net.loss", json!({"share": "20%"}), 0.20, 0.0, 0.0),
        ("net.loss", json!({"gilbert_elliott": {"p": "5%", "r": "20%"}}), 0.20, 0.0, 0.0),
        ("net.duplicate", json!({"share": "10%"}), 0.0, 0.10, 0.0),
        ("net.reorder", json!({"share": "25%", "delay": "5ms"}), 0.0, 0.0, 0.25),
        ("net.delay", json!({"delay": "5ms", "jitter": "4ms", "distribution": "pareto_normal"}), 0.0, 0.0, 0.0),
    ] {
        let injected = Injected::new(&table, kind, with(own.clone()), &target, "1.0.0").await.expect("injected");
        let received = sequence(&pair, SENT);
        let share = |n: usize| n as f64 / f64::from(SENT);
        let distinct: std::collections::BTreeSet<u32> = received.iter().copied().collect();
        let overtaken = received.windows(2).filter(|w| w[1] < w[0]).count();
        let seen = (1.0 - share(distinct.len()), share(received.len() - distinct.len()), share(overtaken));
        let near = |seen: f64, asked: f64| (seen - asked).abs() <= if asked == 0.0 { 0.0 } else { 0.06 };
        assert!(near(seen.0, lost) && near(seen.1, doubled), "{kind} {own}: lost, doubled, overtaken {seen:?}");
        // A sender that is moved to another processor may overtake itself, now and then.
        assert!(if late == 0.0 { seen.2 < 0.01 } else { seen.2 > 0.05 }, "{kind} {own}: lost, doubled, overtaken {seen:?}");
        injected.revert().await;
    }
}

/// One bit of each packet is flipped, and nothing of any other; where checksums are compared, nothing damaged is ever taken for whole.
#[tokio::test]
async fn of_a_damaged_packet_one_bit_is_another() {
    const SENT: usize = 200;
    let (table, pair) = (table(), Pair::new().expect("the tests run as root"));
    let target = living_in(&pair.near, &[]);
    if !has_netem(&table, &target).await {
        not_covered("of_a_damaged_packet_one_bit_is_another", "this kernel has no sch_netem");
        return;
    }
    let spec = json!({"share": "100%", "hosts": [Pair::FAR[0]], "ports": "9001", "protocol": "udp"});
    let injected = Injected::new(&table, "net.corrupt", spec, &target, "1.0.0").await.expect("injected");
    let arrived = damaged(&pair, 9001, SENT, false);
    // A bit of a header is flipped now and then, and the packet goes nowhere or comes whole.
    let flipped = arrived.iter().filter(|bits| **bits == 1).count();
    assert!(arrived.iter().all(|bits| *bits <= 1) && flipped > SENT / 2, "{flipped} of {SENT} with one bit another: {arrived:?}");
    let compared = damaged(&pair, 9001, SENT, true);
    assert!(compared.iter().all(|bits| *bits == 0) && compared.len() < SENT / 2, "taken for whole: {compared:?}");
    assert_eq!(damaged(&pair, 9002, SENT, false), vec![0; SENT], "beside it");
    injected.revert().await;
    let spec = json!({"share": "5%", "hosts": [Pair::FAR[0]], "ports": "9003"});
    let injected = Injected::new(&table, "net.corrupt", spec, &target, "2.0.0").await.expect("injected");
    // TCP compares, and sends again: the very bytes arrive.
    transfer(&pair.near, &pair.far, Pair::FAR[0], 9003, kbytes(100));
    injected.revert().await;
}

/// How many bits are other than those sent, of each datagram of a thousand bytes that arrives; with checksums, or without.
fn damaged(pair: &Pair, port: u16, count: usize, checksum: bool) -> Vec<u32> {
    let to: SocketAddr = SocketAddr::new(Pair::FAR[0].parse().expect("an address"), port);
    let server = pair.far.run(|| UdpSocket::bind(to).expect("a socket"));
    server.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let client = pair.near.run(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    if !checksum {
        without_checksum(&client);
    }
    let receiving = std::thread::spawn(move || {
        let (mut received, mut buffer) = (Vec::new(), [0; 2000]);
        while let Ok(length) = server.recv(&mut buffer) {
            received.push(buffer[..length].iter().map(|byte| (byte ^ 0xA5).count_ones()).sum());
        }
        received
    });
    for _ in 0..count {
        client.send_to(&[0xA5; 1000], to).expect("sent");
        std::thread::sleep(Duration::from_micros(200));
    }
    receiving.join().expect("received")
}

#[allow(unsafe_code)]
fn without_checksum(socket: &UdpSocket) {
    let (on, size) = (1i32, 4u32);
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the kernel reads four bytes of a value that lives through the call.
    let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), size) };
    assert_eq!(set, 0);
}

/// Sends numbered datagrams a little apart, and gives the numbers as they came.
fn sequence(pair: &Pair, count: u32) -> Vec<u32> {
    let to: SocketAddr = SocketAddr::new(Pair::FAR[0].parse().expect("an address"), 9001);
    let server = pair.far.run(|| UdpSocket::bind(to).expect("a socket"));
    server.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let client = pair.near.run(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    let receiving = std::thread::spawn(move || {
        let (mut received, mut buffer) = (Vec::new(), [0; 4]);
        while server.recv(&mut buffer).is_ok() {
            received.push(u32::from_be_bytes(buffer));
        }
        received
    });
    for n in 0..count {
        client.send_to(&n.to_be_bytes(), to).expect("sent");
        std::thread::sleep(Duration::from_micros(200));
    }
    receiving.join().expect("received")
}

#[tokio::test]
async fn a_kernel_without_netem_says_which_module_it_lacks() {
    let (table, there) = (table(), namespace());
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    for (kind, spec) in [
        ("net.delay", json!({"delay": "100ms"})),
        ("net.loss", json!({"share": "5%"})),
        ("net.duplicate", json!({"share": "5%"})),
        ("net.corrupt", json!({"share": "5%"})),
        ("net.reorder", json!({"share": "5%"})),
    ] {
        let prepared = table.get(kind).expect("the fault").prepare(&spec, &target, &id("1.0.0")).await;
        if let Err(error) = prepared {
            assert!(lacks_netem(&error), "{kind}: {error}");
        } else {
            not_covered("a_kernel_without_netem_says_which_module_it_lacks", "this kernel has sch_netem");
            return;
        }
    }
    before.assert_same(&Twin::of(there.pid()), "refused");
}

/// What is refused to a thread that has given capabilities up: they are its own.
fn refused_without(lacking: rustix::thread::CapabilitySet, kind: &'static str, spec: Value, target: chaos_core::target::Target) -> String {
    let thread = std::thread::spawn(move || {
        let mut own = rustix::thread::capabilities(None).expect("ours");
        own.effective -= lacking;
        own.permitted -= lacking;
        own.inheritable -= lacking;
        rustix::thread::set_capabilities(None, own).expect("fewer");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(refusal(&table(), kind, spec, &target))
    });
    thread.join().expect("refused")
}

#[test]
fn whoever_lacks_a_capability_is_told_which() {
    use rustix::thread::CapabilitySet;
    let there = namespace();
    let before = Twin::of(there.pid());
    let target = living_in(&there, &[8001]);
    for (kind, spec) in [
        ("net.rate", json!({"rate": "1 MB/s"})),
        ("net.partition", json!({})),
        ("net.reset", json!({})),
        ("net.dns", json!({"names": ["store.internal"]})),
    ] {
        let refused = refused_without(CapabilitySet::all(), kind, spec.clone(), target.clone());
        assert!(refused.contains("network namespace") && refused.contains("CAP_SYS_ADMIN"), "{kind}: {refused}");
        let refused = refused_without(CapabilitySet::NET_ADMIN, kind, spec, target.clone());
        assert!(refused.contains("CAP_NET_ADMIN"), "{kind}: {refused}");
    }
    before.assert_same(&Twin::of(there.pid()), "refused");
}

#[test]
fn specs_that_say_nothing_are_refused() {
    let table = table();
    let errors = |kind: &str, spec: &Value| -> Vec<String> {
        let found = AnyFault::check(table.get(kind).expect("the fault"), spec);
        found.into_iter().map(|e| format!("{}: {}", e.path, e.message)).collect()
    };
    for (kind, spec, wrong) in [
        ("net.delay", json!({"delay": "0s"}), "delay: no delay at all"),
        ("net.delay", json!({"delay": "10ms", "jitter": "20ms"}), "jitter: delays would begin before zero"),
        ("net.delay", json!({"delay": "10ms", "distribution": "normal"}), "distribution: without `jitter`"),
        ("net.delay", json!({"delay": "10ms", "dealy": "1s"}), ": unknown field `dealy`"),
        ("net.loss", json!({}), "share: how much is lost?"),
        ("net.loss", json!({"share": "0%"}), "share: 0% of the packets"),
        ("net.loss", json!({"share": "1%", "gilbert_elliott": {"p": "1%", "r": "1%"}}), "gilbert_elliott: both"),
        ("net.loss", json!({"gilbert_elliott": {"p": "1%", "r": "0%"}}), "gilbert_elliott.r: 0% of the packets"),
        ("net.rate", json!({"rate": "0 B/s"}), "rate: nothing at all would pass"),
        ("net.rate", json!({"rate": "5/s"}), "rate: a line carries bytes"),
        ("net.reorder", json!({"share": "5%", "delay": "0s"}), "delay: where nothing waits"),
        ("net.reorder", json!({"share": "5%", "gap": 0}), "gap: at least 1"),
        ("net.rate", json!({"rate": "1 MB/s", "hosts": ["10.0.0.1/8"]}), "hosts[0]: 10.0.0.1 is an address within"),
    ] {
        let found = errors(kind, &spec);
        assert!(found.len() == 1 && found[0].starts_with(wrong), "{kind} {spec}: {found:?}");
    }
}
