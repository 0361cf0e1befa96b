//! What `report` takes, and what it results in. The doc comments are the schema's descriptions.

use std::{collections::BTreeMap, fmt};

use report_document::{
    ChartOptions, ColumnOptions, CsvOptions, Day, JsonOptions, KeyFiguresOptions, Locale, Page,
    TableOptions, Text,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, json, value::RawValue};

use crate::encoding::Encoding;

/// A row of a request: an object, whose keys are the columns, in their order.
pub(crate) type Row = Box<RawValue>;

/// The arguments of `report`. `rows`, or one source, are enough: then all of it is one table, as JSON.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportArgs {
    /// The tables to query, by name. A name is used in SQL as it is here.
    #[schemars(example = json!({"sales": {"csv": "sales.csv", "delimiter": ";"}, "orders": {"connection": "shop", "query": "SELECT * FROM orders WHERE day >= $1", "parameters": ["2026-01-01"]}}))]
    pub sources: BTreeMap<String, SourceArgs>,
    /// Short for the source `rows`: a list of objects, their keys being the columns.
    #[schemars(with = "Option<Vec<BTreeMap<String, Value>>>", example = json!([{"region": "North", "amount": 12.5}]))]
    #[schemars(extend("x-primary" = true))]
    pub rows: Option<Vec<Row>>,
    /// The SQL query (`DataFusion`'s dialect) whose rows are reported. Without it, all rows of the one source. Sections may
    /// query its rows as the table `result`.
    #[schemars(
        example = &"SELECT region, sum(amount) AS total FROM sales WHERE day >= $from GROUP BY region ORDER BY region"
    )]
    #[schemars(extend("x-primary" = true))]
    pub query: Option<String>,
    /// What `$name` in queries stands for, or, as a list, `$1`, `$2` and so on. Values are bound, never pasted into the
    /// text. A list as a value goes where `IN ($name)` is.
    #[schemars(with = "Value", example = json!({"from": "2026-01-01"}))]
    pub parameters: Option<Value>,
    /// The report's title, by default `Report`.
    #[schemars(example = &"Sales by region")]
    #[schemars(extend("x-primary" = true))]
    pub title: Option<String>,
    /// A line below the title.
    pub subtitle: Option<String>,
    /// Who answers for the report.
    pub author: Option<String>,
    /// The day that the report speaks of.
    pub date: Option<Day>,
    /// Whose clock days and times are read from and shown by: a name of the IANA list, or an offset such as `+02:00`. By
    /// default `UTC`. Times of which no zone is known stay as they are.
    #[schemars(example = &"Europe/Berlin")]
    pub time_zone: Option<String>,
    /// The language of labels, numbers and dates.
    pub locale: Locale,
    /// The paper: size, orientation, margin, header, footer.
    pub page: Page,
    /// How the columns of `query` look, by name: title, format, alignment, width, total.
    #[schemars(example = json!({"total": {"title": "Revenue", "format": {"kind": "currency", "code": "EUR"}, "total": "sum"}}))]
    pub columns: BTreeMap<String, ColumnOptions>,
    /// The column whose equal values form a group with subtotals. The query has to sort by it.
    #[schemars(example = &"region")]
    pub group_by: Option<String>,
    /// What the report consists of, in order. Without sections: one table with the rows of `query`.
    pub sections: Option<Vec<SectionArgs>>,
    /// What to make: a format (`json`, `csv`, `xlsx`, `html`, `pdf`), an object with `path`, or a list of them.
    /// By default `json`.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(schema_with = "outputs_schema")]
    #[schemars(extend("x-primary" = true))]
    pub output: Vec<OutputArgs>,
    /// How long the queries may take together, in seconds; at most what the configuration allows.
    #[schemars(range(min = 0.001))]
    pub query_timeout: Option<f64>,
}

/// A table: one of `csv`, `jsonl`, `rows`, `sqlite` and `connection`, with what belongs to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceArgs {
    /// The path of a CSV file, as it is or gzipped, in a folder that the configuration allows.
    #[schemars(example = &"sales.csv")]
    pub csv: Option<String>,
    /// The path of a file with a JSON object in each line, as it is or gzipped.
    #[schemars(example = &"events.jsonl")]
    pub jsonl: Option<String>,
    /// The rows themselves: a list of objects, their keys being the columns.
    #[schemars(with = "Option<Vec<BTreeMap<String, Value>>>")]
    pub rows: Option<Vec<Row>>,
    /// The path of a `SQLite` file. Say which `table` of it, or give a `query`.
    #[schemars(example = &"shop.db")]
    pub sqlite: Option<String>,
    /// The name of a connection of the configuration. Say which `table`, or give a `query`.
    #[schemars(example = &"shop")]
    pub connection: Option<String>,
    /// A table or view of the database, perhaps with its schema: `public.orders`.
    #[schemars(example = &"orders")]
    pub table: Option<String>,
    /// A query in the database's own SQL. Only reading is allowed.
    #[schemars(example = &"SELECT day, amount FROM orders WHERE day >= $1")]
    pub query: Option<String>,
    /// What the placeholders of `query` stand for, in order: `$1` in `PostgreSQL`, `?` in `MySQL` and `SQLite`.
    #[schemars(example = json!(["2026-01-01"]))]
    pub parameters: Vec<Value>,
    /// CSV: what separates the values. By default the one of `,` `;` tab and `|` that parts all of the first rows alike.
    #[schemars(example = &";")]
    pub delimiter: Option<String>,
    /// CSV: what values with delimiters or line breaks are enclosed in, by default `"`. Nothing, if it is empty.
    pub quote: Option<String>,
    /// CSV: whether the first line has the columns' names, by default yes.
    pub header: Option<bool>,
    /// CSV: the columns' names, in place of those in the file.
    pub columns: Option<Vec<String>>,
    /// CSV: how many lines before the header are left out, whatever they hold.
    #[schemars(range(max = 1_000_000))]
    pub skip_rows: Option<u64>,
    /// CSV: how many rows at the end are left out, such as totals; empty lines and comments don't count.
    #[schemars(range(max = 1000))]
    pub skip_last_rows: Option<u64>,
    /// CSV: what lines begin with that are left out, such as `#`.
    pub comment: Option<String>,
    /// Files: how the text is encoded, for all of the file: `utf-8` (the default), `utf-16` (the default where the byte
    /// order mark says so), or another that browsers know, such as `windows-1252` and `shift_jis`.
    pub encoding: Option<Encoding>,
    /// Texts that stand for no value, such as `NA` and `-`.
    #[schemars(example = json!(["NA", "-"]))]
    pub null_values: Option<Vec<String>>,
    /// Whether numbers are written like `1.234,5`, by default no.
    pub decimal_comma: Option<bool>,
    /// What stands between thousands in numbers: `,` in `1,234.5`, a space, `'`. With `decimal_comma` by default `.`.
    #[schemars(example = &",")]
    pub thousands: Option<String>,
    /// What may stand before or behind numbers and is left out: a currency's sign or code.
    #[schemars(example = &"EUR")]
    pub currency: Option<String>,
    /// How days and times of columns are written, by percent signs as in `strftime`: `%d.%m.%Y`, `%m/%d/%Y %I:%M %p`.
    #[schemars(example = json!({"day": "%d.%m.%Y"}))]
    pub date_formats: BTreeMap<String, String>,
    /// Types of columns, in place of those that the first rows suggest: `text`, `integer`, `number`, `decimal(12,2)`,
    /// `boolean`, `date`, `timestamp`, `timestamptz`.
    #[schemars(example = json!({"zip": "text", "amount": "decimal(12,2)"}))]
    pub types: BTreeMap<String, String>,
}

/// A part of the report: one of `text`, `figures`, `table` and `chart`; all but `text` show a query's rows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SectionArgs {
    /// Words: a text, or an object with `title` and `text`.
    #[serde(deserialize_with = "text")]
    #[schemars(schema_with = "text_schema")]
    pub text: Option<Text>,
    /// Key figures: each column of the query's first row is one.
    pub figures: Option<KeyFiguresOptions>,
    /// A table with the query's rows.
    pub table: Option<TableOptions>,
    /// A chart of the query's rows.
    pub chart: Option<ChartOptions>,
    /// The section's own query. Without it, the report's. The table `result` has the rows of the report's query.
    #[schemars(example = &"SELECT sum(total) AS revenue FROM result")]
    pub query: Option<String>,
}

/// One thing to make.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputArgs {
    /// The format; by default the one that the path's ending says.
    pub format: Option<Format>,
    /// The file to write, in a folder that the configuration allows. Without it, the result has what was made.
    #[schemars(example = &"out/sales.xlsx")]
    pub path: Option<String>,
    /// How CSV is written.
    pub csv: Option<CsvOptions>,
    /// How JSON is written.
    pub json: Option<JsonOptions>,
}

/// What a report is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Everything as data.
    Json,
    /// One table.
    Csv,
    /// A workbook, tables and charts native.
    Xlsx,
    /// One page that needs nothing else.
    Html,
    /// Pages to print.
    Pdf,
}

impl Format {
    pub(crate) const ALL: [Self; 5] = [Self::Json, Self::Csv, Self::Xlsx, Self::Html, Self::Pdf];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Pdf => "pdf",
        }
    }

    /// Whether it is text, and not bytes.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Json | Self::Csv | Self::Html)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What a path's ending says.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let (_, ending) = path.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "htm" => Some(Self::Html),
            ending => Self::from_name(ending),
        }
    }
}

/// What `report` results in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// What was made, in the order of the request.
    pub outputs: Vec<Output>,
    /// How many rows the tables have together.
    pub rows: u64,
    /// What readers of the report should know.
    pub warnings: Vec<Warning>,
}

/// One thing that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Its format.
    pub format: Format,
    /// How long it is in bytes.
    pub bytes: u64,
    /// The file it was written to, as the request named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The JSON itself, where there is no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub json: Option<Box<RawValue>>,
    /// CSV or HTML itself, where there is no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// XLSX or PDF itself in base64, where there is no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Something to know that is not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Warning {
    /// A word for programs.
    pub kind: String,
    /// A sentence for people.
    pub message: String,
}

/// A text, or an object.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text>, D::Error> {
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Option<Text>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or an object with `text`")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Text {
                title: None,
                text: text.to_owned(),
            }))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Text::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(Words)
}

fn text_schema(generator: &mut SchemaGenerator) -> Schema {
    let object = generator.subschema_for::<Text>();
    json_schema!({
        "description": "Words: a text, or an object with `title` and `text`.",
        "anyOf": [{"type": "string"}, object, {"type": "null"}],
        "examples": ["Revenue grew in all regions."]
    })
}

/// A format's name, an object, or a list of both.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OutputArgs>, D::Error> {
    struct One(OutputArgs);
    impl<'de> Deserialize<'de> for One {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(OneVisitor).map(Self)
        }
    }
    struct OneVisitor;
    impl<'de> Visitor<'de> for OneVisitor {
        type Value = OutputArgs;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a format, or an object with `format` or `path`")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<OutputArgs, E> {
            OutputArgs::named(name).map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OutputArgs, A::Error> {
            OutputArgs::deserialize(MapAccessDeserializer::new(map))
        }
    }
    struct Many;
    impl<'de> Visitor<'de> for Many {
        type Value = Vec<OutputArgs>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a format, an object with `format` or `path`, or a list of them")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
            OutputArgs::named(name)
                .map(|output| vec![output])
                .map_err(E::custom)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            OutputArgs::deserialize(MapAccessDeserializer::new(map)).map(|output| vec![output])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut outputs = Vec::new();
            while let Some(One(output)) = list.next_element()? {
                outputs.push(output);
            }
            Ok(outputs)
        }
    }
    deserializer.deserialize_any(Many)
}

impl OutputArgs {
    fn named(name: &str) -> Result<Self, String> {
        let format = Format::from_name(name).ok_or_else(|| {
            let names = Format::ALL.map(|format| format!("`{}`", format.name()));
            format!("there is no format `{name}`, but {}", names.join(", "))
        })?;
        Ok(Self {
            format: Some(format),
            ..Self::default()
        })
    }
}

fn outputs_schema(generator: &mut SchemaGenerator) -> Schema {
    let format = generator.subschema_for::<Format>();
    let object = generator.subschema_for::<OutputArgs>();
    json_schema!({
        "description": "What to make: a format (`json`, `csv`, `xlsx`, `html`, `pdf`), an object with `path`, or a list of them. By default `json`.",
        "anyOf": [format, object, {"type": "array", "items": {"anyOf": [format, object]}}],
        "examples": ["csv", {"path": "out/sales.xlsx"}, ["json", {"format": "pdf", "path": "out/sales.pdf"}]]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &Value) -> Result<ReportArgs, String> {
        serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_named_described_or_listed() {
        let output = |output: Value| read(&json!({"output": output})).map(|args| args.output);
        let csv = OutputArgs {
            format: Some(Format::Csv),
            ..OutputArgs::default()
        };
        let file = OutputArgs {
            path: Some("a.pdf".into()),
            ..OutputArgs::default()
        };
        assert_eq!(output(json!("csv")).unwrap(), std::slice::from_ref(&csv));
        assert_eq!(
            output(json!({"path": "a.pdf"})).unwrap(),
            std::slice::from_ref(&file)
        );
        assert_eq!(
            output(json!(["csv", {"path": "a.pdf"}])).unwrap(),
            [csv, file]
        );
        assert!(
            output(json!("doc"))
                .unwrap_err()
                .contains("there is no format `doc`")
        );
        assert!(output(json!([3])).is_err());
        assert!(
            output(json!({"pth": "a.pdf"}))
                .unwrap_err()
                .contains("unknown field `pth`")
        );
    }

    #[test]
    fn endings_tell_the_format() {
        assert_eq!(Format::of_path("a/b.XLSX"), Some(Format::Xlsx));
        assert_eq!(Format::of_path("a.b/c"), None);
        assert_eq!(Format::of_path("x.htm"), Some(Format::Html));
        assert_eq!(Format::of_path("x.doc"), None);
    }

    #[test]
    fn rows_keep_the_order_of_their_keys() {
        let args = r#"{"rows":[{"z":1,"a":2}],"sections":[{"text":"x"},{"text":{"text":"y"}}]}"#;
        let args: ReportArgs = serde_json::from_str(args).unwrap();
        assert_eq!(args.rows.unwrap()[0].get(), r#"{"z":1,"a":2}"#);
        assert!(
            args.sections
                .unwrap()
                .iter()
                .all(|section| section.text.is_some())
        );
    }
}
