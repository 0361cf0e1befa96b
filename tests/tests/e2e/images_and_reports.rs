//! Images and reports together, by the thousand, and one in ten of them hostile.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, run, venv_python, wait_until, workspace_dir};

const COUNT: usize = 10_000;
/// After so many the host has grown to what it needs.
const WARM: usize = 2_000;
/// How much more memory the host may hold afterwards: what an allocator keeps by chance, and far less than a task's
/// args, which are up to 20 kB here.
const RSS_GROWTH_MAX: u64 = 16 << 20;
/// What a worker may hold: the limit that is set here, and what one task may take on top before the worker is replaced.
const WORKER_RSS_MAX: u64 = 256 << 20;
const WORKER_RSS_SPARE: u64 = 128 << 20;

struct Scene {
    host: Host,
    /// `small.jpg`, of 640 pixels, as a request carries it.
    image: String,
}

impl Scene {
    fn new() -> Self {
        let config = format!(
            "rss_max = {WORKER_RSS_MAX}\nconfig = {{ folders = {{ read = [\"in\"], write = [\"out\"] }} }}"
        );
        let setup = Setup::new()
            .plugin(Plugin::Resize)
            .plugin(Plugin::Report)
            .file("resize.toml", config.as_bytes())
            .file("report.toml", config.as_bytes());
        let input = setup.folder().join("in");
        fs::create_dir(&input).unwrap();
        fs::create_dir(setup.folder().join("out")).unwrap();
        let script = workspace_dir().join("tests/sample_images.py");
        let made = run(venv_python().arg(script).arg(&input)).output();
        assert_eq!(made, "");
        let mut rows = String::from("region,day,amount\n");
        for number in 0..200 {
            rows.push_str(&format!(
                "R{},2026-01-{:02},{}.5\n",
                number % 7,
                number % 28 + 1,
                number
            ));
        }
        fs::write(input.join("sales.csv"), rows).unwrap();
        fs::write(setup.folder().join("secret.csv"), "a\n1\n").unwrap();
        let host = setup.start();
        let small = host.client().result(
            "resize",
            json!({"source": "photo.jpg", "width": 640, "format": "jpeg", "quality": 60}),
        );
        let image = small["base64"].as_str().unwrap().to_owned();
        fs::write(
            host.folder().join("in/small.jpg"),
            BASE64_STANDARD.decode(&image).unwrap(),
        )
        .unwrap();
        Self { host, image }
    }

    /// The request with that number. One in ten is hostile: then with the kinds of errors that do for an answer.
    fn request(&self, number: usize) -> (Value, Option<&'static [&'static str]>) {
        let rows = json!([
            {"name": "a", "n": number}, {"name": "ü", "n": 2}, {"name": "日本", "n": null}
        ]);
        let (function, args) = match number % 10 {
            0 => return self.hostile(number / 10),
            1 => (
                "resize",
                json!({"source": "small.jpg", "width": 100, "target": format!("{number}.jpg")}),
            ),
            2 => ("identify", json!({"source": {"base64": self.image}})),
            3 => (
                "thumbnails",
                json!({"source": "small.jpg", "targets": [
                    {"width": 64, "target": format!("{number}-64.webp")},
                    {"width": 32, "height": 32, "target": format!("{number}-32.png")}]}),
            ),
            4 => (
                "resize",
                json!({"source": {"base64": self.image}, "width": 80, "height": 80, "format": "webp"}),
            ),
            5 => (
                "report",
                json!({"rows": rows, "query": "SELECT count(n) AS n FROM rows"}),
            ),
            6 => (
                "report",
                json!({"sources": {"s": {"csv": "sales.csv"}},
                    "query": "SELECT region, sum(amount) AS total FROM s GROUP BY region ORDER BY region",
                    "output": {"path": format!("{number}.csv")}}),
            ),
            7 => (
                "report",
                json!({"rows": rows, "title": "Ü", "output": {"path": format!("{number}.xlsx")}}),
            ),
            8 => ("report", json!({"rows": rows, "output": ["html", "csv"]})),
            _ => (
                "resize",
                json!({"source": "logo.png", "width": 120, "height": 120, "fit": "contain",
                    "target": format!("{number}.png")}),
            ),
        };
        let request = json!({"id": number, "function": function, "args": args});
        (request, None)
    }

    fn hostile(&self, number: usize) -> (Value, Option<&'static [&'static str]>) {
        // Cut and damaged at ever other places.
        let bytes = BASE64_STANDARD.decode(&self.image).unwrap();
        let at = number * 7919 % bytes.len();
        let cut = BASE64_STANDARD.encode(&bytes[..at]);
        let mut damaged = bytes;
        for offset in 0..40 {
            let index = (at + offset * 97) % damaged.len();
            damaged[index] ^= 0x5a;
        }
        let damaged = BASE64_STANDARD.encode(damaged);
        let target = format!("hostile-{number}");
        let rows = json!([{"a": 1}]);
        let (function, args, kinds): (_, _, &[&str]) = match number % 10 {
            0 => (
                "resize",
                json!({"source": {"base64": cut}, "width": 50, "target": format!("{target}.jpg")}),
                &["broken_image", "unsupported_format"],
            ),
            // What is damaged within its pixels may well be an image all the same.
            1 => ("identify", json!({"source": {"base64": damaged}}), &["*"]),
            2 => (
                "resize",
                json!({"source": "../secret.csv", "target": format!("{target}.png")}),
                &["path_not_allowed"],
            ),
            3 => (
                "resize",
                json!({"source": "small.jpg", "width": 10, "target": "/etc/hostile.jpg"}),
                &["path_not_allowed"],
            ),
            4 => (
                "resize",
                json!({"source": {"base64": BASE64_STANDARD.encode(huge_png())}, "width": 10}),
                &["too_many_pixels"],
            ),
            5 => (
                "report",
                json!({"rows": rows, "query": "SELECT b FROM rows", "output": {"path": format!("{target}.pdf")}}),
                &["unknown_column"],
            ),
            6 => (
                "report",
                json!({"rows": rows, "query": "DROP TABLE rows; --"}),
                &["statement_refused"],
            ),
            7 => (
                "report",
                json!({"sources": {"s": {"csv": "../secret.csv"}}, "output": {"path": format!("{target}.csv")}}),
                &["path_not_allowed"],
            ),
            8 => (
                "report",
                json!({"sources": {"s": {"csv": "sales.csv", "types": {"region": "integer"}}},
                    "output": {"path": format!("{target}.xlsx")}}),
                &["type_mismatch"],
            ),
            _ => (
                "report",
                json!({"rows": 7, "outptu": "csv"}),
                &["invalid_args"],
            ),
        };
        let request = json!({"id": number * 10, "function": function, "args": args});
        (request, Some(kinds))
    }
}

/// A header that promises a thousand million pixels.
fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x7d\0\0\0\x7d\0\x08\x02\0\0\0".to_vec();
    // The checksum of that chunk.
    png.extend(0x0ce0_455a_u32.to_be_bytes());
    png.extend(b"\0\0\0\x10IDAT");
    png.extend([0; 20]);
    png
}

#[test]
fn ten_thousand_mixed_tasks_one_in_ten_hostile() {
    let scene = Scene::new();
    let mut client = scene.host.client();
    let mut sender = client.sender();
    let mut rss_warm = 0;
    let mut worker_rss_max = 0;
    let mut answers = HashMap::new();
    thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..COUNT {
                let (request, _) = scene.request(number);
                sender.write_all(format!("{request}\n").as_bytes()).unwrap();
            }
        });
        while answers.len() < COUNT {
            let reply = client.reply();
            let number = usize::try_from(reply.id.as_u64().unwrap()).unwrap();
            let twice = answers.insert(number, ());
            assert!(twice.is_none(), "{number} was answered twice");
            check(&scene, number, reply.outcome);
            if answers.len() == WARM {
                rss_warm = scene.host.process().rss();
            }
            if answers.len().is_multiple_of(100) {
                let held = scene
                    .host
                    .workers()
                    .into_iter()
                    .map(tests::Process::rss)
                    .max();
                worker_rss_max = worker_rss_max.max(held.unwrap_or(0));
            }
        }
    });
    let rss = scene.host.process().rss();
    assert!(
        rss <= rss_warm + RSS_GROWTH_MAX,
        "the host holds {rss} bytes, after {WARM} tasks {rss_warm}"
    );
    assert!(
        worker_rss_max <= WORKER_RSS_MAX + WORKER_RSS_SPARE,
        "a worker held {worker_rss_max} bytes"
    );
    // Five of ten write a file each, one of those two.
    let out = scene.host.folder().join("out");
    wait_until("the files to be there", || {
        files(&out).len() == COUNT / 10 * 6
    });
    for name in files(&out) {
        check_file(&out.join(name));
    }
    let mut client = scene.host.client();
    let plugins = client.result("host.plugins", json!({}));
    for plugin in plugins["plugins"].as_array().unwrap() {
        assert_eq!(
            (&plugin["state"], &plugin["crashes"]),
            (&json!("live"), &json!(0)),
            "{plugins}"
        );
    }
    let status = client.status();
    assert_eq!(status["in_flight"], 1, "{status}");
}

/// The answer is what the request deserves.
#[track_caller]
fn check(scene: &Scene, number: usize, outcome: Result<Value, tests::Failure>) {
    let (request, hostile) = scene.request(number);
    match (outcome, hostile) {
        (Ok(_), None | Some(["*"])) => {}
        (Err(failure), Some(kinds)) => {
            let kind = match failure.code.as_str() {
                "handler_failed" => failure.data["kind"].as_str().unwrap_or_default(),
                code => code,
            };
            assert!(
                kinds == ["*"] && failure.code == "handler_failed" || kinds.contains(&kind),
                "{request} was answered {failure:?}"
            );
        }
        (outcome, _) => panic!("{request} was answered {outcome:?}"),
    }
}

fn files(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// It is whole: what begins and what ends such a file is there.
#[track_caller]
fn check_file(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let (begin, end): (&[u8], &[u8]) = match path.extension().unwrap().to_str().unwrap() {
        "jpg" => (b"\xff\xd8\xff", b"\xff\xd9"),
        "png" => (b"\x89PNG", b"IEND\xaeB`\x82"),
        "webp" => (b"RIFF", b""),
        "csv" => (b"region,total", b"\n"),
        "xlsx" => (b"PK\x03\x04", b""),
        other => panic!("{other} was not asked for: {path:?}"),
    };
    assert!(
        bytes.starts_with(begin) && bytes.ends_with(end),
        "{path:?} is not whole"
    );
    match begin {
        b"RIFF" => {
            let len = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            assert_eq!(usize::try_from(len).unwrap() + 8, bytes.len(), "{path:?}");
        }
        // The record that a ZIP file ends with, which has no comment here.
        b"PK\x03\x04" => assert!(
            bytes[..bytes.len() - 18].ends_with(b"PK\x05\x06"),
            "{path:?}"
        ),
        _ => {}
    }
}
