//! What a request may ask of a task that runs in the background: a promise instead of a reply.

use serde::Deserialize;

use crate::encode;
use crate::object::field;

/// The longest key, limit key or version, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// No time that a request asks for is longer: a year, in milliseconds.
pub const ASKED_MS_MAX: u64 = 365 * 24 * 3600 * 1000;

/// How a task in the background is to be kept, run and tried again. Times are milliseconds, and at most
/// [`ASKED_MS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Background {
    /// At most one unfinished task of a function, and of a subject, has it. At most [`NAME_LEN_MAX`] bytes.
    pub key: Option<String>,
    /// For so long from receipt the key stays taken, though the task has ended. 0: no longer than the task.
    pub unique_ms: u64,
    /// It does not begin before so long from receipt.
    pub delay_ms: u64,
    /// 1 to 9; 1 goes first.
    pub priority: u8,
    /// How often it is tried again.
    pub retry: Retry,
    /// What hasn't finished so long after receipt is discarded.
    pub deadline_ms: Option<u64>,
    /// How long the task can be asked for after its end; as long as the host says, where it is none.
    pub result_ttl_ms: Option<u64>,
    /// What it is counted with. At most [`NAME_LEN_MAX`] bytes.
    pub limit_key: Option<String>,
    /// Only this version of its plugin runs it. At most [`NAME_LEN_MAX`] bytes.
    pub version: Option<String>,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            key: None,
            unique_ms: 0,
            delay_ms: 0,
            priority: 5,
            retry: Retry::default(),
            deadline_ms: None,
            result_ttl_ms: None,
            limit_key: None,
            version: None,
        }
    }
}

/// How often a task that failed is tried again, and after how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u32,
    /// The wait after the first attempt, in milliseconds; each further one is twice as long.
    pub base_ms: u64,
    /// The longest wait, in milliseconds.
    pub cap_ms: u64,
    /// After which failures.
    pub on: RetryOn,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 5,
            base_ms: 1_000,
            cap_ms: 3_600_000,
            on: RetryOn::Any,
        }
    }
}

/// Which failures are tried again. `invalid_args` and `result_too_large` never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// All others.
    Any,
    /// Those that say that they are `retryable`.
    Retryable,
}

/// The fields beside `background`, which mean nothing without it.
pub(crate) const FIELDS: [&str; 9] = [
    "key",
    "unique_ms",
    "delay_ms",
    "priority",
    "retry",
    "deadline_ms",
    "result_ttl_ms",
    "limit_key",
    "version",
];

const RETRY_EXPECTED: &str = r#"an object like {"max":5,"base_ms":1000,"cap_ms":3600000,"on":"any"}, where "on" is "any" or "retryable""#;

impl Background {
    /// Reads what a request says of it; `None` where it is to be answered as usual.
    pub(crate) fn read(
        background: Option<&str>,
        fields: [Option<&str>; FIELDS.len()],
    ) -> Result<Option<Box<Self>>, String> {
        let is_wanted =
            background.map_or(Ok(false), |raw| field("background", raw, "true or false"))?;
        if !is_wanted {
            return match fields.iter().position(Option::is_some) {
                None => Ok(None),
                Some(index) => Err(format!(
                    "field `{}` is for tasks in the background; send \"background\":true with it, or leave it out",
                    FIELDS[index]
                )),
            };
        }
        let [
            key,
            unique_ms,
            delay_ms,
            priority,
            retry,
            deadline_ms,
            result_ttl_ms,
            limit_key,
            version,
        ] = fields;
        let fallback = Self::default();
        let read = Self {
            key: key.map(|raw| name("key", raw)).transpose()?,
            unique_ms: time("unique_ms", unique_ms, 0)?.unwrap_or(fallback.unique_ms),
            delay_ms: time("delay_ms", delay_ms, 0)?.unwrap_or(fallback.delay_ms),
            priority: priority.map_or(Ok(fallback.priority), parse_priority)?,
            retry: retry.map_or(Ok(fallback.retry), parse_retry)?,
            deadline_ms: time("deadline_ms", deadline_ms, 1)?,
            result_ttl_ms: time("result_ttl_ms", result_ttl_ms, 0)?,
            limit_key: limit_key.map(|raw| name("limit_key", raw)).transpose()?,
            version: version.map(|raw| name("version", raw)).transpose()?,
        };
        if read.unique_ms > 0 && read.key.is_none() {
            return Err("field `unique_ms` needs a `key`, which it keeps taken".to_owned());
        }
        Ok(Some(Box::new(read)))
    }

    /// Appends the fields, each after a comma; what is as it would be without a word is left out.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let usual = Self::default();
        out.extend_from_slice(b",\"background\":true");
        text(out, "key", self.key.as_ref());
        let unless = |usual: u64, value: u64| Some(value).filter(|value| *value != usual);
        number(out, "unique_ms", unless(usual.unique_ms, self.unique_ms));
        number(out, "delay_ms", unless(usual.delay_ms, self.delay_ms));
        let priority = unless(usual.priority.into(), self.priority.into());
        number(out, "priority", priority);
        if self.retry != usual.retry {
            let Retry {
                max,
                base_ms,
                cap_ms,
                on,
            } = self.retry;
            let on = match on {
                RetryOn::Any => "any",
                RetryOn::Retryable => "retryable",
            };
            let retry = format!(
                ",\"retry\":{{\"max\":{max},\"base_ms\":{base_ms},\"cap_ms\":{cap_ms},\"on\":\"{on}\"}}"
            );
            out.extend_from_slice(retry.as_bytes());
        }
        number(out, "deadline_ms", self.deadline_ms);
        number(out, "result_ttl_ms", self.result_ttl_ms);
        text(out, "limit_key", self.limit_key.as_ref());
        text(out, "version", self.version.as_ref());
    }
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        encode::value(out, value);
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
}

/// A name of 1 to [`NAME_LEN_MAX`] bytes, without NUL, which databases don't keep.
fn name(name: &str, raw: &str) -> Result<String, String> {
    let value: String = field(name, raw, "a string of Unicode characters")?;
    match value.len() {
        1..=NAME_LEN_MAX if value.contains('\0') => {
            Err(format!("field `{name}` has a NUL character; leave it out"))
        }
        1..=NAME_LEN_MAX => Ok(value),
        len => Err(format!(
            "field `{name}` has {len} bytes; it has 1 to {NAME_LEN_MAX}"
        )),
    }
}

fn time(name: &str, raw: Option<&str>, least: u64) -> Result<Option<u64>, String> {
    let Some(raw) = raw else { return Ok(None) };
    let expected =
        format!("an integer of {least} to {ASKED_MS_MAX}, in milliseconds (a year at most)");
    let ms: u64 = field(name, raw, &expected)?;
    if (least..=ASKED_MS_MAX).contains(&ms) {
        Ok(Some(ms))
    } else {
        Err(format!("field `{name}` must be {expected}, got {ms}"))
    }
}

fn parse_priority(raw: &str) -> Result<u8, String> {
    const EXPECTED: &str = "an integer of 1 to 9, where 1 goes first";
    match field("priority", raw, EXPECTED)? {
        priority @ 1..=9 => Ok(priority),
        other => Err(format!("field `priority` must be {EXPECTED}, got {other}")),
    }
}

fn parse_retry(raw: &str) -> Result<Retry, String> {
    let retry: Retry = serde_json::from_str(raw)
        .map_err(|error| format!("field `retry` must be {RETRY_EXPECTED}: {error}"))?;
    if retry.base_ms > ASKED_MS_MAX || retry.cap_ms > ASKED_MS_MAX {
        return Err(format!(
            "field `retry` has a wait of more than {ASKED_MS_MAX} ms, which is a year"
        ));
    }
    Ok(retry)
}

/// A trace context, as W3C's Trace Context, level 1, writes it: a version and three numbers in lower-case hexadecimal
/// digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Box<[u8; Self::LEN]>);

impl TraceParent {
    const LEN: usize = 55;

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All of it is ASCII.
        std::str::from_utf8(&self.0[..]).unwrap_or_default()
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lens = text.split('-').map(str::len);
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        let is_one = lens.eq([2, 32, 16, 2]) && text.bytes().all(is_hex);
        let bytes = text.as_bytes().try_into().ok().filter(|_| is_one)?;
        Some(Self(Box::new(bytes)))
    }

    pub(crate) fn read(raw: &str) -> Result<Self, String> {
        let expected =
            "a W3C trace context like \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"";
        let text: String = field("traceparent", raw, expected)?;
        Self::parse(&text).ok_or_else(|| format!("field `traceparent` must be {expected}"))
    }
}
