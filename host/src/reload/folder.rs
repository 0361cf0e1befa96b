//! What lies in the folder, and whether it has settled. Looking is I/O; what is made of it is not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::clock::Moment;
use crate::config::Settle;

/// A file to which a program was seen writing is examined when it has been unchanged for so long, closed or not: that it
/// was closed may not have been told.
const WRITING_MAX: Duration = Duration::from_secs(60);
/// When a file is read again that the host could not read for want of something; doubled each time.
const SHORTAGE_WAIT: Duration = Duration::from_millis(100);
const SHORTAGE_DOUBLINGS: u32 = 6;

const NOT_REGULAR: &str = "it is not a regular file; put the file itself there, or a link to it";

/// Tells one content of a file from another without reading it. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A library, and the configuration file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    library: Fingerprint,
    config: Option<Fingerprint>,
}

/// What a look has shown under a library's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// A file.
    File(Seen),
    /// Nothing that could be loaded; a sentence that says what.
    NoFile(String),
    /// It can't be told what is there; a sentence that says why.
    Unknown(String),
}

impl Sight {
    fn of(path: &Path) -> Self {
        let library = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => Fingerprint::of(&meta),
            Ok(_) => return Self::NoFile(NOT_REGULAR.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = fs::read_link(path);
                let target = target.map_or_else(
                    |_| "nothing".to_owned(),
                    |target| target.display().to_string(),
                );
                return Self::NoFile(format!("it is a link to {target}, and nothing is there"));
            }
            Err(error) => return Self::unknown(path, &error),
        };
        let config = match config_file(path).map(|path| (fs::metadata(&path), path)) {
            // Whatever it is, it is refused or taken when it is read.
            Some((Ok(meta), _)) => Some(Fingerprint::of(&meta)),
            Some((Err(error), path)) if error.kind() != io::ErrorKind::NotFound => {
                return Self::unknown(&path, &error);
            }
            _ => None,
        };
        Self::File(Seen { library, config })
    }

    fn unknown(path: &Path, error: &io::Error) -> Self {
        Self::Unknown(format!(
            "{} can't be looked at: {error}; what served before goes on",
            path.display()
        ))
    }
}

/// What has the names of libraries in the folder. Not in its subfolders, and no hidden files: tools copy to such names
/// first.
pub(super) fn look(folder: &Path) -> io::Result<BTreeMap<PathBuf, Sight>> {
    let mut sights = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "so") {
            continue;
        }
        let sight = Sight::of(&path);
        sights.insert(path, sight);
    }
    Ok(sights)
}

/// Opens a regular file for reading. Whatever else has the name (a FIFO, a device) is refused, and nobody waits for it.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other(NOT_REGULAR))
    }
}

/// `mail.toml` beside `libmail.so`.
pub(super) fn config_file(library: &Path) -> Option<PathBuf> {
    let stem = library.file_stem()?.to_str()?;
    let name = stem.strip_prefix("lib").unwrap_or(stem);
    Some(library.with_file_name(format!("{name}.toml")))
}

/// What the file system has told of a file since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) arrival: Arrival,
    /// A program is writing to it.
    pub(super) is_being_written: bool,
}

/// How finished a file is, by the way in which it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arrival {
    /// More may follow.
    #[default]
    Ongoing,
    /// Something was closed or renamed: it is probably complete.
    Complete,
    /// It has come to its name by a rename: it was finished before.
    Renamed,
}

/// One file's history, as far as it matters.
#[derive(Clone, Debug)]
pub(super) struct Track {
    seen: Option<Seen>,
    /// Since when it has been as it is.
    since: Moment,
    /// Since when it has been different from what was examined.
    unexamined_since: Moment,
    examined: Option<Seen>,
    /// What was seen when its examination began, as long as that goes on.
    under_examination: Option<Seen>,
    /// How its last change came.
    arrival: Arrival,
    /// Whether it was said that it keeps changing.
    is_told: bool,
    /// What was said when there was no file to be seen under this name.
    passed_over: Option<String>,
    /// Why it was refused as unfinished last.
    unfinished: Option<String>,
    /// How often in a row the host could not read it for want of something, and when it is tried again.
    shortages: u32,
    not_before: Moment,
}

/// What is to be done about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Look again then.
    At(Moment),
    Examine,
    /// Say that it isn't taken yet, for this reason.
    Tell(Cow<'static, str>),
    /// Say that there is no file any more, but something else.
    Replaced(String),
    Remove,
}

const BEING_WRITTEN: &str = "a program is still writing to it; it is taken when that program closes it. \
                             Best is a copy beside the folder, and a rename into it";
const KEEPS_CHANGING: &str = "it keeps changing; it is taken when it has been unchanged for a while. \
                              Best is a copy beside the folder, and a rename into it";

impl Track {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            seen: None,
            since: now,
            unexamined_since: now,
            examined: None,
            under_examination: None,
            arrival: Arrival::Ongoing,
            is_told: false,
            passed_over: None,
            unfinished: None,
            shortages: 0,
            not_before: now,
        }
    }

    /// Takes in what a look has shown (`None`: there is nothing of this name) and says what is due.
    pub(super) fn take_in(
        &mut self,
        sight: Option<&Sight>,
        settle: &Settle,
        told: Told,
        now: Moment,
    ) -> Due {
        match sight {
            Some(Sight::File(seen)) => {
                if self.passed_over.take().is_some() {
                    // What was said of it must be taken back, also when it is the same file as before.
                    self.forget_examined();
                }
                self.look(Some(*seen), settle, told, now)
            }
            // Nothing is known, so nothing is taken for deleted.
            Some(Sight::Unknown(reason)) if self.pass_over(reason) => {
                Due::Tell(reason.clone().into())
            }
            Some(Sight::Unknown(_)) => Due::Nothing,
            Some(Sight::NoFile(reason)) => match self.look(None, settle, told, now) {
                Due::Remove if self.pass_over(reason) => Due::Replaced(reason.clone()),
                Due::Remove => Due::Nothing,
                due => due,
            },
            None => self.look(None, settle, told, now),
        }
    }

    /// True: this was not said before.
    pub(super) fn pass_over(&mut self, reason: &str) -> bool {
        let is_new = self.passed_over.as_deref() != Some(reason);
        self.passed_over = Some(reason.to_owned());
        is_new
    }

    /// Takes in which file there is (`None`: none) and says what is due.
    fn look(&mut self, seen: Option<Seen>, settle: &Settle, told: Told, now: Moment) -> Due {
        if self.seen != seen {
            if self.seen == self.examined || self.seen.is_none() {
                self.unexamined_since = now;
                self.is_told = false;
            }
            self.seen = seen;
            self.since = now;
            self.arrival = Arrival::Ongoing;
        }
        self.arrival = self.arrival.max(told.arrival);
        if seen.is_none() {
            let gone = self.since + settle.missing;
            return if now >= gone {
                Due::Remove
            } else {
                Due::At(gone)
            };
        }
        // What comes of an examination is told before the next one begins.
        if seen == self.examined || self.under_examination.is_some() {
            return Due::Nothing;
        }
        self.examination_due(settle, told.is_being_written, now)
    }

    fn examination_due(&mut self, settle: &Settle, is_being_written: bool, now: Moment) -> Due {
        let wait = match self.arrival {
            // The news that it is closed may have got lost.
            _ if is_being_written => WRITING_MAX,
            Arrival::Ongoing => settle.usual,
            Arrival::Complete => settle.quick,
            Arrival::Renamed => Duration::ZERO,
        };
        let due = (self.since + wait).max(self.not_before);
        if now >= due {
            return Due::Examine;
        }
        let overdue = self.unexamined_since + settle.max;
        if self.is_told || self.shortages > 0 {
            return Due::At(due);
        }
        if now < overdue {
            return Due::At(due.min(overdue));
        }
        self.is_told = true;
        Due::Tell(Cow::Borrowed(if is_being_written {
            BEING_WRITTEN
        } else {
            KEEPS_CHANGING
        }))
    }

    /// What was seen last is being examined.
    pub(super) fn begin_examination(&mut self) {
        self.under_examination = self.seen;
    }

    /// The examination has ended; `counts`: what was seen when it began is taken for examined.
    pub(super) fn end_examination(&mut self, counts: bool) {
        let seen = self.under_examination.take();
        if counts {
            self.examined = seen;
            self.shortages = 0;
        }
    }

    /// It is refused, or not (`None`), as unfinished. True: that has been said of it already, and it grows where it lies.
    pub(super) fn goes_on_unfinished(&mut self, reason: Option<&str>) -> bool {
        let is_said = reason.is_some() && self.unfinished.as_deref() == reason;
        self.unfinished = reason.map(str::to_owned);
        is_said && self.arrival != Arrival::Renamed
    }

    /// The host could not read it for want of something. True: it is the first time in a row.
    pub(super) fn set_short(&mut self, now: Moment) -> bool {
        self.end_examination(false);
        let wait = SHORTAGE_WAIT * (1 << self.shortages.min(SHORTAGE_DOUBLINGS));
        self.not_before = now + wait;
        self.shortages += 1;
        self.shortages == 1
    }

    /// Examined or not, it is to be examined again.
    pub(super) fn forget_examined(&mut self) {
        self.examined = None;
    }

    /// How long the file has been as it is.
    pub(super) fn age(&self, now: Moment) -> Duration {
        now.since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Settle = Settle {
        quick: Duration::from_millis(30),
        usual: Duration::from_millis(150),
        max: Duration::from_millis(1000),
        missing: Duration::from_millis(2000),
    };

    fn seen(inode: u64) -> Option<Seen> {
        let library = Fingerprint {
            device: 1,
            inode,
            len: 1,
            modified: (0, 0),
            changed: (0, 0),
        };
        Some(Seen {
            library,
            config: None,
        })
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos((1_000_000 + ms) * 1_000_000)
    }

    const ONGOING: Told = told(Arrival::Ongoing, false);
    const COMPLETE: Told = told(Arrival::Complete, false);
    const RENAMED: Told = told(Arrival::Renamed, false);
    const WRITTEN: Told = told(Arrival::Ongoing, true);

    const fn told(arrival: Arrival, is_being_written: bool) -> Told {
        Told {
            arrival,
            is_being_written,
        }
    }

    fn examine(track: &mut Track) {
        track.begin_examination();
        track.end_examination(true);
    }

    #[test]
    fn a_file_is_examined_when_it_has_been_quiet() {
        let mut track = Track::new(at(0));
        assert_eq!(
            track.look(seen(1), &SETTLE, ONGOING, at(0)),
            Due::At(at(150))
        );
        assert_eq!(
            track.look(seen(2), &SETTLE, ONGOING, at(100)),
            Due::At(at(250))
        );
        assert_eq!(
            track.look(seen(2), &SETTLE, COMPLETE, at(110)),
            Due::At(at(130))
        );
        assert_eq!(track.look(seen(2), &SETTLE, ONGOING, at(130)), Due::Examine);
        examine(&mut track);
        assert_eq!(track.look(seen(2), &SETTLE, ONGOING, at(140)), Due::Nothing);
    }

    #[test]
    fn what_comes_by_a_rename_is_examined_at_once() {
        let mut track = Track::new(at(0));
        assert_eq!(track.look(seen(1), &SETTLE, RENAMED, at(5)), Due::Examine);
        let written = told(Arrival::Renamed, true);
        assert_ne!(track.look(seen(2), &SETTLE, written, at(6)), Due::Examine);
    }

    #[test]
    fn what_never_becomes_quiet_is_told_of_once_and_examined_when_it_does() {
        let mut track = Track::new(at(0));
        let told: Vec<u64> = (0..200)
            .filter(
                |n| match track.look(seen(*n), &SETTLE, ONGOING, at(n * 10)) {
                    Due::At(_) => false,
                    due => {
                        assert_eq!(due, Due::Tell(KEEPS_CHANGING.into()));
                        true
                    }
                },
            )
            .collect();
        assert_eq!(told, [100]);
        let quiet = 1990 + 150;
        assert_eq!(
            track.look(seen(199), &SETTLE, ONGOING, at(quiet)),
            Due::Examine
        );
    }

    #[test]
    fn what_is_being_written_waits_until_it_is_closed() {
        let mut track = Track::new(at(0));
        let mut look = |told, ms| track.look(seen(1), &SETTLE, told, at(ms));
        assert_eq!(look(WRITTEN, 0), Due::At(at(1000)));
        assert_eq!(look(WRITTEN, 900), Due::At(at(1000)));
        assert_eq!(look(WRITTEN, 1000), Due::Tell(BEING_WRITTEN.into()));
        assert_eq!(look(WRITTEN, 1010), Due::At(at(60_000)));
        assert_eq!(look(COMPLETE, 2000), Due::Examine);
        assert_eq!(
            look(WRITTEN, 60_000),
            Due::Examine,
            "the closing was not told"
        );
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_after_longer_and_longer() {
        let mut track = Track::new(at(0));
        let mut now = 0;
        for (wait, is_first) in [(100, true), (200, false), (400, false)] {
            assert_eq!(track.look(seen(1), &SETTLE, RENAMED, at(now)), Due::Examine);
            track.begin_examination();
            assert_eq!(track.set_short(at(now)), is_first);
            assert_eq!(
                track.look(seen(1), &SETTLE, ONGOING, at(now)),
                Due::At(at(now + wait))
            );
            now += wait;
        }
        track.begin_examination();
        track.end_examination(true);
        assert_eq!(track.look(seen(1), &SETTLE, ONGOING, at(now)), Due::Nothing);
    }

    #[test]
    fn a_file_may_be_away_for_a_moment() {
        let mut track = Track::new(at(0));
        track.look(seen(1), &SETTLE, COMPLETE, at(0));
        examine(&mut track);
        assert_eq!(
            track.look(None, &SETTLE, ONGOING, at(10)),
            Due::At(at(2010))
        );
        assert_eq!(
            track.look(seen(1), &SETTLE, ONGOING, at(20)),
            Due::Nothing,
            "the very same came back"
        );
        track.look(None, &SETTLE, ONGOING, at(30));
        assert_eq!(track.look(None, &SETTLE, ONGOING, at(2030)), Due::Remove);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_deleted() {
        let mut track = Track::new(at(0));
        let file = Sight::File(seen(1).unwrap());
        let mut look = |sight: &Sight, ms| track.take_in(Some(sight), &SETTLE, RENAMED, at(ms));
        assert_eq!(look(&file, 0), Due::Examine);
        let unknown = Sight::Unknown("no".to_owned());
        assert_eq!(look(&unknown, 10), Due::Tell("no".into()));
        assert_eq!(look(&unknown, 100_000), Due::Nothing, "said once");
        assert_eq!(
            look(&file, 100_010),
            Due::Examine,
            "so that it is taken back"
        );
        let folder = Sight::NoFile("a folder".to_owned());
        assert_eq!(look(&folder, 100_020), Due::At(at(102_020)));
        assert_eq!(look(&folder, 102_020), Due::Replaced("a folder".to_owned()));
        assert_eq!(look(&folder, 102_030), Due::Nothing, "said once");
        assert_eq!(
            track.take_in(None, &SETTLE, ONGOING, at(102_040)),
            Due::Remove
        );
    }

    #[test]
    fn what_is_no_file_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("liba.so")).unwrap();
        std::os::unix::fs::symlink("/no/such", path("libb.so")).unwrap();
        std::os::unix::fs::symlink("libc.so", path("libc.so")).unwrap();
        fs::write(path("libd.so"), "").unwrap();
        let sights = look(folder.path()).unwrap();
        let said = |name: &str| match &sights[&path(name)] {
            Sight::NoFile(said) | Sight::Unknown(said) => said.clone(),
            Sight::File(_) => String::new(),
        };
        assert!(said("liba.so").contains("not a regular file"));
        assert!(said("libb.so").contains("a link to /no/such"));
        assert!(
            said("libc.so").contains("can't be looked at"),
            "{}",
            said("libc.so")
        );
        assert_eq!(said("libd.so"), "");
    }

    #[test]
    fn the_configuration_of_a_library_lies_beside_it() {
        let config = |library: &str| config_file(Path::new(library));
        assert_eq!(config("p/libmail.so"), Some("p/mail.toml".into()));
        assert_eq!(config("p/mail.so"), Some("p/mail.toml".into()));
    }
}
