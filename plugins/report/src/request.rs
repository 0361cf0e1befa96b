//! A request that was checked: which sources there are, which queries, which sections.

use std::{collections::BTreeMap, sync::Arc};

use report_document::{ChartOptions, Document, KeyFiguresOptions, TableOptions, Text};

use crate::{
    args::{Encoding, ReportArgs, Row, SectionArgs, SourceArgs},
    columns::Kind,
    config::Checked,
    database::{self, Dialect, Origin, Question},
    error::{Result, Trouble, unknown},
    source::{
        self, Source,
        chunks::Bytes,
        csv::{self, Csv},
        json_lines::JsonLines,
    },
    sql::{Parameters, Select},
    watch::Watch,
};

/// More sections than this are not what anybody reads.
const SECTIONS_MAX: usize = 200;
/// The name of the source that `rows` makes.
const ROWS: &str = "rows";

/// A report that can be made, as far as can be told without its data.
pub(crate) struct Request {
    pub(crate) document: Document,
    pub(crate) sources: BTreeMap<String, Wanted>,
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
pub(crate) enum Wanted {
    Csv {
        path: String,
        dialect: csv::Dialect,
        names: Option<Vec<String>>,
        kinds: Vec<(String, Kind)>,
    },
    JsonLines {
        path: String,
        kinds: Vec<(String, Kind)>,
    },
    Rows {
        rows: Vec<Row>,
        kinds: Vec<(String, Kind)>,
    },
    Database(Question),
}

impl Request {
    pub(crate) fn check(args: ReportArgs, config: &Checked) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for (name, source) in args.sources {
            check_name(&name)?;
            let wanted =
                Wanted::check(&name, source, config).map_err(|trouble| match trouble.kind {
                    "invalid_report" => trouble.within(&format!("source `{name}`")),
                    _ => trouble,
                })?;
            sources.insert(name, wanted);
        }
        if let Some(rows) = args.rows {
            let wanted = Wanted::Rows {
                rows,
                kinds: Vec::new(),
            };
            if sources.insert(ROWS.to_owned(), wanted).is_some() {
                return Err(Trouble::args(
                    "`rows` is there twice: as an argument, and as a source",
                ));
            }
        }
        let has_own_queries =
            |section: &SectionArgs| section.query.is_some() || section.text.is_some();
        let needs_query = match &args.sections {
            Some(sections) => !sections.iter().all(has_own_queries),
            None => true,
        };
        let query = match &args.query {
            Some(text) => Some(Select::parse(text)?),
            None => match (sources.keys().next(), sources.len()) {
                (Some(name), 1) => Some(Select::parse(
                    &Dialect::Sqlite
                        .whole_table(&name.replace('.', "\u{0}"))
                        .replace('\u{0}', "."),
                )?),
                (None, _) if needs_query => {
                    return Err(Trouble::args(
                        "there are no rows: give `rows`, or `sources`, or a `query` that needs none",
                    ));
                }
                _ if needs_query => {
                    return Err(Trouble::args(
                        "with several sources there has to be a `query`",
                    ));
                }
                _ => None,
            },
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
                return Err(Trouble::args(
                    "`columns` and `group_by` belong into the `table` of a section when there are `sections`",
                ));
            }
            Some(sections) if sections.is_empty() || sections.len() > SECTIONS_MAX => {
                return Err(Trouble::args(format!(
                    "there have to be 1 to {SECTIONS_MAX} `sections`"
                )));
            }
            Some(sections) => {
                let sections = sections.into_iter().zip(1..);
                sections
                    .map(|(section, number)| check_section(section, number))
                    .collect::<Result<_>>()?
            }
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
            sources,
            parameters: Parameters::new(args.parameters)?,
            query,
            sections,
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 100 || name.contains('\0') {
        return Err(Trouble::args("a source's name has 1 to 100 bytes"));
    }
    if name == crate::engine::RESULT {
        return Err(Trouble::args(
            "a source can't be named `result`: that is the table with the rows of `query`",
        ));
    }
    Ok(())
}

fn check_section(section: SectionArgs, number: usize) -> Result<Section> {
    let place = format!("section {number}");
    let wrong = |message: &str| Err(Trouble::args(format!("{place}: {message}")));
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

impl Wanted {
    fn check(name: &str, args: SourceArgs, config: &Checked) -> Result<Self> {
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
            return Err(Trouble::args(
                "it has to be one of `csv`, `jsonl`, `rows`, `sqlite` and `connection`",
            ));
        };
        let is_csv = origin == "csv";
        let is_database = matches!(origin, "sqlite" | "connection");
        for (key, is_set, fits) in [
            ("table", args.table.is_some(), is_database),
            ("query", args.query.is_some(), is_database),
            ("parameters", !args.parameters.is_empty(), is_database),
            ("delimiter", args.delimiter.is_some(), is_csv),
            ("quote", args.quote.is_some(), is_csv),
            ("header", args.header.is_some(), is_csv),
            ("columns", args.columns.is_some(), is_csv),
            ("decimal_comma", args.decimal_comma.is_some(), is_csv),
            ("encoding", args.encoding.is_some(), is_csv),
        ] {
            if is_set && !fits {
                return Err(Trouble::args(format!(
                    "`{key}` means nothing beside `{origin}`"
                )));
            }
        }
        let kinds = kinds(&args)?;
        if let Some(path) = args.jsonl {
            return Ok(Self::JsonLines { path, kinds });
        }
        if let Some(rows) = args.rows {
            return Ok(Self::Rows { rows, kinds });
        }
        if is_database {
            return question(name, args, kinds, config).map(Self::Database);
        }
        let dialect = csv::Dialect {
            delimiter: byte("delimiter", args.delimiter.as_deref())?,
            quote: match args.quote.as_deref() {
                None => Some(b'"'),
                Some("") => None,
                quote => byte("quote", quote)?,
            },
            has_header: args.header.unwrap_or(true),
            decimal_comma: args.decimal_comma.unwrap_or(false),
            is_windows_1252: args.encoding == Some(Encoding::Windows1252),
        };
        if dialect.delimiter.is_some() && dialect.delimiter == dialect.quote {
            return Err(Trouble::args("`delimiter` and `quote` are the same"));
        }
        Ok(Self::Csv {
            path: args.csv.unwrap_or_default(),
            dialect,
            names: args.columns,
            kinds,
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
        let file = |path: &str| {
            let within = |trouble: Trouble| trouble.within(&format!("source `{name}`"));
            let file = config
                .read
                .open_file(path)
                .map_err(|error| within(Trouble::file(&error)))?;
            Bytes::file(file).map_err(|error| within(Trouble::io("the file can't be read", &error)))
        };
        Ok(match self {
            Self::Csv {
                path,
                dialect,
                names,
                kinds,
            } => {
                let mut csv = Csv::open(Arc::clone(&name), file(&path)?, dialect, names)?;
                source::override_kinds(&name, &mut csv.columns, &kinds)?;
                Source::Csv(Arc::new(csv))
            }
            Self::JsonLines { path, kinds } => {
                let mut lines = JsonLines::file(Arc::clone(&name), file(&path)?)?;
                source::override_kinds(&name, &mut lines.columns, &kinds)?;
                Source::JsonLines(Arc::new(lines))
            }
            Self::Rows { rows, kinds } => {
                let mut lines = JsonLines::rows(Arc::clone(&name), &rows)?;
                source::override_kinds(&name, &mut lines.columns, &kinds)?;
                Source::JsonLines(Arc::new(lines))
            }
            Self::Database(question) => {
                Source::Database(Arc::new(database::Query::open(runtime, watch, question)?))
            }
        })
    }
}

fn kinds(args: &SourceArgs) -> Result<Vec<(String, Kind)>> {
    let kinds = args.types.iter().map(|(column, text)| match Kind::parse(text) {
        Some(kind) => Ok((column.clone(), kind)),
        None => Err(Trouble::args(format!(
            "`types`: column `{column}`: there is no type {text:?}, but text, integer, number, decimal(12,2), boolean, date and timestamp"
        ))),
    });
    kinds.collect()
}

fn byte(key: &str, text: Option<&str>) -> Result<Option<u8>> {
    match text.map(str::as_bytes) {
        None => Ok(None),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(Some(*byte)),
        Some(_) => Err(Trouble::args(format!(
            "`{key}` has to be one ASCII character"
        ))),
    }
}

fn question(
    name: &str,
    args: SourceArgs,
    kinds: Vec<(String, Kind)>,
    config: &Checked,
) -> Result<Question> {
    let (origin, dialect) = match (args.sqlite, args.connection) {
        (Some(shown), _) => {
            let path = config
                .read
                .real_path(&shown)
                .map_err(|error| Trouble::file(&error).within(&format!("source `{name}`")))?;
            (Origin::Sqlite { path, shown }, Dialect::Sqlite)
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
        (None, Some(_)) => return Err(Trouble::args("`table` is no table's name")),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Trouble::args("it needs a `table` or a `query`"));
        }
    };
    Ok(Question {
        name: name.into(),
        origin,
        sql,
        parameters: args.parameters,
        kinds,
    })
}
