//! Saying what happens: to the coordinator, and into a file of the executor's own that outlives both.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use crate::clock::Mono;
use crate::event::{Event, InjectionState, Source, SystemState, What};
use crate::wire::Reply;

/// Numbers events and hands them on. Never blocks on the coordinator.
pub(crate) struct Reporter {
    out: Option<UnboundedSender<Reply>>,
    own: Mutex<Own>,
}

struct Own {
    file: Option<File>,
    next_seq: u64,
}

impl Reporter {
    pub(super) fn new(out: UnboundedSender<Reply>, file: Option<File>) -> Self {
        Self { out: Some(out), own: Mutex::new(Own { file, next_seq: 0 }) }
    }

    /// Goes on with the events of a run whose executor died. Without its file, says nothing to anybody.
    pub(crate) fn reopen(path: &Path) -> Self {
        let before = std::fs::read(path).unwrap_or_default();
        let mut file = File::options().append(true).open(path).ok();
        if let (Some(file), Some(last)) = (&mut file, before.last())
            && *last != b'\n'
        {
            let _ = file.write_all(b"\n");
        }
        let seqs = before.split(|b| *b == b'\n').filter_map(|line| Some(serde_json::from_slice::<Event>(line).ok()?.seq));
        let next_seq = seqs.max().map_or(0, |seq| seq + 1);
        Self { out: None, own: Mutex::new(Own { file, next_seq }) }
    }

    pub(super) fn reply(&self, reply: Reply) {
        // Nobody listens any more: the coordinator is gone, and the file has the events.
        if let Some(out) = &self.out {
            let _ = out.send(reply);
        }
    }

    pub(super) fn event(&self, what: What) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { seq: own.next_seq, at: Mono::now(), from: Source::Executor, what };
        own.next_seq += 1;
        if let (Some(file), Ok(mut line)) = (&mut own.file, serde_json::to_vec(&event)) {
            line.push(b'\n');
            if file.write_all(&line).is_err() {
                // A full disk must not keep anything from being taken back; the coordinator's record has the event.
                own.file = None;
            }
        }
        self.reply(Reply::Event(Box::new(event)));
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
}
