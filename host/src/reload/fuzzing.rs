//! What must hold of the reader of libraries whatever the file: for the fuzzers of `tests/fuzz`, and for a few files in
//! every test.

use plugin_api::note;

use super::elf;

/// Longest sentence about a file, in bytes.
const SENTENCE_LEN_MAX: usize = 4096;

/// Reads `data` as a library: it says the same each time, in a sentence that can be shown, and reads the note of a whole
/// file only.
pub(crate) fn library(data: &[u8]) {
    let [inspected, again] = [(); 2].map(|()| elf::inspect(data));
    let said = [&inspected, &again].map(|inspected| match inspected {
        Ok(inspected) => format!("{:?}", inspected.note),
        Err(error) => error.to_string(),
    });
    assert_eq!(said[0], said[1], "it says the same each time");
    let refusal = match inspected {
        Ok(inspected) => {
            let functions = inspected.note.functions.len();
            assert!(functions <= data.len(), "{functions} functions");
            inspected.accept().err()
        }
        Err(error) => Some(error),
    };
    if let Some(refusal) = refusal {
        expect_sentence(&refusal.to_string());
    }
}

/// Reads `data` as the section of a note, and as what stands within one.
pub(crate) fn note_section(data: &[u8]) {
    if let Err(error) = note::parse(data) {
        expect_sentence(&error.to_string());
    }
    let section = section_of(data);
    let parsed = note::parse(&section);
    let direct = serde_json::from_slice::<note::Note>(data);
    assert_eq!(parsed.ok(), direct.ok(), "a note is read as it was written");
    library(&library_of(&section));
}

fn expect_sentence(sentence: &str) {
    assert!(!sentence.is_empty());
    assert!(
        sentence.len() <= SENTENCE_LEN_MAX,
        "{} bytes: {}…",
        sentence.len(),
        sentence.chars().take(200).collect::<String>()
    );
}

/// The section that holds this text as its note.
pub(crate) fn section_of(text: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    for word in [note::NOTE_NAME.len(), text.len()] {
        section.extend(u32::try_from(word).unwrap_or(u32::MAX).to_ne_bytes());
    }
    section.extend(note::NOTE_TYPE.to_ne_bytes());
    for part in [note::NOTE_NAME, text] {
        section.extend(part);
        section.resize(section.len().next_multiple_of(4), 0);
    }
    section
}

/// The smallest library that has this section of notes: header, one segment, three sections.
pub(crate) fn library_of(section: &[u8]) -> Vec<u8> {
    const HEADER_LEN: usize = 64;
    const SEGMENT_LEN: usize = 56;
    let names = [b"\0".as_slice(), note::SECTION.as_bytes(), b"\0.shstrtab\0"].concat();
    let notes_at = HEADER_LEN + SEGMENT_LEN;
    let names_at = notes_at + section.len();
    let table_at = (names_at + names.len()).next_multiple_of(8);
    let machine: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(3_u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [0, HEADER_LEN as u64, table_at as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 3, 2] {
        file.extend(half.to_le_bytes());
    }
    // The segment: all of the file, to be loaded.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for word in [0, 0, 0, table_at as u64, table_at as u64, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(section);
    file.extend(&names);
    file.resize(table_at, 0);
    file.resize(table_at + 64, 0);
    let notes = (1_u32, 7_u32, notes_at, section.len());
    let strings = (note::SECTION.len() + 2, names_at, names.len());
    let strings = (
        u32::try_from(strings.0).unwrap_or(0),
        3_u32,
        strings.1,
        strings.2,
    );
    for (name, kind, at, len) in [notes, strings] {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [0, 0, at as u64, len as u64] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u64.to_le_bytes());
        for word in [4_u64, 0] {
            file.extend(word.to_le_bytes());
        }
    }
    file
}

/// The text of the note that a library has.
pub(crate) fn note_text(library: &[u8]) -> Option<Vec<u8>> {
    let note = elf::inspect(library).ok()?.note;
    let json = serde_json::json!({
        "name": note.name,
        "version": note.version,
        "plugin_api": note.plugin_api,
        "rustc": note.rustc,
        "target": note.target,
        "panic": note.panic,
        "functions": note.functions,
    });
    serde_json::to_vec(&json).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTE: &[u8] =
        br#"{"name":"a","version":"1.0.0","plugin_api":"1.0.0","target":"t","functions":["f"]}"#;

    #[test]
    fn the_smallest_library_is_read_and_nothing_shorter_is() {
        let whole = library_of(&section_of(NOTE));
        let note = elf::inspect(&whole).unwrap().accept().unwrap();
        assert_eq!(note.functions, ["f"]);
        let text = note_text(&whole).unwrap();
        note_section(&text);
        for len in 0..whole.len() {
            assert!(elf::inspect(&whole[..len]).is_err(), "cut at {len}");
            library(&whole[..len]);
        }
        note_section(NOTE);
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_breaks_the_reader(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut file = library_of(&section_of(NOTE));
            let at = at.index(file.len());
            file[at] = byte;
            library(&file);
        }

        #[test]
        fn no_bytes_break_the_reader_of_notes(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            note_section(&data);
        }
    }
}
