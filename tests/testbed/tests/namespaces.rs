//! Network namespaces and their twins: what is there is seen, and so is what is not.

use chaos_testbed::{Namespace, Pair, Twin, not_covered};

#[test]
fn a_pair_reaches_one_another_over_both_families() {
    let pair = match Pair::new() {
        Ok(pair) => pair,
        Err(absent) => return not_covered("a_pair_reaches_one_another_over_both_families", &absent.0),
    };
    let heard = pair.far.run(|| std::net::UdpSocket::bind("[::]:0").expect("a socket"));
    let port = heard.local_addr().expect("its address").port();
    pair.near.run(|| {
        let socket = std::net::UdpSocket::bind("[::]:0").expect("a socket");
        for address in [format!("[::ffff:{}]:{port}", Pair::FAR[0]), format!("[{}]:{port}", Pair::FAR[1])] {
            socket.send_to(b"here", address).expect("sent");
        }
    });
    heard.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a limit");
    for _ in 0..2 {
        assert_eq!(heard.recv(&mut [0; 8]).expect("it arrives"), 4);
    }
}

#[test]
fn a_twin_sees_every_kind_of_change_and_traffic_is_none() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(absent) => return not_covered("a_twin_sees_every_kind_of_change_and_traffic_is_none", &absent.0),
    };
    namespace.sh("ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up");
    // A carrier takes a moment to be seen.
    namespace.sh("until ip link show d0 | grep -q 'state UP'; do sleep 0.05; done");
    let mut before = Twin::of(namespace.pid());
    namespace.run(|| {
        let to = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        from.send_to(b"x", to.local_addr().expect("its address")).expect("sent");
    });
    before.assert_same(&Twin::of(namespace.pid()), "traffic");
    for change in [
        "tc qdisc add dev d0 root handle 1: tbf rate 8mbit burst 4kb latency 10ms",
        "tc qdisc change dev d0 root handle 1: tbf rate 9mbit burst 4kb latency 10ms",
        "tc qdisc add dev d0 clsact",
        "tc filter add dev d0 egress protocol ip u32 match ip dst 192.0.2.1/32 flowid 1:1",
        "ip address add 192.0.2.7/24 dev d0",
        "ip route add 192.0.2.128/25 dev d0",
        "ip rule add fwmark 7 lookup 100",
        "ip -6 rule add fwmark 7 lookup 100",
        "nft add table inet x",
        "ip link add d2 type veth peer name d3",
    ] {
        namespace.sh(change);
        let after = Twin::of(namespace.pid());
        assert!(!before.differences(&after).is_empty(), "not seen: {change}");
        before = after;
    }
    assert!(before.bytes_of("d0").iter().any(|(part, _)| part.contains("filters of fffffff3")), "{before:?}");
}
