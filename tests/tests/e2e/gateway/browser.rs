//! The console and the client library in a real browser.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};
use tests::{
    Browser, Gateway, GatewaySetup, Host, Look, Plugin, Relay, run, venv_python, workspace_dir,
};

pub(super) fn page(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

fn photo(gateway: &Gateway) -> String {
    let folder = gateway.folder().join("images");
    fs::create_dir(&folder).unwrap();
    let script = workspace_dir().join("tests/sample_images.py");
    assert_eq!(run(venv_python().arg(script).arg(&folder)).output(), "");
    folder.join("photo.jpg").to_str().unwrap().to_owned()
}

/// The field that belongs to a label.
pub(super) fn field(browser: &Browser, label: &str) -> String {
    let script = format!(
        "return [...document.querySelectorAll('#function label')].find((one) => one.textContent === {})?.htmlFor",
        json!(label)
    );
    format!("#{}", browser.wait(label, &script).as_str().unwrap())
}

/// What the tasks of the page are at, the newest first.
fn states(browser: &Browser) -> Vec<String> {
    let states = browser.eval(
        "return [...document.querySelectorAll('#history > li')].map((row) => row.dataset.state)",
    );
    serde_json::from_value(states).unwrap()
}

pub(super) fn wait_for_states(browser: &Browser, wanted: &[&str]) {
    tests::wait_until(&format!("tasks to be {wanted:?}"), || {
        states(browser) == wanted
    });
}

#[track_caller]
fn assert_fits(browser: &Browser) {
    let sizes = browser.eval("return [document.documentElement.scrollWidth, innerWidth]");
    assert!(
        sizes[0].as_u64() <= sizes[1].as_u64(),
        "the page has to be scrolled sideways: {sizes}"
    );
}

#[test]
fn the_console_resizes_a_picture_and_shows_it() {
    let host = Host::with(&[Plugin::Resize, Plugin::Good]);
    let gateway = Gateway::to(&host);
    let photo = photo(&gateway);
    for (look, name) in [
        (Look::Light, "light"),
        (Look::Dark, "dark"),
        (Look::Phone, "phone"),
    ] {
        let browser = Browser::start(look);
        browser.open(&page(gateway.port(), "/#resize"));
        let width = field(&browser, "width");
        browser.screenshot(&format!("console-form-{name}"));
        assert_fits(&browser);
        browser.type_into("#function input[type=file]", &photo);
        browser.type_into(&width, "240");
        browser.wait(
            "the file to be read",
            "return / [kM]B/.test(document.querySelector('#function').innerText)",
        );
        browser.click("#function button.primary");
        wait_for_states(&browser, &["done"]);
        let image = browser.wait(
            "the picture",
            "const image = document.querySelector('.result img'); return image?.naturalWidth && \
             {width: image.naturalWidth, alt: image.alt, shown: image.checkVisibility()}",
        );
        assert_eq!(image["width"], 240, "{image}");
        assert!(image["alt"].as_str().unwrap().contains("240"), "{image}");
        assert_eq!(image["shown"], true);
        let saved = browser.eval("return document.querySelector('.result a[download]')?.download");
        assert!(saved.as_str().unwrap().starts_with("result."), "{saved}");
        assert_fits(&browser);
        browser.eval("document.querySelector('#history').scrollIntoView()");
        browser.screenshot(&format!("console-result-{name}"));
        // That it looks as the user's system wants.
        let is_dark = browser.eval("return matchMedia('(prefers-color-scheme: dark)').matches");
        assert_eq!(is_dark, look == Look::Dark);
        let ground = browser.eval("return getComputedStyle(document.body).backgroundColor");
        let is_bright = ground.as_str().unwrap().contains("245");
        assert_eq!(is_bright, look != Look::Dark, "{ground}");
    }
}

#[test]
fn progress_two_at_once_and_cancel() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/#progress"));
    browser.type_into(&field(&browser, "steps"), "1000");
    browser.type_into(&field(&browser, "ms"), "20");
    browser.click("#function button.primary");
    let bar = "const bar = document.querySelector('#history progress'); return bar?.value > 1 && bar.value";
    let before = browser.wait("progress", bar).as_f64().unwrap();
    tests::wait_until("more progress", || {
        browser
            .eval(bar)
            .as_f64()
            .is_some_and(|value| value > before)
    });
    assert!(browser.text("#history .quiet").starts_with("step "));
    // Beside it, another.
    browser.open(&page(gateway.port(), "/#progress"));
    browser.eval("document.querySelectorAll('nav button').forEach((one) => { if (one.innerText.startsWith('echo')) one.click() })");
    browser.wait(
        "the form",
        "return document.querySelector('#function h2')?.textContent === 'echo'",
    );
    browser.type_into(
        "#function textarea",
        "{\"a\": [{\"name\": \"x\", \"n\": 1}, {\"name\": \"y\", \"n\": 2}]}",
    );
    browser.click("#function button.primary");
    wait_for_states(&browser, &["done", "running"]);
    assert_eq!(browser.text("#history td.number"), "1");
    browser.screenshot("console-two-tasks");
    browser.click("#history li:last-child button");
    wait_for_states(&browser, &["done", "failed"]);
    assert!(
        browser
            .text("#history li:last-child .state")
            .starts_with("Cancelled")
    );
    // What is done can be cleared away.
    browser.click("#clear");
    assert_eq!(states(&browser), [""; 0]);
    assert_eq!(
        browser.eval("return document.activeElement.id"),
        "history-title"
    );
}

#[test]
fn errors_are_told_in_plain_words_and_where_they_belong() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/#sleep"));
    browser.click("#function button.primary");
    let problem = "#function .field .problem:not(:empty)";
    assert_eq!(browser.text(problem), "ms is needed.");
    let focused = browser.eval("return '#' + document.activeElement.id");
    assert_eq!(focused, field(&browser, "ms"));
    browser.press("1.5\u{e007}");
    assert_eq!(browser.text(problem), "ms has to be a whole number.");
    assert_eq!(states(&browser), [""; 0]);

    // A new address of the same page is no new page.
    browser.open("about:blank");
    browser.open(&page(gateway.port(), "/#fail"));
    browser.type_into(&field(&browser, "kind"), "out_of_paper");
    browser.type_into(&field(&browser, "message"), "the printer has no paper");
    browser.click("#function button.primary");
    wait_for_states(&browser, &["failed"]);
    let told = browser.text("#history .error");
    assert!(told.contains("The task has failed."), "{told}");
    assert!(told.contains("the printer has no paper"), "{told}");
    browser.screenshot("console-error");
}

#[test]
fn all_of_it_works_with_the_keyboard_alone() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = Browser::start(Look::Phone);
    browser.open(&page(gateway.port(), "/#sleep"));
    browser.wait_for("#function form");
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    // The first stop leads past all functions.
    browser.press(TAB);
    assert_eq!(
        browser.eval("return document.activeElement.textContent"),
        "Skip to the form"
    );
    browser.press(ENTER);
    browser.press(TAB);
    let label = browser.eval("return document.activeElement.labels?.[0]?.textContent");
    assert_eq!(label, "ms");
    browser.press(&format!("1{ENTER}"));
    wait_for_states(&browser, &["done"]);
    assert!(browser.text("#history dl").contains("slept_ms"));
    // What happened is told to those who don't see it.
    let told = browser.eval("return document.querySelector('#announcer').textContent");
    assert!(told.as_str().unwrap().starts_with("sleep: Done"), "{told}");
}

#[test]
fn a_result_survives_a_cut_in_the_middle_of_its_task_and_comes_once() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let relay = Relay::to(gateway.port());
    let browser = Browser::start(Look::Light);
    browser.open(&page(relay.port(), "/"));
    browser.wait_for("#connection[data-state=open]");
    let begin = "
        window.told = [];
        import('/client.js').then(async ({ TaskClient }) => {
            const client = new TaskClient();
            window.states = [];
            client.addEventListener('state', () => window.states.push(client.state));
            const told = (result) => window.told.push(result);
            client.run('progress', { steps: 60, ms: 20 }, {
                onProgress: ({ done }) => { window.at = done; },
            }).then(told, told);
            for (let number = 0; number < 20; number += 1) {
                client.run('async_sleep', { ms: 50 * number }).then(() => told(number), told);
            }
        });";
    browser.eval(begin);
    for step in [5, 20, 35] {
        browser.wait("progress", &format!("return window.at >= {step}"));
        relay.cut();
        browser.wait(
            "the connection to be mended",
            "return window.states.at(-1) === 'open'",
        );
    }
    browser.wait("all answers", "return window.told.length >= 21");
    // The answer to a last question comes after whatever would come twice.
    let last = browser.eval_async(
        "import('/client.js').then(({ TaskClient }) => new TaskClient().run('echo', 'last')).then(done, done)",
    );
    assert_eq!(last, "last");
    let mut told: Vec<Value> = serde_json::from_value(browser.eval("return window.told")).unwrap();
    told.sort_by_key(Value::as_u64);
    let wanted: Vec<Value> = (0..20).chain([60]).map(Value::from).collect();
    assert_eq!(told, wanted);
    assert!(gateway.metric("gateway_resumed_total") >= 3.0);
}

#[test]
fn what_is_not_allowed_is_refused_as_are_other_pages() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new().host(&host).allow("echo").start();
    gateway.wait_until_ready();
    let browser = Browser::start(Look::Light);
    browser.open(&page(gateway.port(), "/"));
    browser.wait_for("#connection[data-state=open]");
    let shown = browser
        .eval("return [...document.querySelectorAll('nav strong')].map((one) => one.textContent)");
    assert_eq!(shown, json!(["echo"]));
    for function in ["sleep", "host.shutdown", "host.functions"] {
        let refused = browser.eval_async(&format!(
            "import('/client.js').then(({{ TaskClient }}) => new TaskClient().run('{function}'))\
             .then(() => done('passed'), ({{ code }}) => done(code))"
        ));
        assert_eq!(refused, "unknown_function", "{function}");
    }

    let elsewhere = foreign_page();
    browser.open(&page(elsewhere, "/"));
    let socket = browser.eval_async(&format!(
        "const socket = new WebSocket('ws://127.0.0.1:{}/ws', ['tasks.v1']);
         socket.onopen = () => done('open');
         socket.onerror = () => done('refused');",
        gateway.port()
    ));
    assert_eq!(socket, "refused");
    // A plain text needs no leave to be sent, so the gateway itself has to refuse it.
    for mode in ["cors", "no-cors"] {
        let posted = browser.eval_async(&format!(
            "fetch('http://127.0.0.1:{}/tasks', {{ method: 'POST', mode: '{mode}', body: '{{\"function\":\"echo\",\"args\":7}}' }})\
             .then(async (response) => done(response.type === 'opaque' ? 'unreadable' : await response.text()), () => done('refused'))",
            gateway.port()
        ));
        assert_ne!(posted.as_str().unwrap(), "passed");
        assert!(
            ["refused", "unreadable"].contains(&posted.as_str().unwrap()),
            "{posted}"
        );
    }
    assert_eq!(gateway.metric("gateway_tasks_total"), 0.0);
}

#[test]
fn a_page_that_posts_to_a_host_runs_nothing() {
    let host = Host::with(&[Plugin::Good]);
    let browser = Browser::start(Look::Light);
    browser.open(&page(foreign_page(), "/"));
    for body in ["task", "new Blob([task])"] {
        let answered = browser.eval_async(&format!(
            "const task = '{{\"function\":\"count\"}}\\n'.repeat(1000);
             fetch('http://127.0.0.1:{}/', {{ method: 'POST', mode: 'no-cors', body: {body} }})
               .then(() => done('yes'), () => done('no'));",
            host.port()
        ));
        assert_eq!(answered, "no", "what comes back is no HTTP");
    }
    let mut client = host.client();
    // Until then, lines of it may be on their way.
    tests::wait_until("the browser to be gone", || {
        client.status()["connections"] == 1
    });
    let status = client.status();
    assert!(
        status["requests_refused"].as_u64().unwrap() > 0,
        "the browser did not reach the host: {status}"
    );
    assert_eq!(status["functions"]["count"]["ok"], 0, "{status}");
}

/// The port of a server with a page that is none of ours.
pub(super) fn foreign_page() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            let page = "<!doctype html><title>elsewhere</title>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    port
}
