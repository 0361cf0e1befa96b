//! What a worker's plugin prints, as lines of the host's log.

use std::time::Instant;

use service::rate::{self, Rate, Sample};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Longest printed line that is logged, in bytes.
const PRINTED_LINE_LEN_MAX: u64 = 8 * 1024;
/// Printed lines a second and stream that are logged; the rest are counted and left out.
const PRINTED_LINES_PER_SECOND_MAX: u32 = 200;
/// A longer printed line counts as several of this length, in bytes.
const PRINTED_LINE_LEN_USUAL: usize = 512;

/// How much a printed line counts.
fn weight(line: &str) -> u32 {
    rate::weight(line.len(), PRINTED_LINE_LEN_USUAL)
}

/// Logs what a plugin prints, line by line.
pub(super) async fn log_printed(
    stream: impl AsyncRead + Unpin,
    name: &'static str,
    plugin: String,
    pid: u32,
) {
    let mut reader = BufReader::new(stream);
    let mut sample = Sample::new(Rate::per_second(PRINTED_LINES_PER_SECOND_MAX));
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(PRINTED_LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        match sample.take_for(weight(text), Instant::now()) {
            Some(0) => {
                tracing::info!(target: "plugin", plugin, worker = pid, stream = name, "{text}");
            }
            Some(left_out) => {
                tracing::warn!(target: "plugin", plugin, worker = pid, stream = name, left_out, "printed too much");
                tracing::info!(target: "plugin", plugin, worker = pid, stream = name, "{text}");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_bounded_by_bytes_too() {
        let mut sample = Sample::new(Rate::per_second(PRINTED_LINES_PER_SECOND_MAX));
        let (now, line) = (Instant::now(), "x".repeat(8 * 1024));
        let shown = (0..1000).filter(|_| sample.take_for(weight(&line), now).is_some());
        assert!(shown.count() * line.len() <= 100 * 1024);
        assert_eq!((weight(""), weight("a usual line")), (1, 1));
    }
}
