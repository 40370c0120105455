//! `listening_on`: from ports to the processes that answer there.

use std::collections::BTreeSet;

use chaos_core::literal::Ports;
use chaos_core::target::{ProcessId, ResolveError};

use crate::process::{Listening, Snapshot, Sockets, name_of};
use crate::world::describe_holder;

/// The members that listen.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// One for each socket, however many processes share it.
    pub(super) members: BTreeSet<ProcessId>,
    /// Those among them that share it with their children: only together are they what answers.
    pub(super) shared: BTreeSet<ProcessId>,
}

/// Finds who answers on the ports.
///
/// # Errors
/// If nobody listens on any of them, or a holder cannot be looked at, or only holds the socket for somebody else.
pub(super) fn find(ports: &Ports, snapshot: &Snapshot, sockets: &Sockets) -> Result<Listeners, ResolveError> {
    let wanted: Vec<Listening> = sockets.listening().filter(|l| ports.contains(l.port)).collect();
    if wanted.is_empty() {
        return Err(nobody(ports, sockets));
    }
    let mut listeners = Listeners::default();
    for socket in wanted {
        let Some(holders) = sockets.holders(socket) else {
            return Err(ResolveError::new(format!(
                "port {} is held by {}: how many processes that are is unknown",
                socket.port,
                describe_holder(sockets, socket)
            ))
            .hint("run as root, or as that user"));
        };
        let answering: BTreeSet<ProcessId> = holders.iter().copied().filter(|id| mere_holder(snapshot, *id).is_none()).collect();
        if answering.is_empty() {
            return Err(only_held(socket, snapshot, holders));
        }
        let roots = snapshot.roots_of(&answering);
        if roots.len() < answering.len() {
            listeners.shared.extend(&roots);
        }
        listeners.members.extend(roots);
    }
    Ok(listeners)
}

/// The word to select by what a process only holds a socket for; `None`: it answers itself.
fn mere_holder(snapshot: &Snapshot, id: ProcessId) -> Option<&'static str> {
    if id.pid == 1 {
        return Some("unit");
    }
    match snapshot.alive(id)?.name.as_str() {
        "docker-proxy" | "rootlessport" | "slirp4netns" | "pasta" => Some("containers"),
        "systemd" => Some("unit"),
        _ => None,
    }
}

fn only_held(socket: Listening, snapshot: &Snapshot, holders: &BTreeSet<ProcessId>) -> ResolveError {
    let holder = holders.first().copied();
    let name = holder.map_or_else(String::new, |id| format!("{} (pid {})", name_of(id.pid), id.pid));
    let error = ResolveError::new(format!("port {} is only held by {name}, for somebody else who answers there", socket.port));
    match holder.and_then(|id| mere_holder(snapshot, id)) {
        Some("containers") => error.hint("select what is behind it: `containers: {names: …}`"),
        _ => error.hint("select what is behind it: `processes: {unit: NAME.service}`"),
    }
}

fn nobody(ports: &Ports, sockets: &Sockets) -> ResolveError {
    const SHOWN: usize = 3;
    let near = ports.iter().next().unwrap_or(0);
    let mut others: Vec<Listening> = sockets.listening().collect();
    // Those of which nothing can be said come last.
    others.sort_by_key(|l| (sockets.holders(*l).is_none_or(BTreeSet::is_empty), l.port.abs_diff(near), l.port));
    let mut seen = BTreeSet::new();
    others.retain(|l| seen.insert(l.port));
    let listed: Vec<String> = others.iter().take(SHOWN).map(|l| format!("{} {}", l.port, describe_holder(sockets, *l))).collect();
    let hint = if listed.is_empty() {
        "nothing listens on TCP in this network namespace; what listens inside a container is not seen here".to_owned()
    } else {
        format!("nearby listen:\n{}", listed.join(",\n"))
    };
    ResolveError::nothing(format!("nobody listens on port {ports}")).hint(hint)
}
