//! A leaf as the kernel says that it is.

use chaos_core::FaultError;
use chaos_core::fault::{Met, Presence};

use super::{Branch, Leaf, failed, filters};
use crate::net::netlink::Socket;
use crate::net::{link, qdisc};

impl Leaf {
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
                        seen.wrong(format!("the filter at {place} is not as it was put there"));
                    }
                }
                None => {
                    let link = link::by_index(socket, place.index).map_err(|e| failed(&format!("look for {}", place.interface), &e))?;
                    seen.missing(match link {
                        Some(_) => format!("the filter at {place} is gone"),
                        None => format!("the interface {} is gone", place.interface),
                    });
                }
            }
        }
        Ok(())
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
