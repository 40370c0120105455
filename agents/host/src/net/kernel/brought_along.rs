//! The module `ifb`, when it is first loaded, makes two idle devices in the machine's first network namespace, `ifb0` and `ifb1`. Whoever
//! made the kernel load it takes them away again.

use std::path::Path;

use crate::net::link::{self, Link};
use crate::net::namespace::Namespace;
use crate::net::netlink::{NetlinkError, Protocol, Socket};
use crate::process::Snapshot;

/// What was there before.
#[derive(Debug)]
pub(super) struct BroughtAlong {
    /// Where the machine's first process lives, if that is elsewhere.
    first: Option<Namespace>,
    before: Vec<u32>,
}

impl BroughtAlong {
    /// Before the module is loaded.
    pub(super) fn before() -> Self {
        let init = Snapshot::take().ok().and_then(|all| all.living().find(|e| e.id.pid == 1).map(|e| e.id));
        let first = init.and_then(|id| Namespace::of(id).ok()).filter(|namespace| !namespace.is_own());
        let here = Self { first, before: Vec::new() };
        Self { before: here.there(idle).into_iter().flatten().map(|link| link.index).collect(), ..here }
    }

    /// Afterwards: without them. Says what loading the module leaves for good, if it was.
    pub(super) fn removed(self) -> Option<String> {
        if !Path::new("/sys/module/ifb").exists() {
            return None;
        }
        Some(match self.take_away() {
            Ok(1..) => {
                "the kernel's module ifb was loaded for this, and stays loaded; the devices that it brought along were removed".into()
            }
            Ok(0) => "the kernel's module ifb was loaded for this, and stays loaded; if it has brought the idle devices ifb0 and ifb1 \
                along, they stand where we cannot look, and stay"
                .into(),
            Err(e) => format!("the kernel's module ifb was loaded for this: the idle devices ifb0 and ifb1 that it brings along stay: {e}"),
        })
    }

    /// Removes what was not there before, and says how many that were.
    fn take_away(&self) -> Result<usize, String> {
        self.there(|socket| {
            let brought: Vec<Link> = idle(socket)?.into_iter().filter(|link| !self.before.contains(&link.index)).collect();
            brought.iter().try_for_each(|link| link::delete(socket, link.index).map(drop))?;
            Ok(brought.len())
        })
    }

    fn there<T: Send>(&self, work: impl FnOnce(&mut Socket) -> Result<T, NetlinkError> + Send) -> Result<T, String> {
        let asked = || Socket::open(Protocol::Route).and_then(|mut socket| work(&mut socket)).map_err(|e| e.to_string());
        match &self.first {
            None => asked(),
            Some(first) => first.run(asked).map_err(|e| e.to_string())?,
        }
    }
}

/// Devices of that kind, with the names that the kernel gives them, which nobody has touched.
fn idle(socket: &mut Socket) -> Result<Vec<Link>, NetlinkError> {
    let is_idle = |l: &Link| {
        let numbered = l.name.strip_prefix("ifb").is_some_and(|n| ["0", "1"].contains(&n));
        numbered && l.kind.as_deref() == Some("ifb") && !l.up && l.alias.is_none()
    };
    Ok(link::all(socket)?.into_iter().filter(is_idle).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::elsewhere;

    #[test]
    fn what_appeared_meanwhile_and_is_idle_goes() {
        let Some(there) = elsewhere("what_appeared_meanwhile_and_is_idle_goes") else { return };
        let ip = |args: &str| assert!(there.command("ip").args(args.split(' ')).status().is_ok_and(|s| s.success()), "ip {args}");
        ip("link add ifb1 type ifb");
        let in_place = |before| BroughtAlong { first: Some(there.namespace().clone()), before };
        let was = in_place(Vec::new()).there(idle).expect("asked");
        assert_eq!(was.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["ifb1"]);
        ip("link add ifb0 type ifb");
        ip("link add ifb7 type ifb");
        assert_eq!(in_place(was.iter().map(|l| l.index).collect()).take_away(), Ok(1));
        let left = in_place(Vec::new()).there(link::all).expect("asked");
        assert_eq!(left.iter().map(|l| l.name.as_str()).filter(|n| n.starts_with("ifb")).collect::<Vec<_>>(), ["ifb1", "ifb7"]);
    }
}
