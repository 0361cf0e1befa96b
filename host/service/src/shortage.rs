//! The system is out of something: of descriptors, processes or memory. That is nobody's mistake, and may be over soon.

use std::io;

use rustix::io::Errno;

/// What is short, and what an operator can do about it, as a sentence with the system's own words. `None`: the error is
/// another, which trying again doesn't mend.
#[must_use]
pub fn describe(error: &io::Error) -> Option<String> {
    let advice = match Errno::from_io_error(error)? {
        Errno::MFILE => "the program's limit of open files is reached (`ulimit -n`, LimitNOFILE)",
        Errno::NFILE => "the machine's limit of open files is reached (`sysctl fs.file-max`)",
        Errno::AGAIN => {
            "no more processes or threads may be started (`ulimit -u`, pids.max, TasksMax)"
        }
        Errno::NOMEM | Errno::NOBUFS => {
            "memory is short: the machine's, or what a limit leaves (`memory_max` of workers, `ulimit -d`, memory.max)"
        }
        Errno::NOSPC | Errno::DQUOT => "the disk, or memory for temporary files, is full",
        _ => return None,
    };
    Some(format!("{advice}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_told_with_what_to_do() {
        let files = describe(&Errno::MFILE.into()).unwrap();
        assert!(files.contains("ulimit -n"), "{files}");
        assert!(files.contains("Too many open files"), "{files}");
        let threads = describe(&Errno::AGAIN.into()).unwrap();
        assert!(threads.contains("pids.max"), "{threads}");
        for other in [Errno::NOENT, Errno::ACCESS, Errno::PIPE] {
            assert_eq!(describe(&other.into()), None);
        }
        assert_eq!(describe(&io::Error::other("no number")), None);
    }
}
