//! What many connections cost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::pass::endless;
use crate::peers::hops;

/// Memory a connection at 1,000: one request each, then held.
pub fn memory() {
    const MANY: usize = 1_000;
    println!("\n{MANY} connections, one request each, then held");
    for hop in hops(endless()) {
        let Some(running) = &hop.running else { continue };
        // What the first connection costs is not counted.
        let warm = ask(&hop);
        let (before, begun) = (running.resident(), Instant::now());
        let held: Vec<TcpStream> = (0..MANY).map(|_| ask(&hop)).collect();
        let took = begun.elapsed();
        #[allow(clippy::cast_precision_loss, reason = "KiB of a process")]
        let each = running.resident().saturating_sub(before) as f64 / MANY as f64;
        println!("  {:<14} {each:>6.1} KiB each, {before} KiB idle, served within {:.2} s", hop.name, took.as_secs_f64());
        drop((held, warm));
    }
}

fn ask(hop: &crate::peers::Hop) -> TcpStream {
    let mut client = TcpStream::connect(hop.at).expect("it accepts");
    client.write_all(&600_usize.to_be_bytes()).expect("it is asked");
    client.read_exact(&mut [0; 600]).expect("it answers");
    client
}
