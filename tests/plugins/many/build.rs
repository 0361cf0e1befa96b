//! Writes the plugin: one with `MANY_FUNCTIONS` functions, or with one.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=MANY_FUNCTIONS");
    println!("cargo::rerun-if-changed=build.rs");
    let functions: u32 = env::var("MANY_FUNCTIONS").map_or(Ok(1), |text| text.parse())?;
    let mut handlers = String::new();
    for number in 1..functions {
        let handler = format!("echo_{number:04}");
        handlers += &echo("#[handler]", &handler);
    }
    let plugin = format!(
        "#[plugin(name = \"{PLUGIN}\")]\n\
         impl Many {{\n    fn open(_config: ()) -> Result<Self, PluginError> {{ Ok(Self) }}\n{}{handlers}}}\n",
        echo(&format!("#[handler(name = \"{FUNCTION}\")]"), "echo"),
    );
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(folder.join("plugin.rs"), plugin)?;
    Ok(())
}

/// Copies have another number in both names, which the benchmarks write over it: long names, since the compiler makes code of
/// short ones.
const PLUGIN: &str = "copy_0000_of_a_plugin_with_a_name_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands";
const FUNCTION: &str = "copy_0000_of_a_function_with_a_name_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands";

fn echo(attribute: &str, name: &str) -> String {
    let mut handler = String::new();
    writeln!(
        handler,
        "    /// Results in its arguments, byte for byte.\n    {attribute}\n    \
         fn {name}(&self, args: Box<RawValue>) -> Result<Box<RawValue>, TaskError> {{ Ok(args) }}"
    )
    .expect("a String takes all that is written");
    handler
}
