//! What lies in a state directory: which runs live, which are residue, which are not ours.

use std::io;

use crate::event::HostId;
use crate::host_id::euid;
use crate::journal::{Contents, Journal, JournalError, Writer};
use crate::state_dir::StateDir;

/// One unfinished journal.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its run.
    pub run: String,
    /// Whose it is.
    pub standing: Standing,
    /// What it says; empty where it cannot be read.
    pub contents: Contents,
}

/// What may be done with a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A living executor holds it.
    Live,
    /// Left by a dead executor of this boot.
    Residue,
    /// Left by an executor of an earlier boot of this host.
    BeforeReboot,
    /// Left by a dead executor in another container of this host: files are the same here, process ids are not.
    OtherContainer,
    /// Of another host or user: listed, never acted on.
    Foreign(String),
    /// It cannot be read at all.
    Unreadable(String),
}

/// Every unfinished journal, oldest first.
///
/// # Errors
/// If the folder cannot be read.
pub fn survey(state: &StateDir) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for run in state.unfinished()? {
        let (standing, contents) = match look(state, &run) {
            Ok(found) => found,
            // Finished between the listing and the look.
            Err(JournalError::Absent(_)) => continue,
            Err(e) => (Standing::Unreadable(e.to_string()), Contents::default()),
        };
        all.push(Found { run, standing, contents });
    }
    Ok(all)
}

/// What keeps a new run from starting here: everything that is not live, not foreign, and not over.
///
/// # Errors
/// If the folder cannot be read.
pub fn residue(state: &StateDir) -> io::Result<Vec<Found>> {
    let mut found = survey(state)?;
    found.retain(|f| match f.standing {
        Standing::Live | Standing::Foreign(_) => false,
        Standing::Unreadable(_) => true,
        Standing::Residue | Standing::BeforeReboot | Standing::OtherContainer => !f.contents.is_over(),
    });
    Ok(found)
}

/// Whose one journal is, without touching it.
pub(super) fn look(state: &StateDir, run: &str) -> Result<(Standing, Contents), JournalError> {
    let (contents, locked) = Journal::look(state, run)?;
    let live = locked && !contents.holder.as_ref().is_some_and(is_dying);
    Ok((standing(&contents, live), contents))
}

/// A killed executor holds its lock until its last thread is gone, which is a little after its death.
fn is_dying(holder: &Writer) -> bool {
    let here = HostId::here();
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", holder.pid));
    let dead = |stat: String| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    holder.host.boot == here.boot && here.shares_pids_with(&holder.host) && stat().map_or(true, dead)
}

fn standing(contents: &Contents, live: bool) -> Standing {
    if live {
        return Standing::Live;
    }
    match &contents.writer {
        Some(writer) => whose(writer, &HostId::here(), euid()),
        None if contents.is_over() => Standing::Residue,
        None => Standing::Unreadable("its first line is damaged, so nobody knows on which host and boot its undo holds".into()),
    }
}

pub(super) fn whose(writer: &Writer, here: &HostId, uid: u32) -> Standing {
    let host = &writer.host;
    if !here.is_host_of(host) {
        return Standing::Foreign(format!("written on another host, {}", host.name));
    }
    if writer.uid != uid {
        return Standing::Foreign(format!("written by user {}", writer.uid));
    }
    if host.boot != here.boot {
        return Standing::BeforeReboot;
    }
    if here.shares_pids_with(host) { Standing::Residue } else { Standing::OtherContainer }
}
