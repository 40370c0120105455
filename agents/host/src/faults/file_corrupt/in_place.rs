//! Damage where the file lies, and its repair byte by byte from the copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use chaos_core::FaultError;
use chaos_core::fault::InPlace;
use rustix::fs::RenameFlags;

use super::damage::{Damage, Flip};
use super::standing::{flipped, is_cut, is_ours_alone};
use super::{Corruption, Restored, failed};
use crate::file::{Kept, cut, flip, give_back_belongings, put_back_bytes, repair};

/// Cuts the file or changes its bytes.
pub(super) fn damage(corruption: &Corruption) -> Result<(), FaultError> {
    let file = corruption.unchanged(true)?;
    let done = match &corruption.damage {
        Damage::Flip { seed, count, .. } => flip(&file, Flip::all(*seed, *count, corruption.original.size).iter().map(|f| (f.at, f.mask)))
            // A disk that forgets leaves no trace in the times.
            .and_then(|()| corruption.original.times.set(&file)),
        Damage::Truncate { to } => cut(&file, *to),
        Damage::Delete | Damage::Replace { .. } => Ok(()),
    };
    done.map_err(|e| failed(&format!("damage {}", corruption.place.path().display()), &e))
}

/// Puts back what was there. Where the system has written meanwhile, only what is still as we made it is put back, and the copy stays.
pub(super) fn restore(corruption: &Corruption) -> io::Result<Restored> {
    let Some(backup) = corruption.vault.get(Kept::Original)? else {
        return unstaged(corruption);
    };
    let Some(now) = corruption.place.open(false)? else {
        return put_back(corruption);
    };
    if now.metadata()?.ino() != corruption.original.inode {
        return Ok(Restored::newer(corruption));
    }
    let ours_alone = is_ours_alone(&now, &backup, corruption)?;
    let file = match corruption.place.open(true) {
        Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && ours_alone => return exchange(corruption),
        opened => opened?.filter(|file| file.metadata().is_ok_and(|m| m.ino() == corruption.original.inode)),
    };
    let file = file.ok_or_else(|| io::Error::other("the file was replaced while it was being looked at"))?;
    if !ours_alone {
        take_back_ours(&file, &backup, corruption)?;
        return Ok(Restored::newer(corruption));
    }
    repair(&file, &backup, 0)?;
    give_back_belongings(&backup, &file)?;
    corruption.original.times.set(&file)?;
    file.sync_all()?;
    Ok(Restored::whole())
}

/// Undoes what is still as we made it, and leaves what others wrote.
fn take_back_ours(file: &File, backup: &File, corruption: &Corruption) -> io::Result<()> {
    let size = corruption.original.size;
    match &corruption.damage {
        Damage::Flip { seed, count, .. } => put_back_bytes(file, flipped(file, backup, &Flip::all(*seed, *count, size))?),
        Damage::Truncate { to } if is_cut(file, backup, *to, size)? => repair(file, backup, *to),
        Damage::Truncate { .. } | Damage::Delete | Damage::Replace { .. } => Ok(()),
    }
}

/// Nothing was kept: either nothing was done, or it is all over.
fn unstaged(corruption: &Corruption) -> io::Result<Restored> {
    if corruption.inspect()?.in_place == InPlace::None {
        return Ok(Restored::whole());
    }
    Err(io::Error::other("the file is damaged, and the copy of its original is gone"))
}

/// Somebody has removed the damaged file: the original takes its place.
fn put_back(corruption: &Corruption) -> io::Result<Restored> {
    move_back(corruption, RenameFlags::NOREPLACE)?;
    Ok(Restored::whole().noting("the damaged file had been removed: the original was put back"))
}

/// A program that runs cannot be written to: the copy takes its place, and the damaged file goes with the vault.
fn exchange(corruption: &Corruption) -> io::Result<Restored> {
    move_back(corruption, RenameFlags::EXCHANGE)?;
    Ok(Restored::whole().noting("the damaged file is being executed: a copy of the original took its place"))
}

fn move_back(corruption: &Corruption, how: RenameFlags) -> io::Result<()> {
    let kept = corruption.vault.place_of(Kept::Original)?.ok_or(io::ErrorKind::NotFound)?;
    kept.move_to(&corruption.place, how)
}
