//! What the pages print works as printed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use tests::{Block, GatewaySetup, Host, Plugin, blocks, php, python, run, workspace_dir};

/// The ports that the pages use: the host's, and the gateway's.
const PORTS_PRINTED: [&str; 2] = ["12345", "8080"];

/// The blocks of code of a page.
pub(crate) fn page(path: &str) -> Vec<Block> {
    let path = workspace_dir().join(path);
    blocks(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Runs a block in the folder as a reader would, but with other ports, and gives what it prints.
#[track_caller]
fn printed(block: &Block, folder: &Path, ports: &[u16]) -> String {
    let mut code = block.text.clone();
    for (printed, port) in PORTS_PRINTED.iter().zip(ports) {
        code = code.replace(printed, &port.to_string());
    }
    let (mut command, flag) = match block.language.as_str() {
        "sh" => (Command::new("sh"), "-c"),
        "python" => (python(), "-c"),
        "js" => (Command::new("node"), "-e"),
        "php" => (php(), "-r"),
        other => panic!("nobody knows how to run {other}:\n{code}"),
    };
    run(command.args([flag, &code]).current_dir(folder)).output()
}

/// A folder like the repository's, with a host that serves.
fn checkout() -> Host {
    let host = Host::with(&[Plugin::Mail]);
    let folder = host.folder();
    for entry in fs::read_dir(workspace_dir()).unwrap().map(Result::unwrap) {
        let target = folder.join(entry.file_name());
        if !["target", "plugins", "outbox", "data"]
            .iter()
            .any(|name| entry.file_name() == *name)
        {
            symlink(entry.path(), target).unwrap();
        }
    }
    // As built, but for the port that the tests have instead of the one that is printed.
    let program = Host::command().get_program().to_owned();
    let script = format!(
        "#!/bin/sh\ncommand=$1\nshift\nexec '{}' \"$command\" --connect 127.0.0.1:{} \"$@\"\n",
        program.display(),
        host.port()
    );
    let built = folder.join("target/release");
    fs::create_dir_all(&built).unwrap();
    fs::write(built.join("host"), script).unwrap();
    fs::set_permissions(built.join("host"), fs::Permissions::from_mode(0o755)).unwrap();
    host
}

#[test]
fn the_readme_works_as_printed() {
    let host = checkout();
    let gateway = GatewaySetup::new().host(&host).allow("send_*").start();
    gateway.wait_until_ready();
    let folder = host.folder();
    let mut mails = 0;
    for block in page("README.md")
        .iter()
        .filter(|block| block.role == "example")
    {
        let printed = printed(block, folder, &[host.port(), gateway.port()]);
        if block.text.contains("send_mail") {
            mails += 1;
            assert!(printed.contains("\"transport\":\"outbox\""), "{printed}");
        } else {
            assert!(printed.contains("send_mail"), "{printed}");
        }
    }
    assert!(
        mails >= 3,
        "an example for `nc`, one for `host call`, and one for the gateway"
    );
    assert_eq!(fs::read_dir(folder.join("outbox")).unwrap().count(), mails);
}

#[test]
fn the_clients_of_the_protocol_page_work_as_printed() {
    let host = Host::with(&[Plugin::Good]);
    let blocks = page("docs/PROTOCOL.md");
    let mut languages = Vec::new();
    let own = |block: &&Block| !block.language.is_empty() && block.role.is_empty();
    for block in blocks.iter().filter(own) {
        let printed = printed(block, host.folder(), &[host.port()]);
        let replies = printed
            .lines()
            .filter(|line| line.ends_with(" True"))
            .count();
        assert!(
            printed.contains("pong") || replies == 1000,
            "{} printed {printed}",
            block.language
        );
        languages.push(block.language.as_str());
    }
    languages.dedup();
    assert_eq!(languages, ["sh", "python", "php", "js"]);
}

#[test]
fn the_page_about_background_tasks_works_as_printed() {
    let host = checkout();
    let page = page("docs/BACKGROUND.md");
    let mut languages = Vec::new();
    for block in page.iter().filter(|block| block.role == "background") {
        let printed = printed(block, host.folder(), &[host.port()]);
        let expected = match block.language.as_str() {
            "sh" if block.text.contains("tasks") => "\"function\":\"send_mail\"",
            "sh" => "\"durable\":\"fsync\"",
            _ => "completed",
        };
        assert!(printed.contains(expected), "{}: {printed}", block.text);
        languages.push(block.language.as_str());
    }
    assert_eq!(languages, ["sh", "php", "python", "js", "sh"]);
}
