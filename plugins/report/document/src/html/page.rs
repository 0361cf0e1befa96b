//! The paper that a page is printed on.

use crate::{
    format::long_date,
    model::{Band, Document, Orientation, PageSize},
};

/// The rules of the paper: its size, its margins, and what stands in them. Tables that need the width lay all of the
/// report down, unless it must stand.
pub(super) fn page_style(document: &Document) -> String {
    let size = match document.page.size {
        PageSize::A4 => "A4",
        PageSize::A3 => "A3",
        PageSize::A5 => "A5",
        PageSize::Letter => "letter",
        PageSize::Legal => "legal",
    };
    let (orientation, lying) = match document.page.orientation {
        Orientation::Landscape => (" landscape", String::new()),
        Orientation::Portrait => (" portrait", String::new()),
        Orientation::Auto => (
            "",
            format!("@page lying{{size:{size} landscape}}\nbody:has(.lies){{page:lying}}\n"),
        ),
    };
    let margin = document.page.margin_mm();
    let own_header = document.page.header.is_none();
    let header = match &document.page.header {
        Some(header) => header.clone(),
        None => document.own_header(),
    };
    let boxes = boxes(document, "top", &header) + &boxes(document, "bottom", &document.footer());
    // The first page has the title in large letters.
    let first = if own_header {
        "@page:first{@top-left{content:none}@top-right{content:none}}\n"
    } else {
        ""
    };
    format!("@page{{size:{size}{orientation};margin:{margin}mm;{boxes}}}\n{first}{lying}")
}

fn boxes(document: &Document, side: &str, band: &Band) -> String {
    let mut boxes = String::new();
    for (place, text) in [
        ("left", &band.left),
        ("center", &band.center),
        ("right", &band.right),
    ] {
        let content = css_content(document, text);
        if content != "\"\"" {
            boxes.push_str(&format!(
                "@{side}-{place}{{content:{content};font:8pt sans-serif;color:#56616f}}"
            ));
        }
    }
    boxes
}

/// A header or footer as strings and counters.
fn css_content(document: &Document, text: &str) -> String {
    let text = text
        .replace("{title}", &document.title)
        .replace(
            "{subtitle}",
            document.subtitle.as_deref().unwrap_or_default(),
        )
        .replace("{author}", document.author.as_deref().unwrap_or_default())
        .replace("{date}", &long_date(document).unwrap_or_default());
    css_string(&text)
        .replace("{pages}", "\" counter(pages) \"")
        .replace("{page}", "\" counter(page) \"")
}

/// A text as a string of a style. Nothing in it ends the string, or the style.
pub(super) fn css_string(text: &str) -> String {
    let mut content = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{7f}' => {
                content.push_str(&format!("\\{:x} ", u32::from(c).max(0x20)));
            }
            c => content.push(c),
        }
    }
    content.push('"');
    content
}
