//! TLS that ends here, so that what is inside can be met: the proxy shows its own certificate to clients, and perhaps speaks TLS to
//! the upstream again. Without it TLS passes through untouched.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What the proxy offers to clients (ALPN).
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where TLS ends and begins again.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    upstream: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("upstream", &self.upstream.as_ref().map(|(_, name)| name)).finish_non_exhaustive()
    }
}

impl Tls {
    /// Shows the certificates of a PEM file, whose key is in another. What is inside goes on to the upstream as it is.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not belong together.
    pub fn terminating(certificate: &Path, key: &Path) -> io::Result<Self> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let mut server = builder.with_no_client_auth().with_single_cert(chain, private).map_err(|e| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} and {} do not belong together: {e}", certificate.display(), key.display()),
            )
        })?;
        server.alpn_protocols = OFFERED.iter().map(|p| p.to_vec()).collect();
        Ok(Self { server: Arc::new(server), upstream: None })
    }

    /// And speaks TLS to the upstream, whose certificate must bear this name, signed by an authority of this PEM file, or of this host.
    ///
    /// # Errors
    /// If the file cannot be read, no authority is found, or this is no name.
    pub fn to_upstream(mut self, name: &str, authorities: Option<&Path>) -> io::Result<Self> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
        let name = ServerName::try_from(name.to_owned()).map_err(|e| invalid(format!("{name} is no name for TLS: {e}")))?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(match authorities {
            Some(path) => certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        });
        if store.is_empty() {
            return Err(invalid("no certificate authority to trust was found".into()));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        self.upstream = Some((Arc::new(builder.with_root_certificates(store).with_no_client_auth()), name));
        Ok(self)
    }

    /// For the client's side.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// For the upstream's side, offering what the client chose; `None` where what is inside goes on as it is.
    pub(crate) fn connector(&self, chosen: Option<&[u8]>) -> Option<(TlsConnector, ServerName<'static>)> {
        let (config, name) = self.upstream.as_ref()?;
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = chosen.map(<[u8]>::to_vec).into_iter().collect();
        Some((TlsConnector::from(Arc::new(config)), name.clone()))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all = all.map_err(|e| unreadable(path, &e))?;
    if all.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} holds no certificate", path.display())));
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("read {}: {error}", path.display()))
}
