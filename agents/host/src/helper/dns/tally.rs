//! How much was asked, and how much of that was answered falsely: in memory that a look from outside can read, and that goes with us.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, pwrite};

const NAME: &str = "chaos-dns";

/// The two counts. What is not begun has no bytes yet.
#[derive(Debug)]
pub(crate) struct Tally {
    memory: OwnedFd,
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> io::Result<Self> {
        let memory = memfd_create(NAME, MemfdFlags::CLOEXEC)?;
        Ok(Self { memory, asked: AtomicU64::new(0), answered: AtomicU64::new(0) })
    }

    /// From now on questions arrive.
    pub(super) fn begin(&self) -> io::Result<()> {
        self.write().map_err(io::Error::from)
    }

    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        // Sixteen bytes that are there already: nothing can fail that whoever reads would not see.
        let _ = self.write();
    }

    fn write(&self) -> Result<(), Errno> {
        let counts = [&self.asked, &self.answered].map(|count| count.load(Ordering::Relaxed).to_ne_bytes());
        pwrite(&self.memory, counts.as_flattened(), 0).map(drop)
    }
}

/// What the helper of this pid has counted: questions, and false answers. `None`: it has not begun.
pub(crate) fn tally_of(pid: i32) -> Option<(u64, u64)> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok);
    let is_it = |link: &std::path::Path| link.to_str().is_some_and(|l| l.starts_with(&format!("/memfd:{NAME}")));
    let path = descriptors.map(|d| d.path()).find(|path| fs::read_link(path).is_ok_and(|link| is_it(&link)))?;
    let mut bytes = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    let (asked, answered) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_ne_bytes(*asked), u64::from_ne_bytes(*answered.first_chunk()?)))
}
