//! The checks themselves, on small houses that are made up.

use super::circles::circles;
use super::floors::{House, room};
use super::modules::Crate;

/// A crate of these files: path below `src`, and text.
fn house(files: &[(&str, &str)]) -> Crate {
    Crate::read("house", "house", "lib.rs", |file| {
        let mut found = files.iter();
        let (_, text) = found.find(|(path, _)| file == format!("house/src/{path}"))?;
        Some((*text).to_owned())
    })
}

/// Each import that counts, as `LEVEL: FROM → TO`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let mut edges: Vec<String> = house(files)
        .edges()
        .iter()
        .map(|edge| {
            let level = edge.level.join("::");
            format!("{level}: {} → {}", edge.from, edge.to)
        })
        .collect();
    edges.sort();
    edges.dedup();
    edges
}

#[test]
fn an_import_counts_whichever_way_it_is_written() {
    let ways = [
        "use crate::b::Thing;",
        "use crate::{b, other::{self, c as d}};",
        "pub(crate) use super::{\n    b::{deeper::{Thing, Other}},\n};",
        "use super::b::*;",
        "use crate::b as c;",
        "fn f() { crate::b::g(|x| x.y) }",
        "fn f(b: super::b::Thing<'_>) {}",
        "fn f() { Vec::<crate::b::Thing>::new() }",
        "mod inner { use super::super::b::Thing; }",
        "mod inner { fn f() { super::super::b::g() } }",
        "#[derive(crate::b::Macro)] struct A;",
        "#[cfg(not(test))] use crate::b::Thing;",
        "#[cfg(feature = \"async\")] use crate::b::Thing;",
        "macro_rules! m { () => { $crate::b::Thing } }",
    ];
    for way in ways {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", way), ("b.rs", "")];
        assert_eq!(edges(&files), [": a → b"], "{way}");
    }
}

#[test]
fn what_only_looks_like_an_import_does_not_count() {
    let others = [
        "use ::b::Thing;",
        "use other::b::Thing;",
        "fn f() { b::g(); other::b::g(); Self::b::g(); }",
        "// use crate::b::Thing;\n/* crate::b */ const TEXT: &str = \"crate::b::Thing\";",
        "fn f(b: u8) -> impl Sized + use<'_> { b }",
        "mod b { pub struct Thing; } use b::Thing; fn f() { self::b::g() }",
        "mod inner { use super::Thing; } struct Thing;",
    ];
    for other in others {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", other), ("b.rs", "")];
        assert!(edges(&files).is_empty(), "{other}: {:?}", edges(&files));
    }
}

#[test]
fn code_for_tests_does_not_count() {
    let tests = [
        "#[cfg(test)]\nmod tests { use super::*; use crate::b::Thing; fn f() { crate::b::g() } }",
        "#[cfg(test)] mod tests;",
        "#[cfg(fuzzing)] pub mod fuzzing { pub use crate::b::Thing; }",
        "#[cfg(test)] use crate::b::{Thing, Other};",
        "#[cfg(test)] #[expect(x)] pub(crate) const fn f<A, B>() -> [A; 2] { crate::b::g() }",
        "#[cfg(test)] const X: T = T { b: crate::b::X };",
        "#[cfg(all(test, unix))] impl A { fn f() { crate::b::g() } }",
        "enum A { #[cfg(test)] One(crate::b::Thing), Two }",
        "fn f() { match x { #[cfg(test)] 1 => crate::b::g(), _ => {} } }",
        "fn f() { #[cfg(test)] let x = { crate::b::g() }; }",
        "#![cfg(test)]\nuse crate::b::Thing;",
    ];
    for test in tests {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", test),
            ("a/tests.rs", "use crate::b::Thing;"),
            ("b.rs", ""),
        ];
        assert!(edges(&files).is_empty(), "{test}: {:?}", edges(&files));
        // What follows counts.
        let after = format!("{test}\nuse crate::b::Thing;");
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", &after), ("b.rs", "")];
        let is_whole_file = test.starts_with("#!");
        assert_eq!(edges(&files).is_empty(), is_whole_file, "{after}");
    }
}

#[test]
fn modules_are_judged_beside_their_likes() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::one::One;"),
        (
            "a/mod.rs",
            "mod one; mod two; use one::One; use crate::b::B;",
        ),
        ("a/one.rs", "use super::two::Two; use super::Own; mod leaf;"),
        (
            "a/one/leaf.rs",
            "use crate::a::two::Two; use super::One; use crate::b::B;",
        ),
        ("a/two.rs", "use crate::Root;"),
        ("b.rs", "use crate::a::one::One;"),
    ];
    assert_eq!(edges(&files), [": a → b", ": b → a", "a: one → two"]);
    // `a` may know its own `one`, and `one` what `a` has itself; `a` and `b` are rooms that know each other.
    assert_eq!(circles(&house(&files)).len(), 1);
}

#[test]
fn what_a_room_passes_on_is_the_room_s_for_others_and_the_file_s_for_its_own() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use b::B as Other;"),
        (
            "a/mod.rs",
            "mod one; mod two; pub(crate) use one::One; use two as second;",
        ),
        ("a/one.rs", "use super::second::Two;"),
        ("a/two.rs", "use super::One;"),
        ("b.rs", "use crate::a::One;"),
    ];
    assert_eq!(edges(&files), [": b → a", "a: one → two", "a: two → one"]);
    // From the root, as from any module above.
    let files = [
        files[0],
        files[1],
        ("a/one.rs", "use crate::Other;"),
        ("a/two.rs", ""),
        ("b.rs", ""),
    ];
    assert_eq!(edges(&files), [": a → b"]);
    // And by a glob.
    let files = [
        files[0],
        files[1],
        ("a/one.rs", "use super::*;"),
        ("a/two.rs", ""),
        ("b.rs", ""),
    ];
    assert_eq!(edges(&files), ["a: one → two"]);
}

#[test]
fn names_lead_on_within_a_file() {
    let a = "use crate::b; use super::c::{self as d}; fn f() { b::g(); d::g(); } mod inner { fn f() { b::g() } }";
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", a),
        ("b.rs", "use super::c::Thing; fn f() { Thing::new() }"),
        ("c.rs", "use tokio::b; fn f() { b::g() }"),
    ];
    assert_eq!(edges(&files), [": a → b", ": a → c", ": b → c"]);
    assert!(circles(&house(&files)).is_empty());
}

#[test]
fn a_circle_is_shown_by_its_shortest_way() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "//! A.\nuse crate::b::B;"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "\nuse crate::{\n    a::A,\n    b::B,\n};"),
        ("d.rs", "use crate::a::A;"),
        ("e.rs", "use crate::e::E;"),
    ];
    let found = circles(&house(&files));
    let expected = "house: 3 modules import one another: a, b, c; the shortest circle is\n    \
        house/src/b.rs:1: `b` imports `c` (crate::c::C)\n    \
        house/src/c.rs:4: `c` imports `b` (crate::b::B)";
    assert_eq!(found, [expected]);
}

#[test]
fn circles_of_different_rooms_are_shown_one_by_one() {
    let files = [
        ("lib.rs", "mod a; mod b; mod room;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::a;"),
        ("room/mod.rs", "mod one; mod two;"),
        ("room/one.rs", "use super::two;"),
        ("room/two.rs", "use super::one;"),
    ];
    let found = circles(&house(&files));
    let [root, room] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        root.starts_with("house: 2 modules import one another: a, b;"),
        "{root}"
    );
    assert!(
        room.starts_with("house::room: 2 modules import one another: one, two;"),
        "{room}"
    );
}

#[test]
fn an_import_that_the_table_does_not_allow_is_found() {
    const HOUSE: House = House {
        rooms: &[room("a", "b"), room("b", ""), room("gone", "")],
        never: &[],
    };
    let built = house(&[
        ("lib.rs", "mod a; mod b; mod new;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "\nuse crate::a::A;"),
        ("new.rs", ""),
    ]);
    assert!(HOUSE.faults().is_empty());
    let expected = [
        "`new` is not in the table: say there what it may know",
        "`gone` is only in the table: take it out",
        "house/src/b.rs:2: `b` imports `a` (crate::a::A), but may know no other room",
    ];
    assert_eq!(HOUSE.strays(built.rooms(), &built.edges()), expected);
}

#[test]
fn a_table_that_allows_too_much_is_found() {
    const HOUSE: House = House {
        rooms: &[
            room("a", "b c"),
            room("b", "a"),
            room("c", ""),
            room("c", ""),
        ],
        never: &[("a", "c")],
    };
    let expected = [
        "the table allows `a` to know `c`, which it must never know",
        "the table allows `b` to know `a`, which doesn't stand below it",
        "`c` is in the table twice",
    ];
    assert_eq!(HOUSE.faults(), expected);
}
