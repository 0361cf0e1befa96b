//! Versions that are being opened, and which of them give way to which.
//!
//! Two of them are rivals when they come from the same file, or bring the same plugin. The rule, in one sentence: what is
//! newer outlives what is older. A candidate takes the place of rivals that were started for the same reason as itself,
//! and of all older ones when it goes live; never of a newer one. So a roll-back, or a changed configuration, can't keep
//! what was just put into the folder from being opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::version::Version;

/// A version whose first worker opens it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) version: Arc<Version>,
    pub(super) origin: Origin,
}

/// Why a candidate is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It served before the one that serves, which is to be rolled back for this reason.
    RollBack(String),
    /// It serves, and its configuration has changed; its file holds something else, which is not live.
    Configuration,
    /// It served, and its pool was lost.
    Lost,
    /// It is what its file holds.
    File,
}

impl Origin {
    /// The higher, the newer is what is opened.
    fn rank(&self) -> u8 {
        match self {
            Self::RollBack(_) => 0,
            Self::Configuration | Self::Lost => 1,
            Self::File => 2,
        }
    }
}

/// By the numbers of their generations.
#[derive(Debug, Default)]
pub(super) struct Candidates(BTreeMap<u64, Candidate>);

impl Candidates {
    /// The numbers of their generations.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Version> {
        Some(&self.0.get(&number)?.version)
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.0.values().map(|candidate| &*candidate.version)
    }

    /// Adds a candidate, and gives those whose place it takes.
    pub(super) fn add(&mut self, number: u64, candidate: Candidate) -> Vec<Candidate> {
        let rank = candidate.origin.rank();
        let superseded = self.remove_rivals(&candidate.version, |origin| origin.rank() == rank);
        self.0.insert(number, candidate);
        superseded
    }

    /// The candidate of this number, which is opened now; none: another has taken its place.
    pub(super) fn remove(&mut self, number: u64) -> Option<Candidate> {
        self.0.remove(&number)
    }

    /// Removes the rivals of a version that goes live, and gives them; those that are newer go on.
    pub(super) fn remove_older(&mut self, version: &Version, origin: &Origin) -> Vec<Candidate> {
        let rank = origin.rank();
        self.remove_rivals(version, |other| other.rank() <= rank)
    }

    /// The file holds this version again, which is being opened: removes what it held in between.
    pub(super) fn remove_outdated(&mut self, version: &Version) -> Vec<Candidate> {
        self.remove_where(|other| {
            is_rival(&other.version, version)
                && other.origin == Origin::File
                && !other.version.is_same(version)
        })
    }

    /// The file holds what serves: removes all that would take its place, but for a roll-back, whose reason it is itself.
    pub(super) fn remove_needless(&mut self, version: &Version) -> Vec<Candidate> {
        self.remove_where(|other| {
            is_rival(&other.version, version) && !matches!(other.origin, Origin::RollBack(_))
        })
    }

    /// Something serves the plugin: removes what was opened because nothing did.
    pub(super) fn remove_lost(&mut self, plugin: &str) -> Vec<Candidate> {
        self.remove_where(|other| other.version.plugin() == plugin && other.origin == Origin::Lost)
    }

    /// Removes those that were opened for their configuration: it has changed again.
    pub(super) fn remove_configured(&mut self) -> Vec<Candidate> {
        self.remove_where(|other| other.origin == Origin::Configuration)
    }

    /// Removes all whose files are gone.
    pub(super) fn remove_orphans(&mut self, is_there: impl Fn(&Path) -> bool) -> Vec<Candidate> {
        self.remove_where(|other| !is_there(other.version.file()))
    }

    /// Removes what the file held: it holds something else, which is not opened.
    pub(super) fn remove_held(&mut self, file: &Path) -> Vec<Candidate> {
        self.remove_where(|other| other.version.file() == file && other.origin == Origin::File)
    }

    /// Whether this very version is being opened.
    pub(super) fn has(&self, version: &Version) -> bool {
        self.versions().any(|other| other.is_same(version))
    }

    fn remove_rivals(
        &mut self,
        version: &Version,
        give_way: impl Fn(&Origin) -> bool,
    ) -> Vec<Candidate> {
        self.remove_where(|other| is_rival(&other.version, version) && give_way(&other.origin))
    }

    fn remove_where(&mut self, unwanted: impl Fn(&Candidate) -> bool) -> Vec<Candidate> {
        self.0
            .extract_if(.., |_, candidate| unwanted(candidate))
            .map(|(_, candidate)| candidate)
            .collect()
    }
}

fn is_rival(version: &Version, other: &Version) -> bool {
    version.file() == other.file() || version.plugin() == other.plugin()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::config::{Config, Overrides};
    use crate::reload::Staged;

    /// What a file holds is told by one byte.
    fn version(file: &str, plugin: &str, content: u8) -> Arc<Version> {
        let config = Config::load(None, Overrides::default()).unwrap();
        Arc::new(Version {
            staged: Staged::made_up(file, plugin, &[], content),
            settings: config.plugin(plugin),
        })
    }

    fn roll_back() -> Origin {
        Origin::RollBack("it crashed".to_owned())
    }

    fn add(candidates: &mut Candidates, number: u64, content: u8, origin: Origin) -> Vec<u8> {
        let version = version("libp.so", "p", content);
        contents(&candidates.add(number, Candidate { version, origin }))
    }

    fn contents(candidates: &[Candidate]) -> Vec<u8> {
        let hashes = candidates.iter();
        hashes.map(|other| other.version.staged.hash[0]).collect()
    }

    /// One for each reason: contents 1, 2 and 3, from the oldest to the newest.
    fn one_of_each() -> Candidates {
        let mut candidates = Candidates::default();
        for (number, origin) in [
            (1, roll_back()),
            (2, Origin::Configuration),
            (3, Origin::File),
        ] {
            let content = u8::try_from(number).unwrap();
            assert!(add(&mut candidates, number, content, origin).is_empty());
        }
        candidates
    }

    #[test]
    fn whatever_is_started_takes_the_place_of_its_own_kind_alone() {
        for (origin, superseded) in [
            (roll_back(), 1),
            (Origin::Configuration, 2),
            (Origin::File, 3),
        ] {
            let mut candidates = one_of_each();
            assert_eq!(add(&mut candidates, 9, 9, origin), [superseded]);
            assert!(candidates.remove(u64::from(superseded)).is_none());
            assert!(candidates.remove(9).is_some());
        }
    }

    #[test]
    fn whatever_goes_live_outlives_what_is_older_alone() {
        for (origin, superseded) in [
            (roll_back(), &[1][..]),
            (Origin::Configuration, &[1, 2]),
            (Origin::File, &[1, 2, 3]),
        ] {
            let older = one_of_each().remove_older(&version("libp.so", "p", 9), &origin);
            assert_eq!(contents(&older), superseded, "{origin:?}");
        }
    }

    #[test]
    fn what_the_file_held_in_between_is_outdated() {
        let mut candidates = one_of_each();
        assert!(candidates.has(&version("libp.so", "p", 3)));
        let none = candidates.remove_outdated(&version("libp.so", "p", 3));
        assert!(none.is_empty(), "it holds it still");
        let outdated = candidates.remove_outdated(&version("libp.so", "p", 1));
        assert_eq!(contents(&outdated), [3]);
    }

    #[test]
    fn rivals_have_the_same_file_or_bring_the_same_plugin() {
        for (file, plugin, is_rival) in [
            ("libp.so", "other", true),
            ("libother.so", "p", true),
            ("libother.so", "other", false),
        ] {
            let mut candidates = Candidates::default();
            add(&mut candidates, 1, 1, Origin::File);
            let candidate = Candidate {
                version: version(file, plugin, 2),
                origin: Origin::File,
            };
            let superseded = candidates.add(2, candidate);
            assert_eq!(!superseded.is_empty(), is_rival, "{plugin} of {file}");
        }
    }
}
