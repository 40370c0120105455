//! What is read off a process from outside, and how a line is printed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a process took from start to end.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// The most memory it had resident, in KiB.
    pub peak: u64,
    pub exit: Option<i32>,
}

/// Runs a command to its end. The peak is the kernel's; `meanwhile` is called with its pid every other millisecond.
///
/// The kernel counts the moment before `exec` as well, which shares this process: what is smaller than it cannot be told.
pub fn run(command: &mut Command, mut meanwhile: impl FnMut(u32)) -> Took {
    let begun = Instant::now();
    #[allow(clippy::zombie_processes, reason = "it is waited for below, with its accounts")]
    let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let pid = i32::try_from(child.id()).expect("a pid");
    let mut poll = Duration::from_micros(200);
    loop {
        if let Some((status, peak)) = ended(pid) {
            return Took { wall: begun.elapsed(), peak, exit: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) };
        }
        meanwhile(child.id());
        std::thread::sleep(poll);
        poll = (poll * 2).min(Duration::from_millis(2));
    }
}

/// Runs a command to its end, without looking at it meanwhile: its wall time is exact.
pub fn run_undisturbed(command: &mut Command) -> Took {
    let begun = Instant::now();
    #[allow(clippy::zombie_processes, reason = "it is waited for below, with its accounts")]
    let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let pid = i32::try_from(child.id()).expect("a pid");
    let (status, peak) = wait(pid, 0).expect("a child of ours ends");
    Took { wall: begun.elapsed(), peak, exit: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) }
}

fn ended(pid: i32) -> Option<(i32, u64)> {
    wait(pid, libc::WNOHANG)
}

#[allow(unsafe_code)]
fn wait(pid: i32, how: i32) -> Option<(i32, u64)> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`, which is plain numbers; `wait4` writes to two places that outlive the call.
    let (done, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, how, &raw mut usage), usage)
    };
    (done == pid).then(|| (status, u64::try_from(usage.ru_maxrss).unwrap_or_default()))
}

/// The most memory that a living process has had resident, in KiB.
pub fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The children of a process whose command line has this word.
pub fn child_with(parent: u32, word: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut pids = children.split_whitespace().filter_map(|p| p.parse().ok());
    pids.find(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.split(|b| *b == 0).any(|w| w == word.as_bytes())))
}

/// Is a process stopped (`T`), running, gone?
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

/// How often something is repeated.
pub fn runs(usually: usize) -> usize {
    std::env::var("RUNS").ok().and_then(|r| r.parse().ok()).unwrap_or(usually)
}

pub fn quantile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).clamp(1, values.len().max(1));
    values.get(rank - 1).copied().unwrap_or_default()
}

pub fn median(values: Vec<Duration>) -> Duration {
    quantile(values, 50)
}

/// The machine and how busy it is.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores, load {load}, {} MiB resident here", peak_of(std::process::id()).unwrap_or_default() / 1024)
}

pub fn line_ms(what: &str, measured: Duration, promised_ms: f64) {
    let ms = measured.as_secs_f64() * 1e3;
    println!("{what:<58} {ms:>9.1} ms {promised_ms:>9} ms {:>7.2}", ms / promised_ms);
}

#[allow(clippy::cast_precision_loss, reason = "KiB of a process")]
pub fn line_mib(what: &str, kib: u64, promised_mib: f64) {
    let mib = kib as f64 / 1024.0;
    println!("{what:<58} {mib:>8.1} MiB {promised_mib:>8} MiB {:>7.2}", mib / promised_mib);
}

/// Something measured beside it, and how the number above compares.
pub fn beside(what: &str, value: &str) {
    println!("  {what:<56} {value:>12}");
}
