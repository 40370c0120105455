//! What the faults that are held by a helper have in common.

use std::io;
use std::time::{Duration, Instant};

use chaos_core::FaultError;
use chaos_core::fault::{Armed, Bystanders, Reverted};
use tokio::time::sleep;

use super::{failed, look};
use crate::process::{Entry, Kin, Snapshot, living, name_of};
use crate::world::Host;

/// How long a helper may take to start.
const START: Duration = Duration::from_secs(5);

/// How long a helper may take no more before what it has is all there will be.
const STALL: Duration = Duration::from_secs(5);

/// The longest time between two looks, each of which is at every process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a helper is.
pub(super) enum Reached {
    /// All that was asked for.
    All,
    /// So much of it.
    Some(u64),
}

/// Waits until a helper that was just started has its effect, or no more of it comes, asking to stop and looking for its death between
/// two looks. What is missing is for `inspect` to say.
pub(super) async fn started<U>(
    armed: &Armed<U>,
    start: io::Result<()>,
    mut look_at_it: impl FnMut() -> io::Result<Reached>,
) -> Result<(), FaultError> {
    start.map_err(|e| failed("start a helper", &e))?;
    let tag = armed.id().tag();
    let began = Instant::now();
    let mut seen = false;
    let (mut most, mut since) = (0, began);
    let mut wait = Duration::from_millis(5);
    loop {
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        match look_at_it().map_err(|e| failed("look at the helper", &e))? {
            Reached::All => return Ok(()),
            Reached::Some(more) if more > most => (most, since) = (more, Instant::now()),
            Reached::Some(_) => {}
        }
        let alive = is_still_held(&tag, &look()?)?.is_some();
        let should_live = seen || began.elapsed() > START;
        if should_live && !alive {
            return Err(FaultError::new("the helper ended before it had its effect"));
        }
        if alive && !seen {
            (seen, since) = (true, Instant::now());
        }
        if seen && since.elapsed() > STALL {
            return Ok(());
        }
        sleep(wait).await;
        wait = (wait * 2).min(LOOK_EVERY);
    }
}

/// The helper of this tag, if it lives.
pub(super) fn is_still_held(tag: &str, snapshot: &Snapshot) -> Result<Option<Entry>, FaultError> {
    let found = living(tag).map_err(|e| failed("look for the helper", &e))?;
    Ok(found.into_iter().find_map(|id| snapshot.alive(id).cloned()))
}

/// Ends the helper of this tag, whoever started it.
pub(super) fn end(world: &Host, tag: &str) -> Result<Reverted, FaultError> {
    let ended = world.end_helpers(tag).map_err(|e| failed("end the helper", &e))?;
    Ok(if ended { Reverted::note("the helper was ended") } else { Reverted::default() })
}

/// The same for a person.
pub(super) fn kill_by_tag(tag: &str) -> String {
    format!("grep -lsz '^CHAOS_TAG={tag}$' /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r kill -9")
}

/// Everybody on the host but the target; named are those who worked most.
pub(super) fn bystanders_of_host(snapshot: &Snapshot, target: &Kin) -> Bystanders {
    const NAMED: usize = 3;
    let kin = target.living(snapshot);
    let mut others: Vec<&Entry> = snapshot.living().filter(|e| !e.is_kernel() && !kin.contains(&e.id)).collect();
    others.sort_by_key(|e| std::cmp::Reverse(e.cpu_ticks));
    Bystanders {
        count: others.len() as u64,
        names: others.iter().take(NAMED).map(|e| format!("{} (pid {})", name_of(e.id.pid), e.id.pid)).collect(),
    }
}
