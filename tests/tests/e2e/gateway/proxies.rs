//! Behind a reverse proxy: Debian's own, set up as `docs/GATEWAY.md` has it, and requests made by hand, as the
//! documentation of others has them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use tests::{
    Browser, DEADLINE, Gateway, GatewaySetup, Host, Look, Plugin, Proxy, ProxyProgram, blocks, run,
    venv_python, workspace_dir,
};

const TOKEN: &str = "0123456789abcdef";

/// What a proxy adds to a request for a WebSocket, and to any other.
type Added = [&'static str; 2];

/// As it documents and does it: the scheme of a WebSocket is one of its own.
const TRAEFIK: Added = [
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: own.example\r\nX-Forwarded-Port: 443\r\n\
     X-Forwarded-Proto: wss\r\nX-Forwarded-Server: 4d3b0d2a1b6e\r\nX-Real-Ip: 203.0.113.7\r\n",
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: own.example\r\nX-Forwarded-Port: 443\r\n\
     X-Forwarded-Proto: https\r\nX-Forwarded-Server: 4d3b0d2a1b6e\r\nX-Real-Ip: 203.0.113.7\r\n",
];

/// By the lines of `docs/GATEWAY.md`, with which Caddy and `HAProxy` agree.
const NGINX: Added = ["X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"; 2];

/// The same where its `Host` has no port.
const NGINX_WITH_PORT: Added =
    ["X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 18443\r\n"; 2];

/// Asks as a page of that origin does, for a WebSocket and for a task.
#[track_caller]
fn ask(gateway: &Gateway, added: Added, host: &str, origin: &str) -> [u16; 2] {
    let [socket, task] = added.map(|added| format!("Host: {host}\r\nOrigin: {origin}\r\n{added}"));
    let body = r#"{"function":"echo"}"#;
    [
        format!(
            "GET /ws HTTP/1.1\r\n{socket}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: tasks.v1\r\n\r\n"
        ),
        format!(
            "POST /tasks HTTP/1.1\r\n{task}Authorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    ]
    .map(|request| status(gateway, &request))
}

#[track_caller]
fn status(gateway: &Gateway, request: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut start).unwrap();
    let start = str::from_utf8(&start).unwrap();
    start.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

fn behind_a_proxy(host: &Host, trusted: &str) -> Gateway {
    let gateway = GatewaySetup::new()
        .host(host)
        .config(&format!(
            "allow = [\"echo\"]\ntrusted_proxies = [{trusted}]\n[[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

#[test]
fn a_page_that_came_by_a_proxy_is_of_the_gateways_own_origin() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = behind_a_proxy(&host, "\"127.0.0.1\"");
    #[rustfmt::skip]
    let cases = [
        (TRAEFIK, "own.example", "https://own.example", true),
        (TRAEFIK, "own.example", "http://own.example", false),
        (TRAEFIK, "own.example", "https://evil.example", false),
        (NGINX, "own.example:18443", "https://own.example:18443", true),
        (NGINX, "own.example:18443", "https://own.example", false),
        (NGINX, "own.example:443", "https://own.example", true),
        (NGINX, "Own.Example", "https://own.example", true),
        (NGINX, "own.example", "https://own.example.evil.example", false),
        (NGINX_WITH_PORT, "own.example", "https://own.example:18443", true),
        (NGINX_WITH_PORT, "own.example", "https://own.example:18444", false),
    ];
    for (added, host, origin, is_own) in cases {
        let expected = if is_own { [101, 200] } else { [403, 403] };
        assert_eq!(
            ask(&gateway, added, host, origin),
            expected,
            "{origin} asks {host}: {added:?}"
        );
    }
}

#[test]
fn who_is_no_trusted_proxy_is_not_believed() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = behind_a_proxy(&host, "");
    for added in [TRAEFIK, NGINX] {
        assert_eq!(
            ask(&gateway, added, "own.example", "https://own.example"),
            [403, 403],
            "{added:?}"
        );
    }
}

/// What `docs/GATEWAY.md` prints for that program, from the block that has `part`.
fn printed(language: &str, part: &str) -> String {
    let page = fs::read_to_string(workspace_dir().join("docs/GATEWAY.md")).unwrap();
    let block = blocks(&page)
        .into_iter()
        .find(|block| block.language == language && block.text.contains(part));
    block
        .unwrap_or_else(|| panic!("no {language} with {part}"))
        .text
}

/// The proxy in front of the gateway, as it is printed but for addresses and files.
fn in_front(gateway: &Gateway, program: ProxyProgram) -> Proxy {
    let (language, part, listens) = match program {
        ProxyProgram::NginxStream => panic!("pages go by HTTP"),
        ProxyProgram::Nginx => ("nginx", "server_name", "listen 443"),
        ProxyProgram::HaProxy => ("haproxy", "frontend", "bind :443"),
        ProxyProgram::Caddy => ("caddy", "reverse_proxy", "tasks.example {"),
    };
    let text = printed(language, part);
    assert!(text.contains(listens), "{text}");
    Proxy::start(program, |port, folder: &Path| {
        let listens_here = match program {
            ProxyProgram::Nginx | ProxyProgram::NginxStream => format!("listen 127.0.0.1:{port}"),
            ProxyProgram::HaProxy => format!("bind 127.0.0.1:{port}"),
            ProxyProgram::Caddy => format!("https://localhost:{port} {{"),
        };
        text.replace(listens, &listens_here)
            // As Debian's Caddy says it.
            .replace("request_buffers 1MiB", "buffer_requests")
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", gateway.port()))
            .replace("/etc/ssl/tasks", &folder.display().to_string())
    })
}

/// Asks as pages of some origins do, through TLS: the status of each handshake and of each task. Then runs a task with
/// progress by WebSocket, and one by server-sent events; the kinds of news that came. Then what the other paths say.
const PAGES: &str = r#"
import asyncio, http.client, json, ssl, sys
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
port, chain, token = int(sys.argv[1]), sys.argv[2], sys.argv[3]
trust = ssl.create_default_context(cafile=chain)
own = f"https://localhost:{port}"
def post(path, origin, request, **headers):
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=trust)
    headers = {"Origin": origin, "Authorization": "Bearer " + token, "Content-Type": "application/json"} | headers
    connection.request("POST", path, json.dumps(request), headers)
    return connection.getresponse()
async def socket(origin):
    try:
        return await connect(f"wss://localhost:{port}/ws", ssl=trust, origin=origin, subprotocols=["tasks.v1"])
    except InvalidStatus as refused:
        return refused.response.status_code
async def main():
    told = {"origins": []}
    for origin in [own, own.replace("https", "http"), f"https://localhost:{port + 1}", "https://evil.example"]:
        opened = await socket(origin)
        status = opened if isinstance(opened, int) else 101
        if status == 101:
            await opened.close()
        told["origins"].append([status, post("/tasks", origin, {"function": "echo"}).status])
    work = {"function": "progress", "args": {"steps": 3, "ms": 300}}
    opened = await socket(own)
    await opened.send(json.dumps({"token": token}))
    await opened.send(json.dumps(work | {"id": 1, "progress": True}))
    said, news = {}, []
    while "ok" not in said:
        said = json.loads(await opened.recv())
        news += [said.get("event")] if "event" in said else []
    await opened.close()
    told["socket"] = [said["result"], sorted(set(news))]
    stream = post("/tasks?stream=1", own, work)
    first = stream.readline()
    # The first event comes before the task is over: nobody on the way waits for the whole.
    told["stream"] = [first.decode().strip(), b"event: result" in stream.read()]
    told["others"] = []
    for path in ["/metrics", "/healthz", "/client.js"]:
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=trust)
        connection.request("GET", path)
        told["others"].append(connection.getresponse().status)
    print(json.dumps(told))
asyncio.run(main())
"#;

#[track_caller]
fn serves_through(program: ProxyProgram) {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .config(&format!(
            "allow = [\"echo\", \"progress\"]\ntrusted_proxies = [\"127.0.0.1\"]\n\
             [[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    let proxy = in_front(&gateway, program);
    let asked = run(venv_python()
        .args(["-c", PAGES])
        .arg(proxy.port().to_string())
        .arg(proxy.certificate())
        .arg(TOKEN));
    let told: Value = serde_json::from_str(&asked.output()).unwrap();
    let expected = json!({
        "origins": [[101, 200], [403, 403], [403, 403], [403, 403]],
        "socket": [3, ["accepted", "progress"]],
        "stream": ["event: progress", true],
        "others": [404, 404, 200],
    });
    assert_eq!(told, expected, "{}", proxy.log());
}

#[test]
fn nginx_as_it_is_printed_lets_its_pages_in() {
    serves_through(ProxyProgram::Nginx);
}

#[test]
fn haproxy_as_it_is_printed_lets_its_pages_in() {
    serves_through(ProxyProgram::HaProxy);
}

#[test]
fn caddy_as_it_is_printed_lets_its_pages_in() {
    serves_through(ProxyProgram::Caddy);
}

#[test]
fn the_console_works_under_a_path() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let whole = printed("nginx", "server_name");
    let (start, rest) = whole.split_once("location").unwrap();
    let (_, settings) = rest.split_once("proxy_http_version").unwrap();
    let under = printed("nginx", "/tasks/ui/");
    let under = under.trim_end().strip_suffix('}').unwrap();
    let config = format!("{start}{under} proxy_http_version{settings}");
    let proxy = Proxy::start(ProxyProgram::Nginx, |port, folder| {
        config
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port}"))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", gateway.port()))
            .replace("/etc/ssl/tasks", &folder.display().to_string())
    });
    let browser = Browser::start(Look::Light);
    browser.open(&format!("http://localhost:{}/tasks/ui/", proxy.port()));
    browser.wait_for("#connection[data-state=open]");
    browser.click("#functions li:nth-child(2) button");
    browser.wait_for("#function form");
    let broken = browser.eval(
        "return performance.getEntriesByType('resource').filter((one) => one.responseStatus >= 400).map((one) => one.name)",
    );
    assert_eq!(broken, json!([]));
}

/// A task by POST as a proxy passes it on.
#[track_caller]
fn post(gateway: &Gateway, forwarded: Option<&str>) -> u16 {
    let forwarded = forwarded.map(|value| ("X-Forwarded-For", value));
    let bearer = format!("Bearer {TOKEN}");
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("Authorization", bearer.as_str()),
    ];
    headers.extend(forwarded);
    gateway
        .answer("POST", "/tasks", &headers, br#"{"function":"echo"}"#)
        .status
}

#[test]
fn every_task_that_comes_by_a_proxy_counts_for_somebody() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .config(&format!(
            "allow = [\"echo\"]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits.address]\nrate = \"1/m burst 2\"\n\
             [[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    // The addresses of one customer; what can't be read, or isn't there, is the proxy's own.
    for addresses in [
        [
            Some("2001:db8:0:7::1"),
            Some("2001:db8:0:7::2"),
            Some("2001:db8:0:7:ffff::3"),
        ],
        [None, Some("unknown"), Some("127.0.0.1")],
        [
            Some("203.0.113.7"),
            Some("::ffff:203.0.113.7"),
            Some("203.0.113.7:4711"),
        ],
    ] {
        let told = addresses.map(|address| post(&gateway, address));
        assert_eq!(told, [200, 200, 429], "{addresses:?}");
    }
    assert_eq!(
        post(&gateway, Some("2001:db8:0:8::1")),
        200,
        "another customer"
    );
}
