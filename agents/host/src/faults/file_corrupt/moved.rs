//! Damage by moving the original aside, whole, and its return.

use std::io;
use std::os::unix::fs::MetadataExt;

use chaos_core::FaultError;
use rustix::fs::RenameFlags;

use super::damage::Damage;
use super::{Corruption, Restored, failed};

/// Moves the original to the vault, or lets it change places with the replacement there.
pub(super) fn damage(corruption: &Corruption) -> Result<(), FaultError> {
    corruption.unchanged(false)?;
    let how = if corruption.damage == Damage::Delete { RenameFlags::NOREPLACE } else { RenameFlags::EXCHANGE };
    let moved = match corruption.vault.place_of(corruption.damage.kept()) {
        Ok(Some(vault)) => corruption.place.move_to(&vault, how),
        Ok(None) => Err(io::Error::other("the place for the original is gone")),
        Err(error) => Err(error),
    };
    moved.map_err(|e| failed(&format!("move {} aside", corruption.place.path().display()), &e))
}

/// Brings the original back, unless the system has written something newer.
pub(super) fn restore(corruption: &Corruption) -> io::Result<Restored> {
    let kept = corruption.damage.kept();
    let aside = corruption.vault.get(kept)?;
    // Before the exchange, and after it was taken back, what lies in the vault is not the original.
    let is_aside = match &aside {
        Some(file) => file.metadata()?.ino() == corruption.original.inode,
        None => false,
    };
    let vault = corruption.vault.place_of(kept)?;
    let (true, Some(vault)) = (is_aside, vault) else {
        return Ok(Restored::whole());
    };
    let Some(file) = corruption.place.open(false)? else {
        vault.move_to(&corruption.place, RenameFlags::NOREPLACE)?;
        return Ok(Restored::whole());
    };
    if !corruption.damage.is_our_replacement(&file, &corruption.original)? {
        return Ok(Restored::newer(corruption));
    }
    vault.move_to(&corruption.place, RenameFlags::EXCHANGE)?;
    Ok(Restored::whole())
}
