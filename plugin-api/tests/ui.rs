//! What the macros say to an author who is wrong, word for word.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::Path};

/// As many as nobody has; their names are long ones.
const HANDLERS: usize = 2000;

#[test]
fn wrong_use_is_told_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
    cases.pass(many_handlers());
}

/// A plugin with many handlers. Steps in constants that grow with the square of their number would be refused by the
/// compiler, which counts them.
fn many_handlers() -> impl AsRef<Path> {
    let mut code = String::from(
        "#![deny(warnings)]\nuse plugin_api::{TaskError, plugin, testing};\n\n#[derive(Default)]\nstruct Many;\n\n\
         #[plugin]\nimpl Many {\n",
    );
    for number in 0..HANDLERS {
        let name = format!("{}_{number}", "a_rather_long_name_of_a_handler".repeat(3));
        writeln!(
            code,
            "    #[handler]\n    fn {name}(&self) -> Result<(), TaskError> {{\n        Ok(())\n    }}"
        )
        .unwrap();
    }
    write!(
        code,
        "}}\n\nfn main() {{\n    let functions = testing::open::<Many>(()).unwrap().manifest().functions;\n    \
         assert_eq!(functions.len(), {HANDLERS});\n}}\n"
    )
    .unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("many_handlers.rs");
    fs::write(&file, code).unwrap();
    file
}
