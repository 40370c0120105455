//! Reaping what nobody waits for: orphans come to the executor, and a zombie would look like a living process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// Pids whose end somebody waits for.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashSet<i32>>>);

impl Watched {
    pub(super) fn add(&self, pid: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    }

    pub(super) fn remove(&self, pid: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    fn has(&self, pid: i32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid)
    }
}

/// Long enough for whoever waits for a child of its own to do so first.
const GRACE: Duration = Duration::from_millis(100);

/// Reaps for ever. A zombie seen twice belongs to nobody.
pub(super) async fn orphans(watched: Watched) {
    let Ok(mut died) = signal(SignalKind::child()) else { return };
    let mut seen = HashSet::new();
    loop {
        if seen.is_empty() {
            died.recv().await;
        }
        tokio::time::sleep(GRACE).await;
        let zombies: HashSet<i32> = children().into_iter().filter(|pid| !watched.has(*pid) && is_zombie(*pid)).collect();
        for pid in zombies.intersection(&seen).filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        seen = zombies.difference(&seen).copied().collect();
    }
}

fn children() -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name may hold anything, a closing bracket included; the state follows the last one.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
