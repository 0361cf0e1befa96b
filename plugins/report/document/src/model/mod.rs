//! What a report looks like: plain data that a request embeds as it is. The doc comments become the schema's descriptions.

mod format;
mod options;
mod page;

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{calendar, direction::is_rtl, error::Error};

pub use format::{DateStyle, Format};
pub use options::{
    Align, ChartKind, ChartOptions, ColumnOptions, CsvOptions, JsonExact, JsonOptions, JsonRows,
    KeyFiguresOptions, TableOptions, Text, Total,
};
pub use page::{Band, Orientation, Page, PageSize};

/// The language of a report's labels, numbers and dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Locale {
    /// English, United States: 1,234.50 · 11/21/2026
    #[default]
    #[serde(rename = "en", alias = "en-US", alias = "en_US")]
    En,
    /// English, United Kingdom: 1,234.50 · 21/11/2026
    #[serde(rename = "en-GB", alias = "en_GB")]
    EnGb,
    /// German: 1.234,50 · 21.11.2026
    #[serde(rename = "de", alias = "de-DE", alias = "de_DE", alias = "de-AT")]
    De,
    /// French: 1 234,50 · 21/11/2026
    #[serde(rename = "fr", alias = "fr-FR", alias = "fr_FR")]
    Fr,
    /// Japanese: 1,234.50 · 2026/11/21, long 2026年11月21日
    #[serde(rename = "ja", alias = "ja-JP", alias = "ja_JP")]
    Ja,
}

/// A day, written as `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// Days since 1970-01-01.
    pub days: i32,
}

impl FromStr for Day {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        calendar::parse_day(text)
            .map(|days| Self { days })
            .ok_or_else(|| {
                Error::invalid_option(format!(
                    "{text:?} is not a date: write year, month and day, such as \"2026-11-21\""
                ))
            })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        calendar::date_from_days(self.days).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date", "examples": ["2026-11-21"]})
    }
}

/// The frame of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The report's title; must not be empty.
    pub title: String,
    /// A line below the title.
    pub subtitle: Option<String>,
    /// Who answers for it.
    pub author: Option<String>,
    /// The day it speaks of, or was made on.
    pub date: Option<Day>,
    /// The language of labels, numbers and dates.
    pub locale: Locale,
    /// The paper.
    pub page: Page,
}

impl Document {
    /// What stands on top of each page where nothing else is asked for: the title, where its readers begin. The first
    /// page has it in large letters.
    pub(crate) fn own_header(&self) -> Band {
        let title = || "{title}".to_owned();
        if self.is_rtl() {
            Band {
                right: title(),
                ..Band::default()
            }
        } else {
            Band {
                left: title(),
                ..Band::default()
            }
        }
    }

    /// What stands at the bottom of each page: what was asked for, or the date and the page's number.
    pub(crate) fn footer(&self) -> Band {
        if let Some(footer) = &self.page.footer {
            return footer.clone();
        }
        let (left, right) = ("{date}".to_owned(), "{page} / {pages}".to_owned());
        let (left, right) = if self.is_rtl() {
            (right, left)
        } else {
            (left, right)
        };
        Band {
            left,
            center: String::new(),
            right,
        }
    }

    /// Whether it reads from right to left: its title does. Then first columns stand on the right side.
    pub(crate) fn is_rtl(&self) -> bool {
        is_rtl(&self.title)
    }

    /// Whether title and paper are possible.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.title.trim().is_empty() {
            return Err(Error::invalid_option("a report needs a title"));
        }
        if let Some(margin) = self.page.margin_mm
            && !(5.0..=60.0).contains(&margin)
        {
            return Err(Error::invalid_option(format!(
                "margin_mm: {margin} is not between 5 and 60"
            )));
        }
        Ok(())
    }
}
