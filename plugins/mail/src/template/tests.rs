use serde_json::json;

use super::*;

fn variables(json: Value) -> Map<String, Value> {
    serde_json::from_value(json).unwrap()
}

fn render(contents: &str, json: Value) -> Result<String, Error> {
    let headers = BTreeMap::new();
    let sources = Sources {
        envelope_from: None,
        subject: None,
        contents: Some(contents),
        html: None,
        headers: &headers,
    };
    let templates = Templates::new(&sources, 10_000)?;
    let (own, shared) = (variables(json), Map::new());
    let rendered = templates.render(&Variables {
        own: &own,
        shared: &shared,
    })?;
    Ok(rendered.contents.unwrap())
}

#[test]
fn variables_are_filled_in() {
    let json = json!({"name": "Jürgen", "n": 3, "x": 1.5, "yes": true, "order": {"id": "A-7"}, "items": ["a", {"b": 2}]});
    let cases = [
        (
            "Hello {{ name }}, {{n}} of {{order.id}}\n",
            "Hello Jürgen, 3 of A-7\n",
        ),
        (
            "{{ x }} {{ yes }} {{ items.0 }} {{ items.1.b }}",
            "1.5 true a 2",
        ),
        ("{{ name }}{{ name }}", "JürgenJürgen"),
        ("{{\n\tname\n}}", "Jürgen"),
        (
            "plain } text { with {braces} and }} and %}",
            "plain } text { with {braces} and }} and %}",
        ),
        ("{{ \"{{ name }}\" }}{{ \"{%\" }}", "{{ name }}{%"),
        ("{{{ name }}}", ""),
        ("", ""),
    ];
    for (template, wanted) in cases {
        match render(template, json.clone()) {
            Ok(text) => assert_eq!(text, wanted, "{template}"),
            Err(error) => assert!(
                matches!(error, Error::Syntax { .. }) && wanted.is_empty(),
                "{template}: {error}"
            ),
        }
    }
}

#[test]
fn a_default_stands_for_what_is_missing_or_empty() {
    let json = json!({"name": "Max", "nothing": null, "empty": "", "zero": 0});
    let cases = [
        ("{{ name | default(\"friend\") }}", "Max"),
        ("{{ nobody | default(\"friend\") }}!", "friend!"),
        ("{{nobody|default('a \"}}\" b')}}", "a \"}}\" b"),
        (
            "{{ nothing | default( \"x\" ) }}{{ empty | default(\"y\") }}",
            "xy",
        ),
        (
            "{{ a.b.c | default(\"\") }}{{ zero | default(\"none\") }}",
            "0",
        ),
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
fn a_default_is_text_in_html_too() {
    let headers = BTreeMap::new();
    let sources = Sources {
        envelope_from: None,
        subject: None,
        contents: None,
        html: Some("<p>{{ name | default(\"<you>\") }}</p>"),
        headers: &headers,
    };
    let templates = Templates::new(&sources, 10_000).unwrap();
    let none = Map::new();
    let rendered = templates.render(&Variables {
        own: &none,
        shared: &none,
    });
    assert_eq!(rendered.unwrap().html.unwrap(), "<p>&lt;you&gt;</p>");
}

#[test]
fn what_a_variable_holds_is_never_a_template() {
    let json = json!({"a": "{{ b }}", "b": "secret"});
    assert_eq!(render("{{ a }}", json).unwrap(), "{{ b }}");
}

#[test]
fn html_is_escaped_and_nothing_else() {
    let headers = BTreeMap::from([("X-Name".to_owned(), "{{ name }}".to_owned())]);
    let source = Some("<p>{{ name }}</p>");
    let sources = Sources {
        envelope_from: None,
        subject: source,
        contents: source,
        html: source,
        headers: &headers,
    };
    let templates = Templates::new(&sources, 10_000).unwrap();
    let own = variables(json!({"name": "<Max> & \"Co\" 'ü'"}));
    let rendered = templates
        .render(&Variables {
            own: &own,
            shared: &Map::new(),
        })
        .unwrap();
    assert_eq!(
        rendered.html.unwrap(),
        "<p>&lt;Max&gt; &amp; &quot;Co&quot; &#39;ü&#39;</p>"
    );
    for text in [rendered.subject, rendered.contents] {
        assert_eq!(text.unwrap(), "<p><Max> & \"Co\" 'ü'</p>");
    }
    assert_eq!(
        rendered.headers,
        [("X-Name".to_owned(), "<Max> & \"Co\" 'ü'".to_owned())]
    );
}

#[test]
fn what_is_undefined_is_named() {
    let cases = [
        ("Hello {{ name }}", json!({}), "`name`,"),
        ("Hello {{ name }}", json!({"name": null}), "`name`,"),
        (
            "{{ n }} {{ order.id }}",
            json!({"n": 1, "order": {}}),
            "`order.id`,",
        ),
        ("{{ b }} {{ a }} {{ b }}", json!({}), "`a`, `b`,"),
        ("{{ a.b.c }}", json!({"a": "text"}), "`a.b.c`,"),
        ("{{ a.2 }}{{ a.x }}", json!({"a": [1, 2]}), "`a.2`, `a.x`,"),
    ];
    for (template, json, wanted) in cases {
        let error = render(template, json).unwrap_err();
        assert_eq!(error.kind(), "undefined_variable", "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    for json in [json!({"a": []}), json!({"a": {"b": 1}})] {
        assert_eq!(
            render("{{ a }}", json).unwrap_err().kind(),
            "invalid_variable"
        );
    }
}

#[test]
fn a_wrong_template_is_refused() {
    for template in [
        "{{ name",
        "{{",
        "{{}}",
        "{{ a b }}",
        "{{ a | upper }}",
        "{{ a | default }}",
        "{{ a | default() }}",
        "{{ a | default(x) }}",
        "{{ a | default(\"x) }}",
        "{{ a | default(\"x\" }}",
        "{{ a | default(\"x\") b }}",
        "{{ | default(\"x\") }}",
        "{% if a %}",
        "{{ a. }}",
        "{{ \"a }}",
        "{{ \"a\" b }}",
        &format!("{{{{ {} }}}}", "a".repeat(1000)),
    ] {
        let error = render(template, json!({"a": 1, "name": 1})).unwrap_err();
        assert_eq!(error.kind(), "invalid_template", "{template}: {error}");
        assert!(
            error.to_string().starts_with("`contents`: at `{"),
            "{error}"
        );
    }
}

#[test]
fn a_text_has_a_limit() {
    let error = render("{{ x }}{{ x }}", json!({"x": "x".repeat(6000)})).unwrap_err();
    assert_eq!(error.kind(), "message_too_long", "{error}");
}

proptest::proptest! {
    #[test]
    fn no_template_panics(template in "[{}\" a.|\\PC]{0,40}") {
        let _ = render(&template, json!({"a": {"a": "x"}}));
    }

    #[test]
    fn text_without_braces_stays_as_it_is(text in "[^{]{0,60}") {
        proptest::prop_assert_eq!(render(&text, json!({})).unwrap(), text);
    }
}
