//! What of the damage still stands in a file where it lies: `inspect` reports exactly this, and `restore` takes exactly this back.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::Corruption;
use super::damage::{Damage, Flip};
use crate::file::{each_chunk, each_chunk_from, fill};

/// So many neighbours are looked at together.
const BLOCK: usize = 32;

/// The bytes that are as we made them, with what they were: `(where, original)`.
///
/// A byte is ours only among neighbours most of which are as they were: in what somebody has written anew, an equal byte is chance.
pub(super) fn flipped(file: &File, backup: &File, flips: &[Flip]) -> io::Result<Vec<(u64, u8)>> {
    let mut standing = Vec::new();
    for flips in flips.chunk_by(|a, b| a.at / BLOCK as u64 == b.at / BLOCK as u64) {
        let (mut now, mut was, mut masks) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        let from = flips[0].at / BLOCK as u64 * BLOCK as u64;
        for flip in flips {
            masks[place_in_block(flip)] = flip.mask;
        }
        let length = fill(file, from, &mut now)?.min(fill(backup, from, &mut was)?);
        let untouched = (0..length).filter(|i| now[*i] == was[*i] || now[*i] == was[*i] ^ masks[*i]).count();
        if 2 * untouched <= length {
            continue;
        }
        let ours = flips.iter().map(|flip| (flip, place_in_block(flip))).filter(|(flip, i)| *i < length && now[*i] == was[*i] ^ flip.mask);
        standing.extend(ours.map(|(flip, i)| (flip.at, was[i])));
    }
    Ok(standing)
}

#[allow(clippy::cast_possible_truncation, reason = "less than a block")]
fn place_in_block(flip: &Flip) -> usize {
    (flip.at % BLOCK as u64) as usize
}

/// Does the file end where we cut it, or in the middle of a repair of ours that was cut off?
pub(super) fn is_cut(file: &File, backup: &File, to: u64, size: u64) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length <= to || length >= size {
        return Ok(length == to);
    }
    let mut same = true;
    let mut theirs = Vec::new();
    each_chunk_from(file, to, |at, bytes| {
        theirs.resize(bytes.len(), 0);
        same &= fill(backup, at, &mut theirs)? == bytes.len() && theirs == bytes;
        Ok(())
    })?;
    Ok(same)
}

/// Is every byte either the original's or the damaged one's? Then nobody else has written, and a repair that was cut off goes on.
pub(super) fn is_ours_alone(file: &File, backup: &File, corruption: &Corruption) -> io::Result<bool> {
    let meta = file.metadata()?;
    let (least, flips) = match &corruption.damage {
        Damage::Truncate { to } => (*to, Vec::new()),
        Damage::Flip { seed, count, .. } => (corruption.original.size, Flip::all(*seed, *count, corruption.original.size)),
        Damage::Delete | Damage::Replace { .. } => return Ok(false),
    };
    if meta.ino() != corruption.original.inode || meta.len() < least || meta.len() > corruption.original.size {
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
