//! Does nothing; without a build script cargo would not heed what the manifest asks of build dependencies.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
