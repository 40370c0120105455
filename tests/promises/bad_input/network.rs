//! Faults on the network that cannot be: nothing is changed, and what is wrong is said.

use std::process::Command;

use crate::scaffold::{Program, Stage, Text, Victim, root};

use super::{refusals, right};

#[test]
fn what_cannot_be_meant_on_the_network() {
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let step = |fault: &str, with: &str| {
        let method = format!("[{{inject: {fault}, into: victim, with: {with}, for: 1s}}]");
        Text::new(&server, &victim).method(method).yaml()
    };
    for (name, text, words) in [
        ("how to cut off", step("net.partition", "{how: maim}"), "it is one of drop, reject"),
        ("a network that is an address", step("net.partition", "{hosts: [10.0.0.1/8]}"), "10.0.0.1 is an address within 10.0.0.0/8"),
        ("a family that the host is not of", step("net.partition", "{hosts: [10.0.0.7], family: ipv6}"), "10.0.0.7 is IPv4"),
        ("ports of what has none", step("net.partition", "{protocol: icmp, ports: 80}"), "ICMP has no ports"),
        ("a target that listens nowhere", step("net.partition", "{}"), "listens on no TCP port"),
        ("an interface that is not there", step("net.partition", "{ports: 6379, interface: nowhere0}"), "no interface `nowhere0`"),
        ("half a connection", step("net.reset", "{ports: 6379, direction: in}"), "a connection has both directions"),
        ("no names", step("net.dns", "{names: []}"), "no name is given"),
        ("a name that is none", step("net.dns", "{names: [a b]}"), "`a b` is no name"),
        ("no addresses", step("net.dns", "{names: [a], answer: {addresses: []}}"), "no address is given"),
        ("time for what is not kept", step("net.dns", "{names: [a], ttl: 1m}"), "NXDOMAIN is never kept"),
        ("a rate of nothing", step("net.rate", "{rate: 0 B/s, ports: 6379}"), "nothing at all would pass"),
        ("what others call a delay", step("net.latency", "{delay: 1s}"), "did you mean `net.delay`?"),
        ("what others call a rate", step("net.throttle", "{rate: 1 MB/s}"), "did you mean `net.rate`?"),
        ("every name, of this machine too", step("net.dns", "{names: ['*']}"), "every name there is"),
    ] {
        let said = refusals(&stage, &[(name, text)]);
        assert!(said.contains(words), "{name}: `{words}` is not in:\n{said}");
    }
    victim.assert_well();
}

/// Whoever aims at what this machine is controlled by, and at nothing else, is told so.
#[test]
fn the_control_path_is_never_aimed_at() {
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let method = |with: &str| format!("[{{inject: net.partition, into: victim, with: {with}, for: 1s}}]");
    let kubernetes = [("KUBERNETES_SERVICE_HOST", "192.0.2.8"), ("KUBERNETES_SERVICE_PORT", "443")];
    let file = stage.write("aimed.yaml", Text::new(&server, &victim).method(method("{hosts: [192.0.2.8], ports: 443}")).yaml());
    let planned = Program::start(&stage, &["plan", file.to_str().expect("a path")], &kubernetes).wait();
    planned.expect(2).says("this aims at the Kubernetes API (192.0.2.8)").says("whoever cuts it off cannot take it back");
    stage.assert_nothing_was_done();
    victim.assert_well();
}

/// What is missing is named: the capability, and what for.
#[test]
fn who_may_not_filter_packets_is_told_what_it_takes() {
    if !root("who_may_not_filter_packets_is_told_what_it_takes") {
        return;
    }
    let stage = Stage::new();
    let (server, others, _) = right(&stage);
    let mut theirs = Command::new("setpriv");
    theirs.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "sleep", "600"]);
    let own = Victim::of(&stage, "own", &mut theirs);
    for (victim, fault, with, words) in [
        (&own, "net.partition", "{ports: 6379}", "CAP_NET_ADMIN"),
        (&own, "net.dns", "{names: [store.internal]}", "CAP_NET_ADMIN"),
        (&own, "net.rate", "{rate: 1 MB/s, ports: 6379}", "CAP_NET_ADMIN"),
        (&others, "net.partition", "{ports: 6379}", "CAP_SYS_ADMIN"),
    ] {
        let method = format!("[{{inject: {fault}, into: victim, with: {with}, for: 1s}}]");
        let file = stage.write("as-nobody.yaml", Text::new(&server, victim).method(method).yaml());
        std::fs::set_permissions(victim.pid_file(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("our own file");
        stage.chaos_as_nobody(&["plan", file.to_str().expect("a path")]).expect(2).says("run as root").says(words);
    }
    stage.assert_nothing_was_done();
}

/// RULES 8: a packet meets one fault.
#[test]
fn rule_08_two_faults_on_one_filter_are_both_named() {
    if !root("rule_08_two_faults_on_one_filter_are_both_named") {
        return;
    }
    let stage = Stage::new();
    let (server, victim, _) = right(&stage);
    let planned = |first: &str, second: &str| {
        let rate = |with: &str| format!("{{inject: net.rate, into: victim, with: {{rate: 1 MB/s, {with}}}, for: 1s}}");
        let text = Text::new(&server, &victim)
            .method(format!("[{{parallel: [{}, {}]}}]", rate(first), rate(second)))
            .blast_radius("{duration: 2m, reach: [network namespace], targets: {victim: {at_most: 1}}}");
        let file = stage.write("two.yaml", text.yaml());
        Program::start(&stage, &["plan", file.to_str().expect("a path")], &[]).wait()
    };
    for second in ["hosts: [127.0.0.0/8]", "ports: 6000-7000", "hosts: [127.0.0.1], ports: 6379"] {
        planned("hosts: [127.0.0.1], ports: 6379", second)
            .expect(2)
            .says("net.rate and net.rate (method[0].parallel[0]) would act at once on packets at the egress of lo")
            .says("narrow them to different traffic by `ports`, `hosts` or `direction`");
    }
    planned("hosts: [127.0.0.1], ports: 6379", "hosts: [127.0.0.1], ports: 6380").expect(0);
    let cut = "{inject: net.partition, into: victim, with: {hosts: [127.0.0.1], ports: 6379}, for: 1s}";
    let slow = "{inject: net.rate, into: victim, with: {rate: 1 MB/s, ports: 6379}, for: 1s}";
    for both in [[cut, slow], [cut, cut]] {
        let text = Text::new(&server, &victim)
            .method(format!("[{{parallel: [{}]}}]", both.join(", ")))
            .blast_radius("{duration: 2m, reach: [network namespace], targets: {victim: {at_most: 1}}}");
        let file = stage.write("cut.yaml", text.yaml());
        Program::start(&stage, &["plan", file.to_str().expect("a path")], &[]).wait().expect(2).says("would act at once on packets");
    }
    planned("hosts: [127.0.0.1], direction: out", "hosts: [127.0.0.1], direction: out, protocol: icmp").expect(2);
    stage.assert_nothing_was_done();
    victim.assert_well();
}
