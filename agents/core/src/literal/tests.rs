use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;

use super::*;

fn message<T: FromStr<Err = LiteralError> + Debug>(text: &str) -> String {
    text.parse::<T>().expect_err(text).message
}

/// The text parses, prints as `shortest`, and that parses to the same.
fn prints<T: FromStr<Err = LiteralError> + Display + PartialEq + Debug>(text: &str, shortest: &str) {
    let value: T = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(value.to_string(), shortest);
    assert_eq!(shortest.parse::<T>().expect(shortest), value);
}

#[test]
fn durations() {
    for (text, shortest) in [
        ("250us", "250us"),
        ("20ms", "20ms"),
        ("1.5s", "1.5s"),
        ("90s", "90s"),
        ("2m", "2m"),
        ("60s", "1m"),
        ("1h30m", "1h30m"),
        ("1d", "1d"),
        ("0s", "0s"),
        ("340s", "5m40s"),
        ("1500ms", "1.5s"),
        ("24h", "1d"),
        ("1h1us", "1h1us"),
    ] {
        prints::<Duration>(text, shortest);
    }
    assert_eq!(message::<Duration>("20"), "a duration needs its unit");
    assert_eq!("20".parse::<Duration>().unwrap_err().hint.as_deref(), Some("`20ms` or `20s`"));
    assert_eq!(message::<Duration>("-5s"), "a duration is never negative");
    assert_eq!(message::<Duration>("31d"), "a duration is at most 30d");
    assert_eq!(message::<Duration>("999999999999999999999d"), "a duration is at most 30d");
    assert_eq!(message::<Duration>("30m1h"), "the parts of a duration fall from large to small");
    assert_eq!(message::<Duration>("5sec"), "a duration has no unit `sec`");
    for bad in ["", "s", "1..5s", ".5s", "5 s", "1e3s", "5.s", "200 kB"] {
        message::<Duration>(bad);
    }
}

#[test]
fn percentages_are_exact_and_round_down() {
    prints::<Percent>("99.95%", "99.95%");
    prints::<Percent>("34.0%", "34%");
    let of = |text: &str, n| text.parse::<Percent>().expect(text).of(n);
    assert_eq!((of("34%", 3), of("33%", 3), of("67%", 3), of("100%", u64::MAX), of("99.95%", 2000)), (1, 0, 2, u64::MAX, 1999));
    assert_eq!(message::<Percent>("100.1%"), "a percentage is at most 100%");
    assert_eq!(message::<Percent>("-1%"), "a percentage is never negative");
    assert_eq!(message::<Percent>("34"), "a percentage needs its unit");
}

#[test]
fn sizes() {
    for (text, shortest) in [
        ("512 B", "512 B"),
        ("4kB", "4 kB"),
        ("4000 B", "4 kB"),
        ("64 KiB", "64 KiB"),
        ("0 B", "0 B"),
        ("1.5 GiB", "1536 MiB"),
        ("2MB", "2 MB"),
        ("0 GB", "0 B"),
    ] {
        prints::<Size>(text, shortest);
    }
    for bad in ["4K", "4M", "4G", "4", "-4 B", "1.5 B", "99999999999 TiB", "B", ""] {
        message::<Size>(bad);
    }
    prints::<SizeOrPercent>("90%", "90%");
    prints::<SizeOrPercent>("1 GB", "1 GB");
}

#[test]
fn rates() {
    for (text, shortest) in
        [("50 kB/s", "50 kB/s"), ("8 Mbit/s", "8 Mbit/s"), ("200/s", "200/s"), ("30/m", "30/m"), ("0.5 kB/s", "500 B/s")]
    {
        prints::<Rate>(text, shortest);
    }
    for bad in ["50", "50 kB", "50 kB/m", "/s", "0.5/s", "50 kb/s"] {
        message::<Rate>(bad);
    }
    assert_eq!("8 Mbit/s".parse::<Rate>().unwrap().bytes_per_second(), Some(1_000_000));
}

#[test]
fn ports_and_addresses() {
    prints::<Ports>("80,443", "80, 443");
    prints::<Ports>("8001-8003", "8001-8003");
    let ports: Ports = "80, 8001-8003".parse().unwrap();
    assert_eq!(ports.iter().collect::<Vec<_>>(), [80, 8001, 8002, 8003]);
    assert!(ports.contains(8002) && !ports.contains(81));
    for bad in ["0", "65536", "9-8", "", "80,", "a", "-1"] {
        message::<Ports>(bad);
    }
    prints::<Address>("[::1]:8080", "[::1]:8080");
    prints::<Address>("store:6379", "store:6379");
    for bad in ["::1:8080", "store", ":80", "store:0", "http://store:80", "[x]:1", "a b:1"] {
        message::<Address>(bad);
    }
    assert_eq!(serde_json::from_str::<Ports>("6379").unwrap(), "6379".parse().unwrap());
}

#[test]
fn patterns_match_the_whole_value() {
    let fits = |pattern: &str, value: &str| pattern.parse::<Pattern>().unwrap().matches(value);
    assert!(fits("python train.py *", "python train.py --epochs 3"));
    assert!(fits("*", "") && fits("a*b*c", "a-b-b-c") && fits("?", "é") && fits("**x", "x"));
    assert!(!fits("a", "ab") && !fits("?", "") && !fits("a*b", "a-b-c") && !fits("a", ""));
    // A pattern that invites exponential search is answered at once.
    assert!(!fits(&"a*".repeat(100), &format!("{}b", "x".repeat(10_000))));
}

#[test]
fn comparisons() {
    prints::<Comparison>(">= 99%", ">= 99%");
    prints::<Comparison>("<=250ms", "<= 250ms");
    prints::<Comparison>("== 3", "== 3");
    prints::<Comparison>("< 4kB", "< 4 kB");
    assert!(">= 99%".parse::<Comparison>().unwrap().holds(0.99));
    assert_eq!(message::<Comparison>("99%"), "a comparison begins with >=, <=, >, < or ==");
    assert_eq!("99%".parse::<Comparison>().unwrap_err().hint.as_deref(), Some("`\">= 99%\"` or `<= 99%`"));
    message::<Comparison>(">= fast");
}

#[test]
fn names_and_slugs() {
    prints::<Name>("zone b", "zone b");
    prints::<Slug>("one-pod_per-zone2", "one-pod_per-zone2");
    for bad in ["", "2 replicas", "a ", "a/b", " a"] {
        message::<Name>(bad);
    }
    message::<Name>(&"a".repeat(65));
    assert_eq!("Frozen Replica".parse::<Slug>().unwrap_err().hint.as_deref(), Some("a-z, 0-9, - and _: `frozen-replica`"));
}

#[test]
fn a_hint_survives_serde() {
    let error = serde_json::from_value::<Duration>("20".into()).unwrap_err();
    assert_eq!(LiteralError::decode(&error.to_string()), "20".parse::<Duration>().unwrap_err());
    assert_eq!(serde_json::to_string(&Duration::from_secs(90)).unwrap(), "\"90s\"");
}

#[test]
fn kinds_are_told_apart() {
    let kinds = ["200ms", "34%", "200 kB", "30/m", ">= 3", "20", "text"].map(kind_of);
    assert_eq!(
        kinds,
        [Some("a duration"), Some("a percentage"), Some("a size"), Some("a rate"), Some("a comparison"), Some("a bare number"), None]
    );
}

proptest! {
    #[test]
    fn every_duration_prints_as_one(nanos in 0u64..=2_592_000_000_000_000) {
        let value = Duration::from(std::time::Duration::from_nanos(nanos));
        prop_assert_eq!(value.to_string().parse::<Duration>().unwrap(), value);
    }

    #[test]
    fn every_size_prints_as_one(bytes: u64) {
        let value = Size::from_bytes(bytes);
        prop_assert_eq!(value.to_string().parse::<Size>().unwrap(), value);
    }

    #[test]
    fn a_share_is_never_rounded_up(n: u64, whole in 0u32..=100, decimals in 0u32..10_000_000) {
        let text = format!("{whole}.{decimals:07}%");
        prop_assume!(whole < 100 || decimals == 0);
        let percent: Percent = text.parse().unwrap();
        prop_assert!(percent.of(n) <= n);
        prop_assert!(u128::from(percent.of(n)) * 1_000_000_000 <= u128::from(n) * u128::from(percent.parts_per_billion()));
        prop_assert_eq!(percent.to_string().parse::<Percent>().unwrap(), percent);
    }

    #[test]
    fn no_text_is_a_panic(text in ".{0,40}") {
        let _ = kind_of(&text);
        let _ = text.parse::<SizeOrPercent>();
        let _ = text.parse::<Ports>();
        let _ = text.parse::<Address>();
        let _ = text.parse::<Comparison>();
        let _ = text.parse::<Name>();
        let _ = text.parse::<Slug>();
        if let Ok(pattern) = text.parse::<Pattern>() {
            let _ = pattern.matches(&text);
        }
    }

    #[test]
    fn what_looks_like_a_literal_is_one_or_an_error(text in "-?[0-9]{0,3}[.]?[0-9]{0,3} ?(ms|s|m|h|d|%|B|kB|K|/s|bit/s)?") {
        let _ = kind_of(&text);
    }
}
