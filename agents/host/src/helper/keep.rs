//! `chaos helper keep`: ends the processes of `system:` when nobody is left to do it.
//!
//! It is not killed with its parent: it is there for the case that executor *and* coordinator were. While the coordinator lives, it is
//! the coordinator's matter, which starts another executor; this helper is ended by whoever stops the system in good order.

use std::io;
use std::time::Duration;

use chaos_core::target::ProcessId;

use super::Order;
use crate::process::{end, look_at};

/// `--of TAG --grace MS --coordinator PID --began TICKS`.
pub(super) fn run(order: &Order) -> io::Result<()> {
    let tag = order.more.get("of").and_then(|t| t.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    // Nothing is ever sent here; the end of it is the executor's.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    let coordinator = ProcessId { pid: i32::try_from(order.amount("coordinator")).unwrap_or(0), start_ticks: order.amount("began") };
    while look_at(coordinator).is_some() {
        std::thread::sleep(Duration::from_millis(200));
    }
    end(tag, Duration::from_millis(order.amount("grace"))).map(drop)
}
