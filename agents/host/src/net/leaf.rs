//! A fault on packets, as it stands in the kernel: a device of our own for each way, with a discipline at its root, and one filter
//! on each interface that sends the packets meant through it. What stands at the interface itself is never touched.
//!
//! ```text
//!  socket ── hook of eth0 ──filter──▶ chaos1a2b3c4do ── netem ──┐
//!                 │ no match                                    │ handed back, not asked again
//!                 └────────────▶ root of eth0, whoever's it is ◀┘
//! ```

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chaos_core::FaultError;
use chaos_core::fault::{Met, Presence};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::filter::Label;
use super::flow::{Match, Way};
use super::hook::{self, Filter, Hook};
use super::link::{self, Link};
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{NetlinkError, Protocol, Socket};
use super::qdisc::{self, Discipline};
use super::traffic::{Aim, Interface};

/// What the name of every device of ours begins with.
pub(crate) const DEVICE_PREFIX: &str = "chaos";

/// How often it is looked whether a device is gone.
const LOOK_EVERY: Duration = Duration::from_micros(200);

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

    /// May it be put where it is to stand? Somebody else's filter that would take packets first is refused, and so is another of ours
    /// that means the same packets. Gives sentences for the plan.
    ///
    /// # Errors
    /// With who stands in the way.
    pub(crate) fn may_stand(&self) -> Result<Vec<String>, FaultError> {
        self.label(Way::Out).program()?;
        self.there_or_gone(|socket| {
            let mut notes = Vec::new();
            for branch in &self.branches {
                for place in &branch.places {
                    self.may_stand_at(socket, branch.way, place, &mut notes)?;
                }
            }
            notes.dedup();
            Ok(notes)
        })
    }

    fn may_stand_at(&self, socket: &mut Socket, way: Way, place: &Place, notes: &mut Vec<String>) -> Result<(), FaultError> {
        let hooks = qdisc::at_hooks(socket, place.index).map_err(|e| failed(&format!("look at {}", place.interface), &e))?;
        if place.hook == Hook::Egress && hooks.is_some_and(|h| h.kind == "ingress") {
            let says =
                format!("{} has an `ingress` qdisc of somebody else's, beside which nothing that is sent can be met", place.interface);
            return Err(
                FaultError::new(says).hint("`direction: in` can be met; or whoever made it makes it `clsact`, which has both hooks")
            );
        }
        let standing = filters(socket, place)?;
        let meant_too = |other: &&Label| other.tag != self.tag && self.packets.overlaps(way, &other.packets, other.way);
        if let Some(other) = standing.iter().filter_map(|f| f.label.as_ref()).find(meant_too) {
            let (hook, dev) = (place.hook.name(), &place.interface);
            let says = format!("{} has a filter at the {hook} of {dev} already: {}", other.tag, other.packets);
            return Err(FaultError::new(says).hint(
                "a packet meets one fault: narrow one of them by `ports` or `hosts`; what a dead run left, `chaos recover` takes back",
            ));
        }
        if hook::free_preference(&standing).is_none() {
            let says = format!(
                "a filter of somebody else's stands first at the {} of {}, and would take packets before ours",
                place.hook.name(),
                place.interface
            );
            return Err(FaultError::new(says).hint(format!("`tc filter show dev {} {}` shows it", place.interface, place.hook.name())));
        }
        // Some kinds of filter are told of in several parts.
        let others: BTreeSet<u16> = standing.iter().filter(|f| f.label.is_none()).map(|f| f.preference).collect();
        let others = others.len();
        if others > 0 {
            notes.push(format!(
                "{others} of somebody else's filters at the {} of {} stay, but are not asked of the packets that this meets",
                place.hook.name(),
                place.interface
            ));
        }
        Ok(())
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

    /// Reads the kernel back: devices, options, filters and what went through them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn inspect(&self) -> Result<Presence, FaultError> {
        let seen = self.there(|socket| {
            let mut seen = Seen::default();
            for branch in &self.branches {
                self.inspect_branch(socket, branch, &mut seen)?;
            }
            Ok(seen)
        })?;
        let Some(seen) = seen else {
            return Ok(Presence::none().finding("the target's network namespace is gone"));
        };
        Ok(seen.presence())
    }

    fn inspect_branch(&self, socket: &mut Socket, branch: &Branch, seen: &mut Seen) -> Result<(), FaultError> {
        let device = self.device(socket, branch)?;
        match &device {
            Some(device) => {
                seen.there += 1;
                let root = qdisc::at_root(socket, device.index).map_err(|e| failed(&format!("look at {}", branch.device), &e))?;
                if !device.up {
                    seen.wrong(format!("the device {} was taken down: what should pass it is lost", branch.device));
                }
                if !root.is_some_and(|root| self.discipline.is(&root)) {
                    seen.wrong(format!("what stands on {} is not what was put there", branch.device));
                }
            }
            None => seen.missing(format!("the device {} is gone", branch.device)),
        }
        let program = self.label(branch.way).program()?;
        for place in &branch.places {
            match filters(socket, place)?.into_iter().find(|f| self.is_ours(f, branch.way)) {
                Some(filter) => {
                    seen.there += 1;
                    seen.packets += filter.packets;
                    if filter.program != program || filter.device != device.as_ref().map(|d| d.index) {
                        seen.wrong(format!("the filter at the {} of {} is not as it was put there", place.hook.name(), place.interface));
                    }
                }
                None => {
                    let link = link::by_index(socket, place.index).map_err(|e| failed(&format!("look for {}", place.interface), &e))?;
                    seen.missing(match link {
                        Some(_) => format!("the filter at the {} of {} is gone", place.hook.name(), place.interface),
                        None => format!("the interface {} is gone", place.interface),
                    });
                }
            }
        }
        Ok(())
    }

    /// Removes the filters: nothing meets the fault any more. `false`: the namespace is gone, with all that was in it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn remove_filters(&self) -> Result<bool, FaultError> {
        let done = self.there(|socket| {
            for place in self.places() {
                loop {
                    let standing = filters(socket, place)?;
                    let Some(ours) = standing.iter().find(|f| f.label.as_ref().is_some_and(|l| l.tag == self.tag)) else { break };
                    let removing =
                        |e: NetlinkError| failed(&format!("remove the filter at the {} of {}", place.hook.name(), place.interface), &e);
                    hook::remove(socket, place.index, place.hook, ours, &standing).map_err(removing)?;
                }
            }
            Ok(())
        })?;
        Ok(done.is_some())
    }

    /// How many packets still wait in the devices.
    ///
    /// # Errors
    /// If they cannot be looked at.
    pub(crate) fn waiting(&self) -> Result<u32, FaultError> {
        let waiting = self.there(|socket| {
            let mut sum = 0;
            for branch in &self.branches {
                if let Some(device) = self.device(socket, branch)? {
                    let root = qdisc::at_root(socket, device.index).map_err(|e| failed(&format!("look at {}", branch.device), &e))?;
                    sum += root.map_or(0, |root| root.counted.waiting);
                }
            }
            Ok(sum)
        })?;
        Ok(waiting.unwrap_or(0))
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
                    going.push((link::delete_in_background(device.index), device.index, &branch.device));
                }
            }
            for (deletion, index, name) in going {
                let removing = |e: NetlinkError| failed(&format!("remove the device {name}"), &e);
                while link::by_index(socket, index).map_err(removing)?.is_some() {
                    if let Ok(Err(error)) = deletion.try_recv() {
                        return Err(removing(error));
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
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

    /// What this and another share, if a packet could meet both.
    pub(crate) fn meets(&self, other: &Self) -> Option<String> {
        if self.namespace.inode != other.namespace.inode {
            return None;
        }
        self.branches.iter().find_map(|mine| {
            other.branches.iter().find_map(|theirs| {
                let place = mine.places.iter().find(|p| theirs.places.contains(p))?;
                let shared = self.packets.overlaps(mine.way, &other.packets, theirs.way);
                shared.then(|| format!("packets at the {} of {}: {}; {}", place.hook.name(), place.interface, self.packets, other.packets))
            })
        })
    }

    /// The same as shell commands for a person.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for branch in &self.branches {
            for place in &branch.places {
                let (dev, hook) = (&place.interface, place.hook.name());
                commands.push(format!(
                    "tc filter show dev {dev} {hook} | awk '/^filter/{{p=$5}} /device {}\\)/{{print p}}' | \
                     while read p; do tc filter del dev {dev} {hook} pref $p; done",
                    branch.device
                ));
            }
        }
        commands.extend(self.branches.iter().map(|branch| format!("ip link del {}", branch.device)));
        within(&self.namespace, commands)
    }
}

/// An `ifb` that bears this tag.
fn is_device_of(link: &Link, tag: &str) -> bool {
    link.kind.as_deref() == Some("ifb") && link.alias.as_deref() == Some(tag)
}

/// Something of ours, found without an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Whose.
    pub(crate) tag: String,
    /// What a person calls it.
    pub(crate) what: String,
    /// How a person removes it, as a shell command.
    pub(crate) remove: String,
}

/// Every filter and then every device of ours in the namespace of the socket. What cannot be looked at holds none that we know of.
pub(crate) fn strays(socket: &mut Socket) -> Vec<Stray> {
    let links = link::all(socket).unwrap_or_default();
    let mut found = Vec::new();
    for (link, hook) in links.iter().flat_map(|l| [(l, Hook::Egress), (l, Hook::Ingress)]) {
        for filter in hook::filters(socket, link.index, hook).unwrap_or_default() {
            if let Some(label) = filter.label {
                let what = format!("the filter at the {} of {}", hook.name(), link.name);
                let remove = format!("tc filter del dev {} {} pref {}", link.name, hook.name(), filter.preference);
                found.push(Stray { tag: label.tag, what, remove });
            }
        }
    }
    let devices =
        links.iter().filter_map(|l| l.alias.as_ref().filter(|tag| tag.starts_with("chaos-") && is_device_of(l, tag)).map(|tag| (l, tag)));
    found.extend(devices.map(|(link, tag)| Stray {
        tag: tag.clone(),
        what: format!("the device {}", link.name),
        remove: format!("ip link del {}", link.name),
    }));
    found
}

/// Commands as they are run in a namespace.
pub(crate) fn within(namespace: &Namespace, commands: Vec<String>) -> Vec<String> {
    if namespace.is_own() {
        return commands;
    }
    let first = format!("# in the network namespace net:[{}]: nsenter --net --target {} sh", namespace.inode, namespace.process.pid);
    std::iter::once(first).chain(commands).collect()
}

fn put_filter(socket: &mut Socket, place: &Place, program: &[u8], device: u32) -> Result<(), FaultError> {
    let _turn = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let standing = filters(socket, place)?;
    let preference = hook::free_preference(&standing).ok_or_else(|| {
        FaultError::new(format!("a filter of somebody else's has come to stand first at the {} of {}", place.hook.name(), place.interface))
    })?;
    let putting = |e: NetlinkError| match e.errno {
        Errno::NODEV => FaultError::gone(format!("the interface {} is gone", place.interface)),
        _ => failed(&format!("put a filter at the {} of {}", place.hook.name(), place.interface), &e),
    };
    hook::put(socket, place.index, place.hook, preference, program, device).map_err(putting)
}

fn filters(socket: &mut Socket, place: &Place) -> Result<Vec<Filter>, FaultError> {
    let listing = |e: NetlinkError| failed(&format!("list the filters at the {} of {}", place.hook.name(), place.interface), &e);
    hook::filters(socket, place.index, place.hook).map_err(listing)
}

/// Why the kernel did not do what it was asked to do.
pub(crate) fn failed(doing: &str, error: &NetlinkError) -> FaultError {
    let failed = FaultError::new(format!("{doing}: {error}"));
    match error.errno {
        Errno::PERM | Errno::ACCESS => failed.hint("run as root: network faults need CAP_NET_ADMIN in the target's network namespace"),
        _ => failed,
    }
}

/// What an inspection has seen.
#[derive(Debug, Default)]
struct Seen {
    there: usize,
    missing: usize,
    packets: u64,
    finding: Option<String>,
}

impl Seen {
    fn missing(&mut self, what: String) {
        self.missing += 1;
        self.wrong(what);
    }

    fn wrong(&mut self, what: String) {
        self.finding.get_or_insert(what);
    }

    fn presence(self) -> Presence {
        let met = if self.packets == 0 { Met::Idle } else { Met::Count(self.packets) };
        match (self.there, self.missing, self.finding) {
            (0, _, Some(finding)) => Presence::none().finding(finding),
            (0, _, None) => Presence::none(),
            (_, _, Some(finding)) => Presence::partial(finding).met(met),
            (_, _, None) => Presence::whole().met(met),
        }
    }
}
