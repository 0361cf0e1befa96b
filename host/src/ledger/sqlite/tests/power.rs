//! The power goes, at any moment: the disk then has what was synced, and of the rest some, torn at any sector.
//!
//! A process works with `recorder.c` preloaded, which writes down all that it does to the ledger's files. From that record
//! the folder is made again as a disk may hold it after a cut, many times, and each time what was answered must be there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::life::{check_promises, write_on};
use super::{Killed, OPTIONS, child, child_folder, new_ids, open};
use crate::ledger::sqlite::fault::Fault;
use crate::ledger::sqlite::{Sqlite, check};
use crate::ledger::tests::NOW;

const SECTOR_LEN: usize = 512;

/// What was answered stands in this file of the folder, which is recorded like the others.
const ANSWERS: &str = "answers";

#[derive(Clone, Debug)]
enum Event {
    Open(String),
    Truncate(String, usize),
    Write(String, usize, Vec<u8>),
    Sync(String),
    Rename(String, String),
    Unlink(String),
}

/// Reads the record; its last event may have been cut.
fn events(record: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = record;
    while rest.len() >= 21 {
        let (head, tail) = rest.split_at(21);
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (name_len, other_len, len) = (number(1), number(5), number(9));
        let offset = usize::try_from(u64::from_le_bytes(head[13..21].try_into().unwrap())).unwrap();
        if tail.len() < name_len + other_len + len {
            break;
        }
        let text =
            |from: usize, len: usize| String::from_utf8(tail[from..from + len].to_vec()).unwrap();
        let (name, other) = (text(0, name_len), text(name_len, other_len));
        let data = tail[name_len + other_len..name_len + other_len + len].to_vec();
        events.push(match head[0] {
            b'O' => Event::Open(name),
            b'T' => Event::Truncate(name, offset),
            b'W' => Event::Write(name, offset, data),
            b'S' => Event::Sync(name),
            b'R' => Event::Rename(name, other),
            b'U' => Event::Unlink(name),
            other => panic!("no event is {other}"),
        });
        rest = &tail[name_len + other_len + len..];
    }
    events
}

/// `SplitMix64`: what happens follows from the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }
}

#[derive(Default)]
struct Disk {
    /// By number: what is on the disk for certain, and what may be.
    files: Vec<(Vec<u8>, Vec<Event>)>,
    /// Names as the process sees them.
    names: BTreeMap<String, usize>,
    /// Names as the disk has them for certain, and changes of them that it may have: in order, as file systems write them.
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<(String, Option<usize>)>,
}

fn apply(content: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Truncate(_, len) => content.resize(*len, 0),
        Event::Write(_, offset, data) => {
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(data);
        }
        _ => {}
    }
}

impl Disk {
    fn name(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => drop(self.names.insert(name.to_owned(), file)),
            None => drop(self.names.remove(name)),
        }
        self.unsynced_names.push((name.to_owned(), file));
    }

    fn follow(&mut self, event: Event) {
        match event {
            Event::Open(name) if !self.names.contains_key(&name) => {
                self.files.push((Vec::new(), Vec::new()));
                self.name(&name, Some(self.files.len() - 1));
            }
            Event::Open(_) => {}
            Event::Sync(name) if name.is_empty() => {
                for (name, file) in self.unsynced_names.drain(..) {
                    match file {
                        Some(file) => drop(self.synced_names.insert(name, file)),
                        None => drop(self.synced_names.remove(&name)),
                    }
                }
            }
            Event::Sync(name) => {
                if let Some(file) = self.names.get(&name) {
                    let (content, unsynced) = &mut self.files[*file];
                    unsynced.drain(..).for_each(|event| apply(content, &event));
                }
            }
            Event::Rename(from, to) => {
                let file = self.names.get(&from).copied();
                self.name(&to, file);
                self.name(&from, None);
            }
            Event::Unlink(name) => self.name(&name, None),
            Event::Truncate(ref name, _) | Event::Write(ref name, ..) => {
                if let Some(file) = self.names.get(name) {
                    self.files[*file].1.push(event);
                }
            }
        }
    }

    /// What a folder may hold after the power went.
    fn cut(&self, random: &mut Random, folder: &Path) {
        let mut names = self.synced_names.clone();
        for (name, file) in &self.unsynced_names[..random.below(self.unsynced_names.len() + 1)] {
            match file {
                Some(file) => drop(names.insert(name.clone(), *file)),
                None => drop(names.remove(name)),
            }
        }
        for (name, file) in names
            .iter()
            .filter(|(name, _)| *name != ANSWERS && !name.ends_with("-shm"))
        {
            let (content, unsynced) = &self.files[*file];
            let mut content = content.clone();
            // All of it is lost, all but little, or anything.
            let keeps = random.below(3);
            for event in unsynced {
                match (keeps, event) {
                    (0, _) => {}
                    (_, Event::Write(_, offset, data)) => {
                        for (at, sector) in data.chunks(SECTOR_LEN).enumerate() {
                            if random.below(4) < keeps + 1 {
                                let offset = offset + at * SECTOR_LEN;
                                apply(
                                    &mut content,
                                    &Event::Write(String::new(), offset, sector.to_vec()),
                                );
                            }
                        }
                    }
                    (_, event) => {
                        if random.below(2) == 0 {
                            apply(&mut content, event);
                        }
                    }
                }
            }
            fs::write(folder.join(name), content).unwrap();
        }
    }

    fn answers(&self) -> String {
        let Some(file) = self.names.get(ANSWERS) else {
            return String::new();
        };
        let (mut content, unsynced) = self.files[*file].clone();
        unsynced.iter().for_each(|event| apply(&mut content, event));
        String::from_utf8(content).unwrap()
    }
}

#[test]
#[ignore = "a child of another test"]
fn a_child_that_is_recorded() {
    let Some(folder) = child_folder() else { return };
    // So that the log is often moved into the database, and begun anew.
    let store = Sqlite::try_open(&folder, OPTIONS, 50, NOW).map_err(Fault::into_store_error);
    let store = std::sync::Arc::new(store.unwrap());
    let answers = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(ANSWERS))
        .unwrap();
    let answers = Mutex::new(answers);
    write_on(&store, &new_ids(), &|lines| {
        answers
            .lock()
            .unwrap()
            .write_all(format!("{lines}\n").as_bytes())
            .unwrap();
    });
}

/// What a process did to a ledger, from the first to a kill.
fn recorded() -> Vec<Event> {
    let tools = tempfile::tempdir().unwrap();
    let library = tools.path().join("recorder.so");
    let source = tools.path().join("recorder.c");
    fs::write(&source, include_str!("recorder.c")).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(
        compiled
            .expect("tests/setup.sh puts a C compiler in place")
            .success()
    );
    let folder = tempfile::tempdir().unwrap();
    let record = tools.path().join("record");
    let process = child(&[], "power::a_child_that_is_recorded", folder.path())
        .env("LD_PRELOAD", &library)
        .env("RECORDER_FOLDER", folder.path())
        .env("RECORDER_LOG", &record)
        .stdout(Stdio::null())
        .spawn();
    let mut process = Killed(process.unwrap());
    let deadline = Instant::now() + Duration::from_secs(300);
    while !record
        .metadata()
        .is_ok_and(|record| record.len() > record_len())
    {
        assert!(
            Instant::now() < deadline && process.0.try_wait().unwrap().is_none(),
            "it writes on"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(process);
    let file = fs::File::open(&record).unwrap();
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    events(&bytes)
}

fn is_soak() -> bool {
    std::env::var_os("SOAK").is_some()
}

fn record_len() -> u64 {
    if is_soak() { 20 << 20 } else { 3 << 20 }
}

#[test]
fn what_was_answered_is_on_the_disk_when_the_power_goes() {
    let cuts = if is_soak() { 200 } else { 5 };
    let events = recorded();
    for file in ["ledger.db-wal", "ledger.db"] {
        let writes = events
            .iter()
            .filter(|event| matches!(event, Event::Write(name, ..) if name == file));
        assert!(writes.count() > 100, "{file} is written");
    }
    let seed = std::env::var("SOAK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(std::process::id().into());
    println!("SOAK_SEED={seed}, {} events", events.len());
    let mut random = Random(seed);
    let mut moments: Vec<usize> = (0..cuts).map(|_| random.below(events.len())).collect();
    moments.sort_unstable();
    let (mut disk, mut promised) = (Disk::default(), 0);
    let mut followed = 0;
    for moment in moments {
        for event in &events[followed..moment] {
            disk.follow(event.clone());
        }
        followed = moment;
        let folder = tempfile::tempdir().unwrap();
        disk.cut(&mut random, folder.path());
        let answers = disk.answers();
        let lines = answers
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        let store = open(folder.path());
        promised += check_promises(&store, lines);
        drop(store);
        let checked = check(folder.path()).unwrap();
        assert_eq!(
            checked.faults,
            [] as [String; 0],
            "cut before event {moment}"
        );
    }
    assert!(promised > 0);
}
