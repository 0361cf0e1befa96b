//! What is spoken with `beanstalkd` and Redis, as far as it is needed here: how something is put into a queue, and what
//! says that it is there.

/// The list of Redis that things are put into.
const LIST: &str = "echo";

/// Appends a `put` of this body, by which `beanstalkd` takes in a job: of the usual priority, to be run at once, in a minute
/// at most. Its `doc/protocol.txt` has it:
/// <https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt>.
pub(crate) fn put(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("put 1024 0 60 {}\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Whether it is that of a job that was taken in, with its number; the answers to others are words as well.
pub(crate) fn is_inserted(line: &[u8]) -> bool {
    line.strip_prefix(b"INSERTED ").is_some_and(is_number)
}

/// Appends an `LPUSH` of this body, which Redis takes as an array of strings:
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
pub(crate) fn lpush(body: &[u8], out: &mut Vec<u8>) {
    let (list_len, len) = (LIST.len(), body.len());
    let head = format!("*3\r\n$5\r\nLPUSH\r\n${list_len}\r\n{LIST}\r\n${len}\r\n");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Whether it is an integer: the length of a list into which something was put. An error begins with `-`.
pub(crate) fn is_list_len(line: &[u8]) -> bool {
    line.strip_prefix(b":").is_some_and(is_number)
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(&[u8], &mut Vec<u8>), body: &str) -> String {
        let mut out = Vec::new();
        write(body.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_job_as_the_protocol_of_beanstalkd_has_it() {
        assert_eq!(written(put, "hello"), "put 1024 0 60 5\r\nhello\r\n");
        assert!(is_inserted(b"INSERTED 17"));
        for other in [
            "BURIED 17",
            "INSERTED",
            "INSERTED ",
            "INSERTED 1x",
            "EXPECTED_CRLF",
            "JOB_TOO_BIG",
            "DRAINING",
            "OUT_OF_MEMORY",
        ] {
            assert!(!is_inserted(other.as_bytes()), "{other}");
        }
    }

    /// In the form of the specification's example, `LLEN mylist`.
    #[test]
    fn a_push_as_the_protocol_of_redis_has_it() {
        assert_eq!(
            written(lpush, "hello"),
            "*3\r\n$5\r\nLPUSH\r\n$4\r\necho\r\n$5\r\nhello\r\n"
        );
        assert!(is_list_len(b":48293"));
        for other in [":", "48293", ":-1", "+OK", "-ERR unknown command", "$5"] {
            assert!(!is_list_len(other.as_bytes()), "{other}");
        }
    }
}
