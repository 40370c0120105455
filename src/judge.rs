//! The record of a run becomes a verdict. Pure: no clock is read, no file opened, the world is never touched, so a
//! verdict can be made again from the record alone, on another machine, years later.
//!
//! | file | idea |
//! |---|---|
//! | [`record`] | the events of a run, folded and merged |
//! | [`injection`] | what became of each fault: asked, in force, taken back, proved gone |
//! | [`window`] | when faults acted, as one hypothesis sees it |
//! | [`measure`] | metrics as a census of the samples of a window |
//! | [`statistics`] | Wilson intervals and bounds of quantiles |
//! | [`outage`] | rows of bad samples as intervals with true bounds |
//! | [`recovery`] | clocks from effect to well again |
//! | [`truth`] | what the system claimed against what its users got |
//! | [`gate`] | may anything be injected at all? |
//! | [`watch`] | the same questions while the run goes on: stop, wait, recovered |
//! | [`hypothesis`] | all of it together for one hypothesis |
//! | [`run`] | the same for the whole run, and what is left of it |
//! | [`exit`] | the exit code, a function of facts |
//! | [`verdict`] | what is written down and rendered |

pub mod exit;
pub mod gate;
pub mod hypothesis;
pub mod injection;
pub mod measure;
pub mod outage;
pub mod record;
pub mod recovery;
pub mod run;
pub mod statistics;
pub mod truth;
pub mod verdict;
pub mod watch;
pub mod window;
pub mod wording;

#[cfg(test)]
pub(crate) mod tests;

pub use exit::{Facts, Headline};
pub use gate::{Gate, gate};
pub use measure::samples_needed;
pub use record::{Folding, Reading, Record, RecordError, read_events};
pub use run::{by_whom, failed_command, judge};
pub use verdict::{State, Verdict};
pub use watch::{RecoveryWatch, StopWatch, WaitWatch};
