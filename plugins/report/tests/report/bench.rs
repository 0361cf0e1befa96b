//! What the tests have in common: a plugin with a folder of its own.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use plugin_api::{
    serde_json::{Value, json},
    testing::{self, CallError, Opened, Prepared},
};
use report::Report;
use tempfile::TempDir;

/// A plugin that may read and write in a folder of its own.
pub(crate) struct Bench {
    folder: TempDir,
    plugin: Opened<Report>,
}

/// How a task failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) is_retryable: bool,
    pub(crate) data: Value,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// With more configuration than the folders.
    pub(crate) fn with(config: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config;
        config["folders"] = json!({"read": [folder.path()], "write": [folder.path()]});
        let plugin = testing::open(config).unwrap_or_else(|error| panic!("{}", error.message()));
        Self { folder, plugin }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn gzipped(&self, name: &str, content: &str) {
        let file = fs::File::create(self.path(name)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }

    /// The names of the files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(shown(&path, self.folder.path()));
                }
            }
        }
        names.sort();
        names
    }

    pub(crate) fn prepare(&self, args: Value) -> Prepared<Report> {
        self.plugin.prepare("report", args)
    }

    pub(crate) fn result(&self, args: Value) -> Value {
        let shown = args.to_string();
        self.prepare(args)
            .run()
            .result
            .unwrap_or_else(|error| panic!("{error:?}\n{shown}"))
    }

    /// The rows of the one table, as JSON.
    pub(crate) fn rows(&self, args: Value) -> Value {
        rows(&self.result(args))
    }

    /// The rows of the one table, a list each.
    pub(crate) fn arrays(&self, mut args: Value) -> Value {
        args["output"] = json!({"format": "json", "json": {"rows": "arrays"}});
        self.rows(args)
    }

    /// Names and types of the one table's columns.
    pub(crate) fn columns(&self, args: Value) -> Vec<(String, String)> {
        let result = self.result(args);
        let columns = &result["outputs"][0]["json"]["sections"][0]["columns"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let columns = columns.as_array().unwrap().iter();
        columns
            .map(|column| (text(&column["name"]), text(&column["type"])))
            .collect()
    }

    pub(crate) fn failure(&self, args: Value) -> Failure {
        let shown = args.to_string();
        failure(self.prepare(args).run().result, &shown)
    }
}

fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap().display().to_string()
}

pub(crate) fn rows(result: &Value) -> Value {
    result["outputs"][0]["json"]["sections"][0]["rows"].clone()
}

pub(crate) fn failure(result: Result<Value, CallError>, shown: &str) -> Failure {
    match result {
        Err(CallError::Failed {
            kind,
            message,
            retryable,
            data,
        }) => Failure {
            kind,
            message,
            is_retryable: retryable,
            data: data.unwrap_or_default(),
        },
        other => panic!("not a failure: {other:?}\n{shown}"),
    }
}
