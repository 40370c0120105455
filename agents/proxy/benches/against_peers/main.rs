//! What passing through the proxy costs, and how exact its delays and rates are: side by side, in one run, with nothing in between
//! (*direct*), with haproxy (TCP mode) and with nginx stream.
//!
//! `cargo bench -p chaos-proxy [NAME…]`, with names of [`BENCHES`]. Needs Debian's haproxy, nginx-light, libnginx-mod-stream, wrk,
//! redis-server and redis-tools; what is missing is said and left out. Rounds are interleaved and medians printed: a machine that is
//! busy with other things is slow for everybody, which *direct* shows. `ROUNDS` and `SECONDS` make it longer.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod exact;
mod load;
mod many;
mod pass;
mod peers;

/// What can be measured, and how.
const BENCHES: [(&str, fn()); 8] = [
    ("http", pass::http),
    ("messages", pass::messages),
    ("redis", pass::redis),
    ("bulk", pass::bulk),
    ("delay", exact::delay),
    ("download", exact::download),
    ("rate", exact::rate),
    ("memory", many::memory),
];

fn main() {
    if peers::is_proxy() {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{} cores, load {}", std::thread::available_parallelism().map_or(1, usize::from), load.split(' ').next().unwrap_or("?"));
    for (name, bench) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            bench();
        }
    }
}
