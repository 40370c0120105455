//! Where the control socket of a proxy lies: told by who runs it, in which network namespace, and where it listens.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::engine::{Proxy, Upstream, seed_of};

/// How long the name of ports may be: a socket's path has 107 bytes, and the folder and the namespace take some 56.
const LONGEST_PORTS: usize = 40;

/// The control socket of the proxy of this user that listens there, in this network namespace, whether one does or not.
///
/// Nothing of the environment has a say: executor and proxy must agree.
#[must_use]
pub fn place(listen: SocketAddr) -> PathBuf {
    folder().join(format!("{}-{listen}.sock", namespace()))
}

/// The network namespace of this thread, by inode.
fn namespace() -> u64 {
    std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |m| m.ino())
}

/// The control socket of this proxy.
pub(super) fn place_of(proxy: &Proxy) -> PathBuf {
    match proxy.upstream() {
        Upstream::Fixed(_) => place(proxy.listen()),
        Upstream::Original { ports, .. } => place_before(namespace(), ports),
    }
}

/// The control socket of the proxy of this user that stands before these ports in a network namespace, whether one does or not.
#[must_use]
pub fn place_before(namespace: u64, ports: &[u16]) -> PathBuf {
    folder().join(format!("{namespace}-before-{}.sock", written(ports)))
}

/// Ports as a name: ranges as such, and what would still be too long for a socket's path by what it hashes to.
fn written(ports: &[u16]) -> String {
    let ports: BTreeSet<u16> = ports.iter().copied().collect();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let one = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let name = ranges.iter().map(one).collect::<Vec<_>>().join(",");
    if name.len() <= LONGEST_PORTS { name } else { format!("{:016x}", seed_of(&name)) }
}

/// `/run/chaos/proxy` for root, `/run/user/UID/chaos/proxy` for others, `/tmp/chaos-UID/proxy` where there is no such place.
fn folder() -> PathBuf {
    let user = geteuid().as_raw();
    let bases = if user == 0 { "/run".to_owned() } else { format!("/run/user/{user}") };
    let own = std::fs::metadata(&bases).is_ok_and(|m| m.is_dir() && m.uid() == user);
    if own { Path::new(&bases).join("chaos/proxy") } else { format!("/tmp/chaos-{user}/proxy").into() }
}

/// Makes the folder, and proves that it and the one above are ours alone.
pub(crate) fn made() -> io::Result<PathBuf> {
    let folder = folder();
    for part in [folder.parent().unwrap_or(&folder), &folder] {
        match DirBuilder::new().mode(if part == folder { 0o700 } else { 0o755 }).create(part) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => ours(part, &part.symlink_metadata()?, part == folder)?,
        }
    }
    Ok(folder)
}

fn ours(path: &Path, meta: &Metadata, alone: bool) -> io::Result<()> {
    let open_to_others = meta.mode() & if alone { 0o077 } else { 0o022 } != 0;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() || open_to_others {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is not a folder of this user alone", path.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_ports_the_path_of_the_socket_is_short_enough() {
        let every_other: Vec<u16> = (1..=1_000).map(|n| n * 2).collect();
        let all: Vec<u16> = (1..=u16::MAX).collect();
        for ports in [&[6379][..], &[8000, 8002, 8001, 9000], &every_other[..20], &every_other, &all] {
            let path = place_before(4_294_967_295, ports);
            assert!(path.as_os_str().len() <= 107, "{}", path.display());
        }
        assert_eq!(written(&[8002, 8000, 8001, 9000]), "8000-8002,9000");
        assert_eq!(written(&[6379]), "6379");
        assert_ne!(written(&every_other), written(&every_other[1..]));
        assert_eq!(written(&all), "1-65535");
    }
}
