//! Ending everything that bears a tag: asked first, then killed, until two looks in a row find nobody.

use std::io;
use std::time::{Duration, Instant};

use chaos_core::target::ProcessId;
use rustix::process::Signal;

use super::{Held, Mark, Snapshot, tagged};

/// How long SIGKILL may take to be the end of everybody.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether they are gone.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There was nobody.
    Nobody,
    /// As they were asked to, within the grace.
    Asked,
    /// By SIGKILL.
    Killed,
}

/// The processes with this tag that live.
pub(crate) fn living(tag: &str) -> io::Result<Vec<ProcessId>> {
    tagged(&Snapshot::take()?, &Mark::Tag(tag.to_owned()))
}

/// SIGTERM to everybody with this tag, `grace`, SIGKILL. Without grace they are killed at once.
///
/// # Errors
/// If one may not be signalled, or survives SIGKILL.
pub(crate) fn end(tag: &str, grace: Duration) -> io::Result<Ending> {
    let asked = if grace.is_zero() { 0 } else { ask(tag)? };
    if gone_within(tag, grace)? {
        return Ok(if asked == 0 { Ending::Nobody } else { Ending::Asked });
    }
    let began = Instant::now();
    loop {
        signal(tag, Signal::KILL)?;
        if gone_within(tag, LOOK_EVERY)? {
            return Ok(Ending::Killed);
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{} processes survive SIGKILL", living(tag)?.len())));
        }
    }
}

fn ask(tag: &str) -> io::Result<usize> {
    let asked = signal(tag, Signal::TERM)?;
    // A process that stands still hears nothing.
    signal(tag, Signal::CONT)?;
    Ok(asked)
}

fn signal(tag: &str, signal: Signal) -> io::Result<usize> {
    let found = living(tag)?;
    for id in &found {
        if let Some(held) = Held::open(*id)? {
            held.signal(signal)?;
        }
    }
    Ok(found.len())
}

/// Two looks in a row, so that a child born during the first is not missed.
fn gone_within(tag: &str, longest: Duration) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        if living(tag)?.is_empty() && living(tag)?.is_empty() {
            return Ok(true);
        }
        if began.elapsed() >= longest {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
