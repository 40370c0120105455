//! Changing a file's bytes where it lies.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::copy::{each_chunk_from, fill};

/// Changes bits: `(where, which)`.
pub(crate) fn flip(file: &File, flips: impl IntoIterator<Item = (u64, u8)>) -> io::Result<()> {
    for (at, mask) in flips {
        let mut byte = [0];
        fill(file, at, &mut byte)?;
        file.write_all_at(&[byte[0] ^ mask], at)?;
    }
    file.sync_all()
}

/// Writes single bytes: `(where, what)`.
pub(crate) fn put_back_bytes(file: &File, bytes: impl IntoIterator<Item = (u64, u8)>) -> io::Result<()> {
    for (at, byte) in bytes {
        file.write_all_at(&[byte], at)?;
    }
    file.sync_all()
}

/// Cuts a file to a length.
pub(crate) fn cut(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.sync_all()
}

/// Writes wherever a file differs from its copy, so that it is the copy's equal from there on; what was right already is not written again.
pub(crate) fn repair(file: &File, copy: &File, from: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut length = from;
    each_chunk_from(copy, from, |at, bytes| {
        length = at + bytes.len() as u64;
        buffer.resize(bytes.len(), 0);
        let got = fill(file, at, &mut buffer)?;
        if got < bytes.len() || buffer != bytes { file.write_all_at(bytes, at) } else { Ok(()) }
    })?;
    cut(file, length)
}
