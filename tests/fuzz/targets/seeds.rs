//! Writes what the fuzzers begin with: `seeds FOLDER DOCS [LIBRARY…]`, a folder for each of them in FOLDER. Frames come
//! from the encoder, lines from the examples in the documentation, notes from real libraries.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A header's name, NUL, its value.
const ADDRESSES: &[&str] = &[
    "To\0Max Muster <max@example.com>, \"Last, First\" <b@example.com> (comment)",
    "Sender\0Team: Jürgen <jürgen@bücher.example>, c@[127.0.0.1]; d@example.com <d@example.com>",
    "References\0<a@b>  <c=?utf-8?q?d?=@e>",
    "List-Unsubscribe\0<https://example.com/?a=b,c>, <mailto:u@example.com> (stop)",
    "List-Id\0\"Our \\\"news\\\"\" <news.example.com>",
    "Auto-Submitted\0auto-replied; owner-email=\"a  b@c\"",
    "X-Json\0{\"a\": \"b  c\", \"d\": [1, 2]}",
];

/// How the client is set up, and what a server says.
const REPLIES: &[&str] = &[
    "0220 hi\r\n250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n235 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued as 1\r\n",
    "1220 hi\r\n250-mx\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n220 go\r\n250-mx\r\n250 AUTH XOAUTH2\r\n334 e30=\r\n535 no\r\n",
    "@250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n250 ok\r\n250 ok\r\n452 4.5.3 too many recipients\r\n452 4.5.3 no\r\n354 go\r\n250 ok\r\n",
    "P452 4.4.5 session\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n421 4.3.2 bye\r\n",
];

/// How a file is read, in six bytes, and the file.
const CSV: &[&str] = &[
    "\u{7f}\u{7f}\u{40}\u{7f}\u{7f}\u{7f}a,b\n1,\"x \"\"y\"\"\"\n2,\n",
    "\u{1}\u{7f}\u{4}\u{7f}\u{7f}\u{0}# c\na;b\r\n31.01.2026;$1,234.50\r\n01.02.2026;$7\r\n",
    "\u{7f}\u{7f}\u{18}\u{7f}\u{3}\u{7f}a|b\rNA|1.234,5\r12,50|2026-01-31T10:30Z\r",
];
const JSON_LINES: &[&str] = &[
    "\u{7f}\u{7f}\u{40}\u{7f}\u{7f}\u{7f}{\"a\":1,\"b\":\"x\"}\n{\"b\":[1,{\"c\":null}],\"a\":1.5}\n",
    "\u{7f}\u{7f}\u{8}\u{7f}\u{7f}\u{0}{\"a\":\"31.01.2026\"}\r\n\n{\"a\":\"NA\",\"\\u0061\":true}",
];

/// First lines of clients.
const HELLOS: &[&str] = &[
    r#"{"function":"host.hello","args":{"token":"task_0"}}"#,
    r#"{"id":7,"function":"host.hello","args":{"token":"\u0074","more":[1,{}]}}"#,
    r#"{"function":"host.hello"}"#,
];

/// What proxies say, in both versions of their protocol.
const HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n{}",
    b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
    b"PROXY UNKNOWN whatever\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x03\x0a\0\0\x01\xdb\x02\x30\x39",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x240123456789abcdef0123456789abcdef0123",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
];

fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(docs)) = (args.next(), args.next()) else {
        return Err(io::Error::other("usage: seeds FOLDER DOCS [LIBRARY…]"));
    };
    write(
        &folder.join("frames_to_host"),
        host::fuzzing::seeds_to_host(),
    )?;
    write(
        &folder.join("frames_to_worker"),
        host::fuzzing::seeds_to_worker(),
    )?;
    write(&folder.join("broken_workers"), host::fuzzing::scripts())?;
    write(
        &folder.join("gateway_requests"),
        gateway::fuzzing::seeds_of_requests(),
    )?;

    let text = fs::read_to_string(docs)?;
    let lines: Vec<&str> = text.lines().filter_map(example).collect();
    if lines.is_empty() {
        return Err(io::Error::other("the documentation has no lines any more"));
    }
    let requests = lines.iter().map(|line| line.as_bytes().to_vec());
    let requests: Vec<_> = requests.collect();
    let mut messages = gateway::fuzzing::seeds_of_messages();
    messages.extend(requests.iter().cloned());
    write(&folder.join("gateway_messages"), messages)?;
    write(&folder.join("requests"), requests)?;
    // The first byte says how the others are cut.
    let stream = |cut: u8, end: &str| [&[cut][..], lines.join(end).as_bytes(), b"\n"].concat();
    let foreign = b"\0POST / HTTP/1.1\r\nHost: x\r\n\r\n{}\n".to_vec();
    let mut streams = vec![stream(0, "\n"), stream(1, "\r\n"), stream(7, "\n"), foreign];
    streams.extend(
        lines
            .iter()
            .map(|line| [b"\x03", line.as_bytes(), b"\n"].concat()),
    );
    write(&folder.join("lines"), streams)?;

    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    write(&folder.join("addresses"), texts(ADDRESSES))?;
    write(&folder.join("hello"), texts(HELLOS))?;
    write(
        &folder.join("proxy_header"),
        HEADERS.iter().map(|header| header.to_vec()).collect(),
    )?;
    write(&folder.join("smtp_replies"), texts(REPLIES))?;
    write(&folder.join("report_csv"), texts(CSV))?;
    write(&folder.join("report_json_lines"), texts(JSON_LINES))?;

    let mut libraries = Vec::new();
    let mut notes = Vec::new();
    for library in args {
        let Some((note, small)) = host::fuzzing::note_of(&fs::read(&library)?) else {
            return Err(io::Error::other(format!(
                "{} has no note",
                library.display()
            )));
        };
        notes.push(note);
        libraries.push(small);
    }
    write(&folder.join("note"), notes)?;
    write(&folder.join("library"), libraries)
}

/// The object that stands in a line of a page, if one does.
fn example(line: &str) -> Option<&str> {
    let (begin, end) = (line.find("{\"")?, line.rfind('}')?);
    line.get(begin..=end)
}

fn write(folder: &Path, seeds: Vec<Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
