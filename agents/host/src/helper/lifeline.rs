//! What ties a helper's life to its executor's.

use std::io::{self, BufRead};
use std::time::Duration;

use chaos_core::clock::Boot;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::process::Held;

/// Offers itself to the out-of-memory killer, and asks the kernel to be killed with its parent.
///
/// # Errors
/// If the parent is gone already: the signal would never come.
pub(super) fn attach(parent: i32) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(Pid::as_raw_nonzero).is_none_or(|pid| pid.get() != parent) {
        return Err(io::Error::other("the parent is gone"));
    }
    Ok(())
}

/// Watches lifeline and deadline on a thread of its own, which ends the process. Every line that arrives is handed on.
pub(super) fn watch(deadline: Boot, mut on_line: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            on_line(&line);
        }
        std::process::exit(0);
    });
    std::thread::spawn(move || {
        while Boot::now() < deadline {
            // Slept in short parts: the sleep's clock stands still while the machine is suspended, the deadline's does not.
            std::thread::sleep(deadline.from_now().min(Duration::from_millis(200)));
        }
        std::process::exit(0);
    });
}

/// Ends the process with another one, on a thread of its own.
pub(super) fn end_with(other: Held) {
    std::thread::spawn(move || {
        // Who cannot wait ends at once: staying longer than the other is the worse mistake.
        let _ = other.wait();
        std::process::exit(0);
    });
}

/// Does nothing more; the watchers end the process.
pub(super) fn hold() -> ! {
    loop {
        std::thread::park();
    }
}
