//! Lists of addresses, written by the plugin and read by Python.

use plugin_api::serde_json::json;

use crate::{open, server::Server};

/// Addresses without names, with names, and with names of every difficulty.
fn people(count: usize, kind: &str) -> Vec<[String; 2]> {
    const NAMES: [&str; 8] = [
        "Jürgen Groß",
        "山田 太郎, 東京",
        "Last, First \"the\" \\ one",
        "=?utf-8?q?not_encoded?=",
        "J. R. (Bob) <Dobbs>",
        "two  spaces",
        "Ähm, ein sehr langer Name – länger als in eine Zeile paßt, und noch länger, bis es wirklich reicht",
        "An ASCII name that is much longer than the seventy-eight bytes that a line should have, and then some",
    ];
    let name = |index: usize| match kind {
        "no names" => String::new(),
        "names" => format!("Nr {index}"),
        _ => format!("{} {index}", NAMES[index % NAMES.len()]),
    };
    (0..count)
        .map(|index| [name(index), format!("somebody-{index}@example.com")])
        .collect()
}

/// As a client writes it.
fn written([name, address]: &[String; 2]) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    if name.is_empty() {
        address.clone()
    } else {
        format!("\"{name}\" <{address}>")
    }
}

#[test]
fn lists_of_addresses_of_any_length_arrive_as_they_were() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url()}));
    for count in [1, 2, 50, 1000] {
        for kind in ["no names", "names", "difficult names"] {
            let case = format!("{count}, {kind}");
            let people = people(count, kind);
            let list: Vec<_> = people.iter().map(written).collect();
            let args = json!({
                "from": list[count - 1],
                "to": list,
                "cc": list.join(", "),
                "reply_to": list,
                "contents": "x",
            });
            let sent = plugin.call("send_mail", args);
            let sent = sent.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(sent["accepted"].as_array().unwrap().len(), count, "{case}");
            let message = server.take(1).remove(0);
            let found = &message["addresses"];
            assert_eq!(found["From"], json!([people[count - 1]]), "{case}");
            for header in ["To", "Cc", "Reply-To"] {
                assert_eq!(found[header], json!(people), "{case}: {header}");
            }
            assert_eq!(message["defects"], json!([]), "{case}");
            let longest = message["longest_line"].as_u64().unwrap();
            assert!(longest <= 78, "{case}: a line of {longest} bytes");
        }
    }
}
