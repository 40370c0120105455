//! TLS that ends here, so that what is inside can be met: the proxy shows its own certificate to clients, and perhaps speaks TLS to
//! the upstream again. Without it TLS passes through untouched.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::Acceptor;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

/// HTTP/2 by its name for ALPN (RFC 9113 3.2), and HTTP/1.1 (RFC 7301 6).
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Where TLS ends and begins again.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    upstream: Behind,
}

/// How the upstream is spoken to. Clients are offered nothing that it does not speak.
#[derive(Clone)]
enum Behind {
    /// Without TLS; in HTTP/2 only where it is known to understand it.
    Plain { http2: bool },
    /// With TLS: it says itself what it speaks.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.upstream {
            Behind::Tls(_, name) => Some(name),
            Behind::Plain { .. } => None,
        };
        f.debug_struct("Tls").field("upstream", &name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Shows the certificates of a PEM file, whose key is in another. What is inside goes on to the upstream without TLS, in HTTP/1.1.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not belong together.
    pub fn terminating(certificate: &Path, key: &Path) -> io::Result<Self> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let server = builder.with_no_client_auth().with_single_cert(chain, private).map_err(|e| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} and {} do not belong together: {e}", certificate.display(), key.display()),
            )
        })?;
        Ok(Self { server: Arc::new(server), upstream: Behind::Plain { http2: false } })
    }

    /// And the upstream understands HTTP/2 without TLS (with prior knowledge, RFC 9113 3.3) as well: clients are offered both.
    #[must_use]
    pub fn with_http2(mut self) -> Self {
        if let Behind::Plain { http2 } = &mut self.upstream {
            *http2 = true;
        }
        self
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
        self.upstream = Behind::Tls(Arc::new(builder.with_root_certificates(store).with_no_client_auth()), name);
        Ok(self)
    }

    /// Shakes hands with both sides: what the client offers is offered to the upstream, and what the upstream chooses, to the client.
    ///
    /// # Errors
    /// If a side cannot, or will not.
    pub(crate) async fn wrap<'a, C: Wire + 'a, U: Wire + 'a>(&self, client: C, upstream: U) -> io::Result<Inside<'a, C>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), client).await?;
        let offered: Vec<Vec<u8>> = hello.client_hello().alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
        let (upstream, chosen): (Box<dyn Wire + 'a>, Vec<Vec<u8>>) = match &self.upstream {
            Behind::Plain { http2 } => {
                let speaks = [H2, HTTP_1_1].into_iter().filter(|protocol| *http2 || *protocol != H2);
                (Box::new(upstream), speaks.map(<[u8]>::to_vec).collect())
            }
            Behind::Tls(config, name) => {
                let mut config = ClientConfig::clone(config);
                config.alpn_protocols = offered.into_iter().filter(|p| p == H2 || p == HTTP_1_1).collect();
                let upstream = TlsConnector::from(Arc::new(config)).connect(name.clone(), upstream).await?;
                // Who does not say what it speaks speaks what was there before one could say it.
                let chosen = upstream.get_ref().1.alpn_protocol().unwrap_or(HTTP_1_1).to_vec();
                (Box::new(upstream), vec![chosen])
            }
        };
        let mut server = ServerConfig::clone(&self.server);
        server.alpn_protocols = chosen;
        let client = hello.into_stream(Arc::new(server)).await?;
        let is_http2 = client.get_ref().1.alpn_protocol() == Some(H2);
        Ok(Inside { client, upstream, is_http2 })
    }
}

/// What TLS is spoken over, or what is inside of it.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Both sides, as they are inside of TLS.
pub(crate) struct Inside<'a, C> {
    pub(crate) client: TlsStream<C>,
    pub(crate) upstream: Box<dyn Wire + 'a>,
    /// What they agreed on; HTTP/1.1 otherwise.
    pub(crate) is_http2: bool,
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
