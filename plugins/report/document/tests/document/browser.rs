//! Pages as Chromium lays them out: on screens, by measuring elements, and on paper.

use std::path::Path;

use report_document::{Document, HtmlWriter, Outputs, PdfLimits, PdfWriter, Writer, XlsxWriter};
use serde_json::Value as Json;

use crate::{
    gallery::{Report, reports},
    harness::run,
};

/// A report's page for this browser.
pub(crate) fn html(report: &Report) -> String {
    String::from_utf8(write(report, "html")).unwrap()
}

/// A report in a format.
pub(crate) fn write(report: &Report, format: &str) -> Vec<u8> {
    write_as(report, format, report.document.clone())
}

/// A report in a format, with another frame.
pub(crate) fn write_as(report: &Report, format: &str, document: Document) -> Vec<u8> {
    let mut buffer = report_document::Buffer::new(crate::harness::LEN_MAX);
    let writer: Box<dyn Writer + '_> = match format {
        "html" => Box::new(HtmlWriter::new(&mut buffer)),
        "xlsx" => Box::new(XlsxWriter::new(&mut buffer)),
        _ => Box::new(PdfWriter::new(
            &mut buffer,
            std::sync::Arc::new(report_document::Fonts::new(Vec::new())),
            PdfLimits::default(),
        )),
    };
    let locale = document.locale;
    let mut outputs = Outputs::new(document, vec![writer]).unwrap();
    (report.feed)(&mut outputs, locale).unwrap();
    outputs.finish(&mut || Ok(())).unwrap();
    buffer.into_bytes()
}

/// The report of this name.
pub(crate) fn named(name: &str) -> Report {
    let found = reports().into_iter().find(|report| report.name == name);
    found.unwrap_or_else(|| panic!("there is no report {name}"))
}

fn chromium(folder: &Path, more: &[&str]) -> String {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let mut arguments = vec![
        "120",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        &profile,
    ];
    arguments.extend(more);
    run("timeout", "chromium", &arguments)
}

/// A screen of so many CSS pixels, and whether its owner likes it dark.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
}

pub(crate) const DESK: Screen = Screen {
    width: 1280,
    is_dark: false,
};
pub(crate) const DARK: Screen = Screen {
    width: 1280,
    is_dark: true,
};
pub(crate) const PHONE: Screen = Screen {
    width: 390,
    is_dark: false,
};

/// What a function body returns that is run on a page, with its window as `w` and its document as `d`.
pub(crate) fn measure(html: &str, screen: Screen, script: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("frame.html");
    let escaped = html.replace('&', "&amp;").replace('"', "&quot;");
    let width = screen.width;
    // A frame has any width, where a browser's window has a least one.
    let frame = format!(
        "<!doctype html><meta charset=utf-8><body><pre id=result></pre><script>function told(w){{
const d=w.document;let result;try{{result=((w,d)=>{{{script}}})(w,d)}}catch(error){{result={{error:String(error)}}}}
document.getElementById('result').textContent='RESULT'+JSON.stringify(result).replace(/[^ -~]|[<>&]/g,c=>'\\\\u'+c.charCodeAt(0).toString(16).padStart(4,'0'))+'RESULT'}}</script>
<iframe style=\"border:0;width:{width}px;height:844px\" srcdoc=\"{escaped}\" onload=\"told(this.contentWindow)\"></iframe>"
    );
    std::fs::write(&page, frame).unwrap();
    let scheme = format!(
        "--blink-settings=preferredColorScheme={}",
        u8::from(!screen.is_dark)
    );
    let url = format!("file://{}", page.display());
    let said = chromium(
        folder.path(),
        &[
            &scheme,
            "--window-size=1400,1000",
            "--virtual-time-budget=5000",
            "--dump-dom",
            &url,
        ],
    );
    // The script itself has the word, too.
    let result = said
        .split("<pre id=\"result\">RESULT")
        .nth(1)
        .and_then(|rest| rest.split("RESULT").next())
        .unwrap_or_else(|| panic!("no result in {said}"));
    let result: Json = serde_json::from_str(result).unwrap();
    assert!(result.get("error").is_none(), "{result}");
    result
}

/// The page as a browser prints it: a PDF.
pub(crate) fn print(html: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (page, pdf) = (
        folder.path().join("page.html"),
        folder.path().join("page.pdf"),
    );
    std::fs::write(&page, html).unwrap();
    let to = format!("--print-to-pdf={}", pdf.display());
    let url = format!("file://{}", page.display());
    chromium(folder.path(), &["--no-pdf-header-footer", &to, &url]);
    std::fs::read(&pdf).unwrap()
}

/// A word on a page of a PDF, and the box around it in points from the upper left corner.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

/// A page of a PDF.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) words: Vec<Word>,
}

impl Sheet {
    /// The word of this text.
    pub(crate) fn word(&self, text: &str) -> &Word {
        let found = self.words.iter().find(|word| word.text == text);
        found.unwrap_or_else(|| panic!("{text} is not among {:?}", self.words))
    }
}

/// The pages of a PDF, with their words as poppler finds them.
pub(crate) fn sheets(pdf: &[u8]) -> Vec<Sheet> {
    let listed = crate::harness::with_pdf(pdf, |path| {
        run("pdftotext", "poppler-utils", &["-bbox", path, "-"])
    });
    let mut sheets: Vec<Sheet> = Vec::new();
    for line in listed.lines().map(str::trim) {
        let number = |name: &str| -> f64 {
            let value = line.split(&format!("{name}=\"")).nth(1);
            let value = value.and_then(|rest| rest.split('"').next());
            value.and_then(|value| value.parse().ok()).unwrap_or(-1.0)
        };
        if line.starts_with("<page ") {
            sheets.push(Sheet {
                width: number("width"),
                height: number("height"),
                words: Vec::new(),
            });
        } else if line.starts_with("<word ") {
            let text = line.split_once('>').map_or("", |(_, rest)| rest);
            let text = text.trim_end_matches("</word>").replace("&amp;", "&");
            let (left, top) = (number("xMin"), number("yMin"));
            let (right, bottom) = (number("xMax"), number("yMax"));
            if let Some(sheet) = sheets.last_mut() {
                sheet.words.push(Word {
                    text,
                    left,
                    top,
                    right,
                    bottom,
                });
            }
        }
    }
    sheets
}
