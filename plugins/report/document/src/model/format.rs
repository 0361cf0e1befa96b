//! How values are shown: a name, or an object with its kind.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::Error;

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
