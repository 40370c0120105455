//! Damage where the file lies, and its repair byte by byte from the copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use chaos_core::FaultError;
use chaos_core::fault::Reverted;
use rustix::fs::RenameFlags;

use super::damage::{Damage, Flip};
use super::{Corruption, failed, not_the_folder};
use crate::file::{Kept, cut, each_chunk, fill, flip, repair};

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

/// Puts back what was there, unless the system has written something newer.
pub(super) fn restore(corruption: &Corruption) -> io::Result<Reverted> {
    let Some(backup) = corruption.vault.get(Kept::Original)? else {
        return unstaged(corruption);
    };
    let Some(file) = corruption.place.open(true)? else {
        return put_back(corruption);
    };
    if file.metadata()?.ino() != corruption.original.inode || !is_ours(&file, &backup, corruption)? {
        return Ok(Reverted::note("kept the newer file that the system has written since"));
    }
    repair(&file, &backup)?;
    corruption.original.times.set(&file)?;
    file.sync_all()?;
    Ok(Reverted::default())
}

/// Nothing was kept: either nothing was done, or it is all over.
fn unstaged(corruption: &Corruption) -> io::Result<Reverted> {
    let presence = corruption.inspect()?;
    if presence.in_place == chaos_core::fault::InPlace::None {
        return Ok(Reverted::default());
    }
    Err(io::Error::other("the file is damaged, and the copy of its original is gone"))
}

/// Somebody has removed the damaged file: the original takes its place.
fn put_back(corruption: &Corruption) -> io::Result<Reverted> {
    if corruption.place.folder()?.is_none() {
        return Err(not_the_folder());
    }
    let kept = corruption.vault.place_of(Kept::Original)?.ok_or(io::ErrorKind::NotFound)?;
    kept.move_to(&corruption.place, RenameFlags::NOREPLACE)?;
    Ok(Reverted::note("the damaged file had been removed: the original was put back"))
}

/// Is every byte either the original's or the damaged one's? Then nobody else has written, and a repair that was cut off goes on.
fn is_ours(file: &File, backup: &File, corruption: &Corruption) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let (least, flips) = match &corruption.damage {
        Damage::Truncate { to } => (*to, Vec::new()),
        Damage::Flip { seed, count, .. } => (corruption.original.size, Flip::all(*seed, *count, corruption.original.size)),
        Damage::Delete | Damage::Replace { .. } => return Ok(false),
    };
    if length < least || length > corruption.original.size {
        return Ok(false);
    }
    let mut flips = flips.into_iter().peekable();
    let mut theirs = Vec::new();
    let mut ours = true;
    each_chunk(file, |at, bytes| {
        theirs.resize(bytes.len(), 0);
        ours &= fill(backup, at, &mut theirs)? == bytes.len();
        for (index, (now, original)) in bytes.iter().zip(&theirs).enumerate() {
            let flip = flips.next_if(|flip| flip.at == at + index as u64);
            ours &= now == original || flip.is_some_and(|flip| *now == original ^ flip.mask);
        }
        Ok(())
    })?;
    Ok(ours)
}
