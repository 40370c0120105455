//! What it costs to start: the program itself, and a run that does next to nothing.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::{Took, beside, child_with, line_mib, line_ms, median, peak_of, run, run_undisturbed, runs};
use crate::scene::{Folder, Server, Victims, chaos, pausing, program};

pub fn version() {
    let quiet = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let took: Vec<Took> = (0..runs(100)).map(|_| run_undisturbed(&mut command)).collect();
        (median(took.iter().map(|t| t.wall).collect()), took.iter().map(|t| t.peak).max().unwrap_or_default())
    };
    let mut ours = Command::new(program());
    ours.arg("--version");
    let (wall, peak) = quiet(ours);
    let (floor, floor_peak) = quiet(Command::new("true"));
    line_ms("chaos --version, whole process, median", wall, 5.0);
    line_mib("chaos --version, peak memory", peak, 12.0);
    beside("floor: `true`", &format!("{:.1} ms", floor.as_secs_f64() * 1e3));
    beside("floor: memory of `true`, as it can be seen from here", &format!("{:.1} MiB", floor_peak as f64 / 1024.0));
}

/// What the file asks to wait for: the baseline, the hold, the twelve good samples, the timeout of one that may be in flight.
const ASKED: Duration = Duration::from_millis(100 + 100 + 12 * 10 + 50);

pub fn trivial() {
    let (server, victims, folder) = (Server::start(), Victims::start(1), Folder::new());
    let file = folder.experiment(&pausing(&server, &victims, "10ms", "100ms", ""));
    let (mut walls, mut coordinator, mut executor) = (Vec::new(), 0, 0);
    for n in 0..runs(20) {
        let mut command = chaos(&folder.state());
        command.arg("run").arg(&file).arg("--quiet");
        // Looking on costs time: half of the runs are for the clock, half for the executor's memory.
        let took = if n % 2 == 0 {
            run_undisturbed(&mut command)
        } else {
            run(&mut command, |pid| executor = child_with(pid, "executor").and_then(peak_of).unwrap_or_default().max(executor))
        };
        assert!(matches!(took.exit, Some(0 | 3)), "the trivial run ended with {:?}", took.exit);
        coordinator = coordinator.max(took.peak);
        if n % 2 == 0 {
            walls.push(took.wall);
        }
    }
    let over = median(walls).saturating_sub(ASKED);
    line_ms("trivial run, over what it must wait for, median", over, 30.0);
    line_mib("  its coordinator, peak memory", coordinator, 15.0);
    line_mib("  its executor, peak memory", executor, 10.0);
    let floor = by_hand(&server, &victims);
    beside("floor: a shell that asks twice, kill -STOP, kill -CONT", &format!("{:.1} ms", floor.as_secs_f64() * 1e3));
    beside("ratio to the floor", &format!("{:.1}", over.as_secs_f64() / floor.as_secs_f64()));
    beside("the Chaos Toolkit 1.20, as published", "580 ms, 92 MiB");
    beside("ratio to it", &format!("{:.2}, {:.2}", over.as_secs_f64() / 0.580, (coordinator + executor) as f64 / 1024.0 / 92.0));
}

/// The same by hand: is it well, stop, continue, is it well.
fn by_hand(server: &Server, victims: &Victims) -> Duration {
    let ask = format!("exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; read -r line <&3", server.address.port());
    let pid = victims.pids().next().expect("a victim");
    let script = format!("{ask}; kill -STOP {pid}; kill -CONT {pid}; {ask}");
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).stdin(Stdio::null()).stdout(Stdio::null());
    median((0..runs(20)).map(|_| run_undisturbed(&mut command).wall).collect())
}
