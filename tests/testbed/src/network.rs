//! A network of several virtual machines: each has one interface on it, `eth0`.

use std::path::{Path, PathBuf};

use crate::Absent;

/// A switch in the first machine's QEMU, with a lossless connection (a Unix socket) to each of the others'.
///
/// Nothing of it is seen by this machine: no bridge, no tap, no port, no right needed.
#[derive(Debug)]
pub struct Network {
    folder: tempfile::TempDir,
    machines: usize,
}

impl Network {
    /// For so many machines.
    ///
    /// # Errors
    /// When there is no place for its sockets.
    pub fn new(machines: usize) -> Result<Self, Absent> {
        let folder = tempfile::Builder::new().prefix("chaos-testbed-").tempdir().map_err(|e| Absent(format!("no folder: {e}")))?;
        Ok(Self { folder, machines })
    }

    /// The address of a machine, from 0 on; `fd00::N` is its other one.
    #[must_use]
    pub fn address(machine: usize) -> String {
        format!("10.77.0.{}", machine + 1)
    }

    pub(crate) fn addresses(machine: usize) -> [String; 2] {
        [format!("{}/24", Self::address(machine)), format!("fd77::{}/64", machine + 1)]
    }

    fn socket(&self, machine: usize) -> PathBuf {
        self.folder.path().join(machine.to_string())
    }

    /// Sockets that must exist before a machine is started.
    pub(crate) fn needs(&self, machine: usize) -> Option<PathBuf> {
        (machine > 0).then(|| self.socket(machine))
    }

    pub(crate) fn arguments(&self, machine: usize) -> Vec<String> {
        let stream =
            |id: &str, path: &Path, server: &str| format!("stream,id={id},server={server},addr.type=unix,addr.path={}", path.display());
        let device = format!("virtio-net-pci,netdev=own,mac=52:54:00:77:00:{:02x},romfile=", machine + 1);
        let mut netdevs = Vec::new();
        if machine == 0 {
            netdevs.push("hubport,id=own,hubid=0".into());
            for other in 1..self.machines {
                netdevs.push(stream(&format!("to{other}"), &self.socket(other), "on"));
                netdevs.push(format!("hubport,id=port{other},hubid=0,netdev=to{other}"));
            }
        } else {
            netdevs.push(stream("own", &self.socket(machine), "off"));
        }
        let netdevs = netdevs.into_iter().flat_map(|n| ["-netdev".into(), n]);
        netdevs.chain(["-device".into(), device]).collect()
    }
}
