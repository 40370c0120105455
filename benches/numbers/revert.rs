//! How soon everything is taken back: after a breach, and after the coordinator's death.

use std::time::{Duration, Instant};

use crate::measure::{beside, line_ms, median, quantile, runs};
use crate::scene::{Folder, Server, Victims, chaos, pausing};

const VICTIMS: usize = 4;
const CADENCE_MS: f64 = 10.0;
const LONG: Duration = Duration::from_secs(5);

pub fn stop_condition() {
    let (server, victims) = (Server::start(), Victims::start(VICTIMS));
    let stop = "stop_when:\n  - {answers: \"success < 95% over 100ms\"}\n";
    let text = pausing(&server, &victims, "10ms", "1m", stop);
    // One late answer of ten is a breach as well: on a machine that is too busy a run ends before it is asked to.
    let (mut took, mut early) = (Vec::new(), 0);
    for n in 0..runs(100) {
        let folder = Folder::new();
        let file = folder.experiment(&text);
        let mut run = chaos(&folder.state()).arg("run").arg(&file).arg("--quiet").spawn().expect("a run");
        if victims.until_stopped(true, LONG).is_none() {
            early += 1;
            run.wait().expect("an end");
            continue;
        }
        // At another point of the cadence each time.
        std::thread::sleep(Duration::from_micros(30_000 + 700 * (n as u64 % 20)));
        let turned = server.turn(true);
        let back = victims.until_stopped(false, LONG).expect("the fault is taken back");
        server.turn(false);
        took.push(back - turned);
        run.wait().expect("an end");
    }
    beside("breach to every signal fault reverted, median", &ms(median(took.clone())));
    beside("runs that ended early", &early.to_string());
    line_ms("breach to every signal fault reverted, p99", quantile(took, 99), CADENCE_MS + 50.0);
}

pub fn coordinator_killed() {
    let (server, victims) = (Server::start(), Victims::start(VICTIMS));
    let text = pausing(&server, &victims, "10ms", "1m", "");
    let mut took = Vec::new();
    for _ in 0..runs(30) {
        let folder = Folder::new();
        let file = folder.experiment(&text);
        let mut run = chaos(&folder.state()).arg("run").arg(&file).arg("--quiet").spawn().expect("a run");
        victims.until_stopped(true, LONG).expect("the fault is in force");
        let killed = Instant::now();
        run.kill().expect("a kill");
        let back = victims.until_stopped(false, LONG).expect("the fault is taken back");
        took.push(back - killed);
        run.wait().expect("an end");
        // The executor still writes into the folder.
        std::thread::sleep(Duration::from_millis(200));
    }
    beside("coordinator killed to every fault reverted, median", &ms(median(took.clone())));
    line_ms("coordinator killed to every fault reverted, slowest", quantile(took, 100), 1_000.0);
}

fn ms(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1e3)
}
