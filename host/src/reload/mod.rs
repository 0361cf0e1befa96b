//! From files in the plugins folder to staged libraries, and nothing else.
//!
//! poke or interval → look → settled? → stage (stable copy, whole ELF, note) → [`Change`]. What becomes of a change is the
//! matter of [`crate::generations`]. Files are read and hashed beside the loop, so that a large one keeps nobody waiting.

mod elf;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod settings;
mod stage;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use service::supervise::Panicked;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::folder::{Arrival, Due, Sight, Told, Track};
use self::stage::StageError;
pub(crate) use self::stage::{Staged, note, stage};
use self::watch::{FolderWatch, News};
use crate::clock::Moment;
use crate::config::Reload;

/// Pokes and requests that wait for the loop.
const MAILBOX_LEN: usize = 1024;
/// Files that are read at a time.
const STAGING_MAX: usize = 2;
/// How long pokes are gathered before a look: the first look only starts the clock; it is cheap, but not worth one for each
/// of a hundred pokes.
const LOOK_WAIT: Duration = Duration::from_millis(1);
/// A file that looks unfinished is refused only when it has been unchanged for so long.
const UNFINISHED_MAX: Duration = Duration::from_millis(300);
/// When an unfinished file is looked at again.
const UNFINISHED_LOOK: Duration = Duration::from_millis(50);

/// What is new about a file.
#[derive(Debug)]
pub(crate) enum Change {
    /// It holds this library.
    Holds(Box<Staged>),
    /// It holds nothing that could be opened: a sentence for whoever put it there.
    Unusable { file: PathBuf, reason: String },
    /// It can't be taken yet, and is later by itself: why.
    Waits { file: PathBuf, reason: String },
    /// It is gone for good.
    Gone { file: PathBuf },
}

/// What others want of the folder.
#[derive(Debug)]
pub(crate) enum Request {
    /// Tell of this file again, though it has not changed.
    Again(PathBuf),
}

/// The plugins folder can't be read.
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

/// How reading a file ended.
type StageResult = Result<Result<Staged, StageError>, Panicked>;

/// News for the loop.
enum Event {
    /// Something may have changed in the folder.
    Poke,
    Request(Request),
    Staged {
        file: PathBuf,
        staged: Box<StageResult>,
    },
}

/// The plugins folder: which libraries lie in it, as they change.
pub(crate) struct Folder {
    path: PathBuf,
    reload: Reload,
    files: BTreeMap<PathBuf, Track>,
    watch: FolderWatch,
    /// It could not be read at the last look.
    is_away: bool,
    look_at: Instant,
    readings: Readings,
    changes: mpsc::Sender<Change>,
    mailbox: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

/// A way to ask the folder.
#[derive(Clone)]
pub(crate) struct FolderHandle(mpsc::Sender<Event>);

impl FolderHandle {
    pub(crate) async fn ask(&self, request: Request) {
        // Without a loop the host is about to end.
        let _ = self.0.send(Event::Request(request)).await;
    }
}

impl Folder {
    /// The folder at that path; `changes` is told of changes once it runs.
    pub(crate) fn new(path: &Path, reload: Reload, changes: mpsc::Sender<Change>) -> Self {
        let (mailbox, events) = mpsc::channel(MAILBOX_LEN);
        let poke = mailbox.clone();
        let watch = FolderWatch::new(path, move || {
            // A full mailbox wakes the loop just as well, and it looks at everything anyway.
            let _ = poke.try_send(Event::Poke);
        });
        Self {
            path: path.to_owned(),
            reload,
            files: BTreeMap::new(),
            watch,
            is_away: false,
            look_at: Instant::now(),
            readings: Readings::default(),
            changes,
            mailbox,
            events,
        }
    }

    pub(crate) fn handle(&self) -> FolderHandle {
        FolderHandle(self.mailbox.clone())
    }

    /// What lies in the folder at the start, in the order of the files' names. Whatever is there is as finished as it will
    /// be.
    pub(crate) async fn load(&mut self) -> Result<Vec<Change>, FolderError> {
        let look = folder::look(&self.path).map_err(|error| FolderError {
            folder: self.path.clone(),
            error,
        })?;
        self.watch.refresh();
        let now = Moment::now();
        let mut changes = Vec::new();
        for (path, sight) in look {
            let mut track = Track::new(now);
            changes.push(match &sight {
                Sight::File(_) => {
                    track.take_in(Some(&sight), &self.reload.settle, Told::default(), now);
                    track.begin_examination();
                    let staged = read(path.clone()).await;
                    let change = change(path.clone(), staged);
                    if matches!(change, Change::Waits { .. }) {
                        track.set_short(Moment::now());
                    } else {
                        track.end_examination(true);
                    }
                    change
                }
                Sight::NoFile(reason) => {
                    track.pass_over(reason);
                    let (file, reason) = (path.clone(), reason.clone());
                    Change::Unusable { file, reason }
                }
                Sight::Unknown(reason) => {
                    track.pass_over(reason);
                    let (file, reason) = (path.clone(), reason.clone());
                    Change::Waits { file, reason }
                }
            });
            self.files.insert(path, track);
        }
        Ok(changes)
    }

    /// Tells of changes, until it is dropped.
    pub(crate) async fn run(mut self) {
        self.look_at = Instant::now() + self.reload.reconcile;
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.handle_event(event).await,
                    None => return,
                },
                () = tokio::time::sleep_until(self.look_at) => self.look().await,
            }
        }
    }

    async fn handle_event(&mut self, event: Event) {
        match event {
            Event::Poke => self.look_by(Instant::now() + LOOK_WAIT),
            Event::Request(Request::Again(file)) => {
                if let Some(track) = self.files.get_mut(&file) {
                    track.forget_examined();
                    self.look_by(Instant::now());
                }
            }
            Event::Staged { file, staged } => {
                self.readings.running -= 1;
                self.read_next();
                self.staged(file, *staged).await;
            }
        }
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = self.look_at.min(at);
    }

    async fn look(&mut self) {
        self.look_at = Instant::now() + self.reload.reconcile;
        self.watch.refresh();
        let news = self.watch.news();
        let look = match folder::look(&self.path) {
            Ok(look) => look,
            Err(error) => {
                // Nothing is known, so nothing is taken for deleted.
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(folder = %self.path.display(), "the plugins folder can't be read, what serves goes on: {error}");
                }
                return;
            }
        };
        if std::mem::take(&mut self.is_away) {
            tracing::info!(folder = %self.path.display(), "the plugins folder can be read again");
        }
        let now = Moment::now();
        for path in look.keys() {
            self.files
                .entry(path.clone())
                .or_insert_with(|| Track::new(now));
        }
        let settle = self.reload.settle;
        let dues: Vec<(PathBuf, Due)> = self
            .files
            .iter_mut()
            .map(|(path, track)| {
                let due = track.take_in(look.get(path), &settle, told(&news, path), now);
                (path.clone(), due)
            })
            .collect();
        for (path, due) in dues {
            self.act(path, due, now).await;
        }
    }

    async fn act(&mut self, path: PathBuf, due: Due, now: Moment) {
        match due {
            Due::Nothing => {}
            Due::At(moment) => self.look_by(Instant::now() + moment.since(now)),
            Due::Examine => self.examine(path),
            Due::Tell(reason) => {
                let reason = reason.into_owned();
                self.look_by(Instant::now() + LOOK_WAIT);
                self.tell(Change::Waits { file: path, reason }).await;
            }
            Due::Replaced(reason) => {
                let file = path.clone();
                self.tell(Change::Gone { file }).await;
                self.tell(Change::Unusable { file: path, reason }).await;
            }
            Due::Remove => {
                self.files.remove(&path);
                self.tell(Change::Gone { file: path }).await;
            }
        }
    }

    fn examine(&mut self, path: PathBuf) {
        let Some(track) = self.files.get_mut(&path) else {
            return;
        };
        track.begin_examination();
        self.readings.waiting.push(path);
        self.read_next();
    }

    fn read_next(&mut self) {
        while let Some(path) = self.readings.begin() {
            let mailbox = self.mailbox.clone();
            tokio::spawn(async move {
                let staged = Box::new(read(path.clone()).await);
                let _ = mailbox.send(Event::Staged { file: path, staged }).await;
            });
        }
    }

    /// A file has been read.
    async fn staged(&mut self, file: PathBuf, staged: StageResult) {
        let Some(track) = self.files.get_mut(&file) else {
            // It went while it was read.
            return;
        };
        let now = Moment::now();
        let may_be_unfinished = matches!(&staged, Ok(Err(error)) if error.may_be_unfinished());
        let change = change(file, staged);
        if matches!(change, Change::Waits { .. }) {
            let is_first = track.set_short(now);
            self.look_by(Instant::now());
            if is_first {
                self.tell(change).await;
            }
            return;
        }
        if may_be_unfinished && track.age(now) < UNFINISHED_MAX {
            track.end_examination(false);
            self.look_by(Instant::now() + UNFINISHED_LOOK);
            return;
        }
        track.end_examination(true);
        let unfinished = match &change {
            Change::Unusable { reason, .. } if may_be_unfinished => Some(reason.as_str()),
            _ => None,
        };
        let is_said = track.goes_on_unfinished(unfinished);
        // It may have changed while it was read.
        self.look_by(Instant::now());
        if !is_said {
            self.tell(change).await;
        }
    }

    async fn tell(&self, change: Change) {
        // Whoever is told goes on for as long as the host does.
        let _ = self.changes.send(change).await;
    }
}

/// Which files are read, a few at a time: what came last comes first, so that a heap of others does not hold it up.
#[derive(Debug, Default)]
struct Readings {
    waiting: Vec<PathBuf>,
    running: usize,
}

impl Readings {
    /// The file to be read now; none: none waits, or enough are being read.
    fn begin(&mut self) -> Option<PathBuf> {
        let next = (self.running < STAGING_MAX).then(|| self.waiting.pop())??;
        self.running += 1;
        Some(next)
    }
}

/// Reads a file on a thread of its own.
async fn read(path: PathBuf) -> StageResult {
    let (done, staged) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reader".to_owned());
    let started = thread.spawn(move || {
        let _ = done.send(stage(&path));
    });
    match started {
        Ok(_) => staged.await.map_err(|_| Panicked),
        Err(error) => Ok(Err(StageError::NoThread(error))),
    }
}

/// What the file system has told of the library and the configuration beside it.
fn told(news: &News, library: &Path) -> Told {
    let config = folder::config_file(library);
    let is_so = |of: fn(&News, &Path) -> bool| {
        of(news, library) || config.as_deref().is_some_and(|config| of(news, config))
    };
    Told {
        arrival: if is_so(News::is_renamed) {
            Arrival::Renamed
        } else if news.is_complete() {
            Arrival::Complete
        } else {
            Arrival::Ongoing
        },
        is_being_written: is_so(News::is_being_written),
    }
}

fn change(file: PathBuf, staged: StageResult) -> Change {
    match staged {
        Ok(Ok(staged)) => Change::Holds(Box::new(staged)),
        Ok(Err(error)) => match error.passing() {
            Some(reason) => Change::Waits { file, reason },
            None => Change::Unusable {
                file,
                reason: error.to_string(),
            },
        },
        Err(Panicked) => Change::Unusable {
            file,
            reason: "the host failed to read it; its log says more under \"panicked\"".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_last_is_read_first_and_few_at_a_time() {
        let mut readings = Readings {
            waiting: ["a.so", "b.so", "c.so"].map(PathBuf::from).to_vec(),
            running: 0,
        };
        assert_eq!(readings.begin(), Some("c.so".into()));
        assert_eq!(readings.begin(), Some("b.so".into()));
        assert_eq!(readings.begin(), None, "enough are being read");
        readings.running -= 1;
        assert_eq!(readings.begin(), Some("a.so".into()));
        readings.running -= 1;
        assert_eq!(readings.begin(), None);
    }
}
