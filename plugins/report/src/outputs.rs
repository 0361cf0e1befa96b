//! Where a report goes: files that appear all together when it is whole, and contents that the result has in it.

use std::{
    io::{self, Seek, SeekFrom, Write},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kit::files::{NewFile, commit_all};
use report_document::{
    Buffer, CsvWriter, Fonts, HtmlWriter, JsonWriter, PdfLimits, PdfWriter, Writer, XlsxWriter,
};
use serde_json::value::RawValue;

use crate::{
    args::{Format, Output, OutputArgs},
    config::Checked,
    error::{Result, Trouble, document_trouble, invalid_report},
    watch::Watch,
};

/// The most outputs of a report.
const OUTPUTS_MAX: usize = 20;

/// An output that was checked.
#[derive(Debug)]
struct CheckedOutput {
    format: Format,
    path: Option<String>,
    args: OutputArgs,
}

/// Checks what a request wants.
fn check(args: &[OutputArgs]) -> Result<Vec<CheckedOutput>> {
    if args.len() > OUTPUTS_MAX {
        return Err(invalid_report(format!(
            "{} outputs are more than {OUTPUTS_MAX}",
            args.len()
        )));
    }
    let mut checked: Vec<CheckedOutput> = Vec::new();
    for output in args {
        let of_path = output.path.as_deref().and_then(Format::of_path);
        let Some(format) = output.format.or(of_path) else {
            let message = match &output.path {
                Some(path) => {
                    format!("the ending of the path {path:?} tells no format; say it in `format`")
                }
                None => {
                    String::from("an output needs a `format`, or a `path` whose ending tells it")
                }
            };
            return Err(invalid_report(message));
        };
        for (key, is_set, of) in [
            ("csv", output.csv.is_some(), Format::Csv),
            ("json", output.json.is_some(), Format::Json),
        ] {
            if is_set && format != of {
                return Err(invalid_report(format!(
                    "`{key}` belongs to the format {key}, not to {}",
                    format.name()
                )));
            }
        }
        checked.push(CheckedOutput {
            format,
            path: output.path.clone(),
            args: output.clone(),
        });
    }
    if checked.is_empty() {
        checked.push(CheckedOutput {
            format: Format::Json,
            path: None,
            args: OutputArgs::default(),
        });
    }
    Ok(checked)
}

/// The outputs of a report that is being written.
pub(crate) struct Targets {
    targets: Vec<Target>,
}

struct Target {
    checked: CheckedOutput,
    sink: Sink,
}

enum Sink {
    File(LimitedFile),
    Memory(Buffer),
}

impl Targets {
    /// Begins all files, so that what is wrong with a path shows before anything is read.
    pub(crate) fn begin(args: &[OutputArgs], config: &Checked, watch: &Arc<Watch>) -> Result<Self> {
        let mut targets = Vec::new();
        let mut places = Vec::new();
        for checked in check(args)? {
            let sink = match &checked.path {
                Some(path) => {
                    let file = config.folders.write.create(path)?;
                    // However the paths are written: the second file would replace the first.
                    if places.contains(&file.path()) {
                        let message = format!("two outputs have the path {path:?}");
                        return Err(invalid_report(message));
                    }
                    places.push(file.path());
                    Sink::File(LimitedFile {
                        file,
                        at: 0,
                        len: 0,
                        len_max: config.file_len_max,
                        watch: Arc::clone(watch),
                    })
                }
                // In base64 four bytes stand for three.
                None if checked.format.is_text() => {
                    Sink::Memory(Buffer::new(config.result_len_max))
                }
                None => Sink::Memory(Buffer::new(config.result_len_max / 4 * 3)),
            };
            targets.push(Target { checked, sink });
        }
        Ok(Self { targets })
    }

    pub(crate) fn writers(&mut self, fonts: &Arc<Fonts>) -> Result<Vec<Box<dyn Writer + '_>>> {
        self.targets
            .iter_mut()
            .map(|target| match &mut target.sink {
                Sink::File(file) => writer(&target.checked, file, fonts),
                Sink::Memory(buffer) => writer(&target.checked, buffer, fonts),
            })
            .collect()
    }

    /// Gives the files their names: all of them, or none.
    pub(crate) fn commit(self, result_len_max: u64) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        let mut files: Vec<NewFile> = Vec::new();
        let mut returned = 0;
        for Target { checked, sink } in self.targets {
            let output = match sink {
                Sink::File(mut file) => {
                    file.file.flush().map_err(|error| file.file.error(&error))?;
                    let bytes = file.len;
                    files.push(file.file);
                    output(&checked, bytes)
                }
                Sink::Memory(buffer) => {
                    returned_output(&checked, buffer.into_bytes(), &mut returned)?
                }
            };
            outputs.push(output);
        }
        if returned > result_len_max {
            let message = format!(
                "the outputs are {returned} bytes together, more than the {result_len_max} that a result may have; write them to files"
            );
            return Err(Trouble::new("output_too_large", message));
        }
        commit_all(files)?;
        Ok(outputs)
    }
}

fn writer<'a, S: Write + Seek + Send + 'a>(
    checked: &CheckedOutput,
    sink: S,
    fonts: &Arc<Fonts>,
) -> Result<Box<dyn Writer + 'a>> {
    Ok(match checked.format {
        Format::Json => Box::new(JsonWriter::new(
            sink,
            checked.args.json.clone().unwrap_or_default(),
        )),
        Format::Csv => {
            let options = checked.args.csv.clone().unwrap_or_default();
            Box::new(CsvWriter::new(sink, options).map_err(|error| document_trouble(&error))?)
        }
        Format::Xlsx => Box::new(XlsxWriter::new(sink)),
        Format::Html => Box::new(HtmlWriter::new(sink)),
        Format::Pdf => Box::new(PdfWriter::new(
            sink,
            Arc::clone(fonts),
            PdfLimits::default(),
        )),
    })
}

fn output(checked: &CheckedOutput, bytes: u64) -> Output {
    Output {
        format: checked.format,
        bytes,
        path: checked.path.clone(),
        json: None,
        text: None,
        base64: None,
    }
}

fn returned_output(checked: &CheckedOutput, bytes: Vec<u8>, returned: &mut u64) -> Result<Output> {
    let mut output = output(checked, bytes.len() as u64);
    if checked.format.is_text() {
        let text =
            String::from_utf8(bytes).map_err(|_| Trouble::internal("an output is not UTF-8"))?;
        *returned += text.len() as u64;
        if checked.format == Format::Json {
            // Line breaks are nothing but white space in JSON, and end a reply where it is sent.
            let text = text.replace('\n', "");
            output.json = Some(RawValue::from_string(text).map_err(Trouble::internal)?);
        } else {
            output.text = Some(text);
        }
    } else {
        let text = BASE64_STANDARD.encode(bytes);
        *returned += text.len() as u64;
        output.base64 = Some(text);
    }
    Ok(output)
}

/// A file that becomes no longer than it may, and stops when the task does.
struct LimitedFile {
    file: NewFile,
    at: u64,
    len: u64,
    len_max: u64,
    watch: Arc<Watch>,
}

impl Write for LimitedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at + bytes.len() as u64 > self.len_max {
            let message = format!(
                "the file is longer than the {} MB that `file_len_max` allows; select fewer rows",
                self.len_max >> 20
            );
            let error =
                report_document::Error::new(report_document::ErrorKind::OutputTooLarge, message);
            return Err(error.into());
        }
        if self.watch.task().is_cancelled() {
            return Err(report_document::Error::stopped().into());
        }
        let written = self.file.write(bytes)?;
        self.at += written as u64;
        self.len = self.len.max(self.at);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for LimitedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use plugin_api::testing;
    use serde_json::json;

    use super::*;
    use crate::config::ReportConfig;

    fn begin(folder: &Path, paths: &[&str]) -> Result<Targets> {
        let config = json!({"folders": {"write": [folder]}});
        let config: ReportConfig = serde_json::from_value(config).unwrap();
        let outputs: Vec<OutputArgs> = paths
            .iter()
            .map(|path| OutputArgs {
                path: Some((*path).to_owned()),
                ..OutputArgs::default()
            })
            .collect();
        let watch = Arc::new(Watch::new(&testing::task(), None));
        Targets::begin(&outputs, &config.check().unwrap(), &watch)
    }

    #[test]
    fn when_one_file_cannot_be_named_those_before_it_are_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old.csv"), "old").unwrap();
        let targets = begin(folder.path(), &["old.csv", "new.csv", "late.csv"]).unwrap();
        // Others take the name while rows are read.
        fs::create_dir(path("late.csv")).unwrap();
        let trouble = targets.commit(100).unwrap_err();
        assert_eq!(trouble.kind, "not_a_file", "{trouble}");
        assert!(trouble.message.contains("late.csv"), "{trouble}");
        assert_eq!(fs::read(path("old.csv")).unwrap(), b"old");
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "old.csv and late.csv");

        let targets = begin(folder.path(), &["old.csv", "new.csv"]).unwrap();
        assert_eq!(targets.commit(100).unwrap().len(), 2);
        assert_eq!(fs::read(path("old.csv")).unwrap(), b"");
    }

    #[test]
    fn two_outputs_are_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let absolute = folder.path().join("a.csv").display().to_string();
        for path in ["a.csv", "./a.csv", "deep/../a.csv", &absolute] {
            fs::create_dir_all(folder.path().join("deep")).unwrap();
            let trouble = begin(folder.path(), &["a.csv", path]).err().unwrap();
            assert_eq!(trouble.kind, "invalid_report", "{path}: {trouble}");
        }
    }
}
