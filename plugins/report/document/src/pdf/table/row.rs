//! Rows as texts.

use crate::{
    format::Formatter, letters::Weight, locale::Language, output::RowKind, table::TableColumn,
    value::Value,
};

/// More than the lines of a cell hold, in bytes.
const CELL_LEN_MAX: usize = 16_000;

/// A row as texts, one behind the other.
#[derive(Default)]
pub(super) struct Row {
    text: String,
    ends: Vec<usize>,
    pub(super) style: Style,
    /// The cell that may reach into empty ones beside it.
    pub(super) label: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Data,
    Subtotal,
    Total,
}

impl Style {
    pub(super) fn weight(self) -> Weight {
        if self == Self::Data {
            Weight::Regular
        } else {
            Weight::Bold
        }
    }
}

impl Row {
    pub(super) fn cell(&self, index: usize) -> &str {
        let from = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        self.ends
            .get(index)
            .and_then(|to| self.text.get(from..*to))
            .unwrap_or_default()
    }
}

/// What makes texts of a table's values.
pub(super) struct Texts {
    pub(super) columns: Vec<TableColumn>,
    pub(super) language: &'static Language,
    formatters: Vec<Formatter>,
    group_by: Option<usize>,
    /// Cells of which a part is not shown.
    pub(super) cells_cut: u64,
}

impl Texts {
    pub(super) fn new(
        columns: Vec<TableColumn>,
        group_by: Option<usize>,
        locale: crate::model::Locale,
    ) -> Self {
        Self {
            formatters: columns
                .iter()
                .map(|column| column.formatter(locale))
                .collect(),
            columns,
            language: locale.language(),
            group_by,
            cells_cut: 0,
        }
    }

    pub(super) fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Row {
        let mut row = Row {
            ends: Vec::with_capacity(values.len()),
            ..Row::default()
        };
        let label = match kind {
            RowKind::Data => None,
            RowKind::Subtotal { group, .. } => {
                row.style = Style::Subtotal;
                let at = self.group_by.unwrap_or(0);
                let group = self
                    .formatters
                    .get(at)
                    .map(|formatter| formatter.text(group))
                    .unwrap_or_default();
                Some((at, self.language.subtotal_of(&group)))
            }
            RowKind::Total { .. } => {
                row.style = Style::Total;
                Some((0, self.language.total.to_owned()))
            }
        };
        for (index, (value, formatter)) in values.iter().zip(&self.formatters).enumerate() {
            match &label {
                Some((at, text)) if *at == index && value.is_null() => {
                    row.text.push_str(text);
                    row.label = Some(index);
                }
                _ => match value {
                    Value::Text(text) if text.len() > CELL_LEN_MAX => {
                        row.text.push_str(
                            text.get(..text.floor_char_boundary(CELL_LEN_MAX))
                                .unwrap_or_default(),
                        );
                        self.cells_cut += 1;
                    }
                    _ => formatter.write(value, &mut row.text),
                },
            }
            row.ends.push(row.text.len());
        }
        row
    }
}
