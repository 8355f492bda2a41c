//! A model as `lms` lists it.

use serde::Deserialize;

/// A model that LM Studio has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    pub model_key: String,
    #[serde(default)]
    pub trained_for_tool_use: bool,
    pub max_context_length: Option<u32>,
    pub size_bytes: Option<u64>,
    /// Of its first file, within the directory of all models.
    pub path: Option<String>,
    pub quantization: Option<Quantization>,
    /// Of the other machine that has it (LM Link).
    pub(super) device_identifier: Option<String>,
}

#[derive(Deserialize)]
pub struct Quantization {
    pub name: Option<String>,
}

impl Model {
    /// Whether it is on this machine.
    pub fn is_here(&self) -> bool {
        self.device_identifier.is_none()
    }
}
