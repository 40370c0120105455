//! How exact delays and rates are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chaos_proxy::control::{Ask, Lifeline, place};
use serde_json::{Value, json};

use crate::load::quantile;
use crate::pass::endless;
use crate::peers::ours;

/// A toxic in force for as long as this lives.
fn armed(at: SocketAddr, kind: &str, with: Value) -> Lifeline {
    let lifeline = Lifeline::open(&place(at)).expect("it answers");
    lifeline.ask(&Ask::Arm { id: "bench".into(), kind: kind.into(), with, until: None }).expect("it is armed");
    lifeline
}

fn fetch(client: &mut TcpStream, bytes: usize) -> Duration {
    let (begun, mut buffer, mut left) = (Instant::now(), vec![0; 1 << 18], bytes);
    client.write_all(&bytes.to_be_bytes()).expect("it is asked");
    while left > 0 {
        left -= client.read(&mut buffer).ok().filter(|n| *n > 0).expect("more");
    }
    begun.elapsed()
}

fn connected(at: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(at).expect("it accepts");
    client.set_nodelay(true).expect("no delay");
    client
}

/// 50 ms asked, request after request on one connection; as often a plain sleep, and a request without proxy after it: what it costs
/// to wake everybody up once they have been idle so long.
pub fn delay() {
    const TIMES: usize = 200;
    let upstream = endless();
    let hop = ours(upstream);
    let _armed = armed(hop.at, "tcp.latency", json!({"delay": "50ms"}));
    let (mut client, mut straight) = (connected(hop.at), connected(upstream));
    let (mut asked, mut slept, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        asked.push(fetch(&mut client, 600));
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        slept.push(begun.elapsed());
        direct.push(fetch(&mut straight, 600));
    }
    println!("\n50 ms asked, {TIMES} requests on one connection; after each a plain sleep of 50 ms, and a request without proxy");
    for (name, times) in [("chaos", asked), ("plain sleep", slept), ("direct", direct)] {
        println!("  {name:<14} p50 {:>7.2} ms   p99 {:>7.2} ms", quantile(times.clone(), 50), quantile(times, 99));
    }
}

/// 5 MB under a delay of 50 ms, and directly.
pub fn download() {
    const TIMES: usize = 20;
    let upstream = endless();
    let hop = ours(upstream);
    let _armed = armed(hop.at, "tcp.latency", json!({"delay": "50ms"}));
    let (mut delayed, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        delayed.push(fetch(&mut connected(hop.at), 5_000_000));
        direct.push(fetch(&mut connected(upstream), 5_000_000));
    }
    println!("\n5 MB under a delay of 50 ms, {TIMES} times, and directly after each");
    for (name, times) in [("chaos", delayed), ("direct", direct)] {
        println!("  {name:<14} p50 {:>7.2} ms   p99 {:>7.2} ms", quantile(times.clone(), 50), quantile(times, 99));
    }
}

/// Rates from 100 kB/s to 100 MB/s, some seconds each.
pub fn rate() {
    println!("\nrate asked, and over the whole transfer");
    for (rate, bytes) in [("100 kB/s", 500_000), ("1 MB/s", 5_000_000), ("10 MB/s", 50_000_000), ("100 MB/s", 300_000_000)] {
        let hop = ours(endless());
        let _armed = armed(hop.at, "tcp.rate", json!({"rate": rate}));
        let took = fetch(&mut connected(hop.at), bytes);
        let asked: f64 = rate.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        let unit = if rate.ends_with("MB/s") { 1e6 } else { 1e3 };
        let measured = bytes as f64 / took.as_secs_f64() / unit;
        println!("  {:<14} {measured:>9.2}   {:>+6.2} %", rate, (measured / asked - 1.0) * 100.0);
    }
}
