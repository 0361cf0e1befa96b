//! What a request says of its tables, charts, texts and outputs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Format;

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
