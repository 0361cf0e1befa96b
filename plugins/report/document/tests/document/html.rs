//! HTML, read back with Python's parser.

use serde_json::json;

use crate::harness::{To, document, feed_all, feed_table, inspect, text, try_write, write};
use report_document::{Band, ColumnKind, Document, Locale, Page, Value};

/// Checks that all elements close in order, and tells what the page has.
const READ: &str = r#"
import json, sys
from html.parser import HTMLParser
VOID = {"meta", "line", "rect", "polyline", "circle", "path", "link", "br"}
class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.counts, self.wrong, self.attributes, self.text = [], {}, [], [], []
    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes += [[tag, name, value] for name, value in attributes]
        if tag not in ("meta", "br"):
            self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
    def handle_data(self, data):
        self.text.append(data)
reader = Reader()
reader.feed(open(sys.argv[1], encoding="utf-8").read())
print(json.dumps({"counts": reader.counts, "wrong": reader.wrong + reader.open, "attributes": reader.attributes, "text": "".join(reader.text)}))
"#;

#[test]
fn a_whole_report_is_well_formed_and_accessible() {
    let bytes = write(To::Html, feed_all);
    let page = inspect(READ, &bytes, "report.html");
    assert_eq!(page["wrong"], json!([]));
    let counts = &page["counts"];
    for (tag, count) in [
        ("h1", 1),
        ("main", 1),
        ("svg", 8),
        ("desc", 8),
        ("figure", 4),
        ("tfoot", 1),
        ("caption", 1),
        ("dl", 1),
    ] {
        assert_eq!(counts[tag], count, "{tag}");
    }
    for absent in ["script", "link", "img", "iframe", "i", "b"] {
        assert_eq!(counts[absent], json!(null), "{absent}");
    }
    let attributes = page["attributes"].as_array().unwrap();
    for wanted in [
        json!(["html", "lang", "en"]),
        json!(["th", "scope", "col"]),
        json!(["th", "scope", "row"]),
        json!(["svg", "role", "img"]),
    ] {
        assert!(attributes.contains(&wanted), "{wanted}");
    }
    let ids: Vec<&str> = attributes
        .iter()
        .filter(|attribute| attribute[1] == "id")
        .filter_map(|attribute| attribute[2].as_str())
        .collect();
    let labels = attributes
        .iter()
        .filter(|attribute| attribute[1] == "aria-labelledby")
        .filter_map(|a| a[2].as_str());
    for id in labels.flat_map(str::split_whitespace) {
        assert_eq!(ids.iter().filter(|other| **other == id).count(), 1, "{id}");
    }
    let shown = page["text"].as_str().unwrap();
    for wanted in [
        "Quarter & <review>",
        "First <i>paragraph</i>.",
        "€1,234.56",
        "Total North",
        "€11,234.07",
        "شركة النور 🚀 <b>",
        "25.0%",
        "12,345",
    ] {
        assert!(shown.contains(wanted), "{wanted}");
    }
    let source = text(bytes);
    assert!(
        !source.contains("http")
            || source.matches("http").count()
                == source.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn nothing_escapes_its_place() {
    let evil = "</td></table><script>alert(1)</script>\" onload='x' & \u{0}";
    let rows = [vec![Value::text(evil)]];
    let wanted = json!({"title": evil, "group_by": evil, "columns": {evil: {"title": evil, "total": "count"}}});
    let bytes = write(To::Html, |outputs| {
        feed_table(outputs, wanted, &[(evil, ColumnKind::Text)], &rows)
    });
    let page = inspect(READ, &bytes, "evil.html");
    assert_eq!(page["wrong"], json!([]));
    assert_eq!(
        (&page["counts"]["script"], &page["counts"]["table"]),
        (&json!(null), &json!(1))
    );
    assert!(
        !page["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|attribute| attribute[1] == "onload")
    );
}

#[test]
fn headers_and_footers_are_printed() {
    let band = Band {
        left: "\"</style> \\ {title}".into(),
        right: "{page} of {pages}".into(),
        ..Band::default()
    };
    let page = Page {
        header: Some(band),
        ..Page::default()
    };
    let wanted = Document {
        page,
        ..document(Locale::En)
    };
    let source = text(try_write(To::Html, wanted, feed_all).unwrap().0);
    let style = "@top-left{content:\"\\22 \\3c /style\\3e  \\5c  Quarter \\26  \\3c review\\3e \";";
    assert!(source.contains(style), "{source}");
    assert!(
        source.contains("@top-right{content:\"\" counter(page) \" of \" counter(pages) \"\";"),
        "{source}"
    );
    assert_eq!(source.matches("</style>").count(), 1);
}
