//! From a file in the plugins folder to a live plugin: stage, check, open, route.
//!
//! Start-up is the first reload: every library of the folder takes the path that a new file would take.

mod elf;
mod stage;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use self::stage::Staged;
use crate::config::Config;
use crate::link::Open;
use crate::plugin::{self, Opened, Spec};
use crate::router::{LivePlugin, RejectedPlugin, Router};
use crate::stats::Stats;

/// What a reply line is longer than the result in it, at most: the id and the field names.
const REPLY_LEN_EXTRA: usize = 512;

/// Brings what lies in the plugins folder into the router.
#[derive(Debug)]
pub(crate) struct Loader {
    config: Arc<Config>,
    router: Arc<Router>,
    stats: Arc<Stats>,
    generation_last: u64,
}

#[derive(Debug)]
pub(crate) struct FolderError {
    folder: PathBuf,
    error: io::Error,
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(
            f,
            "the plugins folder {folder} can't be read: {}; create it, or name another with --plugins DIR",
            self.error
        )
    }
}

impl std::error::Error for FolderError {}

impl Loader {
    pub(crate) fn new(config: Arc<Config>, router: Arc<Router>, stats: Arc<Stats>) -> Self {
        Self {
            config,
            router,
            stats,
            generation_last: 0,
        }
    }

    /// Loads every library of the folder. One that can't be taken is refused with a reason; it keeps no other from being
    /// loaded.
    pub(crate) async fn load_folder(&mut self) -> Result<(), FolderError> {
        let folder = &self.config.plugins_dir;
        let files = libraries(folder).map_err(|error| FolderError {
            folder: folder.clone(),
            error,
        })?;
        for file in files {
            self.load(&file).await;
        }
        for name in self.config.plugin_names() {
            if !self
                .router
                .plugins()
                .iter()
                .any(|plugin| plugin.name == name)
            {
                tracing::warn!(
                    plugin = name,
                    "the configuration has a table for this plugin, but no library brings it"
                );
            }
        }
        Ok(())
    }

    async fn load(&mut self, file: &Path) {
        let rejected = match self.candidate(file).await {
            Ok(()) => return,
            Err(rejected) => rejected,
        };
        tracing::error!(file = %file.display(), plugin = rejected.name, "rejected: {}", rejected.reason);
        self.router.reject(rejected);
    }

    /// One candidate from its file to its routes, or to the reason why not.
    async fn candidate(&mut self, file: &Path) -> Result<(), RejectedPlugin> {
        let rejected = |name: Option<&str>, reason: String| RejectedPlugin {
            file: file.to_owned(),
            name: name.map(str::to_owned),
            reason,
        };
        let path = file.to_owned();
        let staged = tokio::task::spawn_blocking(move || stage::stage(&path))
            .await
            .map_err(|error| rejected(None, format!("the host failed to read it: {error}")))?
            .map_err(|error| rejected(None, error.to_string()))?;
        let name = staged.note.name.clone();
        let rejected = |reason| rejected(Some(&name), reason);
        // Known without running anything; asked again when the candidate's own word is there.
        self.router
            .check_free(&name, &staged.note.functions)
            .map_err(rejected)?;
        self.generation_last += 1;
        let generation = self.generation_last;
        let note = staged.note.clone();
        let settings = self.config.plugin(&name);
        let spec = self.spec(staged);
        let opened = plugin::open(Arc::new(spec), settings.pool.clone(), &self.stats).await;
        let Opened { manifest, pool } = opened.map_err(rejected)?;
        let names: Vec<String> = manifest
            .functions
            .iter()
            .map(|function| function.name.clone())
            .collect();
        let problem = if names == note.functions {
            self.router.check_free(&name, &names).err()
        } else {
            Some("its manifest and its note name different functions; build it again".to_owned())
        };
        if let Some(reason) = problem {
            pool.drain(Duration::ZERO).await;
            return Err(rejected(reason));
        }
        let limits = manifest
            .functions
            .iter()
            .map(|function| settings.pool.limit(function.timeout_ms))
            .collect();
        let version = manifest.version.clone();
        self.router.add(LivePlugin {
            file: file.to_owned(),
            generation,
            manifest,
            limits,
            pool,
        });
        tracing::info!(plugin = name, version, generation, file = %file.display(), functions = ?names, "live");
        Ok(())
    }

    fn spec(&self, staged: Staged) -> Spec {
        let settings = self.config.plugin(&staged.note.name);
        Spec {
            plugin: staged.note.name,
            library: staged.library,
            open: Open {
                file: staged.file.display().to_string(),
                config: settings.config,
                slots: settings.slots,
                result_len_max: self
                    .config
                    .limits
                    .line_len_max
                    .saturating_sub(REPLY_LEN_EXTRA),
                memory_max: settings.memory_max,
                log_level: log_level(),
            },
        }
    }
}

/// The libraries of the folder, sorted by name. Not those of its subfolders, and no hidden files: tools copy to such
/// names first.
fn libraries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "so") && !path.is_dir()
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The most verbose level that the host's own log takes, as the ABI counts levels.
fn log_level() -> u32 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}
