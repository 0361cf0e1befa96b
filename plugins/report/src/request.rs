//! A request that was checked: which sources there are, which queries, which sections.

use std::{collections::BTreeMap, sync::Arc};

use report_document::{ChartOptions, Document, KeyFiguresOptions, TableOptions, Text};

use crate::{
    args::{ReportArgs, Row, SectionArgs, SourceArgs},
    columns::{self, Given, Kind, Zone},
    config::Checked,
    database::{self, Origin, SourceQuery},
    encoding::Encoding,
    error::{Result, Trouble, invalid_report, unknown},
    source::{
        Source,
        bytes::Bytes,
        csv::Csv,
        dialect::{self, Dialect, Values},
        json_lines::JsonLines,
    },
    sql::{Parameters, Select},
    watch::Watch,
};

/// The most sections of a report.
const SECTIONS_MAX: usize = 200;
/// The name of the source that `rows` makes.
const ROWS: &str = "rows";

/// A report that can be made, as far as can be told without its data.
pub(crate) struct Request {
    pub(crate) document: Document,
    pub(crate) zone: Zone,
    pub(crate) sources: BTreeMap<String, CheckedSource>,
    pub(crate) parameters: Parameters,
    /// The report's query.
    pub(crate) query: Option<Select>,
    pub(crate) sections: Vec<Section>,
}

pub(crate) struct Section {
    pub(crate) content: Content,
    /// A query of its own, in place of the report's.
    pub(crate) query: Option<Select>,
    /// For messages: "section 2"; nothing where there are no sections.
    pub(crate) place: Option<String>,
}

pub(crate) enum Content {
    Text(Text),
    Figures(KeyFiguresOptions),
    Table(TableOptions),
    Chart(ChartOptions),
}

/// A source that was checked.
pub(crate) enum CheckedSource {
    Csv {
        path: String,
        encoding: Encoding,
        dialect: Dialect,
        names: Option<Vec<String>>,
        given: Given,
    },
    JsonLines {
        path: String,
        encoding: Encoding,
        values: Values,
        given: Given,
    },
    Rows {
        rows: Vec<Row>,
        values: Values,
        given: Given,
    },
    Database(SourceQuery),
}

impl Request {
    pub(crate) fn check(args: ReportArgs, config: &Checked) -> Result<Self> {
        let zone = zone(args.time_zone.as_deref())?;
        let sources = check_sources(args.sources, args.rows, zone, config)?;
        let query = match &args.query {
            Some(text) => Some(Select::parse(text)?),
            None => query_of_all(&sources, args.sections.as_deref())?,
        };
        let sections = match args.sections {
            None => {
                let options = TableOptions {
                    title: None,
                    group_by: args.group_by,
                    columns: args.columns,
                };
                vec![Section {
                    content: Content::Table(options),
                    query: None,
                    place: None,
                }]
            }
            Some(_) if args.group_by.is_some() || !args.columns.is_empty() => {
                return Err(invalid_report(
                    "`columns` and `group_by` belong into the `table` of a section when there are `sections`",
                ));
            }
            Some(sections) => check_sections(sections)?,
        };
        Ok(Self {
            document: Document {
                title: args.title.unwrap_or_else(|| String::from("Report")),
                subtitle: args.subtitle,
                author: args.author,
                date: args.date,
                locale: args.locale,
                page: args.page,
            },
            zone,
            sources,
            parameters: Parameters::new(args.parameters)?,
            query,
            sections,
        })
    }
}

fn check_sources(
    sources: BTreeMap<String, SourceArgs>,
    rows: Option<Vec<Row>>,
    zone: Zone,
    config: &Checked,
) -> Result<BTreeMap<String, CheckedSource>> {
    let mut checked = BTreeMap::new();
    for (name, source) in sources {
        check_name(&name)?;
        let source = CheckedSource::check(&name, source, zone, config).map_err(|trouble| {
            match trouble.kind {
                "invalid_report" => trouble.within(&format!("source `{name}`")),
                _ => trouble,
            }
        })?;
        checked.insert(name, source);
    }
    if let Some(rows) = rows {
        let source = CheckedSource::Rows {
            rows,
            values: Values::default(),
            given: Given::default(),
        };
        if checked.insert(ROWS.to_owned(), source).is_some() {
            return Err(invalid_report(
                "`rows` is there twice: as an argument, and as a source",
            ));
        }
    }
    Ok(checked)
}

/// The query of a report that names none: all of its one source, if a section needs it.
fn query_of_all(
    sources: &BTreeMap<String, CheckedSource>,
    sections: Option<&[SectionArgs]>,
) -> Result<Option<Select>> {
    let has_own = |section: &SectionArgs| section.query.is_some() || section.text.is_some();
    let is_needed = sections.is_none_or(|sections| !sections.iter().all(has_own));
    match (sources.keys().next(), sources.len()) {
        (Some(name), 1) => {
            // A dot in the name doesn't part a schema from a table here.
            let query = database::Dialect::Sqlite.whole_table(&name.replace('.', "\u{0}"));
            Select::parse(&query.replace('\u{0}', ".")).map(Some)
        }
        (None, _) if is_needed => Err(invalid_report(
            "there are no rows: give `rows`, or `sources`, or a `query` that needs none",
        )),
        _ if is_needed => Err(invalid_report(
            "with several sources there has to be a `query`",
        )),
        _ => Ok(None),
    }
}

fn check_sections(sections: Vec<SectionArgs>) -> Result<Vec<Section>> {
    if sections.is_empty() || sections.len() > SECTIONS_MAX {
        return Err(invalid_report(format!(
            "there have to be 1 to {SECTIONS_MAX} `sections`"
        )));
    }
    let sections = sections.into_iter().zip(1..);
    sections
        .map(|(section, number)| check_section(section, number))
        .collect()
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 100 || name.contains('\0') {
        return Err(invalid_report("a source's name has 1 to 100 bytes"));
    }
    if name == crate::engine::RESULT {
        return Err(invalid_report(
            "a source can't be named `result`: that is the table with the rows of `query`",
        ));
    }
    Ok(())
}

fn check_section(section: SectionArgs, number: usize) -> Result<Section> {
    let place = format!("section {number}");
    let wrong = |message: &str| Err(invalid_report(format!("{place}: {message}")));
    let content = match (section.text, section.figures, section.table, section.chart) {
        (Some(text), None, None, None) => Content::Text(text),
        (None, Some(figures), None, None) => Content::Figures(figures),
        (None, None, Some(table), None) => Content::Table(table),
        (None, None, None, Some(chart)) => Content::Chart(chart),
        _ => return wrong("it has to be one of `text`, `figures`, `table` and `chart`"),
    };
    if matches!(content, Content::Text(_)) && section.query.is_some() {
        return wrong("a text has no `query`");
    }
    let query = section.query.as_deref().map(Select::parse).transpose();
    Ok(Section {
        content,
        query: query.map_err(|trouble| trouble.within(&place))?,
        place: Some(place),
    })
}

impl CheckedSource {
    fn check(name: &str, args: SourceArgs, zone: Zone, config: &Checked) -> Result<Self> {
        let origins = [
            ("csv", args.csv.is_some()),
            ("jsonl", args.jsonl.is_some()),
            ("rows", args.rows.is_some()),
            ("sqlite", args.sqlite.is_some()),
            ("connection", args.connection.is_some()),
        ];
        let mut given = origins
            .iter()
            .filter(|(_, is_given)| *is_given)
            .map(|(key, _)| *key);
        let (Some(origin), None) = (given.next(), given.next()) else {
            return Err(invalid_report(
                "it has to be one of `csv`, `jsonl`, `rows`, `sqlite` and `connection`",
            ));
        };
        let is_csv = origin == "csv";
        let is_file = is_csv || origin == "jsonl";
        let has_texts = is_file || origin == "rows";
        let is_database = matches!(origin, "sqlite" | "connection");
        for (key, is_set, fits) in [
            ("table", args.table.is_some(), is_database),
            ("query", args.query.is_some(), is_database),
            ("parameters", !args.parameters.is_empty(), is_database),
            ("delimiter", args.delimiter.is_some(), is_csv),
            ("quote", args.quote.is_some(), is_csv),
            ("header", args.header.is_some(), is_csv),
            ("columns", args.columns.is_some(), is_csv),
            ("skip_rows", args.skip_rows.is_some(), is_csv),
            ("skip_last_rows", args.skip_last_rows.is_some(), is_csv),
            ("comment", args.comment.is_some(), is_csv),
            ("encoding", args.encoding.is_some(), is_file),
            ("decimal_comma", args.decimal_comma.is_some(), has_texts),
            ("thousands", args.thousands.is_some(), has_texts),
            ("currency", args.currency.is_some(), has_texts),
            ("null_values", args.null_values.is_some(), has_texts),
            ("date_formats", !args.date_formats.is_empty(), has_texts),
        ] {
            if is_set && !fits {
                return Err(invalid_report(format!(
                    "`{key}` means nothing beside `{origin}`"
                )));
            }
        }
        let given = dialect::given(&args)?;
        if is_database {
            return database_query(name, args, given.kinds, zone, config).map(Self::Database);
        }
        let encoding = args.encoding.unwrap_or_default();
        if is_csv {
            return Ok(Self::Csv {
                encoding,
                dialect: Dialect::check(&args)?,
                path: args.csv.unwrap_or_default(),
                names: args.columns,
                given,
            });
        }
        let values = Values::check(&args)?;
        if let Some(rows) = args.rows {
            return Ok(Self::Rows {
                rows,
                values,
                given,
            });
        }
        Ok(Self::JsonLines {
            path: args.jsonl.unwrap_or_default(),
            encoding,
            values,
            given,
        })
    }

    /// Opens the source and finds out what its columns are.
    pub(crate) fn open(
        self,
        name: &str,
        config: &Checked,
        runtime: &tokio::runtime::Runtime,
        watch: &Arc<Watch>,
    ) -> Result<Source> {
        let name: Arc<str> = name.into();
        let file = |path: &str, encoding: Encoding| {
            let within = |trouble: Trouble| trouble.within(&format!("source `{name}`"));
            let file = config
                .folders
                .read
                .open_file(path)
                .map_err(|error| within(error.into()))?;
            Bytes::file(file, encoding)
                .map_err(|error| within(Trouble::io("the file can't be read", &error)))
        };
        Ok(match self {
            Self::Csv {
                path,
                encoding,
                dialect,
                names,
                given,
            } => {
                let bytes = file(&path, encoding)?;
                let mut csv = Csv::open(Arc::clone(&name), bytes, dialect, names)?;
                columns::apply(&name, &mut csv.columns, &given)?;
                Source::Csv(Arc::new(csv))
            }
            Self::JsonLines {
                path,
                encoding,
                values,
                given,
            } => {
                let bytes = file(&path, encoding)?;
                let mut lines = JsonLines::file(Arc::clone(&name), bytes, values)?;
                columns::apply(&name, &mut lines.columns, &given)?;
                Source::JsonLines(Arc::new(lines))
            }
            Self::Rows {
                rows,
                values,
                given,
            } => {
                let mut lines = JsonLines::rows(Arc::clone(&name), &rows, values)?;
                columns::apply(&name, &mut lines.columns, &given)?;
                Source::JsonLines(Arc::new(lines))
            }
            Self::Database(query) => Source::Database(Arc::new(database::StartedQuery::open(
                runtime, watch, query,
            )?)),
        })
    }
}

fn zone(name: Option<&str>) -> Result<Zone> {
    let Some(name) = name else {
        return Ok(Zone::default());
    };
    Zone::parse(name).ok_or_else(|| {
        invalid_report(format!(
            "`time_zone`: {name:?} is not a time zone; write a name such as Europe/Berlin, or an offset such as +02:00"
        ))
    })
}

fn database_query(
    name: &str,
    args: SourceArgs,
    kinds: Vec<(String, Kind)>,
    zone: Zone,
    config: &Checked,
) -> Result<SourceQuery> {
    let (origin, dialect) = match (args.sqlite, args.connection) {
        (Some(shown), _) => {
            let path = config
                .folders
                .read
                .real_path(&shown)
                .map_err(|error| Trouble::from(error).within(&format!("source `{name}`")))?;
            (Origin::Sqlite { path, shown }, database::Dialect::Sqlite)
        }
        (None, Some(wanted)) => {
            let Some(connection) = config.connections.get(&wanted) else {
                let known = config.connections.keys().map(String::as_str);
                return Err(unknown("unknown_connection", "connection", &wanted, known)
                    .within(&format!("source `{name}`")));
            };
            (Origin::Server(connection.clone()), connection.dialect())
        }
        (None, None) => return Err(Trouble::internal("a database source without a database")),
    };
    let sql = match (args.query, args.table) {
        (Some(query), None) => {
            database::check_query(&query, dialect)
                .map_err(|trouble| trouble.within(&format!("source `{name}`")))?;
            query
        }
        (None, Some(table)) if !table.is_empty() && !table.contains('\0') => {
            dialect.whole_table(&table)
        }
        (None, Some(_)) => return Err(invalid_report("`table` has to be the name of a table")),
        (None, None) | (Some(_), Some(_)) => {
            return Err(invalid_report("it needs a `table` or a `query`"));
        }
    };
    Ok(SourceQuery {
        name: name.into(),
        origin,
        sql,
        parameters: args.parameters,
        kinds,
        zone,
    })
}
