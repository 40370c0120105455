//! What can go wrong while a part starts, each with what to do about it.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitStatus, time::Duration};

use crate::{values::Ports, weights::Flaw};

/// Why a part of the demo system could not start or could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("could not start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("could not watch for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("could not bind the life of this process to its supervisor: {0}")]
    Lifeline(#[source] io::Error),
    #[error("could not listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("could not read the model file {}: {source}", path.display())]
    ModelRead { path: PathBuf, source: io::Error },
    #[error("could not write the model file {}: {source}", path.display())]
    ModelWrite { path: PathBuf, source: io::Error },
    #[error("the model file {} is corrupt: {flaw}", path.display())]
    ModelCorrupt { path: PathBuf, flaw: Flaw },
    #[error("could not find the path of this program: {0}")]
    Program(#[source] io::Error),
    #[error("could not start the {part}: {source}")]
    Spawn { part: String, source: io::Error },
    #[error("something already listens on {address}, where the {part} should")]
    Taken { part: String, address: SocketAddr },
    #[error("the {part} ended before it was ready ({status})")]
    EndedEarly { part: String, status: ExitStatus },
    #[error("the {part} did not answer on {address} within {within:?}")]
    NotReady { part: String, address: SocketAddr, within: Duration },
    #[error("the replica on {address} did not take the request to leak: {why}")]
    Leak { address: SocketAddr, why: String },
    #[error("what listens on {address} is not ready")]
    Unready { address: SocketAddr },
    #[error("port {port} is none of those that the gateway asks: {parts}")]
    Detour { port: u16, parts: Ports },
    #[error("the replica on {address} did not take the request to restart: {why}")]
    Restart { address: SocketAddr, why: String },
}

impl Failure {
    /// What a person can do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Failure::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("stop what listens there (`ss -ltnp` names it), or choose another port")
            }
            Failure::Taken { .. } => {
                Some("stop what listens there (`ss -ltnp` names it), or choose other ports with `--listen` and `--replicas`")
            }
            Failure::ModelRead { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("`chaos demo weights DIR` writes DIR/ranker.bin")
            }
            Failure::ModelCorrupt { .. } => Some("delete the file and let `chaos demo weights DIR` write it anew"),
            Failure::ModelWrite { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the file system is full: free some space there; nothing was left behind")
            }
            Failure::Detour { .. } => Some("`--through 8002=9002` reads: reach what listens on 8002 through 9002"),
            Failure::EndedEarly { .. } => Some("its own message stands above"),
            Failure::Restart { .. } | Failure::Leak { .. } => Some("name the address of a running replica, for example 127.0.0.1:8002"),
            _ => None,
        }
    }
}
