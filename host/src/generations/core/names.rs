//! Names are one plugin's alone: who has which, who waits for one, and who loses it with its file.

use std::path::Path;

use super::{Command, Core, Current, FILE_GONE, File};
use crate::generations::state::Event;
use crate::generations::version::Version;
use crate::reload::Staged;

const FILE_CHANGED: &str = "its file brings another plugin now";

/// A name that another plugin has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Plugin,
    Function,
}

impl Core {
    /// Whether the plugin's name, and its functions', are no others'; else which is, and a sentence that says so.
    pub(super) fn check_names(&self, staged: &Staged) -> Result<(), (Name, String)> {
        let plugin = &staged.note.name;
        // A file that was renamed is there under its new name before the old one counts as gone.
        let is_taken = |other: &&Staged| {
            other.note.name == *plugin
                && other.file != staged.file
                && self.may_bring(&other.file, plugin)
                && (self.is_there)(&other.file)
        };
        if let Some(other) = self.names().find(is_taken) {
            let shown = other.file.display();
            let reason = format!(
                "a plugin named `{plugin}` comes from {shown} already; remove one of the two files"
            );
            return Err((Name::Plugin, reason));
        }
        self.check_functions(staged, |other| other.file != staged.file)
            .map_err(|reason| (Name::Function, reason))
    }

    /// Whether the names of its functions are no other plugin's, of those that count.
    pub(super) fn check_functions(
        &self,
        staged: &Staged,
        counts: impl Fn(&Staged) -> bool,
    ) -> Result<(), String> {
        let mut others = self
            .names()
            .filter(|other| other.note.name != staged.note.name);
        let taken = others.find_map(|other| {
            let functions = counts(other).then_some(&other.note.functions)?;
            let mut own = staged.note.functions.iter();
            Some((own.find(|function| functions.contains(function))?, other))
        });
        let Some((function, other)) = taken else {
            return Ok(());
        };
        let (name, shown) = (&other.note.name, other.file.display());
        Err(format!(
            "it exports `{function}`, which the plugin `{name}` ({shown}) exports already; rename one of the two"
        ))
    }

    /// Whatever has names: what serves, and what is being opened.
    fn names(&self) -> impl Iterator<Item = &Staged> {
        let current = self.current.values().map(|current| &*current.version);
        let versions = current.chain(self.candidates.versions());
        versions.map(|version| &version.staged)
    }

    /// Whether the file that has brought this plugin still does, or nothing else.
    pub(super) fn may_bring(&self, path: &Path, plugin: &str) -> bool {
        self.files.get(path).is_some_and(|file| {
            let holds = file.holds.as_ref();
            holds.is_none_or(|holds| holds.plugin == plugin)
        })
    }

    /// Takes out plugins whose files are gone, or bring another one now, unless other files bring them in a moment. What is
    /// opened of a file that is gone is not wanted either.
    pub(super) fn take_out_orphans(&mut self) {
        let files = &self.files;
        let orphans = self
            .candidates
            .remove_orphans(|file| files.contains_key(file));
        self.give_up(orphans, Event::Removed, FILE_GONE);
        let is_gone = |plugin: &str, current: &Current| {
            !self.files.contains_key(current.version.file()) && !self.has_successor(plugin)
        };
        for plugin in self.plugins_where(is_gone) {
            self.take_out(&plugin, FILE_GONE);
        }
        let is_replaced = |plugin: &str, current: &Current| {
            let path = current.version.file();
            let mut others = self.current.iter().filter(|(other, _)| *other != plugin);
            !self.may_bring(path, plugin)
                && others.any(|(_, other)| other.version.file() == path)
                && !self.has_successor(plugin)
        };
        for plugin in self.plugins_where(is_replaced) {
            self.take_out(&plugin, FILE_CHANGED);
        }
    }

    /// Takes out what has a name of the version that goes live now: its file has brought another plugin before.
    pub(super) fn clear_the_way(&mut self, version: &Version) {
        let functions = &version.staged.note.functions;
        let in_the_way = |name: &str, current: &Current| {
            let theirs = &current.version.staged.note.functions;
            name != version.plugin() && theirs.iter().any(|function| functions.contains(function))
        };
        for name in self.plugins_where(in_the_way) {
            self.take_out(&name, FILE_CHANGED);
        }
    }

    /// Whether another file may bring the plugin in a moment.
    pub(super) fn has_successor(&self, plugin: &str) -> bool {
        let waits = |file: &File| {
            let holds = file.holds.as_ref();
            matches!(file.waits_for, Some((Name::Plugin, _)))
                && holds.is_some_and(|holds| holds.plugin == plugin)
        };
        self.candidates
            .versions()
            .any(|version| version.plugin() == plugin)
            || self.files.values().any(waits)
    }

    pub(super) fn plugins_where(&self, wanted: impl Fn(&str, &Current) -> bool) -> Vec<String> {
        let plugins = self.current.iter();
        plugins
            .filter(|(plugin, current)| wanted(plugin, current))
            .map(|(plugin, _)| plugin.clone())
            .collect()
    }

    pub(super) fn take_out(&mut self, plugin: &str, why: &str) {
        let Some(current) = self.current.remove(plugin) else {
            return;
        };
        self.commands.push(Command::TakeOut {
            plugin: plugin.to_owned(),
            why: why.to_owned(),
        });
        self.retire(&current, Event::Removed, Some(why.to_owned()));
        self.retry_waiting();
    }

    /// Names may have become free: files that were refused for them are examined again.
    pub(super) fn retry_waiting(&mut self) {
        let waiting = self
            .files
            .iter()
            .filter(|(_, file)| file.waits_for.is_some());
        let examine = waiting.map(|(file, _)| Command::Examine { file: file.clone() });
        self.commands.extend(examine);
    }
}
