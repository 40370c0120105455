//! The three clocks, and which is for what.
//!
//! | clock | type | for |
//! |---|---|---|
//! | `CLOCK_MONOTONIC` | [`Mono`] | samples and events: stops while the machine sleeps, never steps |
//! | `CLOCK_BOOTTIME` | [`Boot`] | leases and deadlines: runs through suspend, so a night with the lid closed does not stretch a fault |
//! | wall clock | [`Wall`] | people only; it steps |
//!
//! A [`Boot`] time means nothing without the boot it was read in: it is stored beside [`boot_id`].

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! clock {
    ($(#[$doc:meta])* $name:ident, $id:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
        #[serde(transparent)]
        pub struct $name(
            /// Nanoseconds since the clock's own zero.
            pub u64,
        );

        impl $name {
            /// Reads the clock.
            #[must_use]
            pub fn now() -> Self {
                let t = clock_gettime($id);
                Self(t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs())
            }

            /// The time from `earlier` to `self`; zero if `earlier` is later.
            #[must_use]
            pub fn since(self, earlier: Self) -> Duration {
                Duration::from_nanos(self.0.saturating_sub(earlier.0))
            }

            /// `self` moved into the future, saturating.
            #[must_use]
            pub fn plus(self, by: Duration) -> Self {
                Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
            }

            /// `self` moved into the past, saturating at zero.
            #[must_use]
            pub fn minus(self, by: Duration) -> Self {
                Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
            }

            /// How long until this time; zero if it has passed.
            #[must_use]
            pub fn from_now(self) -> Duration {
                self.since(Self::now())
            }
        }
    };
}

clock!(
    /// Nanoseconds of `CLOCK_MONOTONIC`. Comparable between processes of one host and boot.
    Mono,
    ClockId::Monotonic
);
clock!(
    /// Nanoseconds of `CLOCK_BOOTTIME`, which also runs while the machine is suspended.
    Boot,
    ClockId::Boottime
);

/// Milliseconds since 1970-01-01 UTC, for people. Never computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(transparent)]
pub struct Wall(
    /// Milliseconds since the epoch.
    pub u64,
);

impl Wall {
    /// Reads the wall clock.
    #[must_use]
    pub fn now() -> Self {
        let t = clock_gettime(ClockId::Realtime);
        Self(t.tv_sec.unsigned_abs() * 1_000 + t.tv_nsec.unsigned_abs() / 1_000_000)
    }
}

/// The id of this boot. A deadline of another boot has passed.
#[must_use]
pub fn boot_id() -> String {
    first_line("/proc/sys/kernel/random/boot_id")
}

/// The id of this machine; empty where the system keeps none.
#[must_use]
pub fn machine_id() -> String {
    let id = first_line("/etc/machine-id");
    if id.is_empty() { first_line("/var/lib/dbus/machine-id") } else { id }
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default()
}
