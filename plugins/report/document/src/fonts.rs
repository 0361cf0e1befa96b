//! Where glyphs come from.

use std::path::PathBuf;

/// The fonts of this process: an embedded one for Latin, Greek and Cyrillic, all others found in the system's and the
/// given folders when the first text needs them. Keep one for the life of the plugin.
#[derive(Debug)]
pub struct Fonts {
    folders: Vec<PathBuf>,
}

impl Fonts {
    /// Fonts of the system, and of these folders besides. Nothing is read yet.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }
}
