//! The libraries that others use: the client library in Node, and a strict WebSocket of Python's.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;
use tests::{GatewaySetup, Host, Plugin, lasting_port, node, npm, run, venv_python, workspace_dir};

/// Long enough for HS256.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_strictest_client_of_python_finds_nothing_wrong() {
    const MESSAGE_LEN_MAX: usize = 4 << 20;
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits]\nmessage_len_max = \"4MiB\"")
        .start();
    gateway.wait_until_ready();
    let script = workspace_dir().join("tests/strict_client.py");
    let ran = run(venv_python()
        .arg(script)
        .arg(gateway.port().to_string())
        .arg(MESSAGE_LEN_MAX.to_string()));
    assert_eq!(ran.output(), "ok\n");
}

#[test]
fn the_client_library_is_installed_and_works_in_node() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let gateway = ["echo", "fail", "progress", "sleep"]
        .into_iter()
        .fold(setup, GatewaySetup::allow)
        .start();
    gateway.wait_until_ready();
    let project = gateway.folder().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(
        project.join("package.json"),
        json!({"name": "app", "private": true, "type": "module"}).to_string(),
    )
    .unwrap();
    let library = workspace_dir().join("gateway/client");
    let mut install = npm();
    install
        .args([
            "install",
            "--offline",
            "--no-audit",
            "--no-fund",
            "--install-links",
        ])
        .arg(library)
        .env("HOME", gateway.folder())
        .current_dir(&project);
    let _ = run(&mut install).output();
    fs::copy(
        workspace_dir().join("tests/node_client.mjs"),
        project.join("client.mjs"),
    )
    .unwrap();
    let mut client = node();
    client
        .arg("client.mjs")
        .arg(gateway.port().to_string())
        .current_dir(&project);
    assert_eq!(run(&mut client).output(), "ok\n");
    // It is what the gateway serves.
    let served = gateway.get("/client.js").1;
    let installed =
        fs::read_to_string(project.join("node_modules/task-gateway-client/client.js")).unwrap();
    assert_eq!(served, installed);
}

#[test]
fn the_client_library_renews_its_token_in_time() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .file("secret", SECRET.as_bytes())
        .config("[jwt]\nalgorithms = [\"HS256\"]\nsecret_file = \"secret\"\nleeway = \"1ms\"")
        .allow("sleep")
        .start();
    gateway.wait_until_ready();
    // Its tokens are valid for less time than its task takes.
    let script = format!(
        "import {{ createHmac }} from 'node:crypto';\n\
         import {{ TaskClient }} from {};\n\
         const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');\n\
         let asked = 0;\n\
         const token = async () => {{\n\
             asked += 1;\n\
             if (asked === 2) throw new Error('no token at the moment');\n\
             const exp = Math.floor(Date.now() / 1000) + 7;\n\
             const signed = base64({{ alg: 'HS256', typ: 'JWT' }}) + '.' + base64({{ sub: 'ada', exp }});\n\
             return signed + '.' + createHmac('sha256', '{SECRET}').update(signed).digest('base64url');\n\
         }};\n\
         const tasks = new TaskClient({{ url: 'ws://127.0.0.1:{}/ws', token }});\n\
         const states = [];\n\
         tasks.addEventListener('state', () => states.push(tasks.state));\n\
         await tasks.run('sleep', {{ ms: 9000 }});\n\
         console.log(asked > 2, states.join());\n\
         tasks.close();",
        json!(workspace_dir().join("gateway/client/client.js")),
        gateway.port(),
    );
    let mut client = node();
    client.args(["--input-type=module", "--eval", &script]);
    assert_eq!(run(&mut client).output(), "true open\n");
}

#[test]
fn a_client_that_comes_first_waits_for_its_gateway() {
    let host = Host::with(&[Plugin::Good]);
    let port = lasting_port();
    let script = format!(
        "import {{ TaskClient }} from {};\n\
         const early = new TaskClient({{ url: 'ws://127.0.0.1:{port}/ws' }});\n\
         early.addEventListener('state', () => console.log(early.state));\n\
         console.log(await early.run('echo', 'there'));\n\
         early.close();",
        json!(workspace_dir().join("gateway/client/client.js"))
    );
    let mut client = node()
        .args(["--input-type=module", "--eval", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "waiting");
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("echo")
        .arg("--listen")
        .arg(&format!("127.0.0.1:{port}"))
        .start();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(rest.contains(&"there".to_owned()), "{rest:?}");
    assert!(client.wait().unwrap().success());
    drop(gateway);
}
