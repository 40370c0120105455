//! Load, as others make it (`wrk`, `redis-benchmark`), and as we do.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// What a round of load measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    pub per_second: f64,
    pub p50_us: f64,
    pub cpu_us: f64,
}

pub fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(5)
}

fn seconds() -> u64 {
    std::env::var("SECONDS").ok().and_then(|r| r.parse().ok()).unwrap_or(2)
}

pub fn wrk(at: SocketAddr, connections: usize) -> Round {
    let time = format!("{}s", seconds());
    let connections = connections.to_string();
    let output = Command::new("wrk")
        .args(["-t1", "-c", &connections, "-d", &time, "--latency", &format!("http://{at}/page")])
        .output()
        .expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |label: &str| text.lines().find_map(|l| l.trim().strip_prefix(label)).map(str::trim).map(str::to_owned);
    let errors = after("Non-2xx").or_else(|| after("Socket errors"));
    assert!(errors.is_none(), "wrk: {text}");
    Round {
        per_second: after("Requests/sec:").and_then(|n| n.parse().ok()).unwrap_or_default(),
        p50_us: after("50%").map(|t| microseconds(&t)).unwrap_or_default(),
        cpu_us: 0.0,
    }
}

/// `41.00us`, `1.25ms`, `1.02s`.
fn microseconds(text: &str) -> f64 {
    let number: f64 = text.trim_end_matches(char::is_alphabetic).parse().unwrap_or_default();
    match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "us" => number,
        "ms" => number * 1e3,
        _ => number * 1e6,
    }
}

pub fn redis(at: SocketAddr) -> Round {
    let output = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &at.port().to_string(), "-c", "32", "-n", &(60_000 * seconds()).to_string(), "-t", "get", "--csv"])
        .output()
        .expect("redis-benchmark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|l| l.starts_with("\"GET\"")).unwrap_or_else(|| panic!("redis-benchmark: {text}"));
    let fields: Vec<f64> = line.split(',').skip(1).map(|f| f.trim_matches('"').parse().unwrap_or_default()).collect();
    // test, rps, avg, min, p50, p95, p99, max (milliseconds)
    Round { per_second: fields[0], p50_us: fields[3] * 1e3, cpu_us: 0.0 }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub fn quantile(mut values: Vec<Duration>, percent: usize) -> f64 {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).clamp(1, values.len().max(1));
    values.get(rank - 1).copied().unwrap_or_default().as_secs_f64() * 1e3
}
