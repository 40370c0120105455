//! May a leaf stand where it is to stand? Beside what others have put there, and what is ours.

use std::collections::BTreeSet;

use chaos_core::FaultError;

use super::{Leaf, Place, failed, filters};
use crate::net::filter::Label;
use crate::net::flow::Way;
use crate::net::hook::{self, Hook};
use crate::net::netlink::Socket;
use crate::net::{link, qdisc, tcx};

impl Leaf {
    /// May it be put where it is to stand? Somebody else's filter that would take packets first is refused, and so is another of ours
    /// that means the same packets. Gives sentences for the plan.
    ///
    /// # Errors
    /// With who stands in the way.
    pub(crate) fn may_stand(&self) -> Result<Vec<String>, FaultError> {
        self.label(Way::Out).program()?;
        self.there_or_gone(|socket| {
            link::may_change(socket).map_err(|e| failed("put a filter on an interface", &e))?;
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
            let says = format!("{} has a filter at {place} already: {}", other.tag, other.packets);
            return Err(FaultError::new(says).hint(
                "a packet meets one fault: narrow one of them by `ports` or `hosts`; what a dead run left, `chaos recover` takes back",
            ));
        }
        if hook::free_preference(&standing).is_none() {
            let says = format!("a filter of somebody else's stands first at {place}, and would take packets before ours");
            return Err(FaultError::new(says).hint(format!("`tc filter show dev {} {}` shows it", place.interface, place.hook.name())));
        }
        let before = tcx::programs(place.index, place.hook);
        if before > 0 {
            notes.push(format!("{before} programs stand before {place} (tcx): what they keep for themselves is not met"));
        }
        // Some kinds of filter are told of in several parts.
        let others: BTreeSet<(u32, u16)> = standing.iter().filter(|f| f.label.is_none()).map(|f| (f.chain, f.preference)).collect();
        let others = others.len();
        if others > 0 {
            notes.push(format!("{others} of somebody else's filters at {place} stay, but are not asked of the packets that this meets"));
        }
        Ok(())
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
                let (ours, others) = (self.packets.to_string(), other.packets.to_string());
                let both = if ours == others { ours } else { format!("{ours}; {others}") };
                shared.then(|| format!("packets at {place}: {both}"))
            })
        })
    }
}
