//! Wakes at a time, to some microseconds. The runtime's own timers tick in whole milliseconds, which is too coarse here.

use std::io;
use std::os::fd::OwnedFd;

use chaos_core::clock::Mono;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

/// A kernel timer on the monotonic clock, waited for together with the sockets.
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_to: Option<Mono>,
}

impl Alarm {
    #[allow(unsafe_code)]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, and it is moved in here for good.
        let timer = unsafe { AsyncFd::register(timer)? };
        Ok(Self { timer, set_to: None })
    }

    /// Waits until `at`. May be dropped and asked again.
    pub(super) async fn until(&mut self, at: Mono) -> io::Result<()> {
        if at <= Mono::now() {
            return Ok(());
        }
        if self.set_to != Some(at) {
            self.set(at)?;
        }
        loop {
            let mut ready = self.timer.readable().await?;
            let rang = rustix::io::read(&self.timer, &mut [0; 8]);
            ready.clear_ready();
            match rang {
                Ok(_) => {
                    self.set_to = None;
                    return Ok(());
                }
                // Readiness left over from an earlier time that nobody waited for.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn set(&mut self, at: Mono) -> io::Result<()> {
        let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: part(at.0 / 1_000_000_000), tv_nsec: part(at.0 % 1_000_000_000) };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set_to = Some(at);
        Ok(())
    }
}
