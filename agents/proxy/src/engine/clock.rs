//! Waiting to the microsecond: one kernel timer a worker.
//!
//! A runtime's own timer counts in milliseconds and rounds up, so that 50 ms become 51.6. A `timerfd` is neither rounded nor
//! subject to timer slack.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use chaos_core::clock::Mono;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::toxic::NEVER;

/// Hands out alarms. Cheap to clone; belongs to the runtime that it was started on.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    timer: AsyncFd<OwnedFd>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    alarms: BTreeMap<(Mono, u64), Waker>,
    next: u64,
    /// What the kernel's timer is set to.
    set: Option<Mono>,
}

impl Clock {
    /// Starts a clock on the current runtime, for as long as that runs.
    ///
    /// # Errors
    /// If the kernel gives no timer, or this is no runtime with I/O.
    pub fn start() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared { timer: registered(fd)?, waiting: Mutex::default() });
        let ringing = Arc::clone(&shared);
        tokio::spawn(async move { while ringing.ring().await.is_ok() {} });
        Ok(Self(shared))
    }

    /// An alarm that is not set.
    #[must_use]
    pub fn alarm(&self) -> Alarm {
        Alarm { clock: self.clone(), set: None }
    }

    /// Waits until that time.
    pub async fn until(&self, time: Mono) {
        let mut alarm = self.alarm();
        poll_fn(|cx| alarm.poll(cx, time)).await;
    }

    /// Waits so long.
    pub async fn sleep(&self, time: std::time::Duration) {
        self.until(Mono::now().plus(time)).await;
    }
}

#[allow(unsafe_code)]
fn registered(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always names the same open descriptor, and closes it only when the `AsyncFd` that owns it, and
    // deregisters it first, is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

impl Shared {
    /// Waits for the timer, and wakes everybody whose time has come.
    async fn ring(&self) -> io::Result<()> {
        self.timer.readable().await?.clear_ready();
        let mut count = [0; 8];
        let _ = rustix::io::read(self.timer.get_ref(), &mut count);
        for waker in self.due() {
            waker.wake();
        }
        Ok(())
    }

    fn due(&self) -> Vec<Waker> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, mut due) = (Mono::now(), Vec::new());
        while let Some(first) = waiting.alarms.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        waiting.set = None;
        self.set(&mut waiting);
        due
    }

    /// Sets the kernel's timer to the first alarm, unless it is.
    fn set(&self, waiting: &mut Waiting) {
        let Some(first) = waiting.alarms.keys().next().map(|(time, _)| *time) else { return };
        if waiting.set.is_some_and(|set| set <= first) {
            return;
        }
        // A time of zero would disarm the timer.
        let nanos = i64::try_from(first.0.max(1)).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: never, it_value: value }).is_ok() {
            waiting.set = Some(first);
        }
    }
}

/// One alarm, set as often as wanted; the last time counts.
pub struct Alarm {
    clock: Clock,
    set: Option<(Mono, u64)>,
}

impl Alarm {
    /// Has this time come? If not, wakes the caller when it has. [`NEVER`] does not come.
    pub fn poll(&mut self, cx: &mut Context<'_>, time: Mono) -> Poll<()> {
        if Mono::now() >= time {
            self.clear();
            return Poll::Ready(());
        }
        if time == NEVER {
            self.clear();
            return Poll::Pending;
        }
        let shared = &self.clock.0;
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = self.set {
            match waiting.alarms.get_mut(&set) {
                Some(waker) if set.0 == time => {
                    waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                _ => drop(waiting.alarms.remove(&set)),
            }
        }
        waiting.next += 1;
        let key = (time, waiting.next);
        waiting.alarms.insert(key, cx.waker().clone());
        self.set = Some(key);
        shared.set(&mut waiting);
        Poll::Pending
    }

    /// Wakes nobody any more.
    pub fn clear(&mut self) {
        if let Some(set) = self.set.take() {
            self.clock.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).alarms.remove(&set);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn alarms_ring_in_their_order_and_never_early() {
        let clock = Clock::start().expect("a clock");
        let begun = Mono::now();
        let rings = |after: u64| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_millis(after)).await;
                Mono::now().since(begun)
            }
        };
        let (c, a, b) = tokio::join!(rings(30), rings(10), rings(20));
        assert!(a >= Duration::from_millis(10) && b >= Duration::from_millis(20) && c >= Duration::from_millis(30));
        assert!(a <= b && b <= c, "{a:?} {b:?} {c:?}");
    }

    #[tokio::test]
    async fn an_alarm_that_is_set_anew_rings_at_the_new_time_only() {
        let clock = Clock::start().expect("a clock");
        let (begun, mut alarm) = (Mono::now(), clock.alarm());
        let far = begun.plus(Duration::from_secs(3_600));
        poll_fn(|cx| {
            assert!(alarm.poll(cx, far).is_pending());
            Poll::Ready(())
        })
        .await;
        let near = begun.plus(Duration::from_millis(20));
        poll_fn(|cx| alarm.poll(cx, near)).await;
        assert!(Mono::now() >= near);
        assert!(clock.0.waiting.lock().expect("the lock").alarms.is_empty(), "nothing is left behind");
    }
}
