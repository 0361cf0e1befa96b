//! Pokes from the file system: something may have changed in the folder. What has, is found out by looking.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// What the file system has told since the last look, and who is writing. Files are known by their names in the folder: their
/// paths are told from the root, however the folder was named.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Something was closed after writing, or renamed: what has changed is probably complete.
    complete: bool,
    /// What has come to its name by a rename: it was finished before.
    renamed: HashSet<OsString>,
    /// What was written to and has not been closed since.
    writing: HashSet<OsString>,
    /// The rename whose first half was told last, and whether its file was being written.
    leaving: Option<(Option<usize>, bool)>,
}

impl News {
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn is_renamed(&self, path: &Path) -> bool {
        path.file_name()
            .is_some_and(|name| self.renamed.contains(name))
    }

    /// Whether a program is known to be writing to the file of this name.
    pub(super) fn is_being_written(&self, path: &Path) -> bool {
        path.file_name()
            .is_some_and(|name| self.writing.contains(name))
    }

    /// What was told since it was taken last. Who is writing stays known.
    fn take(&mut self) -> Self {
        let taken = Self {
            complete: self.complete,
            renamed: std::mem::take(&mut self.renamed),
            writing: self.writing.clone(),
            leaving: None,
        };
        self.complete = false;
        taken
    }

    /// Takes in an event. False: it is about reading, which changes nothing; the host does that itself.
    fn hear(&mut self, event: &Event) -> bool {
        if event.need_rescan() {
            // Events were lost: nobody is known to be writing.
            self.writing.clear();
            return true;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.complete = true;
                self.closed(event);
            }
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_)) => {
                self.writing.extend(names(event).map(OsStr::to_owned));
            }
            EventKind::Modify(ModifyKind::Name(mode)) => {
                self.complete = true;
                self.hear_rename(mode, event);
            }
            EventKind::Remove(_) => self.closed(event),
            _ => {}
        }
        true
    }

    fn closed(&mut self, event: &Event) {
        for name in names(event) {
            self.writing.remove(name);
        }
    }

    /// Whoever writes to a file goes on doing so under its new name.
    fn hear_rename(&mut self, mode: RenameMode, event: &Event) {
        let Some(name) = names(event).last() else {
            return;
        };
        match mode {
            RenameMode::From => {
                self.leaving = Some((event.tracker(), self.writing.remove(name)));
                self.renamed.remove(name);
            }
            RenameMode::To => {
                self.renamed.insert(name.to_owned());
                match self.leaving.take() {
                    Some((tracker, true)) if tracker == event.tracker() => {
                        self.writing.insert(name.to_owned());
                    }
                    _ => {
                        self.writing.remove(name);
                    }
                }
            }
            // Tells again what both halves have told.
            _ => {}
        }
    }
}

/// What the files of an event are called.
fn names(event: &Event) -> impl Iterator<Item = &OsStr> {
    event.paths.iter().filter_map(|path| path.file_name())
}

/// Watches the folder that has the path at the moment, also when another one takes its place.
pub(super) struct FolderWatch {
    folder: PathBuf,
    poke: Arc<dyn Fn() + Send + Sync>,
    news: Arc<Mutex<News>>,
    /// Dropping it ends the watching.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched.
    identity: Option<(u64, u64)>,
    /// The last try to watch it failed.
    is_refused: bool,
}

impl FolderWatch {
    /// `poke` is called when there are news.
    pub(super) fn new(folder: &Path, poke: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            folder: folder.to_owned(),
            poke: Arc::new(poke),
            news: Arc::default(),
            watcher: None,
            identity: None,
            is_refused: false,
        }
    }

    /// What was told since the last call. To be taken before a look, so that nothing is heard of that the look did not show.
    pub(super) fn news(&self) -> News {
        lock(&self.news).take()
    }

    /// Watches the folder, again if it is another one by now.
    pub(super) fn refresh(&mut self) {
        let identity = identity(&self.folder);
        if identity.is_none() || (identity == self.identity && self.watcher.is_some()) {
            return;
        }
        self.identity = identity;
        *lock(&self.news) = News::default();
        let (poke, news) = (Arc::clone(&self.poke), Arc::clone(&self.news));
        let handler = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| lock(&news).hear(&event)) {
                poke();
            }
        };
        let started = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let was_refused = std::mem::replace(&mut self.is_refused, started.is_err());
        let folder = self.folder.display();
        match &started {
            Err(error) if !was_refused => {
                tracing::warn!(%folder, "the plugins folder can't be watched, it is looked at now and then: {error}");
            }
            Ok(_) if was_refused => {
                tracing::info!(%folder, "the plugins folder is watched again");
            }
            _ => {}
        }
        self.watcher = started.ok();
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(folder).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Each change of the news is whole, so a thread that panicked left nothing half done.
fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, RemoveKind};

    use super::*;

    const WRITE: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSE: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const READ: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    fn rename(mode: RenameMode, path: &str, tracker: usize) -> Event {
        event(EventKind::Modify(ModifyKind::Name(mode)), path).set_tracker(tracker)
    }

    #[test]
    fn whoever_writes_is_known_until_the_file_is_closed() {
        let mut news = News::default();
        assert!(news.hear(&event(WRITE, "a.so")) && !news.is_complete());
        assert!(!news.hear(&event(READ, "a.so")), "reading is no news");
        assert!(news.is_being_written(Path::new("a.so")));
        news.take();
        assert!(news.is_being_written(Path::new("a.so")));
        assert!(news.hear(&event(CLOSE, "a.so")) && news.is_complete());
        assert!(!news.is_being_written(Path::new("a.so")));
    }

    #[test]
    fn a_rename_takes_the_writer_along() {
        let mut news = News::default();
        news.hear(&event(WRITE, ".a"));
        news.hear(&rename(RenameMode::From, ".a", 1));
        news.hear(&rename(RenameMode::To, "a.so", 1));
        assert!(news.is_renamed(Path::new("a.so")) && news.is_being_written(Path::new("a.so")));
        // Another one, finished, in its place.
        news.hear(&rename(RenameMode::From, ".b", 2));
        news.hear(&rename(RenameMode::To, "a.so", 2));
        assert!(news.is_renamed(Path::new("a.so")) && !news.is_being_written(Path::new("a.so")));
        assert!(news.take().is_renamed(Path::new("a.so")));
        assert!(!news.is_renamed(Path::new("a.so")));
    }

    #[test]
    fn nobody_writes_to_what_is_gone_or_when_events_were_lost() {
        let mut news = News::default();
        news.hear(&event(WRITE, "a.so"));
        news.hear(&event(EventKind::Remove(RemoveKind::File), "a.so"));
        assert!(!news.is_being_written(Path::new("a.so")));
        news.hear(&event(WRITE, "b.so"));
        assert!(news.is_being_written(Path::new("b.so")));
        news.hear(&Event::new(EventKind::Other).set_flag(Flag::Rescan));
        assert!(!news.is_being_written(Path::new("b.so")));
    }
}
