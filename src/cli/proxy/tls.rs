//! Where TLS ends at a proxy, as words or a file say it.

use std::io;
use std::path::PathBuf;

use chaos_proxy::Tls;
use serde::Deserialize;

/// Where TLS ends, and how it goes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Termination {
    /// What clients are shown (PEM).
    pub(super) certificate: PathBuf,
    /// Its key (PEM).
    pub(super) key: PathBuf,
    /// The name that the upstream's certificate must bear; no TLS behind the proxy where it is not given.
    #[serde(default)]
    pub(super) upstream: Option<String>,
    /// Whom to trust for that (PEM), instead of those of this host.
    #[serde(default)]
    pub(super) authorities: Option<PathBuf>,
    /// Does an upstream without TLS understand HTTP/2?
    #[serde(default)]
    pub(super) http2: bool,
}

impl Termination {
    /// Reads the files.
    pub(super) fn made(&self) -> io::Result<Tls> {
        let tls = Tls::terminating(&self.certificate, &self.key)?;
        match &self.upstream {
            Some(name) => tls.to_upstream(name, self.authorities.as_deref()),
            None if self.http2 => Ok(tls.with_http2()),
            None => Ok(tls),
        }
    }
}
