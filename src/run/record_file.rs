//! The record on disk: one JSON line an event.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chaos_core::event::{Event, What};

use super::Sink;

/// Writes a record, until something cannot be written.
pub struct RecordFile {
    file: BufWriter<File>,
    path: PathBuf,
    torn: Torn,
}

/// Why a record is not whole; nothing while it is. A run goes on without: what takes faults back is the journal.
#[derive(Debug, Clone, Default)]
pub struct Torn(Rc<OnceCell<String>>);

impl Torn {
    /// What could not be written, and why.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl RecordFile {
    /// A new file, readable by its owner alone.
    ///
    /// # Errors
    /// If it cannot be made; it must not exist.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file: BufWriter::with_capacity(64 * 1024, file), path: path.to_owned(), torn: Torn::default() })
    }

    /// To be looked at when the run is over.
    #[must_use]
    pub fn torn(&self) -> Torn {
        self.torn.clone()
    }

    fn note(&self, written: std::io::Result<()>) {
        if let Err(e) = written {
            let _ = self.torn.0.set(format!("write the record {}: {e}", self.path.display()));
        }
    }

    fn write(&mut self, event: &Event) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.file, event)?;
        self.file.write_all(b"\n")?;
        // Samples are many and come again in a moment; everything else is what a reader after a crash needs.
        if matches!(event.what, What::Samples(_)) { Ok(()) } else { self.file.flush() }
    }
}

impl Sink for RecordFile {
    fn event(&mut self, event: &Event) {
        // After a gap nothing is added: a reader takes what stands there for all there was up to its end.
        if self.torn.why().is_none() {
            let written = self.write(event);
            self.note(written);
        }
    }

    fn tick(&mut self) {
        let written = self.file.flush();
        self.note(written);
    }
}
