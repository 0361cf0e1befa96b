//! The templates of `send_bulk`, by minijinja, with limits: they come from a client.

use std::{collections::BTreeMap, fmt, io};

use minijinja::{
    AutoEscape, Environment, ErrorKind, Template, UndefinedBehavior, Value, syntax::SyntaxConfig,
};

/// Steps of one rendering; a loop over a recipient's hundred invoices takes a few thousand.
const FUEL: u64 = 200_000;
/// The names of the templates; headers have their own name after [`HEADER`].
const SUBJECT: &str = "subject";
const CONTENTS: &str = "contents";
const HTML: &str = "html";
const HEADER: &str = "headers.";

/// Why nothing can be rendered.
#[derive(Debug)]
pub(crate) enum Error {
    /// The template itself is wrong: everybody's message fails.
    Syntax(minijinja::Error),
    /// These variables are in a template, and not among the recipient's.
    Undefined {
        template: String,
        names: Vec<String>,
    },
    /// It failed for this recipient.
    Render(minijinja::Error),
    TooLong {
        template: String,
        len_max: usize,
    },
}

impl Error {
    /// The word for it that programs get.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Render(_) => "invalid_template",
            Self::Undefined { .. } => "undefined_variable",
            Self::TooLong { .. } => "message_too_long",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "the template is wrong: {error}"),
            Self::Undefined { template, names } => {
                let names = names
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(
                    f,
                    "the recipient has no variable {names}, which `{template}` uses"
                )
            }
            Self::Render(error) => write!(f, "the template fails: {error}"),
            Self::TooLong { template, len_max } => {
                write!(f, "`{template}` becomes longer than {len_max} bytes")
            }
        }
    }
}

impl std::error::Error for Error {}

/// The texts of a bulk, before they are filled in.
pub(crate) struct Sources<'a> {
    pub(crate) subject: Option<&'a str>,
    pub(crate) contents: Option<&'a str>,
    pub(crate) html: Option<&'a str>,
    pub(crate) headers: &'a BTreeMap<String, String>,
}

/// The templates, compiled.
pub(crate) struct Templates<'a> {
    environment: Environment<'a>,
    headers: Vec<(String, String)>,
    len_max: usize,
}

/// The texts of one message.
pub(crate) struct Rendered {
    pub(crate) subject: Option<String>,
    pub(crate) contents: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl<'a> Templates<'a> {
    /// Compiles them. No text may become longer than `len_max` bytes.
    pub(crate) fn new(sources: &Sources<'a>, len_max: usize) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_syntax(syntax()?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| {
            if name == HTML {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        for (name, source) in [
            (SUBJECT, sources.subject),
            (CONTENTS, sources.contents),
            (HTML, sources.html),
        ] {
            if let Some(source) = source {
                environment
                    .add_template(name, source)
                    .map_err(Error::Syntax)?;
            }
        }
        let mut headers = Vec::with_capacity(sources.headers.len());
        for (name, source) in sources.headers {
            let template = format!("{HEADER}{name}");
            environment
                .add_template_owned(template.clone(), source.as_str())
                .map_err(Error::Syntax)?;
            headers.push((name.clone(), template));
        }
        Ok(Self {
            environment,
            headers,
            len_max,
        })
    }

    /// Fills in a recipient's variables.
    pub(crate) fn render(&self, variables: &BTreeMap<String, Value>) -> Result<Rendered, Error> {
        let context = Value::from_pairs(
            variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let optional = |name| match self.environment.get_template(name) {
            Ok(template) => self.render_one(&template, &context).map(Some),
            Err(_) => Ok(None),
        };
        let header = |(name, template): &(String, String)| {
            let template = self
                .environment
                .get_template(template)
                .map_err(Error::Render)?;
            Ok((name.clone(), self.render_one(&template, &context)?))
        };
        Ok(Rendered {
            subject: optional(SUBJECT)?,
            contents: optional(CONTENTS)?,
            html: optional(HTML)?,
            headers: self
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, Error>>()?,
        })
    }

    fn render_one(&self, template: &Template<'_, '_>, context: &Value) -> Result<String, Error> {
        let len_max = self.len_max;
        let mut out = Bounded {
            bytes: Vec::with_capacity(template.source().len() * 2),
            len_max,
        };
        let too_long = || Error::TooLong {
            template: template.name().to_owned(),
            len_max,
        };
        let rendered = template
            .render_captured_to(context.clone(), &mut out)
            .map(drop);
        match rendered {
            Ok(()) => String::from_utf8(out.bytes).map_err(|_| too_long()),
            Err(error) if error.kind() == ErrorKind::WriteFailure => Err(too_long()),
            Err(error) if error.kind() == ErrorKind::UndefinedError => {
                let names = self.undefined(template, context);
                if names.is_empty() {
                    return Err(Error::Render(error));
                }
                Err(Error::Undefined {
                    template: template.name().to_owned(),
                    names,
                })
            }
            Err(error) => Err(Error::Render(error)),
        }
    }

    /// What the template uses and the recipient doesn't have; a dot leads into another variable.
    fn undefined(&self, template: &Template<'_, '_>, context: &Value) -> Vec<String> {
        let is_global = |path: &String| self.environment.globals().any(|(name, _)| name == path);
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.retain(|path| !has(context, path) && !is_global(path));
        names.sort();
        names
    }
}

/// Jinja's own, but that a text keeps its last line end.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .build()
        .map_err(Error::Syntax)
}

/// Whether `context` has what stands at `path`, which is `a` or `a.b`.
fn has(context: &Value, path: &str) -> bool {
    let inner = path
        .split('.')
        .try_fold(context.clone(), |value, key| value.get_attr(key).ok());
    inner.is_some_and(|value| !value.is_undefined())
}

/// Collects what is rendered, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    len_max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.len_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources<'a>(contents: &'a str, headers: &'a BTreeMap<String, String>) -> Sources<'a> {
        Sources {
            subject: None,
            contents: Some(contents),
            html: None,
            headers,
        }
    }

    fn variables(json: serde_json::Value) -> BTreeMap<String, Value> {
        serde_json::from_value(json).unwrap()
    }

    fn render(contents: &str, json: serde_json::Value) -> Result<String, Error> {
        let headers = BTreeMap::new();
        let templates = Templates::new(&sources(contents, &headers), 10_000)?;
        Ok(templates.render(&variables(json))?.contents.unwrap())
    }

    #[test]
    fn variables_are_filled_in() {
        let json = serde_json::json!({"name": "Jürgen", "n": 3, "order": {"id": "A-7"}, "items": ["x", "y"], "no": null});
        let cases = [
            (
                "Hello {{ name }}, {{ n }} of {{order.id}}\n",
                "Hello Jürgen, 3 of A-7\n",
            ),
            ("{% for i in items %}{{ i }};{% endfor %}", "x;y;"),
            ("{% if gone %}a{% else %}b{% endif %}", "b"),
            ("{{ gone | default('friend') }}", "friend"),
            ("{{ n * 2 }} {{ name | upper }}", "6 JÜRGEN"),
            (
                "plain } text { with {braces}",
                "plain } text { with {braces}",
            ),
            ("<b>{{ '<' }}</b>", "<b><</b>"),
        ];
        for (template, wanted) in cases {
            assert_eq!(
                render(template, json.clone()).unwrap(),
                wanted,
                "{template}"
            );
        }
    }

    #[test]
    fn html_is_escaped_and_nothing_else() {
        let headers = BTreeMap::from([("X-Name".to_owned(), "{{ name }}".to_owned())]);
        let source = Some("<p>{{ name }}</p>");
        let sources = Sources {
            subject: source,
            contents: source,
            html: source,
            headers: &headers,
        };
        let templates = Templates::new(&sources, 10_000).unwrap();
        let rendered = templates
            .render(&variables(serde_json::json!({"name": "<Max> & Co"})))
            .unwrap();
        assert_eq!(rendered.html.unwrap(), "<p>&lt;Max&gt; &amp; Co</p>");
        for text in [rendered.subject, rendered.contents] {
            assert_eq!(text.unwrap(), "<p><Max> & Co</p>");
        }
        assert_eq!(
            rendered.headers,
            [("X-Name".to_owned(), "<Max> & Co".to_owned())]
        );
    }

    #[test]
    fn an_undefined_variable_is_named() {
        let cases = [
            ("Hello {{ name }}", serde_json::json!({}), "`name`"),
            (
                "{{ n }} {{ order.id }}",
                serde_json::json!({"n": 1, "order": {}}),
                "`order.id`",
            ),
            ("{{ a }} {{ b }}", serde_json::json!({}), "`a`, `b`"),
            (
                "{% for i in items %}{{ i }}{% endfor %}{{ range(3) }}",
                serde_json::json!({}),
                "`items`",
            ),
            ("{{ a.b.c }}", serde_json::json!({"a": {}}), "`a.b.c`"),
        ];
        for (template, json, wanted) in cases {
            let error = render(template, json).unwrap_err();
            assert_eq!(error.kind(), "undefined_variable", "{error}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_wrong_template_is_refused() {
        for template in [
            "{{ name",
            "{% if x %}",
            "{{ x | nope }}",
            "{% include 'other' %}",
        ] {
            let error = render(template, serde_json::json!({"x": 1, "name": 1})).unwrap_err();
            assert_eq!(error.kind(), "invalid_template", "{template}: {error}");
        }
    }

    #[test]
    fn no_template_runs_for_ever_or_fills_the_memory() {
        let long = serde_json::json!({"x": "x".repeat(1000)});
        let cases = [
            (
                "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
                "invalid_template",
            ),
            (
                "{% for i in range(100) %}{{ x }}{% endfor %}",
                "message_too_long",
            ),
        ];
        for (template, kind) in cases {
            let error = render(template, long.clone()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
        assert!(render("{{ x }}{{ ''|e }}", long).is_ok());
        assert!(
            render(&"{% if 1 %}".repeat(10_000), serde_json::json!({})).is_err(),
            "deep nesting"
        );
    }
}
