//! What a program says of itself, behind its last answer.

use chaos_core::FaultError;
use serde::{Deserialize, Serialize};

use super::assemble::{ANSWER, Instruction, LD_NUMBER};
use super::{LONGEST, NOT_MATCHED, compile};
use crate::net::flow::{Match, Way};

/// Four letters that begin what a program says of itself.
const MARK: u32 = u32::from_be_bytes(*b"chao");

/// Whose a filter is, and what it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    /// The injection's tag.
    pub(crate) tag: String,
    /// Which way.
    pub(crate) way: Way,
    /// Which packets.
    pub(crate) packets: Match,
}

/// It does not fit into a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl From<TooLong> for FaultError {
    fn from(_: TooLong) -> Self {
        Self::new("these are more addresses and ports than one filter of the kernel can hold")
            .hint("name networks (`10.0.0.0/8`) instead of single addresses")
    }
}

impl Label {
    /// Of what meets no packet, and only says whose something is.
    pub(crate) fn mark(tag: &str) -> Self {
        Self { tag: tag.to_owned(), way: Way::Out, packets: Match::default() }
    }

    /// Does it meet no packet?
    pub(crate) fn is_mark(&self) -> bool {
        self.packets.flows.is_empty()
    }

    /// The program that matches these packets and says so: eight bytes an instruction.
    ///
    /// # Errors
    /// If it is longer than the kernel takes.
    pub(crate) fn program(&self) -> Result<Vec<u8>, TooLong> {
        let mut program = compile(&self.packets, self.way);
        let text = serde_json::to_vec(self).map_err(|_| TooLong)?;
        let length = u32::try_from(text.len()).map_err(|_| TooLong)?;
        let words = text.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_be_bytes(word)
        });
        program.extend([MARK, length].into_iter().chain(words).map(|k| Instruction { code: LD_NUMBER, jt: 0, jf: 0, k }));
        // The kernel takes no program that does not end with an answer.
        program.push(Instruction { code: ANSWER, jt: 0, jf: 0, k: NOT_MATCHED });
        if program.len() > LONGEST {
            return Err(TooLong);
        }
        Ok(program.into_iter().flat_map(Instruction::bytes).collect())
    }

    /// Of a program as the kernel gives it back, whichever version of us wrote it. `None`: it is not ours.
    pub(crate) fn of(program: &[u8]) -> Option<Self> {
        let numbers: Vec<Instruction> =
            program.chunks_exact(Instruction::SIZE).filter_map(|c| Some(Instruction::read(c.try_into().ok()?))).collect();
        let (_, numbers) = numbers.split_last()?;
        let behind = numbers.iter().rposition(|i| i.code != LD_NUMBER).map_or(0, |at| at + 1);
        let [mark, length, words @ ..] = numbers.get(behind..)? else { return None };
        let text: Vec<u8> = words.iter().flat_map(|i| i.k.to_be_bytes()).collect();
        if mark.k != MARK {
            return None;
        }
        serde_json::from_slice(text.get(..usize::try_from(length.k).ok()?)?).ok()
    }
}
