//! Writers, and what feeds several of them at once.

use std::io::{self, Seek, Write};

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    format::free_decimals,
    model::{Document, Text},
    table::{KeyFigures, Table, TableColumn},
    totals::Totals,
    value::Value,
};

/// Where a report is written to: a file, a buffer.
pub trait Sink: Write + Seek + Send {}

impl<T: Write + Seek + Send> Sink for T {}

/// Called often during long steps; an error from it ends them. `Error::stopped()` is what it returns for that.
pub type Check<'a> = dyn FnMut() -> Result<(), Error> + Send + 'a;

/// What a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowKind<'a> {
    /// A row of the data.
    Data,
    /// What the rows of a group come to. The values are those of columns with totals, null elsewhere.
    Subtotal {
        /// The group's value of the column `group_by`.
        group: &'a Value<'a>,
        /// How many rows it has.
        rows: u64,
    },
    /// What all rows come to.
    Total {
        /// How many there are.
        rows: u64,
    },
}

/// Something the reader of a report should know, though it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A word for programs: `missing_glyphs`, `text_cut`, `columns_divided`.
    pub kind: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// One format of a report. `Outputs` calls the methods in order: `begin`, the sections, `finish`.
pub trait Writer: Send {
    /// The report begins.
    ///
    /// # Errors
    /// When it can't be written; the same holds for every method.
    fn begin(&mut self, document: &Document) -> Result<(), Error>;

    /// Writes words.
    ///
    /// # Errors
    /// When it can't be written.
    fn text(&mut self, text: &Text) -> Result<(), Error>;

    /// Writes figures.
    ///
    /// # Errors
    /// When it can't be written.
    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error>;

    /// Draws a chart.
    ///
    /// # Errors
    /// When it can't be written.
    fn chart(&mut self, chart: &Chart) -> Result<(), Error>;

    /// A table begins.
    ///
    /// # Errors
    /// When it can't be written.
    fn table_begin(&mut self, table: &Table) -> Result<(), Error>;

    /// Writes a row of the table.
    ///
    /// # Errors
    /// When it can't be written, or the format holds no more rows.
    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error>;

    /// The table has ended.
    ///
    /// # Errors
    /// When it can't be written.
    fn table_end(&mut self) -> Result<(), Error>;

    /// The report has ended: everything is written and flushed. Calls `check` often.
    ///
    /// # Errors
    /// When it can't be written, or `check` said to stop.
    fn finish(&mut self, check: &mut Check<'_>) -> Result<Vec<Warning>, Error>;
}

/// Feeds one report to several writers at once, and computes totals and subtotals.
pub struct Outputs<'a> {
    document: Document,
    writers: Vec<Box<dyn Writer + 'a>>,
    has_begun: bool,
}

impl<'a> Outputs<'a> {
    /// A report that goes to these writers.
    ///
    /// # Errors
    /// `invalid_option` when the document has no title, or its paper no room for text.
    pub fn new(document: Document, writers: Vec<Box<dyn Writer + 'a>>) -> Result<Self, Error> {
        document.check()?;
        Ok(Self {
            document,
            writers,
            has_begun: false,
        })
    }

    fn each(
        &mut self,
        mut write: impl FnMut(&mut (dyn Writer + 'a)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.has_begun {
            self.has_begun = true;
            for writer in &mut self.writers {
                writer.begin(&self.document)?;
            }
        }
        self.writers
            .iter_mut()
            .try_for_each(|writer| write(writer.as_mut()))
    }

    /// Writes words.
    ///
    /// # Errors
    /// When one of the writers can't.
    pub fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.each(|writer| writer.text(text))
    }

    /// Writes figures.
    ///
    /// # Errors
    /// When one of the writers can't.
    pub fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.each(|writer| writer.key_figures(figures))
    }

    /// Draws a chart.
    ///
    /// # Errors
    /// When one of the writers can't.
    pub fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        self.each(|writer| writer.chart(chart))
    }

    /// Begins a table; its rows go into what is returned.
    ///
    /// # Errors
    /// When one of the writers can't hold such a table.
    pub fn table<'o>(&'o mut self, table: &Table) -> Result<TableFeed<'o, 'a>, Error> {
        self.each(|_| Ok(()))?;
        let mut feed = TableFeed {
            totals: Totals::new(table),
            outputs: self,
            table: table.clone(),
            waiting: Some(Vec::new()),
        };
        if !table.columns.iter().any(TableColumn::has_free_decimals) {
            feed.begin()?;
        }
        Ok(feed)
    }

    /// Ends the report: everything is written and flushed, the sinks are free again.
    ///
    /// # Errors
    /// When it can't be written, or `check` said to stop.
    pub fn finish(mut self, check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        self.each(|_| Ok(()))?;
        let mut warnings = Vec::new();
        for writer in &mut self.writers {
            for warning in writer.finish(check)? {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok(warnings)
    }
}

/// So many rows tell how many decimals a column has.
const SAMPLE_LEN: usize = 200;

/// Takes the rows of one table. They must come sorted by the column `group_by`: a group ends where its value changes.
pub struct TableFeed<'o, 'a> {
    outputs: &'o mut Outputs<'a>,
    table: Table,
    totals: Totals,
    /// The first rows, until the table has begun.
    waiting: Option<Vec<Vec<Value<'static>>>>,
}

impl TableFeed<'_, '_> {
    /// Takes a row with a value for each column.
    ///
    /// # Errors
    /// When one of the writers can't hold it, or a total grows beyond 38 digits.
    pub fn row(&mut self, values: &[Value<'_>]) -> Result<(), Error> {
        if values.len() != self.table.columns.len() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "a row has {} values for {} columns",
                    values.len(),
                    self.table.columns.len()
                ),
            ));
        }
        let Some(waiting) = &mut self.waiting else {
            return self.write(values);
        };
        waiting.push(values.iter().cloned().map(Value::into_owned).collect());
        if waiting.len() >= SAMPLE_LEN {
            self.begin()?;
        }
        Ok(())
    }

    /// Begins the table in all outputs, and hands them the rows that have waited.
    fn begin(&mut self) -> Result<(), Error> {
        let Some(waiting) = self.waiting.take() else {
            return Ok(());
        };
        for (index, column) in self.table.columns.iter_mut().enumerate() {
            if column.has_free_decimals() {
                let values = waiting.iter().filter_map(|row| row.get(index));
                column.decimals_min = values.map(free_decimals).max().unwrap_or(0);
            }
        }
        let table = &self.table;
        self.outputs.each(|writer| writer.table_begin(table))?;
        waiting.iter().try_for_each(|row| self.write(row))
    }

    fn write(&mut self, values: &[Value<'_>]) -> Result<(), Error> {
        if self.totals.ends_group(values) {
            self.subtotal()?;
        }
        self.totals.add(values)?;
        for writer in &mut self.outputs.writers {
            writer.row(RowKind::Data, values)?;
        }
        Ok(())
    }

    /// How many rows there were so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let waiting = self.waiting.as_ref().map_or(0, Vec::len);
        self.totals.rows() + u64::try_from(waiting).unwrap_or(u64::MAX)
    }

    fn subtotal(&mut self) -> Result<(), Error> {
        if let Some((group, rows, values)) = self.totals.take_group()? {
            for writer in &mut self.outputs.writers {
                writer.row(
                    RowKind::Subtotal {
                        group: &group,
                        rows,
                    },
                    &values,
                )?;
            }
        }
        Ok(())
    }

    /// The table has ended. Returns how many rows it has.
    ///
    /// # Errors
    /// When one of the writers can't write totals.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.begin()?;
        self.subtotal()?;
        let rows = self.totals.rows();
        if self.table.has_totals() {
            let values = self.totals.values()?;
            for writer in &mut self.outputs.writers {
                writer.row(RowKind::Total { rows }, &values)?;
            }
        }
        for writer in &mut self.outputs.writers {
            writer.table_end()?;
        }
        Ok(rows)
    }
}

/// A sink in memory that holds no more than it may.
#[derive(Debug)]
pub struct Buffer {
    bytes: io::Cursor<Vec<u8>>,
    len_max: u64,
}

impl Buffer {
    /// A buffer for at most this many bytes.
    #[must_use]
    pub fn new(len_max: u64) -> Self {
        Self {
            bytes: io::Cursor::new(Vec::new()),
            len_max,
        }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_inner()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes.position().saturating_add(len) > self.len_max {
            return Err(Error::new(
                ErrorKind::OutputTooLarge,
                format!(
                    "the output is longer than {} bytes: write it to a file, or select fewer rows",
                    self.len_max
                ),
            )
            .into());
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Buffer {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.bytes.seek(position)
    }
}
