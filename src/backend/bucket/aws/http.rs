//! How servers are spoken to.

use std::fs;
use std::path::Path;

use rustls::crypto::{CryptoProvider, ring};

use super::failure::wrong;
use crate::model::Result;

/// Begins a client of HTTP that trusts what the system trusts, or these certificates (PEM) in its place.
///
/// # Errors
/// The certificates cannot be read, or are none.
pub(super) fn client_builder(ca_bundle: Option<&Path>) -> Result<reqwest::ClientBuilder> {
    if CryptoProvider::get_default().is_none() {
        // The crate takes that of the process. An error says that another thread was first.
        let _ = ring::default_provider().install_default();
    }
    let builder = reqwest::Client::builder();
    let Some(path) = ca_bundle else { return Ok(builder) };
    let no = |reason: String| wrong(format!("the certificates in {} {reason}", path.display()));
    let text = fs::read(path).map_err(|error| no(format!("cannot be read: {error}")))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&text);
    let certificates = certificates.map_err(|error| no(format!("are none: {error}")))?;
    if certificates.is_empty() {
        return Err(no("are none".to_owned()));
    }
    Ok(builder.tls_certs_only(certificates))
}
