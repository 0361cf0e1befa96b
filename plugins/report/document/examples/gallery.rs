//! Writes the tests' reports in all formats, to look at: `cargo run -p report-document --example gallery -- FOLDER`.

use std::{error::Error, fs, io::Write, path::PathBuf, sync::Arc};

use report_document::{Fonts, HtmlWriter, Outputs, PdfLimits, PdfWriter, Writer, XlsxWriter};

#[path = "../tests/document/gallery.rs"]
mod gallery;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1);
    let folder = PathBuf::from(folder.unwrap_or_else(|| "target/gallery".into()));
    fs::create_dir_all(&folder)?;
    let fonts = Arc::new(Fonts::new(Vec::new()));
    for report in gallery::reports() {
        let file =
            |ending: &str| fs::File::create(folder.join(format!("{}.{ending}", report.name)));
        let pdf = PdfWriter::new(file("pdf")?, fonts.clone(), PdfLimits::default());
        let writers: Vec<Box<dyn Writer>> = vec![
            Box::new(XlsxWriter::new(file("xlsx")?)),
            Box::new(HtmlWriter::new(file("html")?)),
            Box::new(pdf),
        ];
        let locale = report.document.locale;
        let mut outputs = Outputs::new(report.document, writers)?;
        (report.feed)(&mut outputs, locale)?;
        for warning in outputs.finish(&mut || Ok(()))? {
            let line = format!("{}: {}: {}\n", report.name, warning.kind, warning.message);
            std::io::stderr().write_all(line.as_bytes())?;
        }
    }
    Ok(())
}
