//! Compiles the C sides of the JPEG and the AVIF codec against the headers of the libraries that are linked.

use std::env;

fn main() {
    for (name, folders) in [
        ("jpeg", env::var("DEP_TURBOJPEG_INCLUDE")),
        ("aom", env::var("DEP_AOM_INCLUDE")),
    ] {
        let file = format!("src/codec/{name}.c");
        println!("cargo:rerun-if-changed={file}");
        let mut build = cc::Build::new();
        if let Ok(folders) = folders {
            build.includes(folders.split(','));
        }
        build
            .file(file)
            .warnings(true)
            .opt_level(2)
            .compile(&format!("resize_{name}"));
    }
}
