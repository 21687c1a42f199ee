//! What is asked of TLS and of a server's certificate, by libpq's `sslmode`.
//!
//! | mode | TLS | certificate |
//! | --- | --- | --- |
//! | `disable` | never | |
//! | `allow` | if the server insists | any |
//! | `prefer` | if the server can | any |
//! | `require` | always | any; if there is a file of roots, as `verify-ca` |
//! | `verify-ca` | always | signed by a root, for any host |
//! | `verify-full` | always | signed by a root, for the host that was connected to |
//!
//! Roots are those of `sslrootcert`, else of `~/.postgresql/root.crt`, else for `verify-full` those of the system, which
//! `sslrootcert=system` names. A certificate without alternative names is for no host: libpq alone still looks at its
//! common name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Environment, Settings, home, malformed};
use crate::model::{Error, Result};

/// How connections use TLS.
#[derive(Clone)]
pub(super) struct Tls {
    /// What is tried, in turn.
    pub(super) attempts: &'static [SslMode],
    pub(super) connector: MakeRustlsConnect,
}

/// What a certificate must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Authority,
    AuthorityAndHost,
}

/// How connections use TLS by these settings.
pub(super) fn tls(settings: &Settings, environment: Environment<'_>) -> Result<Tls> {
    let get = |name: &str| settings.get(name).map(String::as_str);
    let directory = home(environment).map(|home| home.join(".postgresql"));
    let default = |name: &str| directory.as_ref().map(|it| it.join(name)).filter(|it| it.exists());
    let root_file = match get("sslrootcert") {
        Some("system") => None,
        Some(file) => Some(PathBuf::from(file)),
        None => default("root.crt"),
    };
    let is_system = get("sslrootcert") == Some("system");
    let mode = get("sslmode").unwrap_or(if is_system { "verify-full" } else { "prefer" });
    let (attempts, demand): (&'static [SslMode], _) = match mode {
        "disable" => (&[SslMode::Disable], Demand::Nothing),
        "allow" => (&[SslMode::Disable, SslMode::Require], Demand::Nothing),
        "prefer" => (&[SslMode::Prefer, SslMode::Disable], Demand::Nothing),
        "require" if root_file.is_some() => (&[SslMode::Require], Demand::Authority),
        "require" => (&[SslMode::Require], Demand::Nothing),
        "verify-ca" => (&[SslMode::Require], Demand::Authority),
        "verify-full" => (&[SslMode::Require], Demand::AuthorityAndHost),
        _ => return Err(malformed("'sslmode' is none of libpq's words")),
    };
    if is_system && demand != Demand::AuthorityAndHost {
        return Err(malformed("sslrootcert=system asks for sslmode=verify-full"));
    }
    if demand == Demand::Authority && root_file.is_none() {
        return Err(malformed(
            "sslmode=verify-ca asks for the certificates of authorities: name their file by sslrootcert",
        ));
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(demand, root_file.as_deref(), &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| malformed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let own = get("sslcert").map(PathBuf::from).or_else(|| default("postgresql.crt"));
    let key = get("sslkey").map(PathBuf::from).or_else(|| default("postgresql.key"));
    let mut config = match (own, key) {
        (Some(own), Some(key)) if mode != "disable" => {
            let key_text = read(&key)?;
            let key = PrivateKeyDer::from_pem_slice(&key_text)
                .map_err(|_| unusable(&key, "there is no private key in it"))?;
            builder.with_client_auth_cert(certificates(&own)?, key).map_err(|error| {
                malformed(format!("the client certificate is unusable: {error}"))
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    // A direct handshake asks for it; in a negotiated one servers ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Tls { attempts, connector: MakeRustlsConnect::new(config) })
}

/// Judges the certificate of a server.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    demand: Demand,
    /// Absent where nothing is demanded.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates in the file of roots: a server's own may be one of them.
    roots: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(
        demand: Demand,
        root_file: Option<&Path>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self> {
        let provider = Arc::clone(provider);
        if demand == Demand::Nothing {
            return Ok(Self { provider, demand, authorities: None, roots: Vec::new() });
        }
        let roots = match root_file {
            Some(file) => certificates(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let authorities =
            WebPkiServerVerifier::builder_with_provider(store.into(), Arc::clone(&provider))
                .build()
                .map_err(|error| malformed(format!("there are no root certificates: {error}")))?;
        // The many of the system are nobody's own.
        let roots = if root_file.is_some() { roots } else { Vec::new() };
        Ok(Self { provider, demand, authorities: Some(authorities), roots })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        // A certificate that signs itself may be its own root, which no chain of authorities shows.
        if self.roots.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            if self.demand == Demand::AuthorityAndHost {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verified = authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is looked at last, when all else is found right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.demand == Demand::Authority => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificates in a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(file)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).filter_map(std::result::Result::ok).collect();
    if certificates.is_empty() {
        return Err(unusable(file, "there is no certificate in it"));
    }
    Ok(certificates)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| Error::io(format!("read '{}'", file.display()), error))
}

fn unusable(file: &Path, reason: &str) -> Error {
    malformed(format!("the file '{}' is unusable: {reason}", file.display()))
}
