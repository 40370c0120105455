//! `chaos helper fill-memory`: takes memory in steps, and gives some back as soon as the host has too little.

use std::io;
use std::time::Duration;

use super::{Order, lifeline};
use crate::cgroup::Group;
use crate::memory::Memory;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `--bytes N --floor N [--limited-by GROUP]`: takes `bytes`, but never so much that less than `floor` is available to others, on the host
/// and within the group.
pub(super) fn run(order: &Order) -> io::Result<()> {
    lifeline::watch(order.deadline, |_| {});
    let (wanted, floor) = (order.amount("bytes"), order.amount("floor"));
    let group: Option<Group> = order.more.get("limited-by").and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let step = Memory::within(group.as_ref())?.step();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let available = Memory::within(group.as_ref())?.available;
        let have = step * u64::try_from(taken.len()).unwrap_or(u64::MAX);
        if available < floor {
            // Somebody else took what we had left them: theirs comes first.
            let back = (floor - available).div_ceil(step);
            taken.truncate(taken.len().saturating_sub(usize::try_from(back).unwrap_or(usize::MAX)));
        } else if have < wanted && available - floor > step {
            taken.push(touched(step.min(wanted - have)));
            continue;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Memory that is really there: the kernel gives pages only for what is written, and shares those that are all zero.
fn touched(bytes: u64) -> Vec<u8> {
    vec![0xC5; usize::try_from(bytes).unwrap_or(0)]
}
