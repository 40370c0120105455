//! The record on disk: one JSON line an event.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chaos_core::event::{Event, What};

use super::Sink;

/// Writes a record. What cannot be written is told once, at the next event that a person sees.
pub struct RecordFile {
    file: BufWriter<File>,
    path: PathBuf,
    failed: bool,
}

impl RecordFile {
    /// A new file, readable by its owner alone.
    ///
    /// # Errors
    /// If it cannot be made; it must not exist.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file: BufWriter::with_capacity(64 * 1024, file), path: path.to_owned(), failed: false })
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
        if self.failed {
            return;
        }
        if let Err(e) = self.write(event) {
            self.failed = true;
            tracing::error!("write the record {}: {e}", self.path.display());
        }
    }

    fn tick(&mut self) {
        let _ = self.file.flush();
    }
}
