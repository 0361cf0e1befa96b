//! Pokes from the file system: something may have changed in the folder. What has, is found out by looking.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// What a poke tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poke {
    /// A file was closed after writing, or renamed: it is probably complete.
    Complete,
    /// Something else: more may follow.
    Ongoing,
}

/// Watches the folder that has the path at the moment, also when another one takes its place.
pub(super) struct FolderWatch {
    folder: PathBuf,
    poke: Arc<dyn Fn(Poke) + Send + Sync>,
    /// Dropping it ends the watching.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched.
    identity: Option<(u64, u64)>,
}

impl FolderWatch {
    pub(super) fn new(folder: &Path, poke: impl Fn(Poke) + Send + Sync + 'static) -> Self {
        Self {
            folder: folder.to_owned(),
            poke: Arc::new(poke),
            watcher: None,
            identity: None,
        }
    }

    /// Watches the folder, again if it is another one by now.
    pub(super) fn refresh(&mut self) {
        let identity = identity(&self.folder);
        if identity.is_none() || (identity == self.identity && self.watcher.is_some()) {
            return;
        }
        self.identity = identity;
        let poke = Arc::clone(&self.poke);
        let handler = move |event: notify::Result<notify::Event>| {
            if let Some(kind) = event.ok().and_then(|event| meaning(event.kind)) {
                poke(kind);
            }
        };
        let started = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        self.watcher = match started {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), "the folder can't be watched, only looked at now and then: {error}");
                None
            }
        };
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(folder).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// `None`: reading, which changes nothing; the host does that itself.
fn meaning(kind: EventKind) -> Option<Poke> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_)) => Some(Poke::Complete),
        EventKind::Access(_) => None,
        _ => Some(Poke::Ongoing),
    }
}
