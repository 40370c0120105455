//! The exit code: a pure function of what is known about a run (DESIGN section 6, RULES 32).

use serde::{Deserialize, Serialize};

/// Everything that the exit code depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own; the code is a table over all of them")]
pub struct Facts {
    /// Something of ours is still there, or could not be inspected.
    pub residue: bool,
    /// A defect of `chaos` itself.
    pub defect: bool,
    /// The command line or the experiment is wrong; nothing was done.
    pub refused: bool,
    /// The system was not well to begin with; nothing was injected.
    pub baseline_missed: bool,
    /// Ended by a person, a signal, the lever, or because the coordinator was lost.
    pub aborted: bool,
    /// A fault could not be injected or had no effect, or a command of the method failed.
    pub not_injected: bool,
    /// At least one hypothesis is refuted.
    pub refuted: bool,
    /// A stop condition was met.
    pub stopped: bool,
    /// At least one hypothesis says too little, or a part of the method was left out.
    pub inconclusive: bool,
}

/// The verdict of a run in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Headline {
    /// Something is left behind.
    Residue,
    /// A defect of `chaos` itself.
    Defect,
    /// The command line or the experiment is wrong.
    Refused,
    /// The system was not well to begin with.
    BaselineNotMet,
    /// Ended early from outside.
    Aborted,
    /// A fault could not be injected or had no effect.
    NotInjected,
    /// The system did not do what was claimed.
    Refuted,
    /// Ended early by a stop condition.
    Stopped,
    /// Too little evidence.
    Inconclusive,
    /// The system did what was claimed.
    Upheld,
}

impl Facts {
    /// The most important fact: `7 > 70 > 2 > 4 > 5 > 6 > 1 > 5 (stop condition) > 3 > 0`.
    #[must_use]
    pub const fn headline(self) -> Headline {
        if self.residue {
            Headline::Residue
        } else if self.defect {
            Headline::Defect
        } else if self.refused {
            Headline::Refused
        } else if self.baseline_missed {
            Headline::BaselineNotMet
        } else if self.aborted {
            Headline::Aborted
        } else if self.not_injected {
            Headline::NotInjected
        } else if self.refuted {
            Headline::Refuted
        } else if self.stopped {
            Headline::Stopped
        } else if self.inconclusive {
            Headline::Inconclusive
        } else {
            Headline::Upheld
        }
    }

    /// The exit code of the run.
    ///
    /// ```
    /// let facts = chaos::judge::Facts { refuted: true, residue: true, ..Default::default() };
    /// assert_eq!(facts.exit(), 7);
    /// ```
    #[must_use]
    pub const fn exit(self) -> u8 {
        self.headline().exit()
    }
}

impl Headline {
    /// Its exit code.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Upheld => 0,
            Self::Refuted => 1,
            Self::Refused => 2,
            Self::Inconclusive => 3,
            Self::BaselineNotMet => 4,
            Self::Aborted | Self::Stopped => 5,
            Self::NotInjected => 6,
            Self::Residue => 7,
            Self::Defect => 70,
        }
    }

    /// In words, for a heading.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Residue => "residue was left",
            Self::Defect => "a defect of chaos",
            Self::Refused => "refused",
            Self::BaselineNotMet => "baseline not met",
            Self::Aborted => "aborted",
            Self::NotInjected => "not injected",
            Self::Refuted => "refuted",
            Self::Stopped => "stopped",
            Self::Inconclusive => "inconclusive",
            Self::Upheld => "upheld",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order as RULES 32 writes it, each fact with its code.
    type Set = fn(&mut Facts);
    const ORDER: [(u8, Set); 9] = [
        (7, |f| f.residue = true),
        (70, |f| f.defect = true),
        (2, |f| f.refused = true),
        (4, |f| f.baseline_missed = true),
        (5, |f| f.aborted = true),
        (6, |f| f.not_injected = true),
        (1, |f| f.refuted = true),
        (5, |f| f.stopped = true),
        (3, |f| f.inconclusive = true),
    ];

    #[test]
    fn rule_32_the_exit_code_over_every_combination_of_facts() {
        for combination in 0_u32..1 << ORDER.len() {
            let mut facts = Facts::default();
            let mut expected = 0;
            for (i, (code, set)) in ORDER.iter().enumerate().rev() {
                if combination & (1 << i) != 0 {
                    set(&mut facts);
                    expected = *code;
                }
            }
            assert_eq!(facts.exit(), expected, "{facts:?}");
        }
    }
}
