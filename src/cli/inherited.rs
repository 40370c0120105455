//! Descriptors that whoever started this program left open: no business of what it starts (RULES 6).

use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// From now on nothing that is open beside the three standard streams is handed on. Best effort: without `/proc` they are.
pub(super) fn keep_to_ourselves() {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        close_on_exec(fd);
    }
}

#[allow(unsafe_code)]
fn close_on_exec(fd: RawFd) {
    // SAFETY: borrowed for this one call, which neither closes nor keeps it. The number came from the list of what is open;
    // should it be closed meanwhile, the call fails.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
}
