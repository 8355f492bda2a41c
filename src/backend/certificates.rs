//! The certificates of https servers: the user's own authorities, and errors in words.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;

use crate::base::{
    error::{Code, Failure},
    ui,
    variables::Variables,
};

/// The variable that Claude Code reads: a PEM file with certificates that it trusts besides the system's.
const EXTRA: &str = "NODE_EXTRA_CA_CERTS";
/// rustls's error for a server whose certificate is marked as an authority.
const OWN_AUTHORITY: &str = "CaUsedAsEndEntity";
/// Bytes to read of that file. The system's own bundle has a quarter of a megabyte.
const MAX_FILE: u64 = 4 << 20;

/// Returns the certificates in the file that `NODE_EXTRA_CA_CERTS` names. Without that variable there are none.
///
/// # Errors
/// A warning if the file can't be read. Claude Code then ignores it too.
pub(crate) fn extra(variables: &Variables) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(path) = variables.path(EXTRA) else {
        return Ok(Vec::new());
    };
    read(&path).map_err(|why| {
        format!(
            "warning: ignoring {EXTRA}: {} {why}\n  help: unset {EXTRA}\n  help: file {}",
            path.display(),
            ui::quote_path(&path)
        )
    })
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    // A pipe or device could block or never end.
    let is_file = path.metadata().map_err(|error| format!("cannot be read: {error}"))?.is_file();
    if !is_file {
        return Err("is not a regular file".into());
    }
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut pem));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    // A damaged certificate doesn't keep the others from being used.
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let certificates: Vec<_> = certificates.filter(|der| ParsedCertificate::try_from(der).is_ok()).collect();
    if certificates.is_empty() { Err("has no certificates in PEM format".into()) } else { Ok(certificates) }
}

/// Returns the settings of a client that trusts the system's authorities and `extra`, or `None` if `extra` is empty or
/// can't be used.
pub(crate) fn client_config(extra: Vec<CertificateDer<'static>>) -> Option<ClientConfig> {
    if extra.is_empty() {
        return None;
    }
    let provider = Arc::new(ring::default_provider());
    let system = Verifier::new_with_extra_roots(extra.iter().cloned(), provider.clone()).ok()?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let verifier = Arc::new(ExtraVerifier { system, extra });
    Some(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Verifies certificates as Claude Code does: a server may use a certificate of `NODE_EXTRA_CA_CERTS` itself, even one
/// that is marked as an authority, as `openssl req -x509` makes them. rustls rejects those.
#[derive(Debug)]
struct ExtraVerifier {
    system: Verifier,
    extra: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for ExtraVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.system.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The server proves below that it has the certificate's key.
            Err(error) if error.to_string().contains(OWN_AUTHORITY) && self.extra.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}

/// Returns the failure for a server whose certificate was rejected, or `None` for another error. `error` is rustls's
/// text.
pub(crate) fn rejected(url: &str, error: &str) -> Option<Failure> {
    if !error.contains("certificate") {
        return None;
    }
    let failed =
        |why: String| Failure::new(Code::Unavailable, format!("the certificate of {url} is rejected")).cause(why);
    let has = |signs: &[&str]| signs.iter().any(|sign| error.contains(sign));
    Some(if has(&["UnknownIssuer", OWN_AUTHORITY]) {
        failed("it is self-signed, or signed by an authority that this machine does not trust".into())
            .help(format!("export {EXTRA}=/path/to/ca.pem  # for both lclaude and Claude Code"))
    } else if has(&["expired", "Expired"]) {
        failed("it has expired".into())
            .help("renew the server's certificate")
            .help("date  # shows this machine's clock")
    } else if has(&["not valid yet", "NotValidYet"]) {
        failed("it is not valid yet".into()).help("date  # shows this machine's clock")
    } else if has(&["not valid for name", "NotValidForName"]) {
        let names = error.split_once("; ").map(|(_, names)| format!(": {names}")).unwrap_or_default();
        failed(format!("it was issued for another host name{names}"))
            .help("lclaude local config set endpoint.url https://HOST  # a host name in the certificate")
    } else {
        failed(error.to_owned()).help(format!("curl -v {url}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_certificates_are_described_in_words() {
        for (error, why) in [
            ("invalid peer certificate: UnknownIssuer", "it is self-signed"),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "it is self-signed"),
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX), but …", "it has expired"),
            ("invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)", "it is not valid yet"),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for \"b\"",
                "it was issued for another host name: certificate is only valid for \"b\"",
            ),
            ("invalid peer certificate: BadEncoding", "invalid peer certificate: BadEncoding"),
        ] {
            let said = rejected("https://a", error).and_then(|failure| failure.why).expect("a cause");
            assert!(said.starts_with(why), "{said}");
        }
        assert_eq!(rejected("https://a", "Connection refused"), None);
    }
}
