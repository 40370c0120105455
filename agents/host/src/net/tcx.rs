//! Programs that stand before every hook (`tcx`, Linux 6.6): what they keep for themselves, no filter ever sees. They are not among the
//! filters, and no message of rtnetlink tells of them.

use super::hook::Hook;

/// `BPF_PROG_QUERY`.
const QUERY: libc::c_long = 16;
/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
const INGRESS: u32 = 46;
const EGRESS: u32 = 47;

/// The part of `union bpf_attr` that is asked with.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Query {
    interface: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// How many there are before a hook of an interface of the namespace of this thread. A kernel that knows none, and one that does not say,
/// has none that we know of.
#[allow(unsafe_code)]
pub(crate) fn programs(index: u32, hook: Hook) -> u32 {
    let attach_type = if hook == Hook::Egress { EGRESS } else { INGRESS };
    let mut query = Query { interface: index, attach_type, ..Query::default() };
    // SAFETY: the kernel reads and writes no more than the size that it is told, of a value that lives through the call; the lists that
    // it could fill are null, which asks for the count alone.
    let asked = unsafe { libc::syscall(libc::SYS_bpf, QUERY, &raw mut query, size_of::<Query>()) };
    if asked == 0 { query.count } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, OwnedFd};

    use chaos_testbed::not_covered;

    use super::*;
    use crate::net::testing::elsewhere;

    /// `r0 = -1` (`TCX_NEXT`), and the end.
    const NEXT: [u8; 16] = [0xB7, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x95, 0, 0, 0, 0, 0, 0, 0];

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[allow(unsafe_code)]
    fn bpf(command: libc::c_long, attributes: &[u8]) -> Option<OwnedFd> {
        // SAFETY: the kernel reads so many bytes as there are; a number that is not negative is a descriptor of ours.
        let got = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), attributes.len()) };
        i32::try_from(got).ok().filter(|fd| *fd >= 0).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// A program that passes everything on, before a hook of the loopback.
    fn stands(hook: Hook) -> Option<[OwnedFd; 2]> {
        const LOAD: libc::c_long = 5;
        const LINK: libc::c_long = 28;
        const CLASSIFIER: u32 = 3;
        let license = c"GPL";
        let mut load = words(&[CLASSIFIER, 2]);
        load.extend((NEXT.as_ptr() as u64).to_ne_bytes());
        load.extend((license.as_ptr() as u64).to_ne_bytes());
        load.resize(68, 0);
        let attach_type = if hook == Hook::Egress { EGRESS } else { INGRESS };
        load.extend(words(&[attach_type]));
        let program = bpf(LOAD, &load)?;
        let number = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&program)).ok()?;
        let mut link = words(&[number, 1, attach_type, 0]);
        link.resize(48, 0);
        Some([bpf(LINK, &link)?, program])
    }

    #[test]
    fn programs_that_stand_before_the_hooks_are_counted() {
        let Some(there) = elsewhere("programs_that_stand_before_the_hooks_are_counted") else { return };
        there.run(|| {
            assert_eq!(Hook::BOTH.map(|hook| programs(1, hook)), [0, 0]);
            let Some(_program) = stands(Hook::Egress) else {
                not_covered("programs_that_stand_before_the_hooks_are_counted", "this kernel has no tcx, or lets nobody use it");
                return;
            };
            assert_eq!(Hook::BOTH.map(|hook| programs(1, hook)), [1, 0]);
        });
    }
}
