//! `chaos helper burn`: keeps cores busy, each for a share of every ten milliseconds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::{Order, lifeline};

const PERIOD: Duration = Duration::from_millis(10);
const MILLION: u64 = 1_000_000;

/// `--cores N --load PPM --beside PID`: runs on the cores that the process `beside` may run on. A line on the lifeline is a new load.
pub(super) fn run(order: &Order) -> io::Result<()> {
    let load = Arc::new(AtomicU64::new(order.amount("load")));
    let set = Arc::clone(&load);
    lifeline::watch(order.deadline, move |line| {
        if let Ok(ppm) = line.parse::<u64>() {
            set.store(ppm.min(MILLION), Ordering::Relaxed);
        }
    });
    if let Some(beside) = order.number("beside").and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        // If the target ended meanwhile we burn where we are; inspect says that it is gone.
        if let Ok(cores) = sched_getaffinity(Some(beside)) {
            sched_setaffinity(None, &cores)?;
        }
    }
    for _ in 0..order.amount("cores") {
        let load = Arc::clone(&load);
        std::thread::Builder::new().stack_size(64 * 1024).spawn(move || burn(&load))?;
    }
    lifeline::hold()
}

fn burn(load: &AtomicU64) -> ! {
    loop {
        let busy = PERIOD * u32::try_from(load.load(Ordering::Relaxed)).unwrap_or(0) / 1_000_000;
        let began = Instant::now();
        while began.elapsed() < busy {
            for _ in 0..1_000 {
                std::hint::spin_loop();
            }
        }
        std::thread::sleep(PERIOD.saturating_sub(began.elapsed()));
    }
}
