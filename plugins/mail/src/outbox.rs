//! The transport without a server: every message becomes a file that any mail reader opens.
//!
//! A file is written under a temporary name and renamed when it is whole. The envelope stands above the message, in the
//! headers `X-Envelope-From` and `X-Envelope-To`, hidden recipients included: the file is for the developer's eyes.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use crate::{
    address::Address,
    message::{Envelope, Message},
};

pub(crate) struct Outbox {
    folder: PathBuf,
    count: AtomicU64,
}

impl Outbox {
    /// The folder is made when the first message comes.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a message, and says where to.
    pub(crate) fn write(&self, message: &Message) -> io::Result<PathBuf> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = file_name(SystemTime::now(), process::id(), count);
        let temporary = self.folder.join(format!(".{name}.part"));
        let path = self.folder.join(name);
        let written = self.create(&temporary).and_then(|mut file| {
            file.write_all(envelope_headers(&message.envelope).as_bytes())?;
            file.write_all(&message.bytes)?;
            fs::rename(&temporary, &path)
        });
        if let Err(error) = written {
            // Nothing may be there to remove; the first error is the one to tell.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(path)
    }

    /// Whether a message could be written. What is made for this is gone afterwards, but for the folder.
    pub(crate) fn check(&self) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = file_name(SystemTime::now(), process::id(), count);
        let path = self.folder.join(format!(".{name}.part"));
        self.create(&path)?;
        fs::remove_file(&path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                options.open(path)
            }
            result => result,
        }
    }
}

/// `20261120T235601.123456Z-4711-000000.eml`: in order of time (UTC), and no other process or message has the same.
fn file_name(now: SystemTime, process: u32, count: u64) -> String {
    let time = humantime::format_rfc3339_micros(now)
        .to_string()
        .replace(['-', ':'], "");
    format!("{time}-{process}-{count:06}.eml")
}

fn envelope_headers(envelope: &Envelope) -> String {
    let from = envelope.from.as_ref().map_or("", Address::as_str);
    let mut headers = format!("X-Envelope-From: <{from}>\r\n");
    for address in &envelope.to {
        write!(headers, "X-Envelope-To: <{address}>\r\n").expect("writing to a string never fails");
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;
    use crate::address::parse_one;

    fn message() -> Message {
        let address = |text: &str| parse_one(text).unwrap().address;
        let envelope = Envelope {
            from: Some(address("a@b.de")),
            to: vec![address("c@d.de"), address("e@f.de")],
        };
        Message {
            id: String::new(),
            envelope,
            bytes: b"Subject: x\r\n\r\ny\r\n".to_vec(),
            needs_utf8: false,
            needs_8bit: false,
        }
    }

    #[test]
    fn a_message_becomes_a_file_in_a_new_folder() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(folder.path().join("not/yet/there"));
        let paths: HashSet<_> = (0..50).map(|_| outbox.write(&message()).unwrap()).collect();
        let found: HashSet<_> = fs::read_dir(outbox.folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(found, paths, "50 files, and nothing temporary");
        for path in paths {
            assert_eq!(
                fs::read_to_string(path).unwrap(),
                "X-Envelope-From: <a@b.de>\r\nX-Envelope-To: <c@d.de>\r\nX-Envelope-To: <e@f.de>\r\n\
                 Subject: x\r\n\r\ny\r\n"
            );
        }
    }

    #[test]
    fn names_sort_by_time() {
        let at = |micros| UNIX_EPOCH + Duration::from_micros(micros);
        let names = [
            file_name(at(1_000_000), 9, 7),
            file_name(at(1_000_001), 1, 8),
            file_name(at(1_000_001), 1, 9),
            file_name(at(1_795_219_000_000_000), 1, 0),
        ];
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(names[0], "19700101T000001.000000Z-9-000007.eml");
    }

    #[test]
    fn a_folder_that_can_not_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(
            Outbox::new(file.path().join("outbox"))
                .write(&message())
                .is_err()
        );
    }
}
