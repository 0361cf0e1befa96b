//! TLS, and certificates that change while it serves.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tests::{Gateway, GatewaySetup, Host, Plugin, run, venv_python, wait_until, workspace_dir};

const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";

/// Puts a new certificate in place, and its key.
fn certify(folder: &Path) {
    let fresh = |name: &str| folder.join(format!("new-{name}"));
    let made = run(venv_python()
        .arg(workspace_dir().join("tests/certificate.py"))
        .args([fresh(CHAIN), fresh(KEY)]));
    assert_eq!(made.output(), "");
    for name in [KEY, CHAIN] {
        fs::rename(fresh(name), folder.join(name)).unwrap();
    }
}

/// What a client that trusts just that certificate is told.
fn alive(gateway: &Gateway, trusted: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--cacert", trusted])
        .arg(format!("https://localhost:{}/healthz", gateway.port()))
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn certificates_are_read_again_when_they_change_and_who_is_there_stays() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .arg("--listen")
        .arg("localhost:0")
        .config(&format!(
            "[tls]\ncertificates = \"{CHAIN}\"\nkey = \"{KEY}\""
        ));
    certify(setup.folder());
    let gateway = setup.start();
    let folder = gateway.folder().to_owned();
    fs::copy(folder.join(CHAIN), folder.join("before.pem")).unwrap();
    assert_eq!(alive(&gateway, "before.pem").as_deref(), Some("alive\n"));

    // A socket from before, which goes on while the certificate changes.
    let script = format!(
        "import asyncio, json, ssl, sys\n\
         from websockets.asyncio.client import connect\n\
         async def main():\n\
         \x20   trust = ssl.create_default_context(cafile='before.pem')\n\
         \x20   async with connect('wss://localhost:{}/ws', ssl=trust) as socket:\n\
         \x20       for line in sys.stdin:\n\
         \x20           await socket.send(json.dumps({{'function': 'echo', 'args': line.strip()}}))\n\
         \x20           print(json.loads(await socket.recv())['result'], flush=True)\n\
         asyncio.run(main())\n",
        gateway.port()
    );
    let mut client = venv_python()
        .args(["-c", &script])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = client.stdin.take().unwrap();
    let mut answers = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut ask = |text: &str| {
        questions.write_all(format!("{text}\n").as_bytes()).unwrap();
        answers.next().unwrap().unwrap()
    };
    assert_eq!(ask("one"), "one");
    certify(&folder);
    wait_until("the new certificate to be shown", || {
        alive(&gateway, CHAIN).is_some()
    });
    assert_eq!(alive(&gateway, "before.pem"), None);
    assert_eq!(ask("two"), "two");
    drop(questions);
    assert!(client.wait().unwrap().success());

    // A key that belongs to another certificate is not taken.
    fs::write(folder.join(KEY), "no key").unwrap();
    wait_until("the key to be refused", || {
        assert!(alive(&gateway, CHAIN).is_some());
        gateway.log().contains("certificates from before stay")
    });
}
