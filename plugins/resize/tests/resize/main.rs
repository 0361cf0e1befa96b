//! The plugin by its functions, on files made here: what comes out is measured against scaling by the textbook, and
//! what goes in is broken in every way.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of"
)]

mod animation;
mod boxes;
mod broken;
mod choices;
mod chroma;
mod colorimetry;
mod colors;
mod frames;
mod geometry;
mod gif_colors;
mod guard;
mod hostile;
mod likeness;
mod limits;
mod made;
mod metadata;
mod palettes;
mod photo;
mod reference;
mod requests;
mod turbo;

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use plugin_api::{
    serde_json::{Value, json},
    testing::{self, CallError, Opened},
};
use resize::Resizer;
use tempfile::TempDir;

/// The plugin with a folder of its own.
struct Bench {
    plugin: Opened<Resizer>,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(json!({}))
    }

    /// With further settings.
    fn with(mut config: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        config["folders"] = json!({ "read": [path], "write": [path] });
        let plugin = testing::open(config).unwrap_or_else(|error| panic!("{}", error.message()));
        Self { plugin, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, data: &[u8]) {
        fs::write(self.path(name), data).unwrap();
    }

    fn resize(&self, args: Value) -> Value {
        self.plugin
            .call("resize", &args)
            .unwrap_or_else(|error| panic!("{args}: {error}"))
    }

    /// A file made of another, in memory.
    fn convert(&self, data: &[u8], mut args: Value) -> Vec<u8> {
        args["source"] = json!({ "base64": STANDARD.encode(data) });
        let result = self.plugin.call("resize", &args);
        let result = result.unwrap_or_else(|error| panic!("{error}"));
        STANDARD.decode(result["base64"].as_str().unwrap()).unwrap()
    }

    /// The kind, message and data of a failure.
    fn failure(&self, function: &str, args: Value) -> (String, String, Value) {
        match self.plugin.call(function, &args) {
            Err(CallError::Failed {
                kind,
                message,
                data,
                ..
            }) => (kind, message, data.unwrap_or_default()),
            other => panic!("not a failure: {other:?}"),
        }
    }

    fn identify(&self, data: &[u8]) -> Value {
        let args = json!({ "source": { "base64": STANDARD.encode(data) } });
        self.plugin
            .call("identify", args)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The names of all files.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn inline(data: &[u8]) -> Value {
    json!({ "base64": STANDARD.encode(data) })
}
