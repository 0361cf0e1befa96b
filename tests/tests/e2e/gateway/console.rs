//! What people enter into the console, and what they see of results and refusals.

use serde_json::{Value, json};
use tests::{Browser, Gateway, GatewaySetup, Host, Look, Plugin, run, venv_python, workspace_dir};

use super::browser::{field, foreign_page, page, wait_for_states};

/// Keeps what links lead to: the page's policy lets no script fetch it.
fn note_what_can_be_saved(browser: &Browser) {
    browser.eval(
        "window.blobs = new Map();
         const made = URL.createObjectURL;
         URL.createObjectURL = (blob) => {
            const url = made.call(URL, blob);
            window.blobs.set(url, blob);
            return url;
         };",
    );
}

/// A browser that shows the form of `echo`.
fn open_echo(gateway: &Gateway) -> Browser {
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/#echo"));
    browser.wait_for("#connection[data-state=open]");
    browser.wait_for("#function textarea");
    note_what_can_be_saved(&browser);
    browser
}

/// What would be saved by that link.
fn saved(browser: &Browser, link: &str) -> String {
    browser.wait_for(link);
    let text = browser.eval_async(&format!(
        "window.blobs.get(document.querySelector({}).href).text().then(done)",
        json!(link)
    ));
    text.as_str().unwrap().to_owned()
}

/// Enters a text where the form asks for JSON.
fn enter_json(browser: &Browser, text: &str) {
    browser.eval(&format!(
        "const field = document.querySelector('#function textarea'); field.value = {}; field.dispatchEvent(new Event('input'))",
        json!(text)
    ));
}

#[test]
fn numbers_keep_all_their_digits_on_the_way_there_and_back() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open_echo(&gateway);
    let sent = r#"[{"id":9007199254740993,"price":0.1000000000000000055511151231257827,"n":1e400,"small":7.50}]"#;
    enter_json(&browser, sent);
    browser.click("#function button.primary");
    wait_for_states(&browser, &["done"]);
    let cells = browser
        .eval("return [...document.querySelectorAll('#history td')].map((one) => one.textContent)");
    let digits = json!([
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "1e400",
        "7.5"
    ]);
    assert_eq!(cells, digits);
    browser.click("#history .result > details > summary");
    let raw = browser.text("#history .result pre");
    assert!(raw.contains("\"id\": 9007199254740993,"), "{raw}");
    // What is saved is all of it.
    let saved = saved(&browser, "#history a[download]");
    assert!(saved.contains("9007199254740993"), "{saved}");
    // In a field for numbers as well.
    let told = browser.eval_async(
        "import('/client.js').then(({ parse, stringify, ExactNumber }) => done([
            stringify(parse('[12345678901234567890, -0.0, 1.0e2, 1.5]')), stringify({ a: new ExactNumber('1e999') }),
            parse('1.0e2') === 100, JSON.stringify([parse('12345678901234567890')])]))",
    );
    let expected = json!([
        "[12345678901234567890,0,100,1.5]",
        "{\"a\":1e999}",
        true,
        "[12345678901234567000]"
    ]);
    assert_eq!(told, expected);
}

const TOKEN: &str = "0123456789abcdef";

/// A gateway whose token may come in a cookie.
fn with_sessions(host: &Host) -> Gateway {
    let gateway = GatewaySetup::new()
        .host(host)
        .config(&format!(
            "allow = [\"echo\"]\ncookie = \"session\"\nconsole = true\n[[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

#[test]
fn who_is_refused_is_told_and_waits_for_nothing() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_sessions(&host);
    let browser = Browser::start(Look::Light);
    let run = |port: u16, cookie: &str| {
        browser.eval_async(&format!(
            "document.cookie = 'session={cookie}';
             import('http://127.0.0.1:{port}/client.js').then(({{ TaskClient }}) => new TaskClient({{ url: 'ws://127.0.0.1:{port}/ws' }}).run('echo', 7))
               .then(done, ({{ code }}) => done(code))"
        ))
    };
    browser.open(&page(gateway.port(), "/healthz"));
    assert_eq!(run(gateway.port(), "expired"), "unauthorized");
    assert_eq!(run(gateway.port(), TOKEN), 7);
    browser.open(&page(foreign_page(), "/"));
    assert_eq!(run(gateway.port(), TOKEN), "forbidden");
}

#[test]
fn a_token_counts_in_place_of_an_old_cookie() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_sessions(&host);
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/healthz"));
    browser.eval("document.cookie = 'session=expired'");
    let run = |token: &str| {
        browser.eval_async(&format!(
            "import('/client.js').then(({{ TaskClient }}) => new TaskClient({{ token: {token} }}).run('echo', 7))
               .then(done, ({{ code }}) => done(code))"
        ))
    };
    assert_eq!(run(&format!("'{TOKEN}'")), 7);
    assert_eq!(run(&format!("async () => '{TOKEN}'")), 7);
    assert_eq!(run("'another'"), "unauthorized");
    // The console, as well.
    browser.open(&page(gateway.port(), "/#echo"));
    browser.type_into("#token", TOKEN);
    browser.click("#login button");
    browser.wait_for("#connection[data-state=open]");
}

#[test]
fn the_console_asks_for_a_token_again_and_keeps_the_form() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    // First, since it takes a while.
    let browser = Browser::start(Look::Light);
    let script = workspace_dir().join("tests/sign_tokens.py");
    let tokens = run(venv_python().arg(script).arg(setup.folder())).output();
    let tokens: Value = serde_json::from_str(&tokens).unwrap();
    let gateway = setup
        .config("allow = [\"sleep\"]\nconsole = true\n[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\nleeway = \"1ms\"")
        .start();
    gateway.wait_until_ready();
    browser.open(&page(gateway.port(), "/#sleep"));
    browser.type_into("#token", tokens["soon"].as_str().unwrap());
    browser.click("#login button");
    browser.wait_for("#connection[data-state=open]");
    browser.type_into(&field(&browser, "ms"), "17");
    // The token expires after a few seconds, and with it the session.
    browser.wait_for("#login[open] #login-problem");
    browser.type_into("#token", tokens["EdDSA"].as_str().unwrap());
    browser.click("#login button");
    browser.wait_for("#connection[data-state=open]");
    browser.click("#function button.primary");
    wait_for_states(&browser, &["done"]);
    let entered = browser.eval("return document.querySelector('#function input').value");
    assert_eq!(entered, "17");
}

/// A form of a schema, in a page of its own; `script` has `form`, which was made of it.
pub(super) fn with_form(browser: &Browser, schema: &Value, script: &str) -> Value {
    browser.eval_async(&format!(
        "import('/console/form/form.js').then(async ({{ form, Problem }}) => {{
            const made = form({schema});
            document.querySelector('#function').replaceChildren(made.element);
            const at = (label) => document.getElementById([...document.querySelectorAll('#function label')].find((one) => one.textContent === label).htmlFor);
            const read = () => {{ try {{ return made.read(); }} catch (problem) {{ if (!(problem instanceof Problem)) throw problem; return `${{problem.input.labels[0].textContent}}: ${{problem.message}}`; }} }};
            {script}
         }}).catch((error) => done(String(error)))"
    ))
}

#[test]
fn forms_say_what_is_wrong_and_open_what_holds_itself() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/#progress"));
    browser.wait_for("#connection[data-state=open]");
    let optional = json!({"type": "object", "properties": {"size": {
        "type": "object", "required": ["width"], "properties": {"width": {"type": "integer"}, "name": {"type": "string"}},
    }}});
    let told = with_form(
        &browser,
        &optional,
        "const told = [read()];
         at('width').value = 'wide'; told.push(read());
         at('width').value = '07'; told.push(read());
         at('width').value = ''; at('name').value = 'x'; told.push(read());
         at('width').value = '7'; told.push(read());
         done(told)",
    );
    let expected = json!([
        {},
        "width: width has to be a whole number.",
        "width: width has to be a whole number.",
        "width: width is needed.",
        {"size": {"name": "x", "width": 7}},
    ]);
    assert_eq!(told, expected);
    let tree = json!({"$ref": "#/$defs/Node", "$defs": {"Node": {
        "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    }}});
    let told = with_form(
        &browser,
        &tree,
        "at('name').value = 'a';
         const told = [read()];
         const inner = document.querySelector('#function details');
         inner.addEventListener('toggle', () => {
            const [, second] = [...document.querySelectorAll('#function label')].filter((one) => one.textContent === 'name');
            document.getElementById(second.htmlFor).value = 'b';
            told.push(read());
            done(told);
         });
         inner.open = true;",
    );
    assert_eq!(
        told,
        json!([{"name": "a"}, {"name": "a", "next": {"name": "b"}}])
    );
}

#[test]
fn a_double_click_is_one_task() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/#count"));
    browser.wait_for("#connection[data-state=open]");
    browser.wait_for("#function button.primary");
    browser.eval(
        "const button = document.querySelector('#function button.primary');
         button.click(); button.click();
         setTimeout(() => button.click(), 250);
         setTimeout(() => { window.clicked = true; }, 300);",
    );
    browser.wait("the clicks", "return window.clicked");
    browser.wait(
        "it to be open again",
        "return !document.querySelector('#function button.primary').disabled",
    );
    wait_for_states(&browser, &["done"]);
    browser.click("#function button.primary");
    wait_for_states(&browser, &["done", "done"]);
    assert_eq!(host.client().status()["functions"]["count"]["ok"], 2);
}

#[test]
fn documents_are_shown_and_saved() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open_echo(&gateway);
    let long = "x".repeat(300);
    let html = format!(
        "<h1>Report</h1><script>parent.stolen = true; document.title = 'run'</script><p>{long}</p>"
    );
    let csv = format!("name,\"what, it is\",n\r\nada,\"a \"\"b\"\"\r\nc\",1\r\nbob,{long},\r\n");
    for (format, text) in [("html", &html), ("csv", &csv)] {
        enter_json(
            &browser,
            &json!({"format": format, "text": text}).to_string(),
        );
        browser.wait(
            "the form",
            "return !document.querySelector('#function button.primary').disabled",
        );
        browser.click("#function button.primary");
        browser.wait(
            "its result",
            &format!("return document.querySelector('#history a[download=\"result.{format}\"]')"),
        );
    }
    let cells = browser.eval(
        "return [...document.querySelectorAll('#history li:first-child :is(th, td)')].map((one) => one.textContent)",
    );
    let expected = json!([
        "name",
        "what, it is",
        "n",
        "ada",
        "a \"b\"\r\nc",
        "1",
        "bob",
        long,
        ""
    ]);
    assert_eq!(cells, expected);
    let frame = browser.eval(
        "const frame = document.querySelector('#history iframe');
         return [frame.getAttribute('sandbox'), frame.contentDocument, window.stolen ?? null, frame.checkVisibility()]",
    );
    assert_eq!(frame, json!(["", null, null, true]));
    assert_eq!(
        saved(&browser, "#history a[download=\"result.html\"]"),
        html
    );
    // All of a long result, not what the page shows of it.
    browser.click("#history > li:first-child .result > details > summary");
    let whole = saved(
        &browser,
        "#history > li:first-child a[download=\"result.json\"]",
    );
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["text"], json!(csv));
}
