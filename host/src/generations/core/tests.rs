//! The life of generations without a file, a process or a clock: events in, commands out.

mod any_order;

use std::path::PathBuf;

use super::*;
use crate::config::{Config, Overrides};

const PROBATION: Duration = Duration::from_secs(10);

/// A core, with commands told in a few words each.
struct Stage {
    core: Core,
    now: Moment,
}

impl Stage {
    fn new() -> Self {
        Self {
            core: Core::new(PROBATION, |_| true),
            now: Moment::from_nanos(1_000_000_000_000),
        }
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// The file `libNAME.so` holds a plugin of this name, of which a byte tells the content.
    fn holds(&mut self, plugin: &str, content: u8) -> Vec<String> {
        self.holds_with(&format!("lib{plugin}.so"), plugin, content, &[])
    }

    fn holds_with(
        &mut self,
        file: &str,
        plugin: &str,
        content: u8,
        functions: &[&str],
    ) -> Vec<String> {
        let staged = Staged::made_up(file, plugin, functions, content);
        self.core.holds(staged, Ok(settings(plugin, "")));
        self.said()
    }

    fn opened(&mut self, number: u64) -> Vec<String> {
        self.core.opened(number, Ok(()), self.now);
        self.said()
    }

    fn failed(&mut self, number: u64) -> Vec<String> {
        self.core.opened(number, Err("why".to_owned()), self.now);
        self.said()
    }

    /// It holds a plugin, which goes live.
    fn serves(&mut self, plugin: &str, content: u8, number: u64) {
        assert_eq!(self.holds(plugin, content), [format!("open {number}")]);
        let said = self.opened(number);
        assert!(said.contains(&format!("live {number}")), "{said:?}");
    }

    fn crashes(&mut self, number: u64, in_row: u32, quarantined: bool) -> Vec<String> {
        let why = "a worker was killed".to_owned();
        self.core
            .crashed(number, in_row, quarantined, why, self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let commands = self.core.take_commands().into_iter();
        commands.map(|command| words(&command)).collect()
    }
}

fn words(command: &Command) -> String {
    let file = |file: &PathBuf| file.display().to_string();
    match command {
        Command::Open { number, .. } => format!("open {number}"),
        Command::LetGo { number } => format!("let go {number}"),
        Command::GoLive { number } => format!("live {number}"),
        Command::TakeOut { plugin, .. } => format!("take out {plugin}"),
        Command::Drain { number, is_removed } => {
            let why = if *is_removed { "removed" } else { "replaced" };
            format!("drain {number} {why}")
        }
        Command::Announce { number, state, .. } => format!("{number} is {state}"),
        Command::Forget { number } => format!("forget {number}"),
        Command::Refuse { file: path, .. } => format!("refuse {}", file(path)),
        Command::Tell {
            file: path,
            refusal,
        } => format!("{} of {}", refusal.state, file(path)),
        Command::ForgetRefusal { file: path } => format!("forget refusal of {}", file(path)),
        Command::Examine { file: path } => format!("examine {}", file(path)),
    }
}

/// How a plugin is to be run, by the host's configuration.
fn settings(plugin: &str, table: &str) -> PluginSettings {
    let config = Config::load(None, Overrides::default()).unwrap();
    config.plugin_from(plugin, table).unwrap()
}

#[test]
fn what_a_file_holds_goes_live_and_replaces_what_it_held() {
    let mut stage = Stage::new();
    assert_eq!(stage.holds("p", 1), ["open 1"]);
    assert_eq!(
        stage.opened(1),
        ["forget refusal of libp.so", "live 1", "1 is live"]
    );
    assert_eq!(stage.holds("p", 1), ["forget refusal of libp.so"]);
    assert_eq!(stage.holds("p", 2), ["open 2"]);
    assert_eq!(
        stage.opened(2),
        [
            "forget refusal of libp.so",
            "live 2",
            "2 is live",
            "1 is draining",
            "drain 1 replaced"
        ]
    );
    stage.core.drained(1);
    assert_eq!(stage.said(), ["1 is retired", "forget 1"]);
}

#[test]
fn what_can_not_be_opened_changes_nothing_that_serves() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    assert_eq!(stage.holds("p", 2), ["open 2"]);
    assert_eq!(stage.failed(2), ["refuse libp.so"]);
    stage
        .core
        .unusable(Path::new("libp.so"), "it is no ELF".into());
    assert_eq!(stage.said(), ["refuse libp.so"]);
    assert!(stage.core.has("p"));
}

#[test]
fn what_is_replaced_while_it_opens_never_goes_live() {
    let mut stage = Stage::new();
    assert_eq!(stage.holds("p", 1), ["open 1"]);
    assert_eq!(stage.holds("p", 2), ["superseded of libp.so", "open 2"]);
    assert_eq!(stage.opened(1), ["let go 1"]);
    assert!(stage.opened(2).contains(&"live 2".to_owned()));
}

#[test]
fn a_file_that_is_gone_takes_its_plugin_along() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.core.gone(Path::new("libp.so"));
    assert_eq!(
        stage.said(),
        [
            "forget refusal of libp.so",
            "take out p",
            "1 is draining",
            "drain 1 removed"
        ]
    );
    assert!(!stage.core.has("p"));
}

#[test]
fn a_name_that_another_plugin_has_is_waited_for() {
    let mut stage = Stage::new();
    assert_eq!(stage.holds_with("a.so", "a", 1, &["f"]), ["open 1"]);
    stage.opened(1);
    assert_eq!(stage.holds_with("b.so", "b", 2, &["f"]), ["refuse b.so"]);
    assert_eq!(stage.holds_with("c.so", "a", 3, &[]), ["refuse c.so"]);
    stage.core.gone(Path::new("a.so"));
    let said = stage.said();
    for file in ["examine b.so", "examine c.so"] {
        assert!(said.contains(&file.to_owned()), "{said:?}");
    }
    // What brings the plugin itself comes first: the old code stays until then, and keeps its names.
    assert!(stage.core.has("a"));
    assert!(stage.holds_with("b.so", "b", 2, &["f"]).is_empty());
    assert_eq!(stage.holds_with("c.so", "a", 3, &[]), ["open 2"]);
    let said = stage.opened(2);
    assert!(said.contains(&"1 is draining".to_owned()), "{said:?}");
    assert!(said.contains(&"examine b.so".to_owned()), "{said:?}");
    assert_eq!(stage.holds_with("b.so", "b", 2, &["f"]), ["open 3"]);
}

#[test]
fn a_plugin_goes_with_its_file_when_nothing_else_brings_it_after_all() {
    let mut stage = Stage::new();
    stage.serves("a", 1, 1);
    assert_eq!(stage.holds_with("b.so", "a", 2, &[]), ["refuse b.so"]);
    stage.core.gone(Path::new("liba.so"));
    let said = stage.said();
    assert_eq!(said, ["forget refusal of liba.so", "examine b.so"]);
    assert_eq!(stage.holds_with("b.so", "a", 2, &[]), ["open 2"]);
    assert_eq!(
        stage.failed(2),
        [
            "refuse b.so",
            "take out a",
            "1 is draining",
            "drain 1 removed"
        ]
    );
}

#[test]
fn two_files_may_swap_their_plugins() {
    let mut stage = Stage::new();
    stage.holds_with("a.so", "a", 1, &["f"]);
    stage.opened(1);
    stage.holds_with("b.so", "b", 2, &["g"]);
    stage.opened(2);
    assert_eq!(stage.holds_with("a.so", "b", 2, &["g"]), ["refuse a.so"]);
    let said = stage.holds_with("b.so", "a", 1, &["f"]);
    assert_eq!(said, ["examine a.so", "open 3"]);
    assert_eq!(stage.holds_with("a.so", "b", 2, &["g"]), ["open 4"]);
    let said = stage.opened(3);
    assert!(!said.contains(&"take out b".to_owned()), "{said:?}");
    assert!(stage.core.has("a") && stage.core.has("b"));
    let said = stage.opened(4);
    assert!(said.contains(&"2 is draining".to_owned()), "{said:?}");
    assert!(stage.core.has("a") && stage.core.has("b"));
}

#[test]
fn what_crashes_in_its_first_moments_gives_way_to_the_one_before() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("p", 2, 2);
    assert!(stage.crashes(2, 2, false).is_empty());
    assert_eq!(stage.crashes(2, 3, false), ["open 3"]);
    assert_eq!(
        stage.opened(3),
        [
            "live 3",
            "3 is live",
            "refuse libp.so",
            "2 is draining",
            "drain 2 replaced"
        ]
    );
    assert!(stage.holds("p", 2).is_empty(), "it was rolled back");
    assert_eq!(stage.holds("p", 4), ["open 4"]);
}

#[test]
fn a_roll_back_that_fails_is_tried_again_at_the_next_crash() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("p", 2, 2);
    assert_eq!(stage.crashes(2, 3, false), ["open 3"]);
    assert!(stage.crashes(2, 4, false).is_empty(), "it is under way");
    // Its first worker was killed.
    assert_eq!(stage.failed(3), ["rejected of libp.so"]);
    assert_eq!(stage.crashes(2, 5, false), ["open 4"]);
    let said = stage.opened(4);
    assert!(said.contains(&"live 4".to_owned()), "{said:?}");
    // There is none before that one.
    assert!(stage.crashes(4, 3, false).is_empty());
}

#[test]
fn a_roll_back_takes_no_name_that_another_plugin_has_by_now() {
    let mut stage = Stage::new();
    stage.holds_with("p.so", "p", 1, &["f", "g"]);
    stage.opened(1);
    stage.holds_with("p.so", "p", 2, &["f"]);
    stage.opened(2);
    assert_eq!(stage.holds_with("q.so", "q", 3, &["g"]), ["open 3"]);
    assert!(stage.crashes(2, 3, false).is_empty(), "`g` is being opened");
    stage.opened(3);
    assert!(stage.crashes(2, 4, false).is_empty(), "`g` is q's");
    stage.core.gone(Path::new("q.so"));
    stage.said();
    assert_eq!(stage.crashes(2, 5, false), ["open 4"], "it is free again");
}

#[test]
fn what_its_file_holds_is_newer_than_all_else() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("p", 2, 2);
    assert_eq!(stage.crashes(2, 3, false), ["open 3"]);
    stage.core.lost(2);
    assert_eq!(stage.said(), ["2 is retired", "open 4"]);
    // The file holds again what is being rolled back to.
    assert!(stage.holds("p", 1).is_empty());
    let said = stage.opened(3);
    assert!(
        said.contains(&"superseded of libp.so".to_owned()),
        "{said:?}"
    );
    assert_eq!(stage.opened(4), ["let go 4"]);
}

#[test]
fn what_was_lost_is_not_opened_anew_when_something_else_serves_by_then() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("p", 2, 2);
    stage.core.lost(2);
    assert_eq!(stage.said(), ["2 is retired", "open 3"]);
    assert_eq!(stage.crashes(2, 3, false), ["open 4"]);
    stage.opened(4);
    assert_eq!(stage.opened(3), ["let go 3"]);
}

#[test]
fn an_orphan_is_opened_for_no_configuration_when_nothing_brings_it_any_more() {
    let mut stage = Stage::new();
    stage.serves("q", 1, 1);
    stage.holds_with("b.so", "q", 2, &[]);
    stage.core.gone(Path::new("libq.so"));
    stage.said();
    stage
        .core
        .configured(PROBATION, |_| Ok(settings("q", "workers = 7")));
    stage.core.gone(Path::new("b.so"));
    stage.said();
    assert!(!stage.core.has("q"));
    assert!(!stage.core.is_opening(|_| true));
}

#[test]
fn a_roll_back_takes_no_name_of_what_its_file_brings_now() {
    let mut stage = Stage::new();
    stage.holds_with("a.so", "p", 1, &["f", "g"]);
    stage.opened(1);
    // p moves to another file, and r comes in its old one.
    assert_eq!(stage.holds_with("a.so", "q", 2, &["h"]), ["open 2"]);
    assert_eq!(stage.holds_with("b.so", "p", 3, &["f"]), ["open 3"]);
    stage.opened(3);
    stage.holds_with("a.so", "r", 4, &["g"]);
    stage.opened(4);
    assert!(stage.crashes(3, 3, false).is_empty(), "`g` is r's");
}

#[test]
fn a_name_is_not_given_away_while_a_roll_back_that_has_it_is_opened() {
    let mut stage = Stage::new();
    stage.holds_with("p.so", "p", 1, &["f", "g"]);
    stage.opened(1);
    stage.holds_with("p.so", "p", 2, &["f"]);
    stage.opened(2);
    assert_eq!(stage.crashes(2, 3, false), ["open 3"]);
    assert_eq!(stage.holds_with("q.so", "q", 3, &["g"]), ["refuse q.so"]);
    let said = stage.failed(3);
    assert!(said.contains(&"examine q.so".to_owned()), "{said:?}");
}

#[test]
fn what_has_stood_the_test_is_quarantined_and_recovers() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("p", 2, 2);
    stage.later(PROBATION + Duration::from_secs(1));
    stage.core.end_probations(stage.now);
    assert!(stage.crashes(2, 9, false).is_empty());
    assert_eq!(stage.crashes(2, 10, true), ["2 is quarantined"]);
    assert!(stage.crashes(2, 11, true).is_empty(), "told once");
    stage.core.recovered(2);
    assert_eq!(stage.said(), ["2 is live"]);
}

#[test]
fn what_was_lost_is_opened_anew() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.core.lost(1);
    assert_eq!(stage.said(), ["1 is retired", "open 2"]);
    assert_eq!(stage.holds("p", 1), ["forget refusal of libp.so"]);
    assert_eq!(
        stage.opened(2),
        [
            "forget refusal of libp.so",
            "live 2",
            "2 is live",
            "forget 1"
        ]
    );
    // While it drains, nothing takes its place: something else has already.
    stage.serves("p", 2, 3);
    stage.core.lost(2);
    assert_eq!(stage.said(), ["2 is retired", "forget 2"]);
    stage.core.drained(2);
    assert!(stage.said().is_empty());
}

#[test]
fn what_was_lost_and_can_not_be_opened_again_is_taken_out() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.core.lost(1);
    stage.said();
    assert_eq!(
        stage.failed(2),
        ["refuse libp.so", "take out p", "forget 1"]
    );
    assert!(!stage.core.has("p"));
}

#[test]
fn another_configuration_opens_anew_what_it_is_about() {
    let mut stage = Stage::new();
    stage.serves("p", 1, 1);
    stage.serves("q", 2, 2);
    let configured = |staged: &Staged| {
        let plugin = staged.note.name.as_str();
        let table = if plugin == "p" { "workers = 7" } else { "" };
        Ok(settings(plugin, table))
    };
    stage.core.configured(PROBATION, configured);
    assert_eq!(stage.said(), ["examine libp.so"]);
    // What serves is no longer what its file holds: that is opened from where it is kept.
    assert_eq!(stage.holds("q", 3), ["open 3"]);
    assert_eq!(stage.failed(3), ["refuse libq.so"]);
    stage.core.configured(PROBATION, |staged: &Staged| {
        let plugin = staged.note.name.as_str();
        Ok(settings(plugin, "workers = 8"))
    });
    let said = stage.said();
    assert!(said.contains(&"open 4".to_owned()), "{said:?}");
}
