//! A model as `lms` lists it.

use serde::Deserialize;

/// A model that LM Studio has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstalledModel {
    pub model_key: String,
    #[serde(default)]
    pub trained_for_tool_use: bool,
    /// Tokens.
    pub max_context_length: Option<u32>,
    pub size_bytes: Option<u64>,
    /// The path of its first file, relative to the models directory.
    pub path: Option<String>,
    pub quantization: Option<Quantization>,
    /// The other machine that has it (LM Link).
    pub(super) device_identifier: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Quantization {
    pub name: Option<String>,
}

impl InstalledModel {
    /// Returns whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.device_identifier.is_none()
    }
}
