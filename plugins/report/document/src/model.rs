//! What a report looks like: plain data that a request embeds as it is. The doc comments become the schema's descriptions.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{calendar, error::Error};

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

/// The size of a sheet of paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PageSize {
    /// 210 × 297 mm
    #[default]
    A4,
    /// 297 × 420 mm
    A3,
    /// 148 × 210 mm
    A5,
    /// 8.5 × 11 in
    Letter,
    /// 8.5 × 14 in
    Legal,
}

/// How the paper lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// Upright; the pages of a table that needs the width lie.
    #[default]
    Auto,
    /// Upright.
    Portrait,
    /// Lying.
    Landscape,
}

/// The paper of PDF, and of XLSX and HTML when they are printed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// The size of the paper.
    pub size: PageSize,
    /// How the paper lies.
    pub orientation: Orientation,
    /// Margin on all four sides in millimetres, 5 to 60. By default 18.
    #[schemars(range(min = 5, max = 60))]
    pub margin_mm: Option<f32>,
    /// What stands on top of each page. By default the title from the second page on.
    pub header: Option<Band>,
    /// What stands at the bottom of each page. By default the date on the left and `{page} / {pages}` on the right.
    pub footer: Option<Band>,
}

/// A page's header or footer. `{page}`, `{pages}`, `{title}`, `{subtitle}`, `{author}` and `{date}` stand for what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Band {
    /// On the left side.
    #[schemars(example = &"{title}")]
    pub left: String,
    /// In the middle.
    pub center: String,
    /// On the right side.
    #[schemars(example = &"{page} / {pages}")]
    pub right: String,
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

/// How a date is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DateStyle {
    /// 11/21/2026 · 21.11.2026 · 2026/11/21
    #[default]
    Short,
    /// Nov 21, 2026 · 21. Nov. 2026 · 2026年11月21日
    Medium,
    /// November 21, 2026 · 21. November 2026 · 2026年11月21日
    Long,
    /// Saturday, November 21, 2026 · Samstag, 21. November 2026 · 2026年11月21日土曜日
    Full,
    /// 2026-11-21
    Iso,
}

/// How a value is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the column's type.
    #[default]
    Auto,
    /// As it is.
    Text,
    /// A number with thousands separators.
    Number {
        /// Digits after the decimal point, 0 to 15. By default as many as there are, at most 6.
        decimals: Option<u8>,
        /// Whether thousands are separated. Without it, `1234` stays `1234`: right for years and numbers of orders.
        grouping: bool,
    },
    /// An amount of money.
    Currency {
        /// The ISO 4217 code.
        code: String,
        /// Digits after the decimal point. By default those of the currency: 2 for EUR, 0 for JPY.
        decimals: Option<u8>,
    },
    /// A share: 0.125 is shown as 12.5%.
    Percent {
        /// Digits after the decimal point, by default 1.
        decimals: Option<u8>,
    },
    /// The day of a date or timestamp.
    Date {
        /// How it is written.
        style: DateStyle,
        /// A pattern in place of the style: `yyyy-MM-dd`, `dd.MM.yy`, `d MMMM yyyy`, `EEE`, `MMM yyyy`.
        pattern: Option<String>,
    },
    /// Day and time of a timestamp.
    Timestamp {
        /// How the day is written.
        style: DateStyle,
        /// A pattern in place of the style: `yyyy-MM-dd HH:mm:ss`.
        pattern: Option<String>,
        /// Whether seconds are shown.
        seconds: bool,
    },
}

/// The object that stands for a [`Format`].
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum FormatObject {
    /// By the column's type.
    Auto {},
    /// As it is, numbers without separators.
    Text {},
    /// A number with thousands separators.
    Number {
        /// Digits after the decimal point, 0 to 15. By default as many as there are, at most 6.
        #[schemars(range(max = 15))]
        decimals: Option<u8>,
        /// Whether thousands are separated. `false` is right for years and numbers of orders.
        #[serde(default = "yes")]
        grouping: bool,
    },
    /// An amount of money.
    Currency {
        /// The ISO 4217 code, such as `EUR`.
        #[schemars(example = &"EUR", pattern(r"^[A-Z]{3}$"))]
        code: String,
        /// Digits after the decimal point. By default those of the currency: 2 for EUR, 0 for JPY.
        #[schemars(range(max = 15))]
        decimals: Option<u8>,
    },
    /// A share: 0.125 is shown as 12.5%.
    Percent {
        /// Digits after the decimal point, by default 1.
        #[schemars(range(max = 15))]
        decimals: Option<u8>,
    },
    /// The day of a date or timestamp.
    Date {
        /// How it is written.
        #[serde(default)]
        style: DateStyle,
        /// A pattern in place of the style, of `yyyy yy MMMM MMM MM M dd d EEEE EEE`.
        #[schemars(example = &"d MMMM yyyy")]
        pattern: Option<String>,
    },
    /// Day and time of a timestamp.
    Timestamp {
        /// How the day is written.
        #[serde(default)]
        style: DateStyle,
        /// A pattern in place of the style, which also knows `HH H hh h mm ss a`.
        #[schemars(example = &"yyyy-MM-dd HH:mm")]
        pattern: Option<String>,
        /// Whether seconds are shown.
        #[serde(default)]
        seconds: bool,
    },
}

fn yes() -> bool {
    true
}

const FORMAT_NAMES: [&str; 7] = [
    "auto",
    "text",
    "number",
    "integer",
    "percent",
    "date",
    "timestamp",
];

impl Format {
    /// The format that a name alone stands for: `auto`, `text`, `number`, `integer`, `percent`, `date`, `timestamp`.
    ///
    /// # Errors
    /// When there is no such format, or it needs more than its name.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "auto" => Self::Auto,
            "text" => Self::Text,
            "number" => Self::Number {
                decimals: None,
                grouping: true,
            },
            "integer" => Self::Number {
                decimals: Some(0),
                grouping: true,
            },
            "percent" => Self::Percent { decimals: None },
            "date" => Self::Date {
                style: DateStyle::Short,
                pattern: None,
            },
            "timestamp" => Self::Timestamp {
                style: DateStyle::Short,
                pattern: None,
                seconds: false,
            },
            "currency" => {
                return Err(Error::invalid_option(
                    "the format currency needs the currency's code: {\"kind\":\"currency\",\"code\":\"EUR\"}",
                ));
            }
            other => {
                return Err(Error::invalid_option(format!(
                    "there is no format {other:?}: there are {} and objects with a kind",
                    FORMAT_NAMES.join(", ")
                )));
            }
        })
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Format;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a format, or an object with its kind")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Format, E> {
                Format::from_name(name).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Format, A::Error> {
                let object = FormatObject::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let format = match object {
                    FormatObject::Auto {} => Format::Auto,
                    FormatObject::Text {} => Format::Text,
                    FormatObject::Number { decimals, grouping } => {
                        Format::Number { decimals, grouping }
                    }
                    FormatObject::Currency { code, decimals } => {
                        Format::Currency { code, decimals }
                    }
                    FormatObject::Percent { decimals } => Format::Percent { decimals },
                    FormatObject::Date { style, pattern } => Format::Date { style, pattern },
                    FormatObject::Timestamp {
                        style,
                        pattern,
                        seconds,
                    } => Format::Timestamp {
                        style,
                        pattern,
                        seconds,
                    },
                };
                format.check().map_err(de::Error::custom)?;
                Ok(format)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Format {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<FormatObject>();
        json_schema!({
            "description": "How a value is shown: a name, or an object with its kind and details.",
            "anyOf": [{"type": "string", "enum": FORMAT_NAMES}, object],
            "examples": ["percent", {"kind": "currency", "code": "EUR"}]
        })
    }
}

/// On which side a column's values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// On the left side.
    Left,
    /// In the middle.
    Center,
    /// On the right side.
    Right,
}

/// What stands below a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Total {
    /// The sum of the numbers, exact for integers and decimals.
    Sum,
    /// The sum divided by the number of values that aren't null.
    Average,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many values aren't null.
    Count,
}

/// How one column of a table looks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnOptions {
    /// The column's heading. By default its name.
    #[schemars(example = &"Revenue")]
    pub title: Option<String>,
    /// How its values are shown.
    pub format: Format,
    /// On which side they stand. By default numbers on the right, all else on the left.
    pub align: Option<Align>,
    /// The column's width in characters, 2 to 200. By default as wide as its values need.
    #[schemars(range(min = 2, max = 200))]
    pub width: Option<f32>,
    /// What stands below the column, and below each group.
    pub total: Option<Total>,
}

/// How a table looks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableOptions {
    /// The table's heading. In XLSX also the name of its sheet.
    #[schemars(example = &"Revenue by region")]
    pub title: Option<String>,
    /// The column whose equal values form a group with a subtotal. The rows must come sorted by it.
    #[schemars(example = &"region")]
    pub group_by: Option<String>,
    /// How the columns look, by name. Columns that aren't here look as their type suggests.
    #[schemars(example = serde_json::json!({"revenue": {"title": "Revenue", "format": {"kind": "currency", "code": "EUR"}, "total": "sum"}}))]
    pub columns: BTreeMap<String, ColumnOptions>,
}

/// The kind of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// A bar for each category and series, side by side.
    Bar,
    /// A bar for each category, its series one upon another.
    StackedBar,
    /// A line for each series.
    Line,
    /// A slice for each category, of one series without negative values.
    Pie,
}

/// How a chart looks, and what it shows.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChartOptions {
    /// The kind of the chart.
    #[schemars(example = &"stacked_bar")]
    pub kind: ChartKind,
    /// The chart's heading.
    pub title: Option<String>,
    /// The column with the categories: the labels of the axis, or of a pie's slices.
    #[schemars(example = &"month")]
    pub x: String,
    /// The columns with the values, one series each.
    #[schemars(example = serde_json::json!(["revenue", "cost"]), length(min = 1))]
    pub series: Vec<String>,
    /// A column whose values divide the one column of `series` into a series each.
    #[schemars(example = &"region")]
    #[serde(default)]
    pub series_by: Option<String>,
    /// How the values are shown.
    #[serde(default)]
    pub format: Format,
    /// Headings of the series, in place of the columns' names or the values of `series_by`.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"revenue": "Revenue"}))]
    pub titles: BTreeMap<String, String>,
}

/// Words between tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// A heading.
    #[serde(default)]
    pub title: Option<String>,
    /// Plain text. An empty line begins a new paragraph, `# ` and `## ` at the start of a line a heading, `- ` a point of a list.
    #[schemars(example = &"Revenue grew in all regions.\n\n- North leads\n- South follows")]
    pub text: String,
}

/// A row of figures, each in large letters: every column of the query's first row is one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFiguresOptions {
    /// A heading.
    pub title: Option<String>,
    /// Titles and formats of the figures, by column. Align, width and total mean nothing here.
    #[schemars(example = serde_json::json!({"revenue": {"title": "Revenue", "format": {"kind": "currency", "code": "EUR"}}}))]
    pub columns: BTreeMap<String, ColumnOptions>,
}

/// How CSV is written. Values are raw, for programs: `1234.5`, `2026-11-21`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// What separates the values: one of `,` `;` `|` or a tab. By default a comma, and a semicolon where values are
    /// `localized` in a language that writes numbers with a decimal comma, as Excel does there.
    #[schemars(example = &";")]
    pub delimiter: Option<char>,
    /// Whether the file begins with a byte order mark, from which Excel knows that it is UTF-8.
    pub bom: bool,
    /// Whether the first line has the columns' headings.
    pub header: bool,
    /// Whether subtotals and totals are written as further lines.
    pub totals: bool,
    /// Whether values are written as a reader of the report's language expects them, with the columns' formats.
    pub localized: bool,
    /// Whether texts that a spreadsheet would take for a formula (`=`, `+`, `-`, `@`, tab and carriage return at the
    /// start) get an apostrophe in front. Needed when the file holds what strangers wrote and is opened in Excel.
    pub escape_formulas: bool,
    /// The title of the table to write, for reports with several tables.
    pub table: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            bom: false,
            header: true,
            totals: false,
            localized: false,
            escape_formulas: false,
            table: None,
        }
    }
}

/// How JSON is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonOptions {
    /// The shape of rows: `objects` with the columns' names, or `arrays`, which are shorter.
    pub rows: JsonRows,
    /// How decimals and integers beyond 2^53 are written: as a `number` with all of its digits, or as a `string` for
    /// readers that would round it.
    pub exact: JsonExact,
}

/// The shape of rows in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonRows {
    /// `{"region":"North","revenue":12.50}`
    #[default]
    Objects,
    /// `["North",12.50]`
    Arrays,
}

/// How decimals and large integers are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonExact {
    /// `12345678901234567890.12`
    #[default]
    Number,
    /// `"12345678901234567890.12"`
    String,
}

impl Document {
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
