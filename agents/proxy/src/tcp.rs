//! Toxics on bytes and connections, whatever the proxy speaks; one file each.

pub(crate) mod blackhole;
pub(crate) mod down;
pub(crate) mod half_open;
pub(crate) mod latency;
pub(crate) mod limit;
pub(crate) mod rate;
pub(crate) mod refuse;
pub(crate) mod reset;
pub(crate) mod slice;
pub(crate) mod slow_close;

use chaos_core::literal::Percent;

use crate::toxic::Direction;

/// Every connection, unless a share is given.
fn all() -> Percent {
    Percent::HUNDRED
}

/// Both ways, unless one is given.
fn both() -> Direction {
    Direction::Both
}
