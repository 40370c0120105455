//! Waiting on `CLOCK_BOOTTIME`, which a suspended laptop does not stretch (RULES 10).

use std::os::fd::OwnedFd;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

use crate::clock::Boot;
use crate::readable::readable;

/// Waits until that time; for ever if it is the end of time.
pub(crate) async fn until(time: Boot) {
    if time == Boot(u64::MAX) {
        return std::future::pending().await;
    }
    match timer(time) {
        Ok(timer) => {
            let _ = timer.readable().await;
        }
        // Without a timer of that clock, look at it often.
        Err(_) => {
            while Boot::now() < time {
                tokio::time::sleep(time.from_now().min(std::time::Duration::from_millis(50))).await;
            }
        }
    }
}

fn timer(time: Boot) -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    // A time of zero would disarm the timer.
    let nanos = i64::try_from(time.0.max(1)).unwrap_or(i64::MAX);
    let value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
    let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    timerfd_settime(&fd, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: interval, it_value: value })?;
    readable(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn rule_10_a_time_of_boot_is_waited_for_and_one_that_passed_is_not() {
        let due = Boot::now().plus(Duration::from_millis(30));
        until(due).await;
        assert!(Boot::now() >= due);
        until(Boot(0)).await;
        let ever = tokio::time::timeout(Duration::from_millis(20), until(Boot(u64::MAX))).await;
        assert!(ever.is_err());
    }
}
