//! What files hold, as they are told of: opened, refused, or what serves already.

use std::path::Path;

use super::Core;
use crate::config::PluginSettings;
use crate::generations::candidates::Origin;
use crate::generations::state::{Event, State};
use crate::generations::version::{Content, Version};
use crate::reload::Staged;

impl Core {
    /// The file holds this library, which is to be run like that; or not at all, for that reason.
    pub(in crate::generations) fn holds(
        &mut self,
        staged: Staged,
        settings: Result<PluginSettings, String>,
    ) {
        let path = staged.file.clone();
        match settings {
            Ok(settings) => {
                let version = Version { staged, settings };
                let said = self.set_holds(&path, Some(version.content()));
                self.found(&path, version, said.as_deref());
            }
            Err(reason) => self.holds_nothing(&path, Some(staged.note.name), reason),
        }
    }

    /// The file holds nothing that could be opened.
    pub(in crate::generations) fn unusable(&mut self, path: &Path, reason: String) {
        self.holds_nothing(path, None, reason);
    }

    fn holds_nothing(&mut self, path: &Path, plugin: Option<String>, reason: String) {
        self.set_holds(path, None);
        let outdated = self.candidates.remove_held(path);
        self.give_up(
            outdated,
            Event::Superseded,
            "its file holds something else now",
        );
        self.refuse(path, plugin, reason);
    }

    /// The file was examined. Gives what has been said of it, if it holds what it held before and waits for a name.
    fn set_holds(&mut self, path: &Path, holds: Option<Content>) -> Option<String> {
        let file = self.files.entry(path.to_owned()).or_default();
        let before = file.holds.as_ref().map(|holds| holds.plugin.clone());
        let is_same = file.holds == holds;
        let waited_for = file.waits_for.take();
        let brings_another =
            before.is_some() && before != holds.as_ref().map(|holds| holds.plugin.clone());
        file.set_holds(holds);
        if brings_another {
            self.retry_waiting();
        }
        waited_for.filter(|_| is_same).map(|(_, said)| said)
    }

    /// What the file held is opened no more: it holds something else now, which is not opened.
    fn give_up_held(&mut self, path: &Path) {
        let outdated = self.candidates.remove_held(path);
        let reason = "its file holds something else now";
        self.give_up(outdated, Event::Superseded, reason);
    }

    /// The file is gone for good.
    pub(in crate::generations) fn gone(&mut self, path: &Path) {
        self.files.remove(path);
        self.forget_refusal(path);
        self.retry_waiting();
    }

    /// The file holds this version. It is opened, unless it serves, is being opened, or was rolled back. `said`: why not, when
    /// it was tried before.
    fn found(&mut self, path: &Path, version: Version, said: Option<&str>) {
        let serves = self.serves(&version);
        if serves {
            self.forget_refusal(path);
        }
        if serves || self.candidates.has(&version) {
            let is_alive = self
                .current
                .get(version.plugin())
                .is_some_and(|current| current.state != State::Retired);
            let outdated = if serves && is_alive {
                self.candidates.remove_needless(&version)
            } else {
                self.candidates.remove_outdated(&version)
            };
            if !outdated.is_empty() {
                let reason = "its file holds again what it held before";
                self.give_up(outdated, Event::Superseded, reason);
                self.retry_waiting();
            }
            return;
        }
        if self.files.get(path).is_some_and(|file| file.rolled_back) {
            return;
        }
        if let Err((name, reason)) = self.check_names(&version.staged) {
            if let Some(file) = self.files.get_mut(path) {
                file.waits_for = Some((name, reason.clone()));
            }
            self.give_up_held(path);
            if said != Some(reason.as_str()) {
                self.refuse(path, Some(version.plugin().to_owned()), reason);
            }
            return;
        }
        self.open(version.into(), Origin::File);
    }

    /// Whether it is what its file holds.
    pub(super) fn is_held(&self, version: &Version) -> bool {
        let file = self.files.get(version.file());
        file.and_then(|file| file.holds.as_ref()) == Some(&version.content())
    }

    fn serves(&self, version: &Version) -> bool {
        self.current
            .get(version.plugin())
            .is_some_and(|current| current.version.is_same(version))
    }
}
