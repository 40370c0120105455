//! How a server is trusted. Built only for `https`: nothing of it is loaded otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaos_core::fault::SpecError;
use chaos_core::probe::ProbeError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom to trust, and who we are. Paths are relative to the experiment's folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authorities to trust, instead of those of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file of our own certificate, for servers that ask for one. Needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// `false` takes any certificate, whoever signed it and whatever its name. Default `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
}

impl Tls {
    /// What is wrong with it, by path inside `with:`.
    pub(crate) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.cert.is_some() != self.key.is_some() {
            errors.push(SpecError::new("tls", "`cert` and `key` come together").hint("`tls: {cert: me.pem, key: me.key}`"));
        }
        if self.ca.is_some() && self.verify == Some(false) {
            errors.push(SpecError::new("tls.verify", "nothing is verified, so `ca` has no meaning").hint("leave one out"));
        }
        errors
    }
}

/// The name that a server's certificate must bear.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, ProbeError> {
    ServerName::try_from(host.to_owned()).map_err(|e| ProbeError { message: format!("{host} is no name for TLS: {e}"), hint: None })
}

/// The client's side of TLS, ready to connect; `speaks` are the protocols that it offers (ALPN).
pub(crate) fn config(tls: &Tls, folder: &Path, speaks: &[&str]) -> Result<Arc<ClientConfig>, ProbeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("set up TLS", &e))?;
    let builder = if tls.verify == Some(false) {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        builder.with_root_certificates(authorities(tls.ca.as_deref(), folder)?)
    };
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(&folder.join(cert))?;
            let path = folder.join(key);
            let key = PrivateKeyDer::from_pem_file(&path).map_err(|e| unreadable(&path, &e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| failed("use our certificate", &e))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = speaks.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn authorities(ca: Option<&Path>, folder: &Path) -> Result<RootCertStore, ProbeError> {
    let mut store = RootCertStore::empty();
    let trusted = match ca {
        Some(path) => certificates(&folder.join(path))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    store.add_parsable_certificates(trusted);
    if store.is_empty() {
        return Err(ProbeError {
            message: "no certificate authority to trust was found".into(),
            hint: Some("name one: `tls: {ca: ca.pem}`, or install ca-certificates".into()),
        });
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ProbeError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> ProbeError {
    ProbeError {
        message: format!("read {}: {error}", path.display()),
        hint: Some("it must be a PEM file; relative paths start at the experiment's folder".into()),
    }
}

fn failed(doing: &str, error: &rustls::Error) -> ProbeError {
    ProbeError { message: format!("{doing}: {error}"), hint: None }
}

/// Takes any certificate (`verify: false`), yet checks that the server holds its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
