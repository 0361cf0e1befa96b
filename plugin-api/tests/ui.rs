//! What the macros say to an author who is wrong, word for word.

#[test]
fn wrong_use_is_told_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
