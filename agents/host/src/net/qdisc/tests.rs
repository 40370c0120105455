//! Options byte for byte, and tables as iproute2 makes them.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join("")
}

/// `tc qdisc add … netem delay 100ms 10ms loss 5% duplicate 1% corrupt 0.5%`, as `strace` shows it of iproute2 6.1, with the two 64-bit
/// numbers behind that iproute2 leaves out.
#[test]
fn netem_is_said_as_tc_says_it() {
    let part = |percent: f64| (percent / 100.0 * f64::from(u32::MAX)).round() as u32;
    let netem = Netem {
        delay: 100_000_000,
        jitter: 10_000_000,
        limit: 1000,
        loss: part(5.0),
        duplicate: part(1.0),
        corrupt: part(0.5),
        ..Netem::default()
    };
    let fixed = "84d71700".to_owned() + "e8030000" + "cdcccc0c" + "00000000" + "295c8f02" + "5a620200";
    let corrupt = "0c000400".to_owned() + "14ae4701" + "00000000";
    let more = "0c000a00".to_owned() + "00e1f50500000000" + "0c000b00" + "8096980000000000";
    assert_eq!(hex(&netem.options()), fixed + &corrupt + &more);
    assert!(netem.is(&netem.options()));
    assert!(!Netem { loss: 1, ..netem.clone() }.is(&netem.options()));
    assert!(Netem { delay: 5, ..netem.clone() }.is(&netem.options()), "a ramp moves the delay");
    assert_eq!(netem.words(), "delay 100ms ± 10ms, loss 5%, duplicate 1%, corrupt 0.5%");
    let like = Netem {
        delay: 1_500_000,
        jitter: 1_000,
        distribution: Some(Distribution::Pareto),
        delay_correlation: part(25.0),
        ..Netem::default()
    };
    assert_eq!(like.words(), "delay 1.5ms ± 1us (pareto) (correlation 25%)");
}

/// In the units that a person writes.
#[test]
fn a_narrow_line_is_told_in_kilobytes_and_where_much_passes_at_once() {
    let on_loopback = Tbf { rate: 20_000, burst: None, mtu: 65_536 };
    assert_eq!(Discipline::Tbf(on_loopback).words(), "tbf 20 kB/s, 65554 B at once");
    let told = on_loopback.wide_at_first().expect("more than three seconds");
    assert!(told.contains("65554 B") && told.contains("3.277s"), "{told}");
    assert_eq!(Tbf { mtu: 1500, ..on_loopback }.wide_at_first(), None);
    assert_eq!(Tbf { rate: 10_000_000, ..on_loopback }.wide_at_first(), None);
    assert!(Tbf { burst: Some(2_000), ..on_loopback }.wide_at_first().is_some());
    assert_eq!(Tbf { burst: Some(100_000), ..on_loopback }.wide_at_first(), None, "as asked for");
}

#[test]
fn netem_says_correlations_bursts_order_and_rate() {
    let burst = Burst { to_bad: 0x1000_0000, to_good: 0x4000_0000, lost_in_bad: u32::MAX, lost_in_good: 0 };
    let netem = Netem {
        limit: 10,
        delay_correlation: 1,
        loss_correlation: 2,
        duplicate_correlation: 3,
        burst: Some(burst),
        reorder: 4,
        reorder_correlation: 5,
        gap: 6,
        rate: Some(0x1_0000_0000),
        ..Netem::default()
    };
    let options = netem.options();
    let expected = ["00000000", "0a000000", "00000000", "06000000", "00000000", "00000000"].concat()
        + "10000100"
        + "010000000200000003000000"
        + "0c000300"
        + "0400000005000000"
        + "18000580"
        + "14000200"
        + "00000010"
        + "00000040"
        + "00000000"
        + "00000000"
        + "0c000800"
        + "0000000001000000"
        + "14000600"
        + "ffffffff"
        + "000000000000000000000000"
        + "0c000a00"
        + "0000000000000000"
        + "0c000b00"
        + "0000000000000000";
    assert_eq!(hex(&options), expected);
    assert!(netem.is(&options));
    assert!(!Netem { burst: None, ..netem.clone() }.is(&options));
    assert!(!netem.is(&options[..20]) && !netem.is(&[]));
}

#[test]
fn the_bucket_is_said_as_tc_says_it() {
    let tbf = Tbf { rate: 125_000, burst: None, mtu: 1500 };
    assert_eq!((tbf.bucket(), tbf.limit()), (1518, 1518 + 25_000));
    let encoded = tbf.options(Message::new(0, 0)).encode(0, 0);
    // Rate 0x1e848; limit 0x6796; 12.144 ms to fill, in ticks of 64 ns.
    let parameters = "28000100".to_owned() + "0001000000000000" + "48e80100" + &"00".repeat(12) + "96670000" + "36e50200" + "00000000";
    assert_eq!(hex(&encoded[16..]), parameters + "08000600" + "ee050000");
    assert!(tbf.is(&encoded[16..]));
    assert!(!Tbf { mtu: 9000, ..tbf }.is(&encoded[16..]));
    assert!(Tbf { rate: 1, ..tbf }.is(&Tbf { rate: 1, ..tbf }.options(Message::new(0, 0)).encode(0, 0)[16..]));
    let fast = Tbf { rate: 10_000_000_000, burst: None, mtu: 65_536 };
    assert_eq!((fast.bucket(), fast.limit()), (40_000_000, 2_040_000_000));
    let encoded = fast.options(Message::new(0, 0)).encode(0, 0);
    assert!(hex(&encoded[16..]).starts_with("0c00040000e40b5402000000"), "{}", hex(&encoded[16..]));
    let slow = Tbf { rate: 1, burst: Some(10), mtu: 1500 };
    assert_eq!((slow.bucket(), slow.limit()), (1518, 9 * 1518), "a bucket holds a packet, and a queue a few");
}

#[test]
fn tables_are_those_of_iproute2() {
    for distribution in [Distribution::Normal, Distribution::Pareto, Distribution::ParetoNormal] {
        let table = distribution.table();
        assert_eq!(table.len(), 4096);
        assert!(table.is_sorted(), "{distribution:?}");
    }
    // From normal.dist, pareto.dist and paretonormal.dist of iproute2 6.1.
    assert_eq!(Distribution::Normal.table()[..8], [-32768, -28307, -26871, -25967, -25298, -24765, -24320, -23937]);
    assert_eq!(Distribution::Normal.table()[4088..], [23679, 24027, 24424, 24888, 25450, 26164, 27159, 28858]);
    assert_eq!(Distribution::Pareto.table()[..8], [-5461, -5460, -5460, -5459, -5458, -5457, -5456, -5455]);
    assert_eq!(Distribution::Pareto.table()[4088..], [32767; 8]);
    assert_eq!(Distribution::ParetoNormal.table()[..8], [-12305, -11171, -10812, -10586, -10418, -10284, -10172, -10075]);
    assert_eq!(Distribution::ParetoNormal.table()[4088..], [30495, 30582, 30681, 30797, 30937, 31116, 31365, 31789]);
}

/// Whoever has iproute2's own tables compares all of them: within one part in 8192 of the jitter.
#[test]
fn tables_are_those_of_iproute2_to_the_last_entry() {
    for distribution in [Distribution::Normal, Distribution::Pareto, Distribution::ParetoNormal] {
        let places = ["/usr/lib/tc", "/usr/lib/x86_64-linux-gnu/tc", "/usr/lib/aarch64-linux-gnu/tc", "/usr/share/tc"];
        let files = places.iter().map(|p| format!("{p}/{}.dist", distribution.name()));
        let Some(text) = files.filter_map(|f| std::fs::read_to_string(f).ok()).next() else {
            chaos_testbed::not_covered("tables_are_those_of_iproute2_to_the_last_entry", "iproute2's tables are not installed");
            return;
        };
        let theirs =
            text.lines().filter(|l| !l.starts_with('#')).flat_map(str::split_whitespace).map(|w| w.parse::<i32>().expect("a number"));
        let apart: Vec<_> = distribution.table().into_iter().map(i32::from).zip(theirs).filter(|(a, b)| a.abs_diff(*b) > 1).collect();
        assert!(apart.is_empty(), "{distribution:?}: {apart:?}");
    }
}
