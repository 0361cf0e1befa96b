//! Background tasks as a table, for people. Pure.

use std::fmt::Write as _;

use serde::Deserialize;

/// What the table shows of a task.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Row {
    task: String,
    state: String,
    why: Option<String>,
    function: String,
    key: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    attempts: u32,
    /// In milliseconds of Unix time, like the others.
    #[serde(default)]
    created_at_ms: i64,
    #[serde(default)]
    available_at_ms: i64,
    ended_at_ms: Option<i64>,
    #[serde(default)]
    cancel_asked: bool,
}

const HEAD: [&str; 9] = [
    "TASK", "STATE", "WHY", "FUNCTION", "TRIES", "AGE", "WHEN", "KEY", "SUBJECT",
];

/// The rows below a head, each column as wide as it has to be, and no newline at the end. Times are as far from `now_ms` as
/// they are.
pub(super) fn of(rows: &[Row], now_ms: i64) -> String {
    let cells = rows.iter().map(|row| row.cells(now_ms));
    let cells: Vec<[String; 9]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(cells)
        .collect();
    let widths: [usize; 9] = std::array::from_fn(|column| {
        let widths = cells.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    });
    let lines = cells.iter().map(|row| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // A String takes whatever is written to it.
            let _ = write!(line, "{cell:width$}  ");
        }
        line.truncate(line.trim_end().len());
        line
    });
    lines.collect::<Vec<String>>().join("\n")
}

/// A task that has changed, on a line of its own.
pub(super) fn change(row: &Row) -> String {
    let subject = row.subject.as_deref().map(shown).unwrap_or_default();
    let line = format!(
        "{}  {:<15}  {}  {subject}",
        shown(&row.task),
        row.state(),
        shown(&row.function)
    );
    line.trim_end().to_owned()
}

impl Row {
    fn state(&self) -> String {
        if self.cancel_asked {
            format!("{}, to stop", shown(&self.state))
        } else {
            shown(&self.state)
        }
    }

    fn cells(&self, now_ms: i64) -> [String; 9] {
        let optional = |text: &Option<String>| text.as_deref().map(shown).unwrap_or_default();
        [
            shown(&self.task),
            self.state(),
            optional(&self.why),
            shown(&self.function),
            self.attempts.to_string(),
            span(now_ms.saturating_sub(self.created_at_ms)),
            self.when(now_ms),
            optional(&self.key),
            optional(&self.subject),
        ]
    }

    /// When it goes on, if that is later, or how long ago it ended.
    fn when(&self, now_ms: i64) -> String {
        if let Some(ended) = self.ended_at_ms {
            return format!("{} ago", span(now_ms.saturating_sub(ended)));
        }
        let wait = self.available_at_ms.saturating_sub(now_ms);
        if matches!(self.state.as_str(), "scheduled" | "retryable") && wait > 0 {
            return format!("in {}", span(wait));
        }
        String::new()
    }
}

/// What others have named, without what would speak to the terminal.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// So many milliseconds, in its two largest units. A clock that is behind the host's makes no time negative.
fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be_and_say_when() {
        let now = 1_700_000_000_000;
        let row = |state: &str, function: &str| Row {
            task: "0197f3c2".into(),
            state: state.into(),
            function: function.into(),
            created_at_ms: now - 61_000,
            available_at_ms: now - 61_000,
            ..Row::default()
        };
        let rows = [
            Row {
                available_at_ms: now + 90_061_000,
                attempts: 2,
                why: Some("back_off".into()),
                key: Some("order 7\x1b[2J".into()),
                ..row("retryable", "send_mail")
            },
            Row {
                ended_at_ms: Some(now - 3_600_000),
                subject: Some("ada".into()),
                ..row("completed", "echo")
            },
            Row {
                cancel_asked: true,
                // By a clock that goes ahead of this one.
                created_at_ms: now + 5_000,
                ..row("running", "echo")
            },
        ];
        assert_eq!(
            of(&rows, now),
            "\
TASK      STATE             WHY       FUNCTION   TRIES  AGE    WHEN       KEY               SUBJECT
0197f3c2  retryable         back_off  send_mail  2      1m01s  in 1d01h   order 7\\u{1b}[2J
0197f3c2  completed                   echo       0      1m01s  1h00m ago                    ada
0197f3c2  running, to stop            echo       0      0s"
        );
        assert_eq!(change(&rows[1]), "0197f3c2  completed        echo  ada");
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        for (ms, text) in [
            (-1, "0s"),
            (999, "0s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (3_599_000, "59m59s"),
            (3_600_000, "1h00m"),
            (86_399_000, "23h59m"),
            (86_400_000, "1d00h"),
        ] {
            assert_eq!(span(ms), text, "{ms}");
        }
    }
}
