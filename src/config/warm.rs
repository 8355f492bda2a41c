//! `[warm]`: what is kept between sessions, so that the first answer comes sooner.

use serde::{Deserialize, Deserializer, de::Error};

use crate::base::size;

/// `[warm]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WarmSettings {
    pub enabled: bool,
    /// Bytes that the prompts and caches of earlier sessions may take, if that is less than 5% of the free space.
    #[serde(deserialize_with = "size")]
    pub max_size: u64,
}

impl Default for WarmSettings {
    fn default() -> Self {
        WarmSettings { enabled: true, max_size: 8_000_000_000 }
    }
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    size::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a size with a unit, such as \"8GB\"")))
}
