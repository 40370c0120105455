//! The archive that Linux unpacks as its first file system: `cpio`, format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    paths: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// A folder and those above it; what is there already stays.
    pub(crate) fn folder(&mut self, path: &str) {
        let mut above = String::new();
        for part in Path::new(path).components() {
            if let Component::Normal(part) = part {
                above = format!("{above}/{}", part.to_string_lossy());
                if self.paths.insert(above.clone()) {
                    self.entry(&above, FOLDER | 0o755, &[]);
                }
            }
        }
    }

    /// A file with this content.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.folder_of(path);
        if self.paths.insert(path.to_owned()) {
            self.entry(path, FILE | mode, content);
        }
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.folder_of(path);
        if self.paths.insert(path.to_owned()) {
            self.entry(path, LINK | 0o777, to.as_bytes());
        }
    }

    /// A file of this machine (what a link leads to), at this path over there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn copy(&mut self, from: &Path, to: &str) -> io::Result<()> {
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        self.file(to, mode, &fs::read(from)?);
        Ok(())
    }

    /// The whole archive. Several, one after another, are one file system to the kernel.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn folder_of(&mut self, path: &str) {
        if let Some(above) = Path::new(path).parent().and_then(Path::to_str) {
            self.folder(above);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let name = path.trim_start_matches('/');
        let length = |n: usize| u32::try_from(n).expect("a file below 4 GiB");
        self.inode += 1;
        // Inode, mode, owner, group, links, time, size, device and its minor, those of a device node, length of the name, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
