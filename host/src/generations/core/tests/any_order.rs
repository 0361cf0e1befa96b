//! Whatever happens, in whatever order: what a file holds in the end is what serves, or it is said why not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{PROBATION, settings, words};
use crate::clock::Moment;
use crate::config::PluginSettings;
use crate::generations::core::{Command, Core};
use crate::generations::version::Version;
use crate::reload::Staged;

const FILES: [&str; 3] = ["1.so", "2.so", "3.so"];

/// Contents of libraries, by number: the plugin, its functions, whether it opens, and whether it only crashes.
const CONTENTS: [(&str, &[&str], bool, bool); 10] = [
    ("p", &["f"], true, false),
    ("p", &["f", "g"], true, false),
    ("p", &["f"], true, true),
    ("p", &["g"], false, false),
    ("q", &["h"], true, false),
    ("q", &["h", "g"], true, false),
    ("q", &["h"], true, true),
    ("r", &["g"], true, false),
    ("r", &["i"], true, false),
    ("r", &["i"], false, false),
];

/// Configurations, by number. By the last one, `r` is not to be run.
const CONFIGURATIONS: u8 = 3;

fn settings_by(configuration: u8, staged: &Staged) -> Result<PluginSettings, String> {
    let plugin = &staged.note.name;
    if plugin == "r" && configuration == CONFIGURATIONS - 1 {
        return Err("a mistake".to_owned());
    }
    Ok(settings(
        plugin,
        &format!("workers = {}", configuration + 1),
    ))
}

fn content_of(version: &Version) -> u8 {
    version.staged.hash[0]
}

/// What lies in the folder: a content for each file that is there.
type Lies = Arc<Mutex<BTreeMap<&'static str, u8>>>;

/// The core with its surroundings: a folder, and what the keeper would hold.
struct World {
    core: Core,
    now: Moment,
    lies: Lies,
    /// Files that may not be what they were when they were told last.
    to_tell: BTreeSet<&'static str>,
    configuration: u8,
    opening: BTreeMap<u64, Arc<Version>>,
    opened: BTreeMap<u64, Arc<Version>>,
    /// By plugin.
    live: BTreeMap<String, (u64, Arc<Version>)>,
    /// Of what is live: how often it has crashed.
    crashes: BTreeMap<u64, u32>,
    draining: BTreeSet<u64>,
    refused: BTreeMap<String, String>,
    /// What has happened, for whoever has to find out why it should not have.
    story: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}\n", self.story.join("\n"));
        }
    }
}

impl World {
    fn new() -> Self {
        let lies = Lies::default();
        let folder = Arc::clone(&lies);
        let is_there = move |path: &std::path::Path| {
            let name = path.to_str().unwrap();
            folder.lock().unwrap().contains_key(name)
        };
        Self {
            core: Core::new(PROBATION, is_there),
            now: Moment::from_nanos(1_000_000_000_000),
            lies,
            to_tell: BTreeSet::new(),
            configuration: 0,
            opening: BTreeMap::new(),
            opened: BTreeMap::new(),
            live: BTreeMap::new(),
            crashes: BTreeMap::new(),
            draining: BTreeSet::new(),
            refused: BTreeMap::new(),
            story: Vec::new(),
        }
    }

    fn happens(&mut self, what: String) {
        self.story.push(what);
    }

    fn step(&mut self, what: u8, which: u8) {
        match what {
            0..=2 => {
                let (file, content) = (FILES[usize::from(which) % 3], which / 3 % 10);
                self.lies.lock().unwrap().insert(file, content);
                self.happens(format!(
                    "{file} holds {content}: {:?}",
                    CONTENTS[usize::from(content)]
                ));
                self.to_tell.insert(file);
            }
            3 => {
                let file = FILES[usize::from(which) % 3];
                if self.lies.lock().unwrap().remove(file).is_some() {
                    self.happens(format!("{file} is removed"));
                    self.to_tell.insert(file);
                }
            }
            4..=6 => {
                if let Some(file) = nth(&self.to_tell, which) {
                    self.tell(file);
                }
            }
            7..=9 => {
                if let Some(number) = nth(&self.opening.keys().copied().collect(), which) {
                    self.open(number, which > 200);
                }
            }
            10 => {
                if let Some(number) = self.nth_live(which) {
                    self.crash(number);
                }
            }
            11 => {
                if let Some(number) = self.nth_live(which) {
                    self.happens(format!("{number} is lost"));
                    self.core.lost(number);
                }
            }
            12 => {
                if let Some(number) = nth(&self.draining, which) {
                    self.drained(number);
                }
            }
            13 => {
                self.configuration = which % CONFIGURATIONS;
                self.happens(format!("configuration {}", self.configuration));
                self.now = self.now + PROBATION / 4;
                let configuration = self.configuration;
                self.core
                    .configured(PROBATION, |staged| settings_by(configuration, staged));
            }
            _ => {
                self.now = self.now + PROBATION / 3;
                self.core.end_probations(self.now);
            }
        }
        self.carry_out();
    }

    fn nth_live(&self, which: u8) -> Option<u64> {
        nth(
            &self.live.values().map(|(number, _)| *number).collect(),
            which,
        )
    }

    /// The folder tells what the file holds.
    fn tell(&mut self, file: &'static str) {
        self.happens(format!("{file} is looked at"));
        self.to_tell.remove(file);
        let content = self.lies.lock().unwrap().get(file).copied();
        let Some(content) = content else {
            return self.core.gone(file.as_ref());
        };
        let (plugin, functions, ..) = CONTENTS[usize::from(content)];
        let staged = Staged::made_up(file, plugin, functions, content);
        let settings = settings_by(self.configuration, &staged);
        self.core.holds(staged, settings);
    }

    /// The worker of a candidate has opened it, or not.
    fn open(&mut self, number: u64, is_killed: bool) {
        self.happens(format!("{number} is opened, killed: {is_killed}"));
        let version = self.opening.remove(&number).expect("it is being opened");
        let (_, _, opens, _) = CONTENTS[usize::from(content_of(&version))];
        let opened = if is_killed {
            Err("it was killed".to_owned())
        } else if opens {
            self.opened.insert(number, version);
            Ok(())
        } else {
            Err("it does not open".to_owned())
        };
        self.core.opened(number, opened, self.now);
    }

    fn crash(&mut self, number: u64) {
        let crashes = self.crashes.entry(number).or_default();
        *crashes += 1;
        let (in_row, why) = (*crashes, "it crashed".to_owned());
        self.happens(format!("{number} crashes for the {in_row}. time"));
        self.core
            .crashed(number, in_row, in_row >= 10, why, self.now);
    }

    fn drained(&mut self, number: u64) {
        assert!(self.draining.remove(&number));
        self.core.drained(number);
    }

    fn carry_out(&mut self) {
        for command in self.core.take_commands() {
            self.happens(format!("    {}", words(&command)));
            match command {
                Command::Open { number, version } => {
                    assert!(self.opening.insert(number, version).is_none());
                }
                Command::LetGo { number } => {
                    assert!(self.opened.remove(&number).is_some(), "{number}");
                }
                Command::GoLive { number } => {
                    let version = self.opened.remove(&number).expect("it has been opened");
                    self.live
                        .insert(version.plugin().to_owned(), (number, version));
                }
                Command::TakeOut { plugin, .. } => {
                    assert!(self.live.remove(&plugin).is_some(), "{plugin}");
                }
                Command::Drain { number, .. } => {
                    assert!(self.live.values().all(|(live, _)| *live != number));
                    assert!(self.draining.insert(number));
                }
                Command::Forget { number } => {
                    self.draining.remove(&number);
                    assert!(self.live.values().all(|(live, _)| *live != number));
                }
                Command::Announce { .. } | Command::Tell { .. } => {}
                Command::Refuse { file, refusal } => {
                    let file = file.to_str().unwrap().to_owned();
                    self.refused.insert(file, refusal.reason);
                }
                Command::ForgetRefusal { file } => {
                    self.refused.remove(file.to_str().unwrap());
                }
                Command::Examine { file } => {
                    let name = FILES.iter().find(|name| file.as_os_str() == **name);
                    self.to_tell.insert(name.expect("it is known"));
                }
            }
        }
        let names = self.live.values().flat_map(|(_, version)| {
            let note = &version.staged.note;
            note.functions.iter().map(move |name| (name, &note.name))
        });
        let mut of = BTreeMap::new();
        for (name, plugin) in names {
            assert!(of.insert(name, plugin).is_none(), "{name} is twice there");
        }
    }

    /// Nothing more happens from outside; what was begun goes on to its end.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if let Some(file) = self.to_tell.first().copied() {
                self.tell(file);
            } else if let Some(number) = self.opening.keys().next().copied() {
                self.open(number, false);
            } else if let Some(number) = self.next_to_crash() {
                self.crash(number);
            } else if let Some(number) = self.draining.first().copied() {
                self.drained(number);
            } else {
                return;
            }
            self.carry_out();
        }
        panic!("it never comes to rest");
    }

    fn next_to_crash(&self) -> Option<u64> {
        let mut live = self.live.values();
        let found = live.find(|(number, version)| {
            let (_, _, _, crashes) = CONTENTS[usize::from(content_of(version))];
            crashes && self.crashes.get(number).is_none_or(|crashes| *crashes < 12)
        });
        found.map(|(number, _)| *number)
    }

    fn check(&self) {
        assert!(self.opened.is_empty(), "opened, and forgotten");
        let lies = self.lies.lock().unwrap();
        for (file, content) in lies.iter() {
            let serves = self.live.values().any(|(_, version)| {
                version.staged.file.to_str() == Some(file)
                    && content_of(version) == *content
                    && Ok(&version.settings)
                        == settings_by(self.configuration, &version.staged).as_ref()
            });
            let reason = self.refused.get(*file);
            assert!(serves || reason.is_some(), "{file} is left without a word");
            assert!(!serves || reason.is_none(), "{file} serves: {reason:?}");
        }
        for (plugin, (_, version)) in &self.live {
            let file = version.staged.file.to_str().unwrap();
            assert!(lies.contains_key(file), "the file of {plugin} is gone");
        }
        for file in self.refused.keys() {
            assert!(lies.contains_key(file.as_str()), "{file} is gone");
        }
    }
}

fn nth<T: Copy>(all: &BTreeSet<T>, which: u8) -> Option<T> {
    let at = usize::from(which) % all.len().max(1);
    all.iter().nth(at).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_a_file_holds_in_the_end_serves_or_it_is_said_why_not(
        steps in prop::collection::vec((0..15_u8, any::<u8>()), 0..60)
    ) {
        let mut world = World::new();
        for (what, which) in steps {
            world.step(what, which);
        }
        world.settle();
        world.check();
    }
}
