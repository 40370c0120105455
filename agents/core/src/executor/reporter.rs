//! Saying what happens: to the coordinator, and into a file of the executor's own that outlives both.
//!
//! The file is written on a thread of its own: nothing is taken back later because a disk hangs.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::clock::Mono;
use crate::event::{Event, InjectionState, Source, SystemState, What};
use crate::wire::Reply;

/// Events that wait for the disk; what comes after them is counted, not kept.
const WAITING: usize = 1024;

/// How long the end of a run waits for its last events to be in the file.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

const STACK_BYTES: usize = 128 << 10;

/// Numbers events and hands them on. Never blocks, neither on the coordinator nor on the disk.
pub(crate) struct Reporter {
    own: Mutex<Own>,
}

struct Own {
    out: Option<UnboundedSender<Reply>>,
    file: SyncSender<Line>,
    next_seq: u64,
    /// The first event that the file did not take, and how many since.
    lost: Option<(u64, u64)>,
}

enum Line {
    Event(Box<Event>),
    /// Everything before this has been written.
    Written(oneshot::Sender<()>),
}

impl Reporter {
    pub(super) fn new(out: UnboundedSender<Reply>, file: File) -> std::io::Result<Self> {
        Self::start(Some(out), move || Some((file, 0)))
    }

    /// Goes on with the events of a run whose executor died. Without its file, says nothing to anybody.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn reopen(path: PathBuf) -> std::io::Result<Self> {
        Self::start(None, move || reopen(&path))
    }

    fn start(out: Option<UnboundedSender<Reply>>, open: impl FnOnce() -> Option<(File, u64)> + Send + 'static) -> std::io::Result<Self> {
        let (file, lines) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("events".into()).stack_size(STACK_BYTES);
        thread.spawn(move || write(open(), &lines))?;
        Ok(Self { own: Mutex::new(Own { out, file, next_seq: 0, lost: None }) })
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reply(&self, reply: Reply) {
        self.own().reply(reply);
    }

    /// The last reply: what hangs, and may still say something, keeps nobody waiting for it.
    pub(super) fn last_reply(&self, reply: Reply) {
        let mut own = self.own();
        own.reply(reply);
        own.out = None;
    }

    pub(super) fn event(&self, what: What) {
        let mut own = self.own();
        let event = Event { seq: own.next_seq, at: Mono::now(), from: Source::Executor, what };
        own.next_seq += 1;
        own.keep(&event);
        own.reply(Reply::Event(Box::new(event)));
    }

    pub(crate) fn injection(&self, slot: &str, state: InjectionState) {
        self.event(What::Injection { slot: slot.to_owned(), state });
    }

    pub(super) fn system(&self, name: &str, state: SystemState) {
        self.event(What::System { name: name.to_owned(), state });
    }

    pub(super) fn note(&self, text: impl Into<String>) {
        self.event(What::Note(text.into()));
    }

    /// Waits until everything said so far is in the file, or the disk has had its time.
    pub(crate) async fn written(&self) {
        let (written, done) = oneshot::channel();
        let asked = self.own().file.try_send(Line::Written(written));
        if asked.is_ok() {
            let _ = tokio::time::timeout(WRITTEN_WITHIN, done).await;
        }
    }
}

impl Own {
    fn reply(&self, reply: Reply) {
        // Nobody listens any more: the coordinator is gone, and the file has the events.
        if let Some(out) = &self.out {
            let _ = out.send(reply);
        }
    }

    fn keep(&mut self, event: &Event) {
        if let Some((first, count)) = self.lost {
            let what = What::Note(format!("{count} events are missing here: the disk did not take them"));
            let note = Event { seq: first, at: event.at, from: Source::Executor, what };
            if self.file.try_send(Line::Event(Box::new(note))).is_ok() {
                self.lost = None;
            }
        }
        if self.lost.is_some() || self.file.try_send(Line::Event(Box::new(event.clone()))).is_err() {
            let (first, count) = self.lost.unwrap_or((event.seq, 0));
            self.lost = Some((first, count + 1));
        }
    }
}

/// Writes what comes, numbered from `base`, until nobody says anything more.
fn write(file: Option<(File, u64)>, lines: &Receiver<Line>) {
    let (mut file, base) = file.map_or((None, 0), |(file, base)| (Some(file), base));
    for line in lines {
        let mut event = match line {
            Line::Event(event) => event,
            Line::Written(written) => {
                let _ = written.send(());
                continue;
            }
        };
        event.seq += base;
        if let (Some(to), Ok(mut line)) = (&mut file, serde_json::to_vec(&event)) {
            line.push(b'\n');
            if to.write_all(&line).is_err() {
                // A full disk; the coordinator's record has the events.
                file = None;
            }
        }
    }
}

fn reopen(path: &PathBuf) -> Option<(File, u64)> {
    let before = std::fs::read(path).unwrap_or_default();
    let mut file = File::options().append(true).open(path).ok()?;
    if before.last().is_some_and(|last| *last != b'\n') {
        let _ = file.write_all(b"\n");
    }
    let seqs = before.split(|b| *b == b'\n').filter_map(|line| Some(serde_json::from_slice::<Event>(line).ok()?.seq));
    Some((file, seqs.max().map_or(0, |seq| seq + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    #[tokio::test]
    async fn rule_12_a_disk_that_hangs_holds_nobody_up_and_what_it_lost_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        // Nobody reads, and it is full: a write never returns.
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let mut fill = File::options().read(true).write(true).custom_flags(nonblocking).open(&pipe).unwrap();
        while fill.write(&[0; 4096]).is_ok() {}
        while fill.write(&[0]).is_ok() {}
        let file = File::options().read(true).write(true).open(&pipe).unwrap();
        let (out, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let reporter = Reporter::new(out, file).unwrap();
        for n in 0..4_000 {
            reporter.note(format!("event {n}"));
        }
        assert_eq!(heard.len(), 4_000, "the coordinator hears all of them");
        assert!(heard.recv().await.is_some());
        assert!(reporter.own.lock().unwrap().lost.is_some());
    }
}
