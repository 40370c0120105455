//! What leaves on an interface stand on: its hooks (RULES 8). Made where there are none, and gone again when nothing is left on them.

use chaos_core::FaultError;
use chaos_core::fault::{Presence, Reverted, Scaffold};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::hook::{self, Hook};
use super::leaf::{failed, within};
use super::link;
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{NetlinkError, Protocol, Socket};
use super::qdisc;

/// The hooks of one interface, as written into an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Where.
    pub(crate) namespace: Namespace,
    /// The interface's number.
    pub(crate) index: u32,
    /// Its name, when this was written.
    pub(crate) interface: String,
    /// There were none: they are ours to make and to remove.
    pub(crate) ours: bool,
}

impl Root {
    /// As it is found.
    ///
    /// # Errors
    /// If the namespace or the interface is gone, or cannot be looked at.
    pub(crate) fn find(namespace: &Namespace, index: u32) -> Result<Self, FaultError> {
        namespace.run(|| {
            let mut socket = open()?;
            let link = link::by_index(&mut socket, index).map_err(|e| failed("look for the interface", &e))?;
            let link = link.ok_or_else(|| FaultError::gone(format!("the interface number {index} is gone")))?;
            let hooks = qdisc::at_hooks(&mut socket, index).map_err(|e| failed(&format!("look at {}", link.name), &e))?;
            Ok(Self { namespace: namespace.clone(), index, interface: link.name, ours: hooks.is_none() })
        })?
    }

    /// The scaffold by which leaves ask for it.
    pub(crate) fn scaffold(namespace: &Namespace, index: u32, interface: &str) -> Scaffold {
        Scaffold {
            fault: "net.root".into(),
            spec: serde_json::json!({"namespace": namespace, "index": index}),
            claim: format!("netns:{}/dev:{index}/hooks", namespace.inode),
            label: format!("the hooks of {interface} in the network namespace net:[{}]", namespace.inode),
        }
    }

    fn there<T: Send>(&self, work: impl FnOnce(&mut Socket) -> Result<T, FaultError> + Send) -> Result<Option<T>, FaultError> {
        match self.namespace.run(|| work(&mut open()?)) {
            Ok(done) => done.map(Some),
            Err(NamespaceError::Gone { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes them, if they are ours to make.
    ///
    /// # Errors
    /// If somebody else has made some meanwhile, or the kernel refuses.
    pub(crate) fn make(&self) -> Result<(), FaultError> {
        if !self.ours {
            return Ok(());
        }
        let made = self.there(|socket| {
            qdisc::make_hooks(socket, self.index).map_err(|e| match e.errno {
                Errno::EXIST => FaultError::new(format!("somebody else has made hooks on {} since it was looked at", self.interface)),
                Errno::NODEV => FaultError::gone(format!("the interface {} is gone", self.interface)),
                _ => failed(&format!("make the hooks of {}", self.interface), &e),
            })
        })?;
        made.ok_or_else(|| FaultError::gone(format!("the network namespace net:[{}] is gone", self.namespace.inode)))
    }

    /// Are the hooks there that we made? Somebody else's are none of ours.
    ///
    /// # Errors
    /// If they cannot be looked at.
    pub(crate) fn inspect(&self) -> Result<Presence, FaultError> {
        if !self.ours {
            return Ok(Presence::none());
        }
        let left = self.there(|socket| Ok((self.stand(socket)?, self.others(socket)?)))?;
        Ok(match left {
            None => Presence::none().finding("the network namespace is gone"),
            Some((true, 0)) => Presence::whole(),
            Some((true, others)) => {
                Presence::none().finding(format!("{others} filters of somebody else's stand on the hooks now: they stay"))
            }
            Some((false, _)) => Presence::none(),
        })
    }

    /// Removes them, if they are ours and nobody has put anything on them since.
    ///
    /// # Errors
    /// If leaves of ours still stand on them, or the kernel refuses.
    pub(crate) fn remove(&self) -> Result<Reverted, FaultError> {
        if !self.ours {
            return Ok(Reverted::default());
        }
        let done = self.there(|socket| {
            if !self.stand(socket)? {
                return Ok(Reverted::default());
            }
            let (ours, others) = (self.leaves(socket)?, self.others(socket)?);
            if ours > 0 {
                return Err(FaultError::new(format!("{ours} filters of ours still stand on the hooks of {}", self.interface)));
            }
            if others > 0 {
                return Ok(Reverted::note(format!(
                    "kept the hooks of {}: {others} filters of somebody else's stand on them now",
                    self.interface
                )));
            }
            qdisc::remove_hooks(socket, self.index).map_err(|e| failed(&format!("remove the hooks of {}", self.interface), &e))?;
            Ok(Reverted::default())
        })?;
        Ok(done.unwrap_or_else(|| Reverted::note("the network namespace is gone, and the hooks with it")))
    }

    fn stand(&self, socket: &mut Socket) -> Result<bool, FaultError> {
        let hooks = qdisc::at_hooks(socket, self.index).map_err(|e| failed(&format!("look at {}", self.interface), &e))?;
        Ok(hooks.is_some_and(|h| h.kind == "clsact"))
    }

    fn leaves(&self, socket: &mut Socket) -> Result<usize, FaultError> {
        Ok(self.count(socket)?.0)
    }

    fn others(&self, socket: &mut Socket) -> Result<usize, FaultError> {
        Ok(self.count(socket)?.1)
    }

    /// Filters of ours, and of others.
    fn count(&self, socket: &mut Socket) -> Result<(usize, usize), FaultError> {
        let (mut ours, mut others) = (0, 0);
        for hook in [Hook::Egress, Hook::Ingress] {
            let listing = |e: NetlinkError| failed(&format!("list the filters at the {} of {}", hook.name(), self.interface), &e);
            for filter in hook::filters(socket, self.index, hook).map_err(listing)? {
                *if filter.label.is_some() { &mut ours } else { &mut others } += 1;
            }
        }
        Ok((ours, others))
    }

    /// The same as shell commands for a person.
    pub(crate) fn explain(&self) -> Vec<String> {
        if !self.ours {
            return vec![format!("# the hooks of {} were there before, and stay", self.interface)];
        }
        within(&self.namespace, vec![format!("tc qdisc del dev {} clsact", self.interface)])
    }
}

fn open() -> Result<Socket, FaultError> {
    Socket::open(Protocol::Route).map_err(|e| failed("speak rtnetlink", &e))
}
