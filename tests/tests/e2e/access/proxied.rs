//! Clients behind proxies that speak the PROXY protocol.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tests::{Client, Host, Proxy, ProxyProgram, blocks, python, run, wait_until, workspace_dir};

use super::{Config, WEB, port_of, web};

/// A host that trusts this machine's first address as a proxy, and takes guests at an address of another.
fn host() -> Host {
    Config::new("[\"127.0.0.1:0\", { address = \"127.0.0.2:0\", guests = true }]")
        .and("trusted_proxies = [\"127.0.0.1\"]")
        .client("web", &web(&[WEB]))
        .setup()
        .arg("--log")
        .arg("host=debug,info")
        .start()
}

/// Asks from that address of this machine, by a client of another language: the last answer to the lines.
fn ask_from(source: &str, address: &str, port: u16, lines: &[&str]) -> String {
    const SCRIPT: &str = "import socket, sys\n\
        stream = socket.create_connection((sys.argv[2], int(sys.argv[3])), 60, (sys.argv[1], 0))\n\
        stream.sendall(bytes(sys.argv[4], 'utf-8').decode('unicode_escape').encode('latin-1'))\n\
        stream.shutdown(socket.SHUT_WR)\n\
        print(stream.makefile('r', newline='\\n').read())";
    let mut script = python();
    script
        .args(["-c", SCRIPT, source, address, &port.to_string()])
        .arg(lines.concat());
    run(&mut script).output()
}

fn status(host: &Host) -> Value {
    let port = port_of(&host.addresses(2)[1]);
    let said = ask_from(
        "127.0.0.3",
        "127.0.0.2",
        port,
        &["{\"function\":\"host.status\"}\\n"],
    );
    let reply: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    reply["result"].clone()
}

/// The proxy in front of the host, as the operators' page prints it but for addresses.
fn in_front(host: &Host, program: ProxyProgram) -> Proxy {
    in_front_and(host, program, |config| config)
}

/// The same, with something changed.
fn in_front_and(
    host: &Host,
    program: ProxyProgram,
    change: impl FnOnce(String) -> String,
) -> Proxy {
    let (language, listens) = match program {
        ProxyProgram::HaProxy => ("haproxy", "bind :12346"),
        ProxyProgram::NginxStream => ("nginx", "listen 12346"),
        ProxyProgram::Nginx | ProxyProgram::Caddy => panic!("the protocol is no HTTP"),
    };
    let page = fs::read_to_string(workspace_dir().join("docs/OPERATIONS.md")).unwrap();
    let printed = blocks(&page)
        .into_iter()
        .find(|block| block.language == language);
    let config = change(printed.unwrap().text);
    assert!(config.contains(listens), "{config}");
    Proxy::start(program, |port, _| {
        let (word, _) = listens.split_once(' ').unwrap();
        config
            .replace(listens, &format!("{word} 127.0.0.1:{port}"))
            .replace("127.0.0.1:12345", &format!("127.0.0.1:{}", host.port()))
    })
}

/// A client that connects to the proxy from that address of this machine is known by it.
#[track_caller]
fn expect_known_by(source: &str, proxy: &Proxy, host: &Host) {
    let mut client = from(source, proxy.port());
    let said = line(
        &mut client,
        &format!("{{\"function\":\"host.hello\",\"args\":{{\"token\":\"{WEB}\"}}}}\n"),
    );
    assert!(said.contains("\"client\":\"web\""), "{source}: {said}");
    let status = status(host);
    assert_eq!(
        status["clients"]["web"]["addresses"],
        json!({ source: 1 }),
        "{status}"
    );
    host.wait_for_log(&["connected", source, "(by 127.0.0.1:", "web"]);
    drop(client);
    wait_until("it to be gone", || {
        self::status(host)["clients"]["web"]["connections"] == 0
    });
}

/// One that is not known is logged by its own address.
#[track_caller]
fn expect_refused_by(source: &str, proxy: &Proxy, host: &Host) {
    let said = line(
        &mut from(source, proxy.port()),
        "{\"function\":\"host.ping\"}\n",
    );
    assert!(said.contains("unauthorized"), "{said}");
    host.wait_for_log(&["a client was not let in", source]);
}

#[test]
fn haproxy_tells_by_either_version_who_its_client_is() {
    let host = host();
    for (number, send) in ["send-proxy\n", "send-proxy-v2\n", "send-proxy-v2-ssl-cn\n"]
        .iter()
        .enumerate()
    {
        let proxy = in_front_and(&host, ProxyProgram::HaProxy, |config| {
            config.replace("send-proxy-v2\n", send)
        });
        expect_known_by(&format!("127.0.0.{}", 50 + number), &proxy, &host);
    }
    let proxy = in_front(&host, ProxyProgram::HaProxy);
    expect_refused_by("127.0.0.77", &proxy, &host);
}

#[test]
fn nginx_tells_who_its_client_is() {
    let host = host();
    let proxy = in_front(&host, ProxyProgram::NginxStream);
    expect_known_by("127.0.0.60", &proxy, &host);
    expect_refused_by("127.0.0.78", &proxy, &host);
}

/// A connection from that address of this machine.
fn from(source: &str, port: u16) -> TcpStream {
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &source).unwrap();
    let to: SocketAddr = ([127, 0, 0, 1], port).into();
    rustix::net::connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(tests::DEADLINE)).unwrap();
    stream
}

fn line(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(line.as_bytes()).unwrap();
    let mut said = String::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|len| len > 0) && byte[0] != b'\n' {
        said.push(char::from(byte[0]));
    }
    said
}

#[test]
fn only_trusted_proxies_are_believed_and_they_have_to_speak() {
    let host = host();
    let hello = format!("{{\"function\":\"host.hello\",\"args\":{{\"token\":\"{WEB}\"}}}}\\n");
    let header = "PROXY TCP4 10.9.8.7 127.0.0.1 1 2\\r\\n";
    let ping = "{\"function\":\"host.ping\"}\\n";
    let port = host.port();
    let said = ask_from("127.0.0.1", "127.0.0.1", port, &[header, &hello, ping]);
    assert!(said.contains("pong"), "{said}");
    // Another address says the same: it is no request, and no hello.
    let said = ask_from("127.0.0.9", "127.0.0.1", port, &[header, &hello, ping]);
    assert!(
        said.contains("unauthorized") && !said.contains("pong"),
        "{said}"
    );
    // It may come in by itself.
    let said = ask_from("127.0.0.9", "127.0.0.1", port, &[&hello, ping]);
    assert!(said.contains("pong"), "{said}");
    // A proxy without a header speaks for nobody, and gets no answer.
    let said = ask_from("127.0.0.1", "127.0.0.1", port, &[&hello, ping]);
    assert_eq!(said.trim(), "");
    host.wait_for_log(&["a client was not let in", "PROXY protocol"]);
    // Nor does who would speak for others twice.
    let said = ask_from("127.0.0.1", "127.0.0.1", port, &[header, header, &hello]);
    assert!(said.contains("unauthorized"), "{said}");
    // A proxy's own health check is itself.
    let said = ask_from(
        "127.0.0.1",
        "127.0.0.1",
        port,
        &["PROXY UNKNOWN\\r\\n", &hello, ping],
    );
    assert!(said.contains("pong"), "{said}");
    let guests = port_of(&host.addresses(2)[1]);
    let said = ask_from("127.0.0.3", "127.0.0.2", guests, &[header, ping]);
    assert!(said.contains("bad_request"), "{said}");
    // At a port for guests, the proxy's client is one.
    let said = ask_from(
        "127.0.0.1",
        "127.0.0.2",
        guests,
        &[header, "{\"function\":\"host.status\"}\\n"],
    );
    assert!(said.contains("\"10.9.8.7\":1"), "{said}");
    let _ = Client::connect(port);
}
