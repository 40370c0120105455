//! A fault on packets, as it stands in the kernel: a device of our own for each way, with a discipline at its root, and one filter
//! on each interface that sends the packets meant through it. What stands at the interface itself is never touched.
//!
//! ```text
//!  socket ── hook of eth0 ──filter──▶ chaos1a2b3c4do ── netem ──┐
//!                 │ no match                                    │ handed back, not asked again
//!                 └────────────▶ root of eth0, whoever's it is ◀┘
//! ```

mod by_hand;
mod look;
mod standing;

pub(crate) use by_hand::{Stray, strays};

use std::sync::{Mutex, PoisonError};

use chaos_core::FaultError;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::filter::Label;
use super::flow::{Match, Way};
use super::hook::{self, Filter, Hook};
use super::link::{self, Deletion, Link};
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{NetlinkError, Protocol, Socket};
use super::qdisc::{self, Discipline};
use super::traffic::{Aim, Interface};

/// What the name of every device of ours begins with.
pub(crate) const DEVICE_PREFIX: &str = "chaos";

/// One at a time chooses where among the filters of a hook its own stands.
static CHOOSING: Mutex<()> = Mutex::new(());

/// All of it, as written into an undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    /// Where.
    pub(crate) namespace: Namespace,
    /// The injection's: every device bears it as its alias, every filter within its program.
    pub(crate) tag: String,
    /// What happens to packets.
    pub(crate) discipline: Discipline,
    /// The longest packet of the interfaces, in bytes, without its header.
    pub(crate) mtu: u32,
    /// Which packets.
    pub(crate) packets: Match,
    /// One for each way.
    pub(crate) branches: Vec<Branch>,
}

/// What goes one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// Which.
    pub(crate) way: Way,
    /// The name of the device of ours.
    pub(crate) device: String,
    /// Where its filters stand.
    pub(crate) places: Vec<Place>,
}

/// A hook of an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The interface's number.
    pub(crate) index: u32,
    /// Its name, when this was written.
    pub(crate) interface: String,
    /// Which of its two hooks.
    pub(crate) hook: Hook,
}

impl Place {
    /// Where packets of an interface pass that go this way. What is sent on a loopback arrives on it: both ways pass when they are sent.
    fn of(interface: &Interface, way: Way) -> Self {
        let hook = if way == Way::Out || interface.loopback { Hook::Egress } else { Hook::Ingress };
        Self { index: interface.index, interface: interface.name.clone(), hook }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} of {}", self.hook.name(), self.interface)
    }
}

/// Filters that were taken away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Removed {
    /// How many there were.
    pub(crate) filters: usize,
    /// The packets that had met them.
    pub(crate) packets: u64,
}

/// At most fifteen letters, the same for the same injection, another for any other.
fn device_name(tag: &str, way: Way) -> String {
    let hash: String = Sha256::digest(tag).iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("{DEVICE_PREFIX}{hash}{}", if way == Way::Out { "o" } else { "i" })
}

impl Leaf {
    /// The leaf for what is aimed at.
    pub(crate) fn new(aim: &Aim, tag: String, discipline: Discipline, mtu: u32) -> Self {
        let places = |way| aim.interfaces.iter().map(|i| Place::of(i, way)).collect();
        let branch = |way| Branch { way, device: device_name(&tag, way), places: places(way) };
        let branches = aim.direction.ways().into_iter().map(branch).collect();
        Self { namespace: aim.namespace.clone(), tag, discipline, mtu, packets: aim.packets.clone(), branches }
    }

    fn label(&self, way: Way) -> Label {
        Label { tag: self.tag.clone(), way, packets: self.packets.clone() }
    }

    /// Every hook that it needs.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.branches.iter().flat_map(|b| &b.places)
    }

    /// In the namespace, with a socket for all of this. `None`: the namespace is gone, and all that was in it.
    fn there<T: Send>(&self, work: impl FnOnce(&mut Socket) -> Result<T, FaultError> + Send) -> Result<Option<T>, FaultError> {
        let done = self.namespace.run(|| {
            let mut socket = Socket::open(Protocol::Route).map_err(|e| failed("speak rtnetlink", &e))?;
            work(&mut socket)
        });
        match done {
            Ok(done) => done.map(Some),
            Err(NamespaceError::Gone { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn there_or_gone<T: Send>(&self, work: impl FnOnce(&mut Socket) -> Result<T, FaultError> + Send) -> Result<T, FaultError> {
        self.there(work)?.ok_or_else(|| FaultError::gone(format!("the network namespace net:[{}] is gone", self.namespace.inode)))
    }

    /// Makes the devices. Nothing goes through them yet.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn make_devices(&self) -> Result<(), FaultError> {
        self.there_or_gone(|socket| {
            for branch in &self.branches {
                let making = |e: NetlinkError| failed(&format!("make the device {}", branch.device), &e);
                link::create_ifb(socket, &branch.device, &self.tag).map_err(making)?;
                let device = self.device(socket, branch)?.ok_or_else(|| FaultError::new(format!("{} is gone at once", branch.device)))?;
                let putting = |e: NetlinkError| failed(&format!("put `{}` on {}", self.discipline.words(), branch.device), &e);
                qdisc::put(socket, device.index, &self.discipline).map_err(putting)?;
            }
            Ok(())
        })
    }

    /// Puts the filters, one after the other. `false`: asked to stop between them.
    ///
    /// # Errors
    /// If the kernel refuses, or somebody else's filter has come to stand first.
    pub(crate) fn put_filters(&self, stop: impl Fn() -> bool + Send + Sync) -> Result<bool, FaultError> {
        self.there_or_gone(|socket| {
            for branch in &self.branches {
                let program = self.label(branch.way).program()?;
                let device = self.device(socket, branch)?;
                let device = device.ok_or_else(|| FaultError::new(format!("the device {} is gone before it was used", branch.device)))?;
                for place in &branch.places {
                    if stop() {
                        return Ok(false);
                    }
                    put_filter(socket, place, &program, device.index)?;
                }
            }
            Ok(true)
        })
    }

    /// Gives the discipline other options.
    ///
    /// # Errors
    /// If a device is gone, or the kernel refuses.
    pub(crate) fn change(&self, discipline: &Discipline) -> Result<(), FaultError> {
        self.there_or_gone(|socket| {
            for branch in &self.branches {
                let device =
                    self.device(socket, branch)?.ok_or_else(|| FaultError::new(format!("the device {} is gone", branch.device)))?;
                let changing = |e: NetlinkError| failed(&format!("make it `{}` on {}", discipline.words(), branch.device), &e);
                qdisc::change(socket, device.index, discipline).map_err(changing)?;
            }
            Ok(())
        })
    }

    /// Removes the filters: nothing meets the fault any more. Gives how many packets had met them. `None`: the namespace is gone, with
    /// all that was in it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn remove_filters(&self) -> Result<Option<Removed>, FaultError> {
        self.there(|socket| {
            let mut removed = Removed::default();
            for place in self.places() {
                loop {
                    let standing = filters(socket, place)?;
                    let Some(ours) = standing.iter().find(|f| f.label.as_ref().is_some_and(|l| l.tag == self.tag)) else { break };
                    let removing = |e: NetlinkError| failed(&format!("remove the filter at {place}"), &e);
                    hook::remove(socket, place.index, place.hook, ours, &standing).map_err(removing)?;
                    removed.filters += 1;
                    removed.packets += ours.packets;
                }
            }
            Ok(removed)
        })
    }

    /// Removes the devices, with whatever still waits in them. Only once no filter leads there: what is sent to a device that is gone
    /// is lost.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn remove_devices(&self) -> Result<(), FaultError> {
        self.there(|socket| {
            let mut going = Vec::new();
            for branch in &self.branches {
                if let Some(device) = self.device(socket, branch)? {
                    going.push((Deletion::begin(device.index), &branch.device));
                }
            }
            for (deletion, name) in going {
                deletion.wait(socket).map_err(|e| failed(&format!("remove the device {name}"), &e))?;
            }
            Ok(())
        })
        .map(drop)
    }

    fn is_ours(&self, filter: &Filter, way: Way) -> bool {
        filter.label.as_ref().is_some_and(|label| label.tag == self.tag && label.way == way)
    }

    /// The device of ours: of its name, its kind, and with our alias, which alone could be no proof.
    fn device(&self, socket: &mut Socket, branch: &Branch) -> Result<Option<Link>, FaultError> {
        let link = link::by_name(socket, &branch.device).map_err(|e| failed(&format!("look for {}", branch.device), &e))?;
        Ok(link.filter(|l| is_device_of(l, &self.tag)))
    }
}

/// An `ifb` that bears this tag.
fn is_device_of(link: &Link, tag: &str) -> bool {
    link.kind.as_deref() == Some("ifb") && link.alias.as_deref() == Some(tag)
}

fn put_filter(socket: &mut Socket, place: &Place, program: &[u8], device: u32) -> Result<(), FaultError> {
    let _turn = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let standing = filters(socket, place)?;
    let preference = hook::free_preference(&standing)
        .ok_or_else(|| FaultError::new(format!("a filter of somebody else's has come to stand first at {place}")))?;
    let putting = |e: NetlinkError| match e.errno {
        Errno::NODEV => FaultError::gone(format!("the interface {} is gone", place.interface)),
        _ => failed(&format!("put a filter at {place}"), &e),
    };
    hook::put(socket, place.index, place.hook, preference, program, device).map_err(putting)
}

fn filters(socket: &mut Socket, place: &Place) -> Result<Vec<Filter>, FaultError> {
    let listing = |e: NetlinkError| failed(&format!("list the filters at {place}"), &e);
    let mut standing = hook::filters(socket, place.index, place.hook).map_err(listing)?;
    // What says whose the hooks are meets nothing.
    standing.retain(|f| !f.label.as_ref().is_some_and(Label::is_mark));
    Ok(standing)
}

/// Why the kernel did not do what it was asked to do.
pub(crate) fn failed(doing: &str, error: &NetlinkError) -> FaultError {
    let failed = FaultError::new(format!("{doing}: {error}"));
    match error.errno {
        Errno::PERM | Errno::ACCESS => failed.hint("run as root: network faults need CAP_NET_ADMIN in the target's network namespace"),
        _ => failed,
    }
}
