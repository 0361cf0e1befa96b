//! The examples on the pages of the first-party plugins, sent to a host as printed.

use std::fs;

use serde_json::Value;
use tests::{Block, Host, Plugin, Setup, blocks, run, venv_python, workspace_dir};

/// What a page's example leaves open in its reply.
const ANYTHING: &str = "…";

/// A host with the plugin, and the folder `files` to read and write in, as the pages have it.
fn host_with_files(plugin: Plugin) -> Host {
    let config = "config = { folders = { read = [\"files\"], write = [\"files\"] } }";
    let host = Setup::new()
        .plugin(plugin)
        .file(&format!("{}.toml", plugin.name()), config.as_bytes());
    fs::create_dir(host.folder().join("files")).unwrap();
    host.start()
}

/// Runs the examples of a page: each request is followed by what its reply has to hold.
fn run_examples(page: &str, host: &Host) -> usize {
    let path = workspace_dir().join(page);
    let blocks = blocks(&fs::read_to_string(path).unwrap());
    let mut client = host.client();
    let mut examples = 0;
    for (number, block) in blocks.iter().enumerate() {
        if let Some(name) = block.role.strip_prefix("file=") {
            fs::write(host.folder().join("files").join(name), &block.text).unwrap();
        }
        if (block.language.as_str(), block.role.as_str()) != ("json", "request") {
            continue;
        }
        let expected = match blocks.get(number + 1) {
            Some(Block { role, text, .. }) if role == "reply" => serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("{page}: {error} in the reply:\n{text}")),
            _ => panic!("{page}: no reply is printed for\n{}", block.text),
        };
        let request: Value = serde_json::from_str(&block.text)
            .unwrap_or_else(|error| panic!("{page}: {error} in the request:\n{}", block.text));
        // As printed, line breaks apart: the page may show a request over several lines.
        client.send(request);
        let reply = loop {
            let line = client.recv();
            if line.get("ok").is_some() {
                break line;
            }
        };
        if let Err(difference) = contains(&reply, &expected, "reply") {
            panic!(
                "{page}: {difference}\nrequest: {}\nreply: {reply}",
                block.text
            );
        }
        examples += 1;
    }
    examples
}

/// Whether a value is what a page shows of it: objects may have more keys, and `…` may be anything.
fn contains(actual: &Value, shown: &Value, place: &str) -> Result<(), String> {
    match (actual, shown) {
        (_, Value::String(text)) if text == ANYTHING => Ok(()),
        (Value::Object(actual), Value::Object(shown)) => {
            shown
                .iter()
                .try_for_each(|(key, shown)| match actual.get(key) {
                    Some(actual) => contains(actual, shown, &format!("{place}.{key}")),
                    None => Err(format!("{place} has no {key}")),
                })
        }
        (Value::Array(actual), Value::Array(shown)) if actual.len() == shown.len() => actual
            .iter()
            .zip(shown)
            .enumerate()
            .try_for_each(|(index, (actual, shown))| {
                contains(actual, shown, &format!("{place}[{index}]"))
            }),
        (Value::String(actual), Value::String(shown)) => {
            let mut rest = actual.as_str();
            let matches = shown.split(ANYTHING).enumerate().all(|(index, part)| {
                let at = if index == 0 {
                    rest.starts_with(part).then_some(0)
                } else {
                    rest.find(part)
                };
                at.map(|at| rest = &rest[at + part.len()..]).is_some()
            });
            if matches && (shown.ends_with(ANYTHING) || rest.is_empty()) {
                Ok(())
            } else {
                Err(format!("{place} is {actual:?}, shown is {shown:?}"))
            }
        }
        (actual, shown) if actual == shown => Ok(()),
        (actual, shown) => Err(format!("{place} is {actual}, shown is {shown}")),
    }
}

#[test]
fn the_examples_of_the_resize_page_work_as_printed() {
    let host = host_with_files(Plugin::Resize);
    let script = workspace_dir().join("tests/sample_images.py");
    let made = run(venv_python().arg(script).arg(host.folder().join("files"))).output();
    assert_eq!(made, "");
    assert!(run_examples("docs/RESIZE.md", &host) >= 3);
}

#[test]
fn the_examples_of_the_report_page_work_as_printed() {
    let host = host_with_files(Plugin::Report);
    assert!(run_examples("docs/REPORT.md", &host) >= 5);
}

#[test]
fn the_examples_of_the_mail_page_work_as_printed() {
    let host = Host::with(&[Plugin::Mail]);
    fs::create_dir(host.folder().join("files")).unwrap();
    assert!(run_examples("docs/MAIL.md", &host) >= 4);
}
