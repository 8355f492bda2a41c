//! The names of records and snapshots.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Length in hexadecimal digits.
const LENGTH: usize = 32;

/// 128 bits of a hash over everything that a record or snapshot depends on, as 32 hexadecimal digits. It is part of file
/// names, so nothing else may be in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Key(String);

impl Key {
    /// Returns the key of these parts. A map in it must have a fixed order.
    pub(crate) fn of(parts: &impl Serialize) -> Self {
        let text = serde_json::to_vec(parts).expect("the parts of a key can be written as JSON");
        let hash = Sha256::digest(text);
        Key(hash.iter().take(LENGTH / 2).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == LENGTH && text.bytes().all(is_digit) { Ok(Key(text)) } else { Err("not a key".into()) }
    }
}
