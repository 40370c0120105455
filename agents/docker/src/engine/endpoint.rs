//! Where an engine is reached.

use std::net::IpAddr;
use std::path::PathBuf;

use super::error::{EngineError, Failing};

/// The word before the folder of certificates in an endpoint's text.
const CERTIFICATES: &str = "?certificates=";

/// Where an engine is reached. As text it holds all that is needed to reach it again (an undo must suffice by itself):
/// `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2375`, `tcp://10.0.0.5:2376?certificates=/home/me/.docker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A socket in the file system.
    Socket(PathBuf),
    /// Over the network.
    Network {
        /// `10.0.0.5:2376`.
        address: String,
        /// Where `ca.pem`, `cert.pem` and `key.pem` lie; without them the connection is not encrypted.
        certificates: Option<PathBuf>,
    },
}

impl Endpoint {
    /// What `DOCKER_HOST`, a context or an undo says. `said` names which of them, for the error.
    pub(crate) fn read(text: &str, said: &str) -> Result<Self, EngineError> {
        let refuse = |why: &str, hint: &str| Err(EngineError::new(Failing::Unreachable, format!("{said} says `{text}`: {why}")).hint(hint));
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return refuse("that is no address of an engine", "for example `unix:///var/run/docker.sock` or `tcp://10.0.0.5:2376`");
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Socket(rest.into())),
            "unix" => refuse("the path of a socket begins with `/`", "for example `unix:///var/run/docker.sock`"),
            "tcp" | "http" | "https" => match network(rest) {
                Some(endpoint) => Ok(endpoint),
                None => refuse("a host is missing", "for example `tcp://10.0.0.5:2376`"),
            },
            "ssh" => refuse(
                "chaos does not speak to an engine through ssh",
                "forward its socket (`ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST`) and set DOCKER_HOST=unix:///tmp/docker.sock",
            ),
            "npipe" => refuse("named pipes are a thing of Windows", "run chaos where the containers run"),
            "fd" => refuse("that is where an engine listens, not where it is reached", "for example `unix:///var/run/docker.sock`"),
            _ => refuse("chaos does not know this scheme", "it knows `unix://` and `tcp://`"),
        }
    }

    /// The same, encrypted with what lies in this folder. A socket in the file system is not.
    pub(crate) fn with_certificates(self, folder: PathBuf) -> Self {
        match self {
            Self::Network { address, .. } => Self::Network { address, certificates: Some(folder) },
            socket @ Self::Socket(_) => socket,
        }
    }

    /// Could its containers be processes of this host? Each is proved by itself (RULES 16); this only says whether to expect it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Network { address, .. } => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).trim_matches(['[', ']']);
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

fn network(rest: &str) -> Option<Endpoint> {
    let (address, certificates) = match rest.split_once(CERTIFICATES) {
        Some((address, folder)) => (address, Some(PathBuf::from(folder))),
        None => (rest, None),
    };
    let address = address.trim_end_matches('/');
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if certificates.is_some() { 2376 } else { 2375 };
    let address = if has_port { address.to_owned() } else { format!("{address}:{port}") };
    (!address.starts_with(':')).then_some(Endpoint::Network { address, certificates })
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Network { address, certificates: None } => write!(f, "tcp://{address}"),
            Self::Network { address, certificates: Some(folder) } => write!(f, "tcp://{address}{CERTIFICATES}{}", folder.display()),
        }
    }
}
