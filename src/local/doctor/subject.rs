//! What every check is about.

use std::path::Path;

use crate::{base::paths::Places, config::Settings};

/// What all these checks are about.
pub struct Subject<'a> {
    pub settings: &'a Settings,
    pub places: &'a Places,
    pub here: &'a Path,
    /// The user's own configuration.
    pub file: &'a Path,
    /// Whether the user agrees to a download.
    pub yes: bool,
}
