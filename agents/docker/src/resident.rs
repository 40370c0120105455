//! The processes of this host that are containers' (RULES 16).
//!
//! What an engine says of a pid holds on the engine's host and in its pid namespace only; here the same number may be a stranger. So it is
//! looked at from the other end: each process' own `/proc/PID/cgroup` names the container that it belongs to, by an id of 256 bits that
//! is never used again. What is found so is the container's, whoever the engine is and wherever it says it runs; what is not, is not there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chaos_core::target::ProcessId;

/// The processes of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resident {
    /// The first one, that the container lives and dies with.
    pub(crate) process: ProcessId,
    /// All of them, the first one first.
    pub(crate) tree: Vec<ProcessId>,
    /// The control group of the first one.
    pub(crate) cgroup: String,
}

/// One process, as far as it matters here.
pub(crate) struct Member {
    pub(crate) id: ProcessId,
    parent: i32,
    cgroup: String,
}

/// The processes of every container that has any here, by the container's id.
///
/// # Errors
/// If the processes cannot be listed.
pub(crate) fn residents(proc: &Path) -> std::io::Result<BTreeMap<String, Resident>> {
    let mut members: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for entry in std::fs::read_dir(proc)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Some((container, member)) = member(&entry.path(), pid) else { continue };
        members.entry(container).or_default().push(member);
    }
    Ok(members.into_iter().filter_map(|(id, members)| Some((id, resident(members)?))).collect())
}

/// The first process is the one that was started from outside and is the oldest: `docker exec` starts others from outside, later.
fn resident(members: Vec<Member>) -> Option<Resident> {
    let from_outside = |m: &&Member| !members.iter().any(|other| other.id.pid == m.parent);
    let age = |m: &&Member| (m.id.start_ticks, m.id.pid);
    let first = members.iter().filter(from_outside).min_by_key(age)?;
    let (process, cgroup) = (first.id, first.cgroup.clone());
    let mut others: Vec<ProcessId> = members.iter().map(|m| m.id).filter(|id| *id != process).collect();
    others.sort_by_key(|id| (id.start_ticks, id.pid));
    let tree = std::iter::once(process).chain(others).collect();
    Some(Resident { process, tree, cgroup })
}

/// A living process of a container, and the container's id.
pub(crate) fn member(folder: &Path, pid: i32) -> Option<(String, Member)> {
    let cgroups = std::fs::read_to_string(folder.join("cgroup")).ok()?;
    let (container, cgroup) =
        cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(|path| Some((innermost(path)?, path)))?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name stands in brackets and may itself hold brackets and spaces: count from the last one.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some((container.to_owned(), Member { id: ProcessId { pid, start_ticks }, parent, cgroup: cgroup.to_owned() }))
}

/// The id of the innermost container that a control group's path names: `/docker/ID`, `/system.slice/docker-ID.scope`,
/// `/machine.slice/libpod-ID.scope/container`. A container in a container is named after the one around it.
pub(crate) fn innermost(path: &str) -> Option<&str> {
    // Podman names a container's guardian after it; the guardian is outside.
    let components = path.rsplit('/').filter(|component| !component.starts_with("libpod-conmon-"));
    components.flat_map(|component| component.split(['-', '.', ':'])).find(|word| is_id(word))
}

/// Is this the full id of a container?
pub(crate) fn is_id(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The network namespace of a process by its inode, where we may know it.
pub(crate) fn network_namespace(process: ProcessId) -> Option<u64> {
    std::fs::metadata(format!("/proc/{}/ns/net", process.pid)).ok().map(|namespace| namespace.ino())
}

/// The network namespace of this process.
pub(crate) fn own_network_namespace() -> Option<u64> {
    std::fs::metadata("/proc/self/ns/net").ok().map(|namespace| namespace.ino())
}

/// The TCP ports on which anybody listens in the network namespace of a process, sorted.
pub(crate) fn listening(process: ProcessId) -> Vec<u16> {
    let read = |table: &str| std::fs::read_to_string(format!("/proc/{}/net/{table}", process.pid)).ok();
    // To read a table, the kernel walks through the sockets of all namespaces, for milliseconds; to count those of one costs nothing.
    let any = |counts: &str| read(counts).is_none_or(|counts| has_sockets(&counts));
    let mut ports: Vec<u16> = [("sockstat", "tcp"), ("sockstat6", "tcp6")]
        .iter()
        .filter(|(counts, _)| any(counts))
        .filter_map(|(_, table)| read(table))
        .flat_map(|table| table.lines().skip(1).filter_map(listening_port).collect::<Vec<_>>())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Does `/proc/PID/net/sockstat` count any socket of TCP? Where it does not say, there may be some.
fn has_sockets(counts: &str) -> bool {
    let line = counts.lines().find_map(|line| line.strip_prefix("TCP: inuse ").or_else(|| line.strip_prefix("TCP6: inuse ")));
    line.and_then(|rest| rest.split_ascii_whitespace().next()) != Some("0")
}

/// The port of one line of `/proc/PID/net/tcp`, where it is a listening socket (state 0A).
fn listening_port(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    (state == "0A").then(|| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const INNER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    #[test]
    fn a_control_group_names_the_innermost_container() {
        let both = format!("/docker/{ID}/docker/{INNER}");
        let cases = [
            (format!("/docker/{ID}"), Some(ID)),
            (format!("/system.slice/docker-{ID}.scope"), Some(ID)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some(ID)),
            (format!("/../../docker/{ID}/system.slice/nginx.service"), Some(ID)),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
            (both, Some(INNER)),
            (format!("/docker/{}", &ID[1..]), None),
            (format!("/docker/{}", ID.to_uppercase()), None),
            ("/".to_owned(), None),
            ("/user.slice/user-1000.slice/session-2.scope".to_owned(), None),
        ];
        for (path, id) in cases {
            assert_eq!(innermost(&path), id, "{path}");
        }
    }

    fn process(proc: &Path, pid: i32, parent: i32, start: u64, state: &str, cgroup: &str) {
        let folder = proc.join(pid.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let stat = format!("{pid} (a) name) {state} {parent} {} {start} 0 0\n", "0 ".repeat(17).trim_end());
        std::fs::write(folder.join("stat"), stat).expect("stat");
        std::fs::write(folder.join("cgroup"), cgroup).expect("cgroup");
    }

    #[test]
    fn rule_16_the_first_process_is_the_oldest_that_came_from_outside() {
        let proc = tempfile::tempdir().expect("a folder");
        let ours = format!("12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n");
        // The pids have wrapped: the first process has the greatest, and shares its tick with its child.
        process(proc.path(), 900, 50, 100, "S", &ours);
        process(proc.path(), 20, 900, 100, "S", &ours);
        process(proc.path(), 10, 50, 300, "S", &ours);
        process(proc.path(), 11, 900, 301, "Z", &ours);
        process(proc.path(), 50, 1, 1, "S", "0::/system.slice/containerd.service\n");
        let found = residents(proc.path()).expect("processes");
        let id = |pid, start_ticks| ProcessId { pid, start_ticks };
        let resident = &found[ID];
        assert_eq!(resident.process, id(900, 100));
        assert_eq!(resident.tree, [id(900, 100), id(20, 100), id(10, 300)]);
        assert_eq!(resident.cgroup, format!("/docker/{ID}"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_namespace_without_sockets_is_told_by_its_counts() {
        assert!(!has_sockets("sockets: used 3\nTCP: inuse 0 orphan 0 tw 0 alloc 2 mem 0\nUDP: inuse 1\n"));
        assert!(has_sockets("TCP: inuse 1 orphan 0 tw 0 alloc 2 mem 0\n") && has_sockets("TCP6: inuse 12\n") && has_sockets(""));
        assert!(!has_sockets("TCP6: inuse 0\nUDP6: inuse 4\n"));
    }

    #[test]
    fn only_sockets_that_listen_have_a_port_of_their_own() {
        let listens = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        let connected = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0";
        assert_eq!((listening_port(listens), listening_port(connected), listening_port("")), (Some(8080), None, None));
    }
}
