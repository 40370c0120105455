//! What passing through costs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use crate::load::{Round, median, rounds};
use crate::peers::{Hop, has, hops};

/// HTTP with kept-alive connections, one and 32, from an upstream that sends header and body together, and apart.
pub fn http() {
    if !has("wrk") || !has("nginx") {
        return;
    }
    for apart in [false, true] {
        let (upstream, _web) = crate::peers::web(apart);
        let hops = hops(upstream);
        let sent = if apart { "header and body sent apart" } else { "sent as one" };
        for connections in [1, 32] {
            println!("\nHTTP keep-alive, {connections} connections, {sent}");
            compare(&hops, |hop| crate::load::wrk(hop.at, connections));
        }
    }
}

/// The same where the proxies understand HTTP, with nothing to do about it: haproxy in its mode `http`.
pub fn messages() {
    if !has("wrk") || !has("nginx") {
        return;
    }
    let (upstream, _web) = crate::peers::web(false);
    let hops = crate::peers::hops_of_http(upstream);
    for connections in [1, 32] {
        println!("\nHTTP understood, keep-alive, {connections} connections");
        compare(&hops, |hop| crate::load::wrk(hop.at, connections));
    }
}

/// Redis, 32 connections.
pub fn redis() {
    if !has("redis-server") || !has("redis-benchmark") {
        return;
    }
    let (upstream, _redis) = crate::peers::redis();
    println!("\nRedis GET, 32 connections");
    compare(&hops(upstream), |hop| crate::load::redis(hop.at));
}

/// One long download.
pub fn bulk() {
    const BYTES: usize = 1 << 30;
    let hops = hops(endless());
    println!("\n1 GiB, one connection");
    compare(&hops, |hop| {
        let mut client = TcpStream::connect(hop.at).expect("it accepts");
        client.write_all(&BYTES.to_be_bytes()).expect("it is asked");
        let (begun, mut buffer, mut left) = (Instant::now(), vec![0; 1 << 18], BYTES);
        while left > 0 {
            left -= client.read(&mut buffer).ok().filter(|n| *n > 0).expect("more");
        }
        Round { per_second: BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64(), ..Round::default() }
    });
}

/// Sends as many bytes as it is asked for, in eight bytes.
pub fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut asked, bytes) = ([0; 8], vec![7; 1 << 18]);
                while client.read_exact(&mut asked).is_ok() {
                    let mut left = usize::from_be_bytes(asked);
                    while left > 0 {
                        let Ok(sent) = client.write(&bytes[..left.min(bytes.len())]) else { return };
                        left -= sent;
                    }
                }
            });
        }
    });
    at
}

/// Rounds of the same over every hop, in turn; medians, and ratios within a round.
fn compare(hops: &[Hop], load: impl Fn(&Hop) -> Round) {
    let mut all: Vec<Vec<Round>> = vec![Vec::new(); hops.len()];
    for _ in 0..rounds() {
        for (at, hop) in hops.iter().enumerate() {
            let before = hop.running.as_ref().map(crate::peers::Running::processor);
            let begun = Instant::now();
            let mut round = load(hop);
            let requests = round.per_second * begun.elapsed().as_secs_f64();
            if let (Some(before), Some(running)) = (before, &hop.running) {
                round.cpu_us = (running.processor() - before).as_secs_f64() * 1e6 / requests.max(1.0);
            }
            all[at].push(round);
        }
    }
    println!("  {:<14} {:>12} {:>8} {:>10} {:>10} {:>12}", "", "per second", "x", "p50 us", "+ us", "cpu us each");
    for (at, hop) in hops.iter().enumerate() {
        let of = |f: fn(&Round) -> f64| median(all[at].iter().map(f).collect());
        let ratio = median(all[at].iter().zip(&all[0]).map(|(a, d)| a.per_second / d.per_second).collect());
        let added = median(all[at].iter().zip(&all[0]).map(|(a, d)| a.p50_us - d.p50_us).collect());
        println!(
            "  {:<14} {:>12.0} {ratio:>8.2} {:>10.1} {added:>10.1} {:>12.1}",
            hop.name,
            of(|r| r.per_second),
            of(|r| r.p50_us),
            of(|r| r.cpu_us)
        );
    }
}
