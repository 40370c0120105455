//! What is done to a file, decided before anything is done, and how it is recognised.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use chaos_core::FaultError;
use chaos_core::fault::{InjectionId, Presence};
use chaos_core::literal::Size;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::standing::{flipped, is_cut};
use super::{Original, Spec};
use crate::faults::failed;
use crate::file::{Kept, Times, fill};

/// More than this is not a few bytes any more.
pub(super) const MOST_FLIPS: u64 = 1 << 20;

/// How much of a replacement is looked at to recognise it.
const HEAD: usize = 64 << 10;

/// One kind of damage, with all that is needed to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Damage {
    /// Cut.
    Truncate {
        /// To this length.
        to: u64,
    },
    /// Bytes changed.
    Flip {
        /// Which, and how.
        seed: u64,
        /// How many.
        count: u64,
        /// SHA-256 of the bytes at these places, as they were.
        before: String,
        /// The same, as they become.
        after: String,
    },
    /// Gone.
    Delete,
    /// Another file.
    Replace {
        /// Its source.
        with: PathBuf,
        /// Its length.
        size: u64,
        /// SHA-256 of its first 64 KiB.
        head: String,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncate { to } => write!(f, "cut to {}", Size::from_bytes(*to)),
            Self::Flip { count: 1, .. } => f.write_str("1 byte changed"),
            Self::Flip { count, .. } => write!(f, "{count} bytes changed"),
            Self::Delete => f.write_str("gone"),
            Self::Replace { with, .. } => write!(f, "replaced by {}", with.display()),
        }
    }
}

impl Damage {
    /// Decides what exactly is done.
    ///
    /// # Errors
    /// If it would have no effect on this file.
    pub(super) fn choose(spec: &Spec, file: &File, original: &Original, id: &InjectionId) -> Result<Self, FaultError> {
        if let Some(to) = spec.truncate {
            if to.bytes() >= original.size {
                return Err(
                    FaultError::new(format!("cut to {to}: the file has only {}", Size::from_bytes(original.size))).hint("ask for less")
                );
            }
            return Ok(Self::Truncate { to: to.bytes() });
        }
        if let Some(count) = spec.flip {
            if original.size == 0 {
                return Err(FaultError::new("change bytes: the file is empty"));
            }
            let (seed, count) = (seed_of(id), count.bytes().min(original.size));
            let flips = Flip::all(seed, count, original.size);
            let bytes = read_at(file, &flips).map_err(|e| failed("read the bytes to be changed", &e))?;
            let changed: Vec<u8> = bytes.iter().zip(&flips).map(|(byte, flip)| byte ^ flip.mask).collect();
            return Ok(Self::Flip { seed, count, before: digest(&bytes), after: digest(&changed) });
        }
        let Some(with) = spec.replace.clone() else {
            return Ok(Self::Delete);
        };
        let wrong = |e: io::Error| failed(&format!("open the replacement {}", with.display()), &e);
        let replacement = File::open(&with).map_err(wrong)?;
        let meta = replacement.metadata().map_err(wrong)?;
        if !meta.is_file() {
            return Err(FaultError::new(format!("the replacement {} is not a regular file", with.display())));
        }
        let head = head_of(&replacement).map_err(wrong)?;
        Ok(Self::Replace { with, size: meta.len(), head })
    }

    /// Under which name the original waits in the vault.
    pub(super) fn kept(&self) -> Kept {
        if matches!(self, Self::Replace { .. }) { Kept::Replacement } else { Kept::Original }
    }

    /// How much of it is to be seen in the file as it is now. By the copy of the original, where there is one, it is seen just as it is
    /// taken back.
    pub(super) fn inspect(&self, file: &File, backup: Option<&File>, original: &Original) -> io::Result<Presence> {
        let meta = file.metadata()?;
        let same_file = meta.ino() == original.inode;
        if !same_file && !matches!(self, Self::Replace { .. }) {
            return Ok(Presence::none().finding("another file lies there now"));
        }
        let rewritten = || Presence::none().finding("the file was written to since");
        Ok(match self {
            Self::Truncate { to } if meta.len() == *to => Presence::whole(),
            Self::Truncate { to } if backup.map_or(Ok(false), |backup| is_cut(file, backup, *to, original.size))? => {
                Presence::partial("it is longer than it was cut to")
            }
            Self::Truncate { .. } if meta.len() == original.size => Presence::none(),
            Self::Truncate { .. } => rewritten(),
            Self::Flip { seed, count, before, after } => {
                let flips = Flip::all(*seed, *count, original.size);
                let now = digest(&read_at(file, &flips)?);
                let standing = match backup {
                    Some(backup) => flipped(file, backup, &flips)?.len(),
                    None if now == *after => flips.len(),
                    None => 0,
                };
                match standing {
                    0 if now == *before => Presence::none(),
                    0 => rewritten(),
                    n if n == flips.len() => Presence::whole(),
                    n => Presence::partial(format!("{n} of {} bytes are as they were made", flips.len())),
                }
            }
            Self::Replace { .. } if same_file => Presence::none(),
            Self::Replace { .. } if self.is_our_replacement(file, original)? => Presence::whole(),
            Self::Replace { .. } => Presence::none().finding("another file lies there now"),
            Self::Delete => Presence::none(),
        })
    }

    /// Our copies bear the original's time of writing; whoever writes to one changes that.
    pub(super) fn is_our_replacement(&self, file: &File, original: &Original) -> io::Result<bool> {
        let Self::Replace { size, head, .. } = self else { return Ok(false) };
        let meta = file.metadata()?;
        let marked = Times::of(&meta).modified == original.times.modified && meta.ino() != original.inode;
        Ok(marked && meta.len() == *size && head_of(file)? == *head)
    }
}

/// One byte to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flip {
    /// Where.
    pub(super) at: u64,
    /// By which bits; never none.
    pub(super) mask: u8,
}

impl Flip {
    /// All of them, in the order of the file: the same for the same seed.
    pub(super) fn all(seed: u64, count: u64, size: u64) -> Vec<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let places: BTreeSet<u64> = if count >= size {
            (0..size).collect()
        } else {
            let mut places = BTreeSet::new();
            while (places.len() as u64) < count {
                places.insert(random.random_range(0..size));
            }
            places
        };
        places.into_iter().map(|at| Self { at, mask: random.random_range(1..=u8::MAX) }).collect()
    }
}

fn seed_of(id: &InjectionId) -> u64 {
    let digest = Sha256::digest(id.to_string());
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

fn read_at(file: &File, flips: &[Flip]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(flips.len());
    for flip in flips {
        let mut byte = [0];
        if fill(file, flip.at, &mut byte)? == 1 {
            bytes.push(byte[0]);
        }
    }
    Ok(bytes)
}

fn head_of(file: &File) -> io::Result<String> {
    let mut head = vec![0; HEAD];
    let got = fill(file, 0, &mut head)?;
    Ok(digest(&head[..got]))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
