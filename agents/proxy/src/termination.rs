//! Where TLS ends at a proxy, as an experiment, a file or the words of a command say it.

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Tls;

/// Where TLS ends, and how it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// The certificate that clients are shown, with those that vouch for it (PEM). They must trust it.
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Speak TLS to the upstream too, whose certificate must bear this name; without it what is inside goes on without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// With `upstream`: the authorities to trust (PEM), instead of those of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// Without `upstream`: it understands HTTP/2 without TLS too; clients are offered HTTP/1.1 alone otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
}

impl Termination {
    /// What in it contradicts itself: the field, and why.
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        if self.upstream.is_none() && self.authorities.is_some() {
            return Some(("authorities", "nobody is to be trusted where the upstream is spoken to without TLS: `upstream` is missing"));
        }
        (self.upstream.is_some() && self.http2)
            .then_some(("http2", "an upstream that is spoken to in TLS says itself whether it understands HTTP/2"))
    }

    /// Reads the files; relative paths start in `folder`.
    ///
    /// # Errors
    /// If one cannot be read, certificate and key do not belong together, or it contradicts itself.
    pub fn made(&self, folder: &Path) -> io::Result<Tls> {
        if let Some((_, why)) = self.contradiction() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let tls = Tls::terminating(&folder.join(&self.certificate), &folder.join(&self.key))?;
        match &self.upstream {
            Some(name) => tls.to_upstream(name, self.authorities.as_ref().map(|file| folder.join(file)).as_deref()),
            None if self.http2 => Ok(tls.with_http2()),
            None => Ok(tls),
        }
    }

    /// The words of `chaos proxy` for it.
    pub(crate) fn words(&self) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let mut words = vec!["--certificate".to_owned(), file(&self.certificate), "--key".to_owned(), file(&self.key)];
        words.extend(self.upstream.iter().flat_map(|name| ["--upstream-tls".to_owned(), name.clone()]));
        words.extend(self.authorities.iter().flat_map(|path| ["--upstream-ca".to_owned(), file(path)]));
        words.extend(self.http2.then(|| "--upstream-http2".to_owned()));
        words
    }
}
