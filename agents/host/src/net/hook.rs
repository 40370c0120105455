//! The hooks of an interface, where packets are looked at before they are sent and after they came in, and the filters on them.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::filter::Label;
use super::netlink::{Attribute, CREATE, EXCLUSIVE, Message, NetlinkError, Reply, Socket, u32_at};
use super::qdisc::{self, FIXED, HOOKS, KIND, OPTIONS, fixed};

const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;
const GET_FILTER: u16 = 46;

/// Filters of ours stand before all others, from this preference on; where others stand so early, before those.
const PREFERENCE: u16 = 0x0C00;
/// What only says whose the hooks are stands behind all others.
pub(crate) const MARKS: u16 = u16::MAX;

/// Every version of the internet protocol, in the order of the network (`ETH_P_ALL`).
const ALL_PROTOCOLS: u32 = 0x0003u16.to_be() as u32;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hook {
    /// What is sent.
    Egress,
    /// What came in.
    Ingress,
}

impl Hook {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Egress, Self::Ingress];

    /// `TC_H_MIN_EGRESS`, `TC_H_MIN_INGRESS` of the place of the hooks.
    fn parent(self) -> u32 {
        match self {
            Self::Egress => HOOKS & 0xFFFF_0000 | 0xFFF3,
            Self::Ingress => HOOKS & 0xFFFF_0000 | 0xFFF2,
        }
    }

    /// As `tc` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// A filter that stands on a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Those with a smaller number are asked first.
    pub(crate) preference: u16,
    /// Only those of chain 0 are asked of every packet; of the others, whom a filter sends there.
    pub(crate) chain: u32,
    /// The protocol it is asked of, as the kernel says it.
    protocol: u16,
    /// Its number among those of its preference. None: it is only the head of a list of others.
    handle: u32,
    /// As the kernel calls it: `bpf`, `u32`, `flower`.
    pub(crate) kind: String,
    /// Whose it is, and what it matches, where it is one of ours.
    pub(crate) label: Option<Label>,
    /// The program, where it has one.
    pub(crate) program: Vec<u8>,
    /// Where a matched packet goes, by the number of the device.
    pub(crate) device: Option<u32>,
    /// How many packets went there.
    pub(crate) packets: u64,
}

const CHAIN: u16 = 11;

const BPF_ACTION: u16 = 1;
const BPF_LENGTH: u16 = 4;
const BPF_PROGRAM: u16 = 5;

const ACTION_KIND: u16 = 1;
const ACTION_OPTIONS: u16 = 2;
const ACTION_STATISTICS: u16 = 4;

const MIRRED_PARAMETERS: u16 = 2;
/// `TCA_EGRESS_REDIR`: the packet goes on there, and nowhere else.
const REDIRECT: u32 = 1;
/// `TC_ACT_STOLEN`: whoever asked is done with it.
const STOLEN: u32 = 4;

impl Filter {
    fn read(reply: &Reply) -> Option<Self> {
        (reply.kind == NEW_FILTER).then_some(())?;
        let [handle, info] = [u32_at(&reply.body, 8)?, u32_at(&reply.body, 16)?];
        let attributes = reply.attributes(FIXED);
        let kind = attributes.get(KIND)?.text()?.to_owned();
        let options = attributes.within(OPTIONS);
        let program = options.get(BPF_PROGRAM).filter(|_| kind == "bpf").map(|a| a.value.to_vec()).unwrap_or_default();
        // Actions are numbered from one; ours has only one.
        let action = options.within(BPF_ACTION).within(1);
        let is_mirred = action.get(ACTION_KIND).and_then(Attribute::text) == Some("mirred");
        let parameters = action.within(ACTION_OPTIONS).get(MIRRED_PARAMETERS).filter(|_| is_mirred && kind == "bpf");
        let statistics = action.within(ACTION_STATISTICS);
        let short = statistics.get(1).and_then(|a| u32_at(a.value, 8)).map(u64::from);
        Some(Self {
            preference: u16::try_from(info >> 16).unwrap_or(u16::MAX),
            chain: attributes.get(CHAIN).and_then(|a| u32_at(a.value, 0)).unwrap_or(0),
            protocol: u16::try_from(info & 0xFFFF).unwrap_or(0),
            handle,
            label: Label::of(&program),
            kind,
            program,
            device: parameters.and_then(|a| u32_at(a.value, 24)),
            packets: statistics.get(8).and_then(Attribute::u64).or(short).unwrap_or(0),
        })
    }

    /// Is it the head of a list, and no filter itself?
    fn is_head(&self) -> bool {
        self.handle == 0
    }
}

/// Every filter on a hook. None, where there is no such hook or interface.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn filters(socket: &mut Socket, index: u32, hook: Hook) -> Result<Vec<Filter>, NetlinkError> {
    let message = Message::new(GET_FILTER, 0).fixed(&fixed(index, 0, hook.parent(), 0));
    match socket.list(&message) {
        Ok(replies) => Ok(replies.iter().filter_map(Filter::read).filter(|f| !f.is_head()).collect()),
        Err(e) if [Errno::NODEV, Errno::INVAL, Errno::NOENT].contains(&e.errno) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Every filter on the hooks of an interface.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn all(socket: &mut Socket, index: u32) -> Result<Vec<(Hook, Filter)>, NetlinkError> {
    let mut all = Vec::new();
    let hooks = qdisc::at_hooks(socket, index)?;
    // The older kind tells of its only hook whichever is asked for.
    for hook in Hook::BOTH.into_iter().filter(|h| *h == Hook::Ingress || hooks.as_ref().is_some_and(|q| q.kind == "clsact")) {
        all.extend(filters(socket, index, hook)?.into_iter().map(|filter| (hook, filter)));
    }
    Ok(all)
}

/// A preference before those of everybody else, and that no other of ours has. `None`: somebody else stands first.
pub(crate) fn free_preference(standing: &[Filter]) -> Option<u16> {
    let (ours, others): (Vec<&Filter>, Vec<&Filter>) = standing.iter().filter(|f| f.chain == 0).partition(|f| f.label.is_some());
    let first_of_others = others.iter().map(|f| f.preference).min().unwrap_or(u16::MAX);
    let is_free = |p: &u16| *p < first_of_others && !ours.iter().any(|f| f.preference == *p);
    (PREFERENCE..first_of_others).find(is_free).or_else(|| (1..first_of_others.min(PREFERENCE)).rev().find(is_free))
}

/// Puts a filter before all others: what its program matches goes to a device. This is the moment at which a fault begins.
///
/// # Errors
/// If there is one of that preference, or the kernel refuses.
pub(crate) fn put(socket: &mut Socket, index: u32, hook: Hook, preference: u16, program: &[u8], device: u32) -> Result<(), NetlinkError> {
    let numbers = [0, 0, STOLEN, 0, 0, REDIRECT, device];
    let mirred: Vec<u8> = numbers.iter().flat_map(|n: &u32| n.to_ne_bytes()).collect();
    let message = new(index, hook, preference, program, |m| {
        m.nested(BPF_ACTION, |m| {
            m.nested(1, |m| m.text(ACTION_KIND, "mirred").nested(ACTION_OPTIONS, |m| m.bytes(MIRRED_PARAMETERS, &mirred)))
        })
    });
    socket.request(message).map(drop)
}

/// Asks for a filter behind all others that does nothing: it says whose the hooks are.
pub(crate) fn mark(index: u32, hook: Hook, program: &[u8]) -> Message {
    new(index, hook, MARKS, program, |m| m)
}

fn new(index: u32, hook: Hook, preference: u16, program: &[u8], action: impl FnOnce(Message) -> Message) -> Message {
    let instructions = u16::try_from(program.len() / 8).unwrap_or(u16::MAX);
    Message::new(NEW_FILTER, CREATE | EXCLUSIVE)
        .fixed(&fixed(index, 0, hook.parent(), u32::from(preference) << 16 | ALL_PROTOCOLS))
        .text(KIND, "bpf")
        .nested(OPTIONS, |m| action(m.u16(BPF_LENGTH, instructions).bytes(BPF_PROGRAM, program)))
}

/// Removes one of ours: this is the moment at which a fault ends.
///
/// Its whole preference is removed, which is ours alone: kernels before 6.3 cannot remove by number what is too long to be told of.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn remove(socket: &mut Socket, index: u32, hook: Hook, filter: &Filter, standing: &[Filter]) -> Result<(), NetlinkError> {
    let is_alone = standing.iter().filter(|f| (f.chain, f.preference) == (0, filter.preference)).count() == 1;
    let handle = if is_alone { 0 } else { filter.handle };
    let info = u32::from(filter.preference) << 16 | u32::from(filter.protocol);
    let message = Message::new(DELETE_FILTER, 0).fixed(&fixed(index, handle, hook.parent(), info)).text(KIND, &filter.kind);
    match socket.request(message) {
        Err(e) if ![Errno::NOENT, Errno::NODEV, Errno::INVAL].contains(&e.errno) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::flow::{Match, Way};

    fn filter(preference: u16, tag: Option<&str>) -> Filter {
        let label = tag.map(|tag| Label { tag: tag.into(), way: Way::Out, packets: Match::default() });
        Filter { preference, chain: 0, protocol: 0, handle: 1, kind: "bpf".into(), label, program: Vec::new(), device: None, packets: 0 }
    }

    #[test]
    fn ours_stand_before_everybody_elses() {
        assert_eq!(free_preference(&[]), Some(0x0C00));
        assert_eq!(free_preference(&[filter(0x0C00, Some("a")), filter(0x0C01, Some("b"))]), Some(0x0C02));
        assert_eq!(free_preference(&[filter(49152, None)]), Some(0x0C00));
        assert_eq!(free_preference(&[filter(100, None)]), Some(99));
        assert_eq!(free_preference(&[filter(100, None), filter(99, Some("a"))]), Some(98));
        assert_eq!(free_preference(&[filter(2, None), filter(1, Some("a"))]), None);
        assert_eq!(free_preference(&[filter(1, None)]), None);
        assert_eq!(free_preference(&[Filter { chain: 7, ..filter(1, None) }]), Some(0x0C00), "whom nobody asks stands in nobody's way");
    }
}
