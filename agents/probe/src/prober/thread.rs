//! The prober's own thread: waits for the next due time, asks, hands over.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chaos_core::clock::Mono;
use chaos_core::probe::ProbeTable;
use chaos_core::sample::SampleBatch;
use chaos_core::secret::Secrets;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};

use super::alarm::Alarm;
use super::ledger::FLUSH_AFTER;
use super::line::Line;
use super::open::Opener;
use super::schedule::Schedule;
use super::{AskedQuestion, Command, NotOpened, StartError};

/// Questions that are sent before answers are looked at again.
const BURST_MAX: usize = 32;
/// Samples that may wait in one ledger before asking stops.
const HELD_MAX: usize = 100_000;
/// Threads for what may block: name servers and file systems.
const BLOCKING_THREADS_MAX: usize = 16;
/// Tasks that run before sockets and timer are looked at again: bounds the lag that a burst of answers causes.
const TASKS_BETWEEN_EVENTS: u32 = 8;

/// Everything that the thread needs.
pub(super) struct Work {
    pub(super) table: Arc<ProbeTable>,
    pub(super) questions: Vec<AskedQuestion>,
    pub(super) seed: u64,
    pub(super) secrets: Secrets,
    pub(super) folder: PathBuf,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) batches: mpsc::Sender<SampleBatch>,
}

type Started = oneshot::Sender<Result<(), StartError>>;

impl Work {
    /// Runs to the end. Where `started` cannot be sent, whoever waited is gone and nothing is asked.
    pub(super) fn run(self, started: Started) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_EVENTS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(self.open_and_ask(started));
                // Threads stuck in a dead file system must not hold up the end of the run.
                runtime.shutdown_background();
            }
            Err(e) => drop(started.send(Err(e.into()))),
        }
    }

    async fn open_and_ask(self, started: Started) {
        match self.open().await {
            Err(e) => drop(started.send(Err(e))),
            Ok(mut asker) => {
                if started.send(Ok(())).is_ok()
                    && let Err(Ended::Timer(e)) = asker.run().await
                {
                    tracing::error!(error = %e, "the prober's timer failed");
                }
            }
        }
    }

    async fn open(self) -> Result<Asker, StartError> {
        let opener = Arc::new(Opener { table: self.table, secrets: self.secrets, folder: self.folder });
        let pressed = Arc::new(Notify::new());
        let mut lines = Vec::new();
        let mut failed = Vec::new();
        for asked in self.questions {
            match opener.open(&asked.question, &asked.measured, asked.targets.clone()).await {
                Ok(client) => lines.push(Arc::new(Line::new(asked, client, &opener, &pressed))),
                Err(error) => failed.push(NotOpened { hypothesis: asked.hypothesis, asked: asked.asked, error }),
            }
        }
        if !failed.is_empty() {
            return Err(StartError::NotOpened(failed));
        }
        let alarm = Alarm::new()?;
        let start = Mono::now();
        let schedule = |(n, line): (u64, &Arc<Line>)| Schedule::new(start, line.every(), self.seed, n);
        Ok(Asker {
            schedules: (0..).zip(&lines).map(schedule).collect(),
            lines,
            alarm,
            pressed,
            commands: self.commands,
            batches: self.batches,
            stopping: false,
        })
    }
}

/// Why asking ended without being asked to.
enum Ended {
    /// Nobody wants samples any more.
    Abandoned,
    /// There is no way to know when a question is due. The receiver sees the end before it was asked for.
    Timer(io::Error),
}

struct Asker {
    lines: Vec<Arc<Line>>,
    schedules: Vec<Schedule>,
    alarm: Alarm,
    pressed: Arc<Notify>,
    commands: mpsc::UnboundedReceiver<Command>,
    batches: mpsc::Sender<SampleBatch>,
    stopping: bool,
}

impl Asker {
    async fn run(&mut self) -> Result<(), Ended> {
        while !self.stopping {
            self.wait().await?;
            let behind = self.ask_due();
            self.flush(Mono::now())?;
            self.make_room(HELD_MAX).await?;
            if behind {
                tokio::task::yield_now().await;
            }
        }
        self.drain().await
    }

    /// Waits for a due time, a batch that must leave, or a command, and obeys that.
    async fn wait(&mut self) -> Result<(), Ended> {
        let due = self.schedules.iter().map(Schedule::due);
        let leave = self.lines.iter().filter_map(|l| l.ledger().flush_due());
        let next = due.chain(leave).min().unwrap_or(Mono(u64::MAX));
        tokio::select! {
            biased;
            command = self.commands.recv() => self.obey(command),
            rang = self.alarm.until(next) => rang.map_err(Ended::Timer),
            () = self.pressed.notified() => Ok(()),
        }
    }

    fn obey(&mut self, command: Option<Command>) -> Result<(), Ended> {
        match command {
            None => return Err(Ended::Abandoned),
            Some(Command::Stop) => self.stopping = true,
            Some(Command::Retarget { hypothesis, asked, targets }) => {
                for line in self.lines.iter().filter(|l| l.is(hypothesis, asked)) {
                    tokio::spawn(Arc::clone(line).retarget(targets.clone()));
                }
            }
        }
        Ok(())
    }

    /// Sends what is due, in order of due time. True: more is due than is good to send at once.
    fn ask_due(&mut self) -> bool {
        let now = Mono::now();
        for _ in 0..BURST_MAX {
            let pairs = self.schedules.iter_mut().zip(&self.lines);
            match pairs.min_by_key(|(schedule, _)| schedule.due()) {
                Some((schedule, line)) if schedule.due() <= now => line.send(schedule.take(), now),
                _ => return false,
            }
        }
        true
    }

    /// Hands over what must leave by now, where there is room.
    fn flush(&self, now: Mono) -> Result<(), Ended> {
        for line in &self.lines {
            let mut ledger = line.ledger();
            if ledger.flush_due().is_none_or(|due| due > now) {
                continue;
            }
            match self.batches.try_reserve() {
                Ok(room) => room.send(ledger.take(now)),
                Err(TrySendError::Full(())) => ledger.postpone(now),
                Err(TrySendError::Closed(())) => return Err(Ended::Abandoned),
            }
        }
        Ok(())
    }

    /// Waits for its reader with every ledger that holds `held` samples or more. Nothing is asked meanwhile; the lag of
    /// what is asked afterwards says so.
    async fn make_room(&mut self, held: usize) -> Result<(), Ended> {
        for line in self.lines.clone() {
            while line.ledger().len() >= held {
                let command = tokio::select! {
                    room = self.batches.reserve() => {
                        room.map_err(|_| Ended::Abandoned)?.send(line.ledger().take(Mono::now()));
                        continue;
                    }
                    command = self.commands.recv() => command,
                };
                self.obey(command)?;
            }
        }
        Ok(())
    }

    /// Lets everything in flight end, and hands all of it over. Dropping the prober cuts this short.
    async fn drain(&mut self) -> Result<(), Ended> {
        while self.lines.iter().any(|l| l.in_flight() > 0) {
            self.flush(Mono::now())?;
            tokio::select! {
                command = self.commands.recv() => self.obey(command)?,
                () = tokio::time::sleep(FLUSH_AFTER) => {}
            }
        }
        self.make_room(1).await
    }
}
