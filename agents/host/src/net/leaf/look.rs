//! A leaf as the kernel says that it is.

use chaos_core::FaultError;
use chaos_core::fault::{Met, Presence};

use super::{Branch, Leaf, failed, filters};
use crate::net::link::{self, Link};
use crate::net::netlink::Socket;
use crate::net::qdisc;

impl Leaf {
    /// Reads the kernel back: devices, options, filters and what went through them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn inspect(&self) -> Result<Presence, FaultError> {
        let seen = self.there(|socket| {
            let mut seen = Looked::default();
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

    /// A packet is met only where the whole way is there: the filter, the device, and what stands on it.
    fn inspect_branch(&self, socket: &mut Socket, branch: &Branch, seen: &mut Looked) -> Result<(), FaultError> {
        let device = self.device(socket, branch)?;
        let broken = self.inspect_device(socket, branch, device.as_ref())?;
        let program = self.label(branch.way).program()?;
        for place in &branch.places {
            match filters(socket, place)?.into_iter().find(|f| self.is_ours(f, branch.way)) {
                Some(filter) => {
                    seen.packets += filter.packets;
                    let is_changed = filter.program != program || device.as_ref().is_some_and(|d| filter.device != Some(d.index));
                    let changed = is_changed.then(|| format!("the filter at {place} is not as it was put there"));
                    seen.way(broken.clone().or(changed));
                }
                None => {
                    let link = link::by_index(socket, place.index).map_err(|e| failed(&format!("look for {}", place.interface), &e))?;
                    seen.way(Some(match link {
                        Some(_) => format!("the filter at {place} is gone"),
                        None => format!("the interface {} is gone", place.interface),
                    }));
                }
            }
        }
        Ok(())
    }

    /// Why what is sent to the device does not meet what it should.
    fn inspect_device(&self, socket: &mut Socket, branch: &Branch, device: Option<&Link>) -> Result<Option<String>, FaultError> {
        let Some(device) = device else {
            return Ok(Some(format!("the device {} is gone: what should pass it is lost", branch.device)));
        };
        if !device.up {
            return Ok(Some(format!("the device {} was taken down: what should pass it is lost", branch.device)));
        }
        let root = qdisc::at_root(socket, device.index).map_err(|e| failed(&format!("look at {}", branch.device), &e))?;
        let is_changed = !root.is_some_and(|root| self.discipline.is(&root));
        Ok(is_changed.then(|| format!("what stands on {} is not what was put there", branch.device)))
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
                    sum += root.map_or(0, |root| root.waiting);
                }
            }
            Ok(sum)
        })?;
        Ok(waiting.unwrap_or(0))
    }
}

/// What an inspection has seen of the ways that packets should take.
#[derive(Debug, Default)]
struct Looked {
    whole: usize,
    packets: u64,
    finding: Option<String>,
}

impl Looked {
    fn way(&mut self, wrong: Option<String>) {
        match wrong {
            None => self.whole += 1,
            Some(wrong) => {
                self.finding.get_or_insert(wrong);
            }
        }
    }

    /// What is left of a way that is not whole acts on nothing, or loses all that should pass it: that is not the fault any more.
    fn presence(self) -> Presence {
        let met = Met::times(self.packets);
        match (self.whole, self.finding) {
            (0, finding) => Presence { finding, ..Presence::none() },
            (_, Some(finding)) => Presence::partial(finding).met(met),
            (_, None) => Presence::whole().met(met),
        }
    }
}
