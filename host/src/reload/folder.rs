//! What lies in the folder, and whether it has settled. Looking is I/O; what is made of it is not.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Moment;
use crate::config::Settle;

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
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        meta.is_file().then(|| Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// A library, and the configuration file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    library: Fingerprint,
    config: Option<Fingerprint>,
}

/// The libraries of the folder. Not those of its subfolders, and no hidden files: tools copy to such names first.
pub(super) fn look(folder: &Path) -> io::Result<BTreeMap<PathBuf, Seen>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "so") {
            continue;
        }
        if let Some(library) = Fingerprint::of(&path) {
            let config = config_file(&path).and_then(|config| Fingerprint::of(&config));
            files.insert(path, Seen { library, config });
        }
    }
    Ok(files)
}

/// `mail.toml` beside `libmail.so`.
pub(super) fn config_file(library: &Path) -> Option<PathBuf> {
    let stem = library.file_stem()?.to_str()?;
    let name = stem.strip_prefix("lib").unwrap_or(stem);
    Some(library.with_file_name(format!("{name}.toml")))
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
    /// Whether the last change came with the news that the file is complete.
    complete: bool,
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Look again then.
    At(Moment),
    Examine,
    Remove,
}

impl Track {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            seen: None,
            since: now,
            unexamined_since: now,
            examined: None,
            under_examination: None,
            complete: false,
        }
    }

    /// Takes in what a look has shown (`None`: the file is not there) and says what is due.
    pub(super) fn look(
        &mut self,
        seen: Option<Seen>,
        settle: &Settle,
        complete: bool,
        now: Moment,
    ) -> Due {
        if self.seen != seen {
            if self.seen == self.examined || self.seen.is_none() {
                self.unexamined_since = now;
            }
            self.seen = seen;
            self.since = now;
            self.complete = false;
        }
        self.complete |= complete;
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
        let wait = if self.complete {
            settle.quick
        } else {
            settle.usual
        };
        let due = (self.since + wait).min(self.unexamined_since + settle.max);
        if now >= due {
            Due::Examine
        } else {
            Due::At(due)
        }
    }

    /// What was seen last is taken for examined, until it changes.
    pub(super) fn set_examined(&mut self) {
        self.examined = self.seen;
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
        }
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

    #[test]
    fn a_file_is_examined_when_it_has_been_quiet() {
        let mut track = Track::new(at(0));
        assert_eq!(track.look(seen(1), &SETTLE, false, at(0)), Due::At(at(150)));
        assert_eq!(
            track.look(seen(2), &SETTLE, false, at(100)),
            Due::At(at(250))
        );
        assert_eq!(
            track.look(seen(2), &SETTLE, true, at(110)),
            Due::At(at(130))
        );
        assert_eq!(track.look(seen(2), &SETTLE, true, at(130)), Due::Examine);
        track.set_examined();
        assert_eq!(track.look(seen(2), &SETTLE, false, at(140)), Due::Nothing);
    }

    #[test]
    fn what_never_becomes_quiet_is_examined_all_the_same() {
        let mut track = Track::new(at(0));
        let due =
            (0..200).find(|n| track.look(seen(*n), &SETTLE, false, at(n * 10)) == Due::Examine);
        assert_eq!(due, Some(100));
    }

    #[test]
    fn a_file_may_be_away_for_a_moment() {
        let mut track = Track::new(at(0));
        track.look(seen(1), &SETTLE, true, at(0));
        track.set_examined();
        assert_eq!(track.look(None, &SETTLE, false, at(10)), Due::At(at(2010)));
        assert_eq!(
            track.look(seen(1), &SETTLE, false, at(20)),
            Due::Nothing,
            "the very same came back"
        );
        track.look(None, &SETTLE, false, at(30));
        assert_eq!(track.look(None, &SETTLE, false, at(2030)), Due::Remove);
    }

    #[test]
    fn the_configuration_of_a_library_lies_beside_it() {
        let config = |library: &str| config_file(Path::new(library));
        assert_eq!(config("p/libmail.so"), Some("p/mail.toml".into()));
        assert_eq!(config("p/mail.so"), Some("p/mail.toml".into()));
    }
}
