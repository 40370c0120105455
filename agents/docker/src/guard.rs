//! Containers that are never harmed, by no setting: the one that chaos runs in, those that chaos made, and those that say so themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::resident::{innermost, is_id};

/// The label by which somebody says that a container is never to be harmed.
pub const EXEMPT: &str = "chaos.exempt";

/// The label of everything that chaos makes in an engine: the tag of the injection that it was made for (RULES 13).
pub const TAG: &str = "chaos.tag";

/// The container that this process runs in, as far as that can be known from inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Full ids. One, as a rule; in a container in a container both, and that whose pid namespace is shared.
    ids: BTreeSet<String>,
    /// The host's name where it looks like the start of an id, as an engine gives it to whoever asks for no other.
    prefix: Option<String>,
}

impl Own {
    /// Looks at this process: its control group, what is mounted into it, and the host's name; and at whoever holds its pid namespace.
    pub(crate) fn of_this_process() -> Self {
        let mut own = Self::seen(Path::new("/proc/self"), &rustix::system::uname().nodename().to_string_lossy());
        // With `--pid=container:…` that one's first process is pid 1 here, and nobody in here outlives it.
        own.ids.extend(Self::seen(Path::new("/proc/1"), "").ids);
        own
    }

    fn seen(process: &Path, hostname: &str) -> Self {
        let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
        let mut ids: BTreeSet<String> = read("cgroup").lines().filter_map(innermost).map(str::to_owned).collect();
        ids.extend(read("mountinfo").lines().filter_map(of_mount));
        let is_short = hostname.len() == 12 && hostname.bytes().all(|b| b.is_ascii_hexdigit());
        Self { ids, prefix: is_short.then(|| hostname.to_owned()) }
    }

    /// Is it this one?
    pub(crate) fn is(&self, id: &str) -> bool {
        self.ids.contains(id) || self.prefix.as_ref().is_some_and(|prefix| id.starts_with(prefix.as_str()))
    }
}

/// The id in a mount that an engine makes for each container: `/var/lib/docker/containers/ID/hostname` on `/etc/hostname`, and Podman's
/// `…/overlay-containers/ID/userdata/hostname`.
fn of_mount(line: &str) -> Option<String> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let source = fields.next()?;
    let at = fields.next()?;
    if !matches!(at, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
        return None;
    }
    source.split('/').find(|part| is_id(part)).map(str::to_owned)
}

/// Why this container is never a target; `None`: it may be one.
pub(crate) fn never(own: &Own, id: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    if own.is(id) {
        return Some("chaos runs in it".into());
    }
    if labels.contains_key(TAG) {
        return Some("chaos made it".into());
    }
    let says = labels.get(EXEMPT).filter(|value| !matches!(value.as_str(), "false" | "0" | "no"))?;
    Some(format!("its label says {EXEMPT}={says}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn own(cgroup: &str, mountinfo: &str, hostname: &str) -> Own {
        let process = tempfile::tempdir().expect("a folder");
        std::fs::write(process.path().join("cgroup"), cgroup).expect("cgroup");
        std::fs::write(process.path().join("mountinfo"), mountinfo).expect("mountinfo");
        Own::seen(process.path(), hostname)
    }

    #[test]
    fn the_container_that_chaos_runs_in_is_known_by_any_of_three_marks() {
        let mount = format!("660 640 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n");
        let cases = [
            (own(&format!("12:pids:/docker/{ID}\n"), "", "ranker"), true),
            // Version 2 of control groups with a namespace of its own shows only `/`.
            (own("0::/\n", &mount, "ranker"), true),
            (own("0::/\n", "", &ID[..12]), true),
            (own("0::/\n", "", "0123456789ac"), false),
            (own("0::/user.slice\n", "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n", "laptop"), false),
            // Another container's file, mounted into ours for its own reasons.
            (own("0::/\n", &mount.replace("/etc/hostname", "/backup"), "ranker"), false),
        ];
        for (i, (own, is)) in cases.into_iter().enumerate() {
            assert_eq!(own.is(ID), is, "case {i}");
        }
    }

    #[test]
    fn what_says_so_itself_and_what_chaos_made_is_never_harmed() {
        let why =
            |labels: &[(&str, &str)]| never(&Own::default(), ID, &labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(why(&[("app", "ranker")]), None);
        assert_eq!(why(&[(EXEMPT, "false")]), None);
        assert_eq!(why(&[(EXEMPT, "true")]).as_deref(), Some("its label says chaos.exempt=true"));
        assert_eq!(why(&[(TAG, "chaos-x-1.0.1")]).as_deref(), Some("chaos made it"));
    }
}
