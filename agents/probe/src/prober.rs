//! Asks the questions of an experiment in open loop: when a question is due was fixed before the run began, and no answer,
//! however slow, delays the next one.
//!
//! ```text
//! thread `prober`: one core, one small runtime
//!   schedules ── earliest due ──▶ alarm (timerfd) ──▶ a task a question ──▶ ledger ── ≤ 5 ms ──▶ SampleBatch
//!        ▲                                                 │ too many in flight: Shed
//!        └── commands: retarget, stop                      └ panic, timeout, no answer: a bad sample
//! ```
//!
//! # Guarantees
//! - Due times are `t0 + (i + Uᵢ) · every`, with Uᵢ in `[0, 1)` from the seed: the same seed asks at the same offsets.
//! - A sample's `[sent, done]` holds the moments at which the question left and at which its answer was known (RULES 27).
//! - At most [`in_flight_max`] questions of a kind are in flight; one more is shed, and counted, and so is one that
//!   could only be asked so late that it would be void (RULES 30).
//! - A batch leaves at the latest 5 ms after its first sample has ended.
//! - Memory is bounded: when nobody takes the batches, asking stops, and the lag of what follows says so.
//! - A panic inside a probe is a bad sample.

mod alarm;
mod ask;
mod ledger;
mod limits;
mod line;
mod open;
mod ready;
mod schedule;
mod thread;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use chaos_core::experiment::Question;
use chaos_core::probe::{ProbeError, ProbeTable};
use chaos_core::sample::{Asked, SampleBatch};
use chaos_core::secret::Secrets;
use chaos_core::target::Target;
use tokio::sync::{mpsc, oneshot};

pub use limits::{descriptors_needed, in_flight_max, raise_descriptor_limit};
pub use ready::{NotReady, wait_until_good};

/// Batches that may wait for their reader.
const BATCHES_MAX: usize = 1024;

/// One question of an experiment, and for whom it is asked.
#[derive(Debug, Clone)]
pub struct AskedQuestion {
    /// Index of the hypothesis in the experiment.
    pub hypothesis: usize,
    /// Which of its questions.
    pub asked: Asked,
    /// What is asked, how often, and what is good.
    pub question: Question,
    /// The fields that objectives speak of: each becomes a column of values in the batches. `latency` is one.
    pub measured: BTreeSet<String>,
    /// The members of the target set in `of:`.
    pub targets: Vec<Target>,
}

/// A question that cannot be asked at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotOpened {
    /// Index of the hypothesis in the experiment.
    pub hypothesis: usize,
    /// Which of its questions.
    pub asked: Asked,
    /// Why.
    pub error: ProbeError,
}

/// Why no question was asked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host gave no thread, timer or socket set to ask with.
    #[error("start the prober: {0}")]
    Host(#[from] std::io::Error),
    /// Some questions cannot be asked; all of them are listed.
    #[error("{}", list(.0))]
    NotOpened(Vec<NotOpened>),
}

fn list(failed: &[NotOpened]) -> String {
    let messages: Vec<_> = failed.iter().map(|f| f.error.message.as_str()).collect();
    messages.join("; ")
}

/// What the prober is asked while it runs.
enum Command {
    Retarget { hypothesis: usize, asked: Asked, targets: Vec<Target> },
    Stop,
}

/// A running prober. Dropped, it stops at once: questions in flight are given up, and their connections and processes with
/// them.
#[derive(Debug)]
pub struct Prober {
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Prober {
    /// Opens every question, then begins to ask. Secrets are filled in here and nowhere before.
    ///
    /// The receiver ends after [`Prober::stop`], when the last sample has been handed over.
    ///
    /// # Errors
    /// If any question cannot be opened; then none was asked.
    pub async fn start(
        table: Arc<ProbeTable>,
        questions: Vec<AskedQuestion>,
        seed: u64,
        secrets: Secrets,
        folder: PathBuf,
    ) -> Result<(Self, mpsc::Receiver<SampleBatch>), StartError> {
        let (commands, commands_in) = mpsc::unbounded_channel();
        let (batches_out, batches) = mpsc::channel(BATCHES_MAX);
        let (opened_out, opened) = oneshot::channel();
        let work = thread::Work { table, questions, seed, secrets, folder, commands: commands_in, batches: batches_out };
        let thread = std::thread::Builder::new().name("prober".into()).spawn(move || work.run(opened_out))?;
        let prober = Self { commands: Some(commands), thread: Some(thread) };
        opened.await.unwrap_or_else(|_| Err(std::io::Error::other("its thread ended").into()))?;
        Ok((prober, batches))
    }

    /// Looks at other targets from now on (a set that was found again). Questions in flight end as they began.
    pub fn retarget(&self, hypothesis: usize, asked: Asked, targets: Vec<Target>) {
        self.send(Command::Retarget { hypothesis, asked, targets });
    }

    /// Asks no more. What is in flight is still answered, within its timeout; then the receiver ends.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that has ended has closed the receiver of batches: the caller learns it there.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Short: it only drops what it holds. A panic in there has nobody left to be told.
            let _ = thread.join();
        }
    }
}
