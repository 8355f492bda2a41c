//! The certificates of https servers: the user's own authorities, and errors in words.

use std::{fs::File, io::Read, path::Path};

use reqwest::Certificate;

use crate::base::{
    error::{Code, Failure},
    ui,
    variables::Variables,
};

/// The variable that Claude Code reads: a PEM file with certificates that it trusts besides the system's.
const EXTRA: &str = "NODE_EXTRA_CA_CERTS";
/// Bytes to read of that file. The system's own bundle has a quarter of a megabyte.
const MAX_FILE: u64 = 4 << 20;

/// Returns the certificates in the file that `NODE_EXTRA_CA_CERTS` names, none if it is unset.
///
/// # Errors
/// A warning if the file can't be read. Claude Code then ignores it too.
pub(crate) fn extra(variables: &Variables) -> Result<Vec<Certificate>, String> {
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

fn read(path: &Path) -> Result<Vec<Certificate>, String> {
    let mut pem = Vec::new();
    // A pipe or device could block or never end.
    let is_file = path.metadata().map_err(|error| format!("cannot be read: {error}"))?.is_file();
    if !is_file {
        return Err("is not a regular file".into());
    }
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut pem));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("has no certificates in PEM format".into()),
    }
}

/// Returns the failure for a server whose certificate was rejected, or `None` for another error. `error` is rustls's text.
pub(crate) fn rejected(url: &str, error: &str) -> Option<Failure> {
    if !error.contains("certificate") {
        return None;
    }
    let failed =
        |why: String| Failure::new(Code::Unavailable, format!("the certificate of {url} is rejected")).cause(why);
    let has = |signs: &[&str]| signs.iter().any(|sign| error.contains(sign));
    Some(if has(&["UnknownIssuer", "CaUsedAsEndEntity"]) {
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
            .help("set [endpoint] url to a host name in the certificate")
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
