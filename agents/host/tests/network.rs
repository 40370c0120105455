//! Faults on the network, looked at closer than the contract suite does.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use chaos_core::conformance::arm;
use chaos_core::fault::{Grade, InPlace, InjectionId, Met, Presence, Reach, Reverted};
use chaos_core::table::AnyFault;
use chaos_core::target::{Facets, Target};
use chaos_host::{Host, faults, sweep};
use chaos_protocol::dns::RecordType;
use chaos_testbed::{Namespace, Pair, Twin};
use scenes::network::{Networked, ask, ask_over_tcp};
use scenes::{process_id, target, wait_for};
use serde_json::{Value, json};

fn id(run: &str) -> InjectionId {
    InjectionId { run: format!("{run}-{}", std::process::id()), slot: "1.0.0".into() }
}

/// In force, until it is taken back.
struct InForce<'a> {
    fault: &'a dyn AnyFault,
    undo: Value,
}

impl<'a> InForce<'a> {
    async fn new(fault: &'a dyn AnyFault, spec: Value, target: &Target, id: InjectionId) -> Self {
        let undo = fault.prepare(&spec, target, &id).await.unwrap_or_else(|e| panic!("{spec}: {e}")).undo;
        fault.inject(arm(id, undo.clone())).await.unwrap_or_else(|e| panic!("{spec}: {e}"));
        Self { fault, undo }
    }

    async fn presence(&self) -> Presence {
        self.fault.inspect(&self.undo).await.expect("inspected")
    }

    async fn end(self) -> Reverted {
        let reverted = self.fault.revert(&self.undo).await.expect("reverted");
        assert_eq!(self.presence().await, Presence::none());
        reverted
    }
}

fn holder(namespace: &Namespace) -> Target {
    target(Facets { process: Some(process_id(namespace.pid())), network_namespace: Some(namespace.inode()), ..Facets::default() })
}

#[tokio::test]
async fn what_no_packet_met_is_idle() {
    if !scenes::networks("what_no_packet_met_is_idle") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let networked = Networked::listening();
    let cut = InForce::new(table.get("net.partition").expect("the fault"), json!({}), &networked.target(), id("idle")).await;
    assert_eq!(cut.presence().await, Presence::whole().met(Met::Idle));
    assert_eq!(networked.dial(), "silence silence");
    let Met::Count(packets) = cut.presence().await.met else { panic!("it was met") };
    assert!(packets >= 2, "{packets}");
    // Whatever came after the last look is counted as it ends.
    networked.dial();
    let reverted = cut.end().await;
    assert!(matches!(reverted.met, Some(Met::Count(all)) if all > packets), "{reverted:?}, {packets} before");
    assert_eq!(networked.dial(), "connected connected");
    let unmet = InForce::new(table.get("net.partition").expect("the fault"), json!({}), &networked.target(), id("idle")).await;
    assert_eq!(unmet.end().await.met, Some(Met::Idle));
}

/// Both versions of the internet protocol, on a real wire, to one peer and no other.
#[tokio::test]
async fn one_peer_is_cut_off_and_everything_else_is_as_it_was() {
    if !scenes::networks("one_peer_is_cut_off_and_everything_else_is_as_it_was") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let pair = Pair::new().expect("the tests run as root");
    pair.near.sh("nft add table inet firewall; nft add chain inet firewall in '{ type filter hook input priority 0; }'");
    let servers = Pair::FAR.map(|ip| pair.far.run(|| TcpListener::bind((ip, 0)).expect("a listener")));
    let addresses = servers.each_ref().map(|s| s.local_addr().expect("its address"));
    let reach = |to: SocketAddr| pair.near.run(|| std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_millis(300)).is_ok());
    wait_for("IPv6 neighbours have found one another", || addresses.map(reach) == [true, true]);
    let before = Twin::of(pair.near.pid());
    for (with, expected) in [
        (json!({"hosts": Pair::FAR, "how": "reject"}), [false, false]),
        (json!({"hosts": [Pair::FAR[0]]}), [false, true]),
        (json!({"hosts": ["2001:2::/48"], "direction": "in"}), [true, false]),
        (json!({"ports": addresses[0].port().to_string(), "family": "ipv4"}), [false, true]),
        (json!({"hosts": Pair::FAR, "ports": "1", "how": "reject"}), [true, true]),
        (json!({"protocol": "icmp"}), [true, true]),
    ] {
        let began = Instant::now();
        let cut = InForce::new(table.get("net.partition").expect("the fault"), with.clone(), &holder(&pair.near), id("peer")).await;
        assert!(began.elapsed().as_millis() < 1_000, "{with}: {:?}", began.elapsed());
        assert_eq!(addresses.map(reach), expected, "{with}");
        assert_ne!(Twin::of(pair.near.pid()), before, "{with}: there is a table");
        cut.end().await;
        assert_eq!(addresses.map(reach), [true, true], "{with}: it is taken back");
        assert_eq!(Twin::of(pair.near.pid()), before, "{with}");
    }
}

/// A table without an owner stays when its executor is gone, and whoever recovers removes it; somebody else's of the same name stays.
#[tokio::test]
async fn an_ordinary_table_is_taken_back_by_whoever_recovers() {
    if !scenes::networks("an_ordinary_table_is_taken_back_by_whoever_recovers") {
        return;
    }
    let networked = Networked::listening();
    let cut = |host: &Arc<Host>| faults(host);
    let id = id("ordinary");
    let undo = {
        let host = Arc::new(Host::new(scenes::HELPER));
        let table = cut(&host);
        let fault = table.get("net.partition").expect("the fault");
        let prepared = fault.prepare(&json!({"how": "reject"}), &networked.target(), &id).await.expect("prepared");
        assert_eq!(prepared.grade, None, "this kernel's tables have owners");
        let mut undo = prepared.undo;
        undo["ownership"] = json!("ordinary");
        fault.inject(arm(id.clone(), undo.clone())).await.expect("injected");
        undo
    };
    assert_eq!(networked.dial(), "refused refused");
    let left: Vec<_> = sweep(&[]).expect("swept").into_iter().filter(|f| f.run == id.run).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].remove[0].ends_with(&format!("nft delete table inet '{}'", id.tag())), "{:?}", left[0].remove);

    let host = Arc::new(Host::new(scenes::HELPER));
    let table = cut(&host);
    let fault = table.get("net.partition").expect("the fault");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::Whole);
    networked.namespace().sh(&format!("nft flush chain inet {} in", id.tag()));
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::Partial);
    fault.revert(&undo).await.expect("reverted");
    assert_eq!(networked.dial(), "connected connected");
    assert!(!sweep(&[]).expect("swept").iter().any(|f| f.run == id.run));

    networked.namespace().sh(&format!("nft add table inet {}", id.tag()));
    let refused = fault.prepare(&json!({}), &networked.target(), &id).await.expect_err("the name is taken");
    assert!(refused.hint.as_ref().is_some_and(|h| h.contains("not ours")), "{refused:?}");
    fault.revert(&undo).await.expect("nothing to revert");
    assert_eq!(fault.inspect(&undo).await.expect("inspected"), Presence::none());
    assert!(networked.namespace().sh("nft list tables").contains(&id.tag()), "it is not ours");
}

/// What people print for themselves works, too.
#[tokio::test]
async fn what_recover_prints_does_it() {
    if !scenes::networks("what_recover_prints_does_it") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("net.partition").expect("the fault");
    let networked = Networked::listening();
    let id = id("printed");
    let mut undo = fault.prepare(&json!({"how": "reject"}), &networked.target(), &id).await.expect("prepared").undo;
    undo["ownership"] = json!("ordinary");
    fault.inject(arm(id, undo.clone())).await.expect("injected");
    let done = Command::new("sh").arg("-c").arg(fault.explain(&undo).join("\n")).status().expect("a shell");
    assert!(done.success());
    assert_eq!(networked.dial(), "connected connected");
    assert_eq!(fault.inspect(&undo).await.expect("inspected"), Presence::none());
}

#[tokio::test]
async fn the_namespace_may_vanish_under_the_fault() {
    if !scenes::networks("the_namespace_may_vanish_under_the_fault") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    for (kind, ordinary) in [("net.partition", false), ("net.partition", true), ("net.dns", false)] {
        let fault = table.get(kind).expect("the fault");
        let networked = Networked::listening();
        let spec = if kind == "net.dns" { json!({"names": ["store.internal"]}) } else { json!({}) };
        let id = id("vanish");
        let mut undo = fault.prepare(&spec, &networked.target(), &id).await.expect("prepared").undo;
        if ordinary {
            undo["ownership"] = json!("ordinary");
        }
        fault.inject(arm(id, undo.clone())).await.expect("injected");
        drop(networked);
        fault.inspect(&undo).await.expect("inspected");
        for _ in 0..2 {
            fault.revert(&undo).await.expect("reverted");
            assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None, "{kind}");
        }
    }
}

#[tokio::test]
async fn connections_are_counted_and_new_ones_can_be_made() {
    if !scenes::networks("connections_are_counted_and_new_ones_can_be_made") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("net.reset").expect("the fault");
    let networked = Networked::listening();
    let none = fault.prepare(&json!({}), &networked.target(), &id("none")).await.expect("prepared");
    assert!(none.notes.iter().any(|n| n == "no connection matches now"), "{:?}", none.notes);
    fault.inject(arm(id("none"), none.undo.clone())).await.expect("injected");
    assert_eq!(fault.inspect(&none.undo).await.expect("inspected"), Presence::whole().met(Met::Idle));
    // Those that began after the plan are reset as well, and counted.
    let _late = networked.connection();
    fault.inject(arm(id("none"), none.undo.clone())).await.expect("injected");
    assert_eq!(fault.inspect(&none.undo).await.expect("inspected"), Presence::whole().met(Met::Count(1)));
    assert_eq!(fault.revert(&none.undo).await.expect("nothing to take back").met, Some(Met::Count(1)));

    let mut connections: Vec<_> = (0..5).map(|_| networked.connection()).collect();
    let id = id("reset");
    let prepared = fault.prepare(&json!({}), &networked.target(), &id).await.expect("prepared");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::None);
    let observed = fault.inject(arm(id, prepared.undo.clone())).await.expect("injected");
    assert_eq!(observed.notes, ["5 connections were reset"]);
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected"), Presence::whole().met(Met::Count(5)));
    for (near, _) in &mut connections {
        std::io::Read::read(near, &mut [0; 1]).expect_err("it is gone");
    }
    networked.connection();
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::Whole, "others may connect again");
    for (with, field) in [
        (json!({"direction": "in"}), "direction"),
        (json!({"protocol": "udp", "ports": "53"}), "protocol"),
        (json!({"interface": "lo"}), "interface"),
    ] {
        let errors = fault.check(&with);
        assert!(errors.iter().any(|e| e.path == field), "{with}: {errors:?}");
    }
}

/// A server of names for a test: it knows one address for everything.
fn serve_names(at: &UdpSocket) {
    use chaos_protocol::dns::{Data, Message};
    let mut buffer = [0; 512];
    while let Ok((length, from)) = at.recv_from(&mut buffer) {
        let Ok(question) = Message::parse(&buffer[..length]) else { return };
        let answer = question.answer(0).with(300, Data::A([192, 0, 2, 53].into()));
        at.send_to(&answer.write().expect("an answer"), from).expect("answered");
    }
}

/// The server that was asked answers what is not meant, over both versions of the internet protocol, wherever it is.
#[tokio::test]
async fn the_server_that_was_asked_answers_for_other_names() {
    if !scenes::networks("the_server_that_was_asked_answers_for_other_names") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let pair = Pair::new().expect("the tests run as root");
    for ip in Pair::FAR {
        let server = pair.far.run(|| UdpSocket::bind((ip, 53)).expect("a server"));
        // It ends with the test process.
        std::thread::spawn(move || serve_names(&server));
    }
    let servers = [format!("{}:53", Pair::FAR[0]), format!("[{}]:53", Pair::FAR[1])];
    let all = |name: &str| {
        servers.each_ref().map(|server| {
            pair.near.run(|| {
                let here = if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                scenes::network::ask_from(here, server, name, RecordType::A)
            })
        })
    };
    let true_answers = ["NOERROR 192.0.2.53", "NOERROR 192.0.2.53"];
    wait_for("IPv6 neighbours have found one another", || all("store.internal") == true_answers);
    let lie = json!({"names": ["STORE.internal"], "answer": {"addresses": ["198.51.100.7"]}});
    let id = id("asked");
    let fault = InForce::new(table.get("net.dns").expect("the fault"), lie, &holder(&pair.near), id.clone()).await;
    assert_eq!(fault.presence().await, Presence::whole().met(Met::Idle));
    assert_eq!(all("other.example"), ["NOERROR 192.0.2.53", "NOERROR 192.0.2.53"]);
    assert_eq!(fault.presence().await, Presence::whole().met(Met::Idle), "nobody was lied to");
    assert_eq!(all("store.internal"), ["NOERROR 198.51.100.7", "NOERROR 198.51.100.7"]);
    assert_eq!(fault.presence().await, Presence::whole().met(Met::Count(2)), "two false answers");
    assert!(sweep(&[]).expect("swept").iter().any(|f| f.run == id.run && f.what.contains("nftables")));

    // Its death heals, and is noticed.
    for helper in scenes::helpers("dns") {
        let tag = std::fs::read(format!("/proc/{helper}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&tag).contains(&id.tag()) {
            rustix::process::kill_process(rustix::process::Pid::from_raw(helper).expect("a pid"), rustix::process::Signal::KILL)
                .expect("killed");
        }
    }
    wait_for("questions go where they went", || all("store.internal") == ["NOERROR 192.0.2.53", "NOERROR 192.0.2.53"]);
    assert_eq!(fault.presence().await, Presence::none());
    fault.end().await;
    assert!(!sweep(&[]).expect("swept").iter().any(|f| f.run == id.run));
}

#[tokio::test]
async fn names_are_answered_over_tcp_too() {
    if !scenes::networks("names_are_answered_over_tcp_too") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let networked = Networked::with_names();
    let many: Vec<String> = (0..100).map(|n| format!("192.0.2.{n}")).collect();
    let lie = json!({"names": ["store.internal"], "answer": {"addresses": many}});
    let fault = InForce::new(table.get("net.dns").expect("the fault"), lie, &networked.target(), id("tcp")).await;
    let over_tcp = |name: &str| networked.namespace().run(|| ask_over_tcp("127.0.0.1:53", name));
    assert_eq!(over_tcp("store.internal").split(' ').count(), 101);
    assert_eq!(over_tcp("other.example"), "NOERROR 192.0.2.53");
    assert_eq!(networked.ask("store.internal", RecordType::A), "NOERROR", "cut: it is to be asked for over TCP");
    assert_eq!(networked.ask("store.internal", RecordType::AAAA), "NOERROR");
    fault.end().await;
    assert_eq!(networked.namespace().run(|| ask("127.0.0.1:53", "store.internal", RecordType::A)), "NOERROR 192.0.2.53");
}

/// What programs really ask by, both versions of the internet protocol at once, believes it.
#[tokio::test]
async fn the_resolver_of_the_system_believes_it() {
    if !scenes::networks("the_resolver_of_the_system_believes_it") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let networked = Networked::with_names();
    // The resolver asks for no address of a version of which the host has none but the loopback's.
    networked.namespace().sh("ip address add 198.18.9.1/32 dev lo");
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = folder.path().join("resolv.conf");
    std::fs::write(&configuration, "nameserver 127.0.0.1\noptions timeout:1 attempts:1 edns0\n").expect("a file");
    let mount = format!("mount --bind {} /etc/resolv.conf && exec getent -s dns ahostsv4 \"$0\"", configuration.display());
    let looked_up = |name: &str| {
        let mut command = networked.namespace().command("unshare");
        let output = command.args(["--mount", "sh", "-c", &mount, name]).output().expect("a shell");
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or("nothing").to_owned()
    };
    assert_eq!(looked_up("store.internal"), "192.0.2.53");
    for (answer, expected) in
        [(json!({"addresses": ["198.51.100.7"]}), "198.51.100.7"), (json!("nxdomain"), "nothing"), (json!("timeout"), "nothing")]
    {
        let lie = json!({"names": ["*.internal"], "answer": answer});
        let fault = InForce::new(table.get("net.dns").expect("the fault"), lie, &networked.target(), id("believed")).await;
        assert_eq!(looked_up("store.internal"), expected, "{answer}");
        assert_eq!(looked_up("other.example"), "192.0.2.53");
        fault.end().await;
        assert_eq!(looked_up("store.internal"), "192.0.2.53", "{answer} is over");
    }
}

/// Requests hang while it lasts; a connection that nobody gave up goes on afterwards.
#[tokio::test]
async fn a_half_open_connection_goes_on_afterwards() {
    use std::io::{Read, Write};
    if !scenes::networks("a_half_open_connection_goes_on_afterwards") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let pair = Pair::new().expect("the tests run as root");
    for (server, direction) in Pair::FAR.into_iter().zip(["in", "both"]) {
        let listener = pair.far.run(|| TcpListener::bind((server, 0)).expect("a listener"));
        let to = listener.local_addr().expect("its address");
        wait_for("IPv6 neighbours have found one another", || pair.near.run(|| std::net::TcpStream::connect(to).is_ok()));
        let mut near = pair.near.run(|| std::net::TcpStream::connect(to).expect("connected"));
        let mine = near.local_addr().expect("its address");
        let mut far = std::iter::from_fn(|| listener.accept().ok()).find(|(_, from)| *from == mine).expect("accepted").0;
        let with = json!({"hosts": [server], "ports": to.port().to_string(), "direction": direction});
        let cut = InForce::new(table.get("net.partition").expect("the fault"), with, &holder(&pair.near), id("half")).await;
        near.write_all(b"?").expect("the kernel takes it");
        near.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a timeout");
        far.set_read_timeout(near.read_timeout().expect("a timeout")).expect("a timeout");
        let arrived = far.read(&mut [0; 1]).is_ok();
        assert_eq!(arrived, direction == "in", "{direction}: what the target sends");
        far.write_all(b"!").expect("the kernel takes it");
        near.read(&mut [0; 1]).expect_err("nothing comes back");
        cut.end().await;
        near.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        assert_eq!(near.read(&mut [0; 1]).expect("it comes after all"), 1, "{direction}");
    }
}

/// The kernel remembers where packets of a socket were led, for as long as the socket sends.
#[tokio::test]
async fn what_was_led_astray_finds_its_way_again() {
    use std::time::Duration;
    if !scenes::networks("what_was_led_astray_finds_its_way_again") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);

    // A program that asks for names from one socket all the time, where somebody else has the kernel remember connections.
    let networked = Networked::with_names();
    networked.namespace().sh("nft add table ip firewall; nft add chain ip firewall in '{ type filter hook input priority 0; }'");
    networked.namespace().sh("nft add rule ip firewall in ct state new accept");
    let lie = json!({"names": ["store.internal"], "answer": {"addresses": ["198.51.100.7"]}});
    let fault = InForce::new(table.get("net.dns").expect("the fault"), lie, &networked.target(), id("remembered")).await;
    let client = networked.namespace().run(|| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let asked = || scenes::network::ask_with(&client, "127.0.0.1:53", "store.internal", RecordType::A);
    assert_eq!(asked(), "NOERROR 198.51.100.7");
    fault.end().await;
    assert_eq!(asked(), "NOERROR 192.0.2.53", "the same socket is answered by whom it asks");

    // A flow that begins while it is cut off, and would leave under another address.
    let pair = Pair::new().expect("the tests run as root");
    pair.near.sh("ip address add 198.18.77.1/32 dev lo; nft add table ip hide");
    pair.near
        .sh("nft add chain ip hide out '{ type nat hook postrouting priority 100; }'; nft add rule ip hide out oifname eth0 masquerade");
    let server = pair.far.run(|| UdpSocket::bind((Pair::FAR[0], 0)).expect("a server"));
    server.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let with = json!({"hosts": [Pair::FAR[0]]});
    let cut = InForce::new(table.get("net.partition").expect("the fault"), with, &holder(&pair.near), id("born")).await;
    let client = pair.near.run(|| UdpSocket::bind("198.18.77.1:0").expect("a client"));
    let to = server.local_addr().expect("its address");
    client.send_to(b"lost", to).expect("it seems to be sent");
    cut.end().await;
    client.send_to(b"arrives", to).expect("sent");
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).expect("it arrives");
    assert_eq!((&buffer[..length], from.ip().to_string().as_str()), (&b"arrives"[..], Pair::NEAR[0]));
}

/// RULES 8: whatever the two faults are, a packet meets one.
#[tokio::test]
async fn rule_08_what_is_cut_off_is_not_slowed_as_well() {
    if !scenes::networks("rule_08_what_is_cut_off_is_not_slowed_as_well") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let networked = Networked::listening();
    let cut = table.get("net.partition").expect("the fault");
    let undo = async |kind: &str, ports: &str| {
        let with = json!({"hosts": ["127.0.0.1"], "ports": ports, "rate": "1 MB/s"});
        table.get(kind).expect("the fault").prepare(&with, &networked.target(), &id("two")).await.expect("prepared").undo
    };
    let mine = undo("net.partition", "6379").await;
    for kind in ["net.partition", "net.rate"] {
        let shared = cut.meets(&mine, kind, &undo(kind, "6000-7000").await);
        assert!(shared.as_ref().is_some_and(|s| s.contains("6379") && s.contains("6000-7000")), "{kind}: {shared:?}");
        assert_eq!(cut.meets(&mine, kind, &undo(kind, "6380").await), None, "{kind}");
    }
    let elsewhere = Networked::listening();
    let with = json!({"hosts": ["127.0.0.1"], "ports": "6379"});
    let theirs = cut.prepare(&with, &elsewhere.target(), &id("two")).await.expect("prepared").undo;
    assert_eq!(cut.meets(&mine, "net.partition", &theirs), None, "in another namespace");
}

/// What passes a bridge passes one of its ports as well, and is met once; what a host passes on for others is said to be met.
#[tokio::test]
async fn packets_of_a_bridge_are_met_once_and_those_of_others_are_said_to_be() {
    if !scenes::networks("packets_of_a_bridge_are_met_once_and_those_of_others_are_said_to_be") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let pair = Pair::new().expect("the tests run as root");
    let prepared = async || {
        let with = json!({"ports": "6379", "rate": "1 MB/s"});
        table.get("net.rate").expect("the fault").prepare(&with, &holder(&pair.near), &id("bridge")).await.expect("prepared")
    };
    pair.near.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    let alone = prepared().await;
    assert_eq!(alone.reach, Some(Reach::Target), "it has nobody to pass on to");
    assert!(alone.notes[0].ends_with("through lo, eth0"), "{:?}", alone.notes);
    pair.near.sh("ip link add port0 type veth peer name there0; ip link set port0 up; ip address add fe80::9/64 dev port0 nodad");
    let passing = prepared().await;
    assert_eq!(passing.reach, Some(Reach::NetworkNamespace));
    assert!(passing.notes.iter().any(|n| n.contains("this network namespace forwards")), "{:?}", passing.notes);
    pair.near.sh("ip link add bridge0 type bridge; ip link set port0 master bridge0; ip link set bridge0 up");
    pair.near.sh("ip address add 198.18.7.1/24 dev bridge0");
    let bridged = prepared().await;
    assert!(bridged.notes[0].ends_with("through lo, eth0, bridge0"), "{:?}", bridged.notes);
}

/// Whoever shares the network of the target feels what is meant for its peers, and is named.
#[tokio::test]
async fn rule_26_who_else_feels_it_is_told() {
    if !scenes::networks("rule_26_who_else_feels_it_is_told") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let networked = Networked::listening();
    let prepare = async |kind: &str, with: Value| {
        table.get(kind).expect("the fault").prepare(&with, &networked.target(), &id("reach")).await.expect("prepared")
    };
    assert_eq!(prepare("net.partition", json!({"hosts": ["127.0.0.1"]})).await.reach, Some(Reach::Target), "it lives there alone");
    // A helper of our own that lives there is nobody who could mind.
    let dns = InForce::new(table.get("net.dns").expect("the fault"), json!({"names": ["a"]}), &networked.target(), id("reach")).await;
    assert_eq!(prepare("net.reset", json!({"hosts": ["127.0.0.1"]})).await.reach, Some(Reach::Target));
    dns.end().await;
    let mut other = networked.namespace().command("sleep").arg("600").stdin(Stdio::null()).spawn().expect("another");
    let there = std::fs::read_link(format!("/proc/{}/ns/net", networked.namespace().pid())).expect("a namespace");
    wait_for("it lives there", || std::fs::read_link(format!("/proc/{}/ns/net", other.id())).is_ok_and(|l| l == there));
    for (kind, with, reach) in [
        ("net.partition", json!({}), Reach::Target),
        ("net.partition", json!({"hosts": ["127.0.0.1"]}), Reach::NetworkNamespace),
        ("net.reset", json!({"ports": "6379"}), Reach::NetworkNamespace),
        ("net.dns", json!({"names": ["a"]}), Reach::NetworkNamespace),
    ] {
        let prepared = prepare(kind, with.clone()).await;
        assert_eq!((prepared.reach, prepared.bystanders.count), (Some(reach), u64::from(reach != Reach::Target)), "{kind} {with}");
        assert_eq!(prepared.grade.unwrap_or(Grade::Bound), Grade::Bound);
    }
    other.kill().expect("killed");
    other.wait().expect("reaped");
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    if !scenes::networks("what_cannot_be_done_is_said") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let refused = async |kind: &str, with: Value, target: &Target| {
        let error = table.get(kind).expect("the fault").prepare(&with, target, &id("refused")).await.expect_err(kind);
        format!("{}\n{}", error.message, error.hint.unwrap_or_default())
    };
    let networked = Networked::listening();
    let said = refused("net.partition", json!({"interface": "eth7"}), &networked.target()).await;
    assert!(said.contains("no interface `eth7`"), "{said}");
    let nowhere = json!({"hosts": ["192.0.2.1"], "rate": "1 MB/s"});
    let said = refused("net.rate", nowhere.clone(), &networked.target()).await;
    assert!(said.contains("no route to 192.0.2.1"), "{said}");
    for kind in ["net.partition", "net.reset"] {
        let fault = table.get(kind).expect("the fault");
        let prepared = fault.prepare(&nowhere, &networked.target(), &id("nowhere")).await.expect("connections outlive their route");
        assert_eq!(prepared.notes[0], "there is no route to 192.0.2.1", "{kind}");
    }
    let many: Vec<String> = (0..257).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
    let said = refused("net.partition", json!({"hosts": many}), &networked.target()).await;
    assert!(said.contains("257 addresses and networks") && said.contains("10.0.0.0/16"), "{said}");
    networked.namespace().sh("ip address del 127.0.0.1/8 dev lo");
    for (kind, with) in [
        ("net.partition", json!({"family": "ipv4", "ports": "6379"})),
        ("net.rate", json!({"family": "ipv4", "ports": "6379", "interface": "lo", "rate": "1 MB/s"})),
    ] {
        let said = refused(kind, with, &networked.target()).await;
        assert!(said.contains("has no IPv4 address: it has ::1") && said.contains("family: ipv6"), "{said}");
    }
    networked.namespace().sh("ip link set lo down");
    let said = refused("net.dns", json!({"names": ["a"]}), &networked.target()).await;
    assert!(said.contains("loopback interface"), "{said}");
    // In our own network namespace live those who control this machine.
    let own = scenes::Started::sleeping();
    let here = scenes::process_target(own.id(), false);
    for names in ["*", "*.*", "*?.*"] {
        let said = refused("net.dns", json!({"names": ["store.internal", names]}), &here).await;
        assert!(said.contains("every name there is"), "{said}");
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let said = refused("net.dns", json!({"names": [name.to_uppercase()]}), &here).await;
    assert!(said.contains(&format!("answer for {name}: chaos")), "{said}");
    let mut moved = networked.target();
    moved.facets.network_namespace = Some(1);
    let said = refused("net.dns", json!({"names": ["a"]}), &moved).await;
    assert!(said.contains("now, and not in net:[1] any more"), "{said}");
}
