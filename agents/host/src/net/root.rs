//! What leaves on an interface stand on: its hooks (RULES 8). Made where there are none, and gone again when nothing is left on them.
//!
//! Hooks bear no name. Ours bear a mark instead, a filter that meets nothing, made in one system call with them: what bears none was made
//! by somebody else, whatever was there before, and is never removed.

use std::path::Path;

use chaos_core::FaultError;
use chaos_core::fault::{Presence, Reverted, Scaffold};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::filter::Label;
use super::hook::{self, Filter, Hook, MARKS};
use super::leaf::failed;
use super::link;
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{NetlinkError, Protocol, Socket};
use super::qdisc;
use crate::cgroup::quoted;
use crate::faults::in_namespace;

/// The hooks of one interface, as written into an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Where.
    pub(crate) namespace: Namespace,
    /// The interface's number.
    pub(crate) index: u32,
    /// Its name, when this was written.
    pub(crate) interface: String,
    /// There were none: they are ours to make.
    pub(crate) ours: bool,
    /// The injection's: hooks of ours bear it.
    pub(crate) tag: String,
}

impl Root {
    /// As it is found.
    ///
    /// # Errors
    /// If the namespace or the interface is gone, or cannot be looked at.
    pub(crate) fn find(namespace: &Namespace, index: u32, tag: String) -> Result<Self, FaultError> {
        namespace.run(|| {
            let mut socket = open()?;
            let link = link::by_index(&mut socket, index).map_err(|e| failed("look for the interface", &e))?;
            let link = link.ok_or_else(|| FaultError::gone(format!("the interface number {index} is gone")))?;
            let hooks = qdisc::at_hooks(&mut socket, index).map_err(|e| failed(&format!("look at {}", link.name), &e))?;
            Ok(Self { namespace: namespace.clone(), index, interface: link.name, ours: hooks.is_none(), tag })
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
            if self.stand(socket)? {
                return Err(self.are_anothers());
            }
            let program = Label::mark(&self.tag).program()?;
            let marks = Hook::BOTH.map(|hook| hook::mark(self.index, hook, &program));
            let Err(e) = socket.together([qdisc::hooks(self.index)].into_iter().chain(marks).collect()) else { return Ok(()) };
            // The kernel goes on after a refusal: with marks on what somebody else has made just now, or with hooks without a mark.
            if e.errno == Errno::EXIST {
                self.remove_marks(socket)?;
                return Err(self.are_anothers());
            }
            if e.errno == Errno::NODEV {
                return Err(FaultError::gone(format!("the interface {} is gone", self.interface)));
            }
            drop(qdisc::remove_hooks(socket, self.index));
            Err(failed(&format!("make the hooks of {}", self.interface), &e))
        })?;
        made.ok_or_else(|| FaultError::gone(format!("the network namespace net:[{}] is gone", self.namespace.inode)))
    }

    fn are_anothers(&self) -> FaultError {
        FaultError::new(format!("somebody else has made hooks on {} since it was looked at", self.interface))
    }

    fn stand(&self, socket: &mut Socket) -> Result<bool, FaultError> {
        qdisc::at_hooks(socket, self.index).map(|h| h.is_some()).map_err(|e| failed(&format!("look at {}", self.interface), &e))
    }

    /// Are the hooks there that we made? Somebody else's are none of ours.
    ///
    /// # Errors
    /// If they cannot be looked at.
    pub(crate) fn inspect(&self) -> Result<Presence, FaultError> {
        let on = self.there(|socket| self.on(socket))?;
        Ok(match on {
            None => Presence::none().finding("the network namespace is gone"),
            Some(on) if on.marks > 0 => Presence::whole(),
            Some(_) => Presence::none(),
        })
    }

    /// Removes them, if they are ours. What somebody has put on them since stays, and they with it.
    ///
    /// Whatever is put on them between the look and the removal is lost: the kernel removes no hooks on a condition.
    ///
    /// # Errors
    /// If leaves of ours still stand on them, or the kernel refuses.
    pub(crate) fn remove(&self) -> Result<Reverted, FaultError> {
        let done = self.there(|socket| {
            let on = self.on(socket)?;
            if on.marks == 0 {
                return Ok(Reverted::default());
            }
            if on.leaves > 0 {
                return Err(FaultError::new(format!("{} filters of ours still stand on the hooks of {}", on.leaves, self.interface)));
            }
            if on.others > 0 {
                self.remove_marks(socket)?;
                let kept = format!("kept the hooks of {}: {} filters of somebody else's stand on them now", self.interface, on.others);
                return Ok(Reverted::note(kept));
            }
            qdisc::remove_hooks(socket, self.index).map_err(|e| failed(&format!("remove the hooks of {}", self.interface), &e))?;
            Ok(Reverted::default())
        })?;
        Ok(done.unwrap_or_else(|| Reverted::note("the network namespace is gone, and the hooks with it")))
    }

    fn remove_marks(&self, socket: &mut Socket) -> Result<(), FaultError> {
        let all = self.filters(socket)?;
        for (hook, mark) in all.iter().filter(|(_, f)| self.is_mark(f)) {
            let standing: Vec<Filter> = all.iter().filter(|(h, _)| h == hook).map(|(_, f)| f.clone()).collect();
            let removing = |e: NetlinkError| failed(&format!("remove our mark from the hooks of {}", self.interface), &e);
            hook::remove(socket, self.index, *hook, mark, &standing).map_err(removing)?;
        }
        Ok(())
    }

    fn is_mark(&self, filter: &Filter) -> bool {
        filter.label.as_ref().is_some_and(|l| l.is_mark() && l.tag == self.tag)
    }

    fn filters(&self, socket: &mut Socket) -> Result<Vec<(Hook, Filter)>, FaultError> {
        hook::all(socket, self.index).map_err(|e| failed(&format!("list the filters on the hooks of {}", self.interface), &e))
    }

    fn on(&self, socket: &mut Socket) -> Result<On, FaultError> {
        let mut on = On::default();
        for (_, filter) in self.filters(socket)? {
            match &filter.label {
                _ if self.is_mark(&filter) => on.marks += 1,
                Some(label) if !label.is_mark() => on.leaves += 1,
                _ => on.others += 1,
            }
        }
        Ok(on)
    }

    /// The same as shell commands for a person.
    pub(crate) fn explain(&self) -> Vec<String> {
        if !self.ours {
            return vec![format!("# the hooks of {} were there before, and stay", self.interface)];
        }
        vec![in_namespace(&self.namespace, &by_hand(&self.interface))]
    }
}

/// What stands on the hooks of an interface.
#[derive(Debug, Default)]
struct On {
    marks: usize,
    leaves: usize,
    others: usize,
}

/// A shell's command that removes hooks that bear a mark, if nothing else stands on them.
pub(crate) fn by_hand(interface: &str) -> String {
    let listed = r#"$(for h in egress ingress; do tc filter show dev "$1" $h; done | grep " pref " | cut -d" " -f5-6 | sort -u)"#;
    let interface = quoted(Path::new(interface));
    format!(r#"sh -c 'if [ "{listed}" = "{MARKS} bpf" ]; then tc qdisc del dev "$1" clsact; fi' sh {interface}"#)
}

fn open() -> Result<Socket, FaultError> {
    Socket::open(Protocol::Route).map_err(|e| failed("speak rtnetlink", &e))
}
