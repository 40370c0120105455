//! The ranker's model file: written once, read by a replica at its start and never again.
//!
//! ```text
//! "CHAOSRNK" │ version u32 │ count u32 │ sha256 of the rest │ count × f32   (little endian)
//!     8            4           4               32             bias, weight of feature 0, 1, …
//! ```
//!
//! A file that was damaged while a replica runs does not hurt that replica: the damage shows at its
//! next start. That is how real model servers behave, and why such damage is called latent.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{failure::Failure, notice};

const MAGIC: &[u8; 8] = b"CHAOSRNK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;

/// Bias and weights: 16 KiB of them, so that the file does not fit into a corner of a full disk.
const COUNT: usize = 4096;

/// Larger files are no rankers; they are refused before they are read.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// Name of the model file in its directory.
pub(crate) const FILE_NAME: &str = "ranker.bin";

/// Where to write the model file.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory of the model file `ranker.bin`; made if it does not exist
    directory: PathBuf,
}

/// Writes the model file unless it is there already.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let path = options.directory.join(FILE_NAME);
    let what = if install(&path)? { "written" } else { "there already" };
    notice::say("weights", format_args!("{} is {what}", path.display()));
    Ok(())
}

/// A logistic regression: the smallest model that ranks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    bias: f32,
    weights: Vec<f32>,
}

/// What is wrong with a model file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it does not begin with a ranker's header")]
    Header,
    #[error("version {0} is not known, only {VERSION}")]
    Version(u32),
    #[error("it is {found} bytes long instead of {expected}")]
    Length { found: usize, expected: usize },
    #[error("its checksum does not match its content")]
    Checksum,
}

impl Weights {
    /// The one ranker, the same on every machine. Asked about nobody (no features at all) it answers
    /// sigmoid(1) = 0.731: the golden answer that experiments compare with.
    pub(crate) fn ranker() -> Self {
        // splitmix64: tiny, and the same numbers everywhere.
        let mut state = 0x7261_6e6b_6572_u64;
        let mut draw = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            // The upper 16 bits, as a weight in [-0.5, 0.5).
            f32::from((mixed >> 48) as u16) / 65536.0 - 0.5
        };
        Self { bias: 1.0, weights: (1..COUNT).map(|_| draw()).collect() }
    }

    /// The probability that somebody with these features likes what is ranked. Features beyond the
    /// model's weights count nothing.
    pub(crate) fn score(&self, features: &[f32]) -> f32 {
        let sum: f32 = self.weights.iter().zip(features).map(|(weight, value)| weight * value).sum();
        1.0 / (1.0 + (-(self.bias + sum)).exp())
    }

    /// The bytes of the model file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers: Vec<u8> = std::iter::once(&self.bias).chain(&self.weights).flat_map(|number| number.to_le_bytes()).collect();
        let count = u32::try_from(self.weights.len() + 1).unwrap_or(u32::MAX);
        let mut file = Vec::with_capacity(HEADER_BYTES + numbers.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&count.to_le_bytes());
        file.extend_from_slice(&Sha256::digest(&numbers));
        file.extend_from_slice(&numbers);
        file
    }

    /// Reads the bytes of a model file, believing none of them.
    pub(crate) fn decode(file: &[u8]) -> Result<Self, Flaw> {
        let (header, numbers) = file.split_at_checked(HEADER_BYTES).ok_or(Flaw::Header)?;
        if &header[..8] != MAGIC {
            return Err(Flaw::Header);
        }
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        if word(8) != VERSION {
            return Err(Flaw::Version(word(8)));
        }
        let expected = (word(12) as usize).saturating_mul(4).saturating_add(HEADER_BYTES);
        if file.len() != expected || numbers.is_empty() {
            return Err(Flaw::Length { found: file.len(), expected });
        }
        if Sha256::digest(numbers).as_slice() != &header[16..] {
            return Err(Flaw::Checksum);
        }
        let mut numbers = numbers.chunks_exact(4).map(|bytes| f32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[i])));
        let bias = numbers.next().ok_or(Flaw::Header)?;
        Ok(Self { bias, weights: numbers.collect() })
    }

    /// Loads a model file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes))
            .map_err(|source| Failure::ModelRead { path: path.into(), source })?;
        Self::decode(&bytes).map_err(|flaw| Failure::ModelCorrupt { path: path.into(), flaw })
    }
}

/// Writes the model file, whole or not at all, unless something is there already. Says whether it did.
pub(crate) fn install(path: &Path) -> Result<bool, Failure> {
    if path.exists() {
        return Ok(false);
    }
    let unfinished = path.with_extension("unfinished");
    let written = write_new(path, &unfinished);
    if written.is_err() {
        // Half a file would fill the disk a little more at each try.
        let _ = fs::remove_file(&unfinished);
    }
    written.map(|()| true).map_err(|source| Failure::ModelWrite { path: path.into(), source })
}

fn write_new(path: &Path, unfinished: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = File::create(unfinished)?;
    file.write_all(&Weights::ranker().encode())?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_answer_is_the_same_everywhere() {
        let ranker = Weights::ranker();
        assert!((ranker.score(&[]) - 0.731).abs() < 0.001);
        assert_ne!(ranker.score(&[]), ranker.score(&[1.0]));
    }

    #[test]
    fn a_model_file_round_trips() {
        let file = Weights::ranker().encode();
        assert_eq!(file.len(), HEADER_BYTES + 4 * COUNT);
        assert_eq!(Weights::decode(&file), Ok(Weights::ranker()));
    }

    #[test]
    fn every_damage_is_found() {
        let file = Weights::ranker().encode();
        for at in (0..file.len()).step_by(97).chain(0..HEADER_BYTES) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(Weights::decode(&damaged).is_err(), "byte {at}");
        }
        for length in [0, 7, HEADER_BYTES, file.len() - 1] {
            assert!(Weights::decode(&file[..length]).is_err(), "cut to {length}");
        }
        let longer = [file.as_slice(), b"x"].concat();
        assert!(matches!(Weights::decode(&longer), Err(Flaw::Length { .. })));
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/down").join(FILE_NAME);
        assert!(install(&path).unwrap());
        fs::write(&path, b"mine").unwrap();
        assert!(!install(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(matches!(Weights::load(&path), Err(Failure::ModelCorrupt { .. })));
    }
}
