//! What this kernel can do with packets: found out by asking it, in an empty network namespace that ends with the question.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chaos_core::FaultError;
use rustix::io::Errno;

use super::filter::Label;
use super::flow::{Match, Way};
use super::hook::{self, Hook};
use super::link;
use super::netlink::{NetlinkError, Protocol, Socket};
use super::qdisc::{self, Discipline};

mod brought_along;

use brought_along::BroughtAlong;

/// What has been seen to work, once and for all: kernels lose nothing.
static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// A device that its own namespace has alone.
const DEVICE: &str = "chaos";

/// Does this kernel know all that a leaf with this discipline is made of? Says what loading its modules leaves for good.
///
/// # Errors
/// With the module that is missing, or the capability.
pub(crate) fn can(discipline: &Discipline) -> Result<Option<String>, FaultError> {
    let kind = discipline.kind();
    if KNOWN.lock().unwrap_or_else(PoisonError::into_inner).contains(kind) {
        return Ok(None);
    }
    let brings = (!Path::new("/sys/module/ifb").exists()).then(BroughtAlong::before);
    let tried = std::thread::scope(|scope| {
        let thread = scope.spawn(|| try_out(discipline));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    // Whether or not the rest of it could be tried.
    let brought = brings.and_then(BroughtAlong::removed);
    tried?;
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
    Ok(brought)
}

fn try_out(discipline: &Discipline) -> Result<(), FaultError> {
    leave_the_network().map_err(|e| {
        let error = FaultError::new(format!("make an empty network namespace to try the kernel's traffic control in: {e}"));
        match e {
            Errno::PERM => error.hint("run as root: network faults need CAP_NET_ADMIN and CAP_SYS_ADMIN"),
            Errno::INVAL => error.hint("this kernel has no network namespaces (CONFIG_NET_NS)"),
            _ => error,
        }
    })?;
    let mut socket = Socket::open(Protocol::Route).map_err(|e| missing("speak rtnetlink", "rtnetlink", &e))?;
    link::create_ifb(&mut socket, DEVICE, DEVICE).map_err(|e| missing("make an intermediate device", "ifb", &e))?;
    let device = link::by_name(&mut socket, DEVICE).ok().flatten().map_or(0, |l| l.index);
    qdisc::put(&mut socket, device, discipline).map_err(|e| no_discipline(discipline, &e))?;
    // `lo` is number 1 of every namespace.
    socket.request(qdisc::hooks(1)).map_err(|e| missing("make the hooks of an interface", "sch_ingress", &e))?;
    let label = Label { tag: DEVICE.into(), way: Way::Out, packets: Match::default() };
    let program = label.program()?;
    let filtered = hook::put(&mut socket, 1, Hook::Egress, 1, &program, device);
    filtered.map_err(|e| missing("put a filter on a hook", "cls_bpf, act_mirred", &e))
}

fn missing(doing: &str, module: &str, error: &NetlinkError) -> FaultError {
    let failed = FaultError::new(format!("{doing}: {error}"));
    match error.errno {
        Errno::PERM | Errno::ACCESS => failed.hint("run as root: network faults need CAP_NET_ADMIN"),
        Errno::NOENT | Errno::OPNOTSUPP | Errno::INVAL => {
            failed.hint(format!("this kernel lacks {module}: `modprobe {}`, or aim at a `proxy` target instead", module.replace(',', "")))
        }
        _ => failed,
    }
}

fn no_discipline(discipline: &Discipline, error: &NetlinkError) -> FaultError {
    let kind = discipline.kind();
    match (error.errno, kind) {
        (Errno::NOENT | Errno::OPNOTSUPP, "netem") => FaultError::new(format!("this kernel has no `netem` (module sch_netem): {error}")).hint(
            "`modprobe sch_netem`, where the kernel has it (on Debian in the package linux-image-*, on Fedora in kernel-modules-extra); \
            without it `net.rate` works, and faults on a `proxy` target do",
        ),
        _ => missing(&format!("try `{}`", discipline.words()), &format!("sch_{kind}"), error),
    }
}

/// A network namespace for this thread alone, which ends with it.
#[allow(unsafe_code)]
fn leave_the_network() -> Result<(), Errno> {
    // SAFETY: only the thread's network namespace is parted; nothing in this program holds memory or descriptors by that.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::qdisc::{Netem, Tbf};
    use crate::net::testing::elsewhere;
    use chaos_testbed::not_covered;

    #[test]
    fn what_the_kernel_lacks_is_named() {
        if elsewhere("what_the_kernel_lacks_is_named").is_none() {
            return;
        }
        can(&Discipline::Tbf(Tbf { rate: 125_000, burst: None, mtu: 1500 })).expect("every kernel that we know has tbf");
        match can(&Discipline::Netem(Netem { limit: 1, ..Netem::default() })) {
            Ok(_) => not_covered("what_the_kernel_lacks_is_named", "this kernel has sch_netem"),
            Err(error) => {
                assert!(error.message.contains("sch_netem"), "{error}");
                assert!(error.hint.is_some_and(|h| h.contains("net.rate") && h.contains("proxy")));
            }
        }
    }
}
