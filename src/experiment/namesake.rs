//! The same harm under another name: `tcp.delay` is called `tcp.latency` here, and into a proxy goes that instead of `net.delay`.

/// Words for one harm, as families of faults here and other tools have them.
const SAME: [&[&str]; 4] = [
    &["latency", "delay", "lag", "slow"],
    &["rate", "bandwidth", "throttle", "speed"],
    &["blackhole", "partition", "timeout", "drop", "loss"],
    &["reset", "reset_peer", "rst"],
];

/// The families that act on traffic whatever it says.
const TRAFFIC: [&str; 2] = ["net", "tcp"];

/// The one of `known`, of the same family, that does what was written.
pub(super) fn in_family<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let (family, harm) = written.split_once('.')?;
    let of_family = known.iter().filter_map(|kind| Some((kind, kind.split_once('.')?))).filter(|(_, (of, _))| *of == family);
    of_family.clone().find(|(_, (_, other))| is_same(harm, other)).map(|(kind, _)| *kind)
}

/// The one of `known` that does to packets what this fault does to bytes in a proxy, or the other way round.
pub(super) fn elsewhere<'k>(fault: &str, known: &[&'k str]) -> Option<&'k str> {
    let (family, harm) = fault.split_once('.')?;
    let does_the_same = |(of, other)| TRAFFIC.contains(&of) && (other == harm || is_same(harm, other));
    known.iter().find(|kind| TRAFFIC.contains(&family) && kind.split_once('.').is_some_and(does_the_same)).copied()
}

fn is_same(one: &str, other: &str) -> bool {
    one != other && SAME.iter().any(|words| words.contains(&one) && words.contains(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_harm_is_found_within_a_family_and_elsewhere() {
        let known = ["process.pause", "tcp.latency", "tcp.rate", "tcp.blackhole", "http.delay", "net.delay"];
        assert_eq!(in_family("tcp.delay", &known), Some("tcp.latency"));
        assert_eq!(in_family("tcp.bandwidth", &known), Some("tcp.rate"));
        assert_eq!(in_family("net.latency", &known), Some("net.delay"));
        assert_eq!(in_family("tcp.latency", &known), None, "it is known");
        assert_eq!(in_family("redis.latency", &known), None);
        assert_eq!(elsewhere("net.delay", &known[1..5]), Some("tcp.latency"));
        assert_eq!(elsewhere("net.loss", &known[1..5]), Some("tcp.blackhole"));
        assert_eq!(elsewhere("tcp.latency", &known[5..]), Some("net.delay"));
        assert_eq!(elsewhere("container.pause", &known), None);
    }
}
