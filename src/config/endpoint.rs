//! `[endpoint]`: a server that somebody else runs.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::source::Source;
use crate::base::error::{Code, Failure, Result};

/// `[endpoint]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EndpointSettings {
    pub url: Option<String>,
    /// The environment variable that contains the token.
    pub token_env: Option<String>,
    pub auth: Auth,
    /// Headers of every request, with their values.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secret, with the environment variables that contain them.
    pub headers_env: BTreeMap<String, String>,
    /// Whether the URL was typed, and the configuration has none or another one. The rest of this table and the
    /// configured model were written for that other server.
    #[serde(skip)]
    pub is_other_server: bool,
    /// Whether a configured token or header is left out, since it belongs to that other server.
    #[serde(skip)]
    pub withholds_credentials: bool,
}

/// How an endpoint takes the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Auth {
    /// `Authorization: Bearer TOKEN`.
    #[default]
    Bearer,
    /// `x-api-key: TOKEN`, in addition to `Authorization`.
    XApiKey,
}

/// The headers that carry a token.
const CREDENTIALS: [&str; 2] = ["authorization", "x-api-key"];
/// Headers that each request needs and that a gateway must get unchanged.
const OWN_HEADERS: [&str; 7] = [
    "anthropic-beta",
    "anthropic-version",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

impl EndpointSettings {
    /// Checks that the headers can be sent, and that none of them replaces one that lclaude or Claude Code sets.
    ///
    /// # Errors
    /// `Config` for the first header that can't be used. `source` returns the source of a dotted key.
    pub(super) fn validate_headers(&self, source: impl Fn(&str) -> Source) -> Result<()> {
        let EndpointSettings { headers, headers_env, .. } = self;
        let all = [("headers", headers), ("headers_env", headers_env)];
        for (table, name, value) in all.iter().flat_map(|(table, all)| all.iter().map(move |(n, v)| (*table, n, v))) {
            let failed = |why: &str, help: &str| {
                Err(Failure::new(Code::Config, format!("{name:?} is not a valid header in [endpoint] {table}"))
                    .cause(format!("set by {}; {why}", source(&format!("endpoint.{table}.{name}"))))
                    .help(help))
            };
            let is = |other: &&str| name.eq_ignore_ascii_case(other);
            // The characters of RFC 9110.
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(is_allowed) {
                return failed("a header's name has letters, digits and hyphens", "correct the name");
            }
            if CREDENTIALS.iter().any(is) {
                let help = "set [endpoint] token_env = \"NAME\" and auth = \"bearer\" or \"x-api-key\"";
                return failed("lclaude sets this header from token_env", help);
            }
            if OWN_HEADERS.iter().any(is) {
                return failed("Claude Code sets this header itself", "remove it");
            }
            if value.contains(|c: char| c.is_control() || !c.is_ascii()) {
                return failed("its value has characters that are not allowed in a header", "correct the value");
            }
            if headers.keys().chain(headers_env.keys()).filter(|other| is(&other.as_str())).count() > 1 {
                return failed("it is set twice", "remove one of the two lines");
            }
        }
        Ok(())
    }
}
