//! What can be known of a library without running any of it.

use std::fmt;

use object::elf::{self, FileHeader32, FileHeader64, Machine};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind};
use plugin_api::note::{self, Note, NoteError};

/// Why a file is no library that this host could load, as a sentence for whoever put it there.
#[derive(Debug)]
pub(crate) enum ElfError {
    NotElf,
    Incomplete(&'static str),
    Unreadable(object::read::Error),
    NotALibrary,
    OtherMachine { theirs: Machine },
    NoNote,
    Note(NoteError),
    OtherMajor { plugin: String },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("it is not an ELF library; build the plugin with crate-type = [\"cdylib\"]"),
            Self::Incomplete(what) => {
                write!(f, "it is incomplete ({what}): it was cut off, or is still being copied; copy it again")
            }
            Self::Unreadable(error) => write!(f, "its ELF structure is damaged: {error}; copy or build it again"),
            Self::NotALibrary => {
                f.write_str("it is an ELF file, but not a dynamic library; build the plugin with crate-type = [\"cdylib\"]")
            }
            Self::OtherMachine { theirs } => write!(
                f,
                "it was built for {}, this host runs on {}: build it for this machine's target",
                machine_name(*theirs),
                machine_name(MACHINE)
            ),
            Self::NoNote => f.write_str(
                "it is a library, but not a plugin of this host: it has no plugin note; \
                 put #[plugin_api::plugin] on an impl block and build with crate-type = [\"cdylib\"]",
            ),
            Self::Note(error) => write!(f, "its plugin note can't be read: {error}"),
            Self::OtherMajor { plugin } => write!(
                f,
                "it was built with plugin-api {plugin} and this host has {}: {}",
                plugin_api::VERSION,
                if major(plugin) > major(plugin_api::VERSION) {
                    "upgrade the host"
                } else {
                    "rebuild the plugin with this host's plugin-api"
                }
            ),
        }
    }
}

impl std::error::Error for ElfError {}

#[cfg(target_arch = "x86_64")]
const MACHINE: Machine = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: Machine = elf::EM_AARCH64;

/// What a whole library of ours says of itself, for whatever machine it was built.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) note: Note,
    machine: Machine,
}

/// Checks that `data` is a whole library and one of our plugins.
pub(crate) fn inspect(data: &[u8]) -> Result<Inspected, ElfError> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => check::<FileHeader64<Endianness>>(data),
        Ok(FileKind::Elf32) => check::<FileHeader32<Endianness>>(data),
        _ => Err(ElfError::NotElf),
    }
}

impl Inspected {
    /// The note, when this host, on this machine, could load the library.
    pub(crate) fn accept(self) -> Result<Note, ElfError> {
        if self.machine != MACHINE {
            return Err(ElfError::OtherMachine {
                theirs: self.machine,
            });
        }
        if major(&self.note.plugin_api) != major(plugin_api::VERSION) {
            return Err(ElfError::OtherMajor {
                plugin: self.note.plugin_api,
            });
        }
        Ok(self.note)
    }
}

fn check<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Result<Inspected, ElfError> {
    let header = Elf::parse(data).map_err(|_| ElfError::Incomplete("its header"))?;
    let endian = header.endian().map_err(ElfError::Unreadable)?;
    if header.e_type(endian) != elf::ET_DYN {
        return Err(ElfError::NotALibrary);
    }
    let inside = |(offset, len): (u64, u64)| {
        offset
            .checked_add(len)
            .is_some_and(|end| end <= data.len() as u64)
    };
    let segments = header
        .program_headers(endian, data)
        .map_err(|_| ElfError::Incomplete("its program headers"))?;
    for segment in segments {
        if segment.p_type(endian) == elf::PT_LOAD && !inside(segment.file_range(endian)) {
            return Err(ElfError::Incomplete("a segment"));
        }
    }
    let sections = header
        .sections(endian, data)
        .map_err(|_| ElfError::Incomplete("its sections"))?;
    // The section table is the last thing a linker writes: zeros there are a copy that has not come so far.
    if sections.is_empty() {
        return Err(ElfError::Incomplete("its section table"));
    }
    for (index, section) in sections.iter().enumerate() {
        if index > 0 && section.sh_type(endian) == elf::SHT_NULL {
            return Err(ElfError::Incomplete("its section table"));
        }
        if section
            .file_range(endian)
            .is_some_and(|range| !inside(range))
        {
            return Err(ElfError::Incomplete("a section"));
        }
    }
    let (_, section) = sections
        .section_by_name(endian, note::SECTION.as_bytes())
        .ok_or(ElfError::NoNote)?;
    let bytes = section.data(endian, data).map_err(ElfError::Unreadable)?;
    let note = note::parse(bytes).map_err(ElfError::Note)?;
    Ok(Inspected {
        note,
        machine: header.e_machine(endian),
    })
}

fn major(version: &str) -> u64 {
    version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0)
}

fn machine_name(machine: Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_386 => "x86 (32 bit)".to_owned(),
        elf::EM_ARM => "arm (32 bit)".to_owned(),
        elf::EM_RISCV => "riscv".to_owned(),
        Machine(number) => format!("ELF machine {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_is_told_apart() {
        for data in [&b""[..], b"hello", &[0; 4096]] {
            assert!(matches!(inspect(data), Err(ElfError::NotElf)), "{data:?}");
        }
    }

    /// The test's own executable is an ELF file, and no plugin.
    #[test]
    fn a_file_cut_off_anywhere_is_never_taken() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let step = whole.len() / 200;
        for len in (0..whole.len()).step_by(step) {
            let error = inspect(&whole[..len]).unwrap_err();
            assert!(
                matches!(error, ElfError::NotElf | ElfError::Incomplete(_)),
                "cut at {len} of {}: {error}",
                whole.len()
            );
        }
        assert!(matches!(inspect(&whole), Err(ElfError::NoNote)));
    }
}
