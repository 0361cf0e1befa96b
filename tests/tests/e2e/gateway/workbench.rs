//! How one works with the console: where results appear, what forms ask first, what they keep, links to them, and that
//! everybody can use it.

use serde_json::{Value, json};
use tests::{Browser, Gateway, Host, Look, Plugin, axe};

use super::browser::{field, page, wait_for_states};
use super::console::with_form;

const ENTER: &str = "\u{e007}";

fn open(gateway: &Gateway, look: Look, path: &str) -> Browser {
    let browser = Browser::start(look);
    go(&browser, gateway, path);
    browser
}

/// A new page, whatever the one before was.
fn go(browser: &Browser, gateway: &Gateway, path: &str) {
    browser.open("about:blank");
    browser.open(&page(gateway.port(), path));
    browser.wait_for("#connection[data-state=open]");
    browser.wait_for("#function h2");
}

fn entered(browser: &Browser, label: &str) -> Value {
    let css = field(browser, label);
    browser.eval(&format!(
        "return document.querySelector({}).value",
        json!(css)
    ))
}

/// What has the focus, and whether it is to be seen below the page's head.
fn focus(browser: &Browser) -> Value {
    browser.eval(
        "const focused = document.activeElement;
         const { top, bottom } = focused.getBoundingClientRect();
         const head = document.querySelector('header').getBoundingClientRect().bottom;
         return [focused.textContent.replace(/ after .*/, ''), top >= head && bottom <= innerHeight]",
    )
}

#[test]
fn a_result_is_where_one_looks() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    for look in [Look::Light, Look::Phone] {
        let browser = open(&gateway, look, "/#sleep");
        browser.type_into(&field(&browser, "ms"), &format!("300{ENTER}"));
        wait_for_states(&browser, &["done"]);
        browser.wait(
            "the focus",
            "return document.activeElement.closest('.task')",
        );
        assert_eq!(focus(&browser), json!(["sleep Done", true]), "{look:?}");
        let told = browser.eval("return document.querySelector('#announcer').textContent");
        assert_eq!(told, "sleep: Done");

        // Whoever has gone on to something else stays there.
        browser.wait(
            "the form to be open again",
            "return !document.querySelector('#function button.primary').disabled",
        );
        let ms = field(&browser, "ms");
        browser.type_into(&ms, ENTER);
        wait_for_states(&browser, &["running", "done"]);
        // Not by a click: on a phone the search may be scrolled away.
        browser.eval("document.querySelector('#search').focus()");
        wait_for_states(&browser, &["done", "done"]);
        browser.wait(
            "the word",
            "return document.querySelector('#announcer').textContent === 'sleep: Done'",
        );
        assert_eq!(browser.eval("return document.activeElement.id"), "search");
    }
}

#[test]
fn what_most_requests_use_comes_first() {
    let host = Host::with(&[Plugin::Resize, Plugin::Mail]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/#resize");
    let shown = "return [...document.querySelectorAll('#function label[for], #function legend')].filter((one) => one.checkVisibility()).map((one) => one.textContent)";
    // The second one is the file's, seen by those only who don't see the choice above it.
    let expected = json!(["source", "a file", "width", "height", "fit", "format"]);
    assert_eq!(browser.eval(shown), expected);
    // And that of a choice.
    go(&browser, &gateway, "/#send_mail");
    assert_eq!(
        browser.eval(shown),
        json!(["from", "to", "contents", "subject"])
    );
    browser.eval("document.querySelector('#function details.more > summary').click()");
    browser.wait_for(&field(&browser, "html"));
}

#[test]
fn of_alternatives_the_one_that_most_use_is_the_form() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/");
    let schema = json!({
        "type": "object",
        "properties": {"to": {"$ref": "#/$defs/many", "description": "The recipients."}},
        "$defs": {
            "one": {"anyOf": [
                {"type": "string", "x-primary": true},
                {"type": "object", "properties": {"address": {"type": "string"}}, "required": ["address"]},
            ]},
            "many": {"anyOf": [
                {"$ref": "#/$defs/one", "x-primary": true},
                {"type": "array", "items": {"$ref": "#/$defs/one"}},
                {"type": "null"},
            ]},
        },
    });
    let told = with_form(
        &browser,
        &schema,
        "const parts = () => document.querySelectorAll('#function legend').length;
         const told = [read(), parts()];
         for (const to of ['a, b', {address: 'a'}, ['a', {address: 'b'}]]) told.push(made.fill({to}), read());
         done(told)",
    );
    let expected = json!([
        {}, 0,
        true, {"to": "a, b"},
        true, {"to": {"address": "a"}},
        true, {"to": ["a", {"address": "b"}]},
    ]);
    assert_eq!(told, expected);
}

#[test]
fn rows_are_pasted_as_json_or_csv() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/");
    let schema = json!({"type": "object", "properties": {
        "rows": {"type": ["array", "null"], "items": {"type": "object", "additionalProperties": true}},
    }});
    let told = with_form(
        &browser,
        &schema,
        r##"const field = at('rows');
         const enter = (text) => { field.value = text; field.dispatchEvent(new Event('input')); return read(); };
         const { stringify } = await import('/client.js');
         const told = [
            enter('region,amount,note\nNorth,12.50,"a ""b"", c"\nSouth,007,\nWest,9007199254740993,"7"\n'),
            enter('a;b\r\n1;"x\r\ny"\r\n'), // A text area has the line ends of JavaScript.
            enter('a\tb\n1,5\ttrue\n'),
            enter(' [{"a": 1}, {"b": [2]}] '),
            enter('{"a": 1}\n{"a": 2}\n'),
            enter('{\n"a": 1\n}'),
            enter('a,b\n1\n'),
            enter('[1]'),
            enter('[{"a":]'),
            enter('just words'),
            enter(''),
         ].map((one) => (typeof one === 'string' ? one.replace(/JSON: .*/, 'JSON') : stringify(one)));
         enter('a,b\n1,x\n2,\n');
         told.push(document.querySelector('#function [role=status]').textContent);
         done(told);"##,
    );
    let expected = json!([
        r#"{"rows":[{"region":"North","amount":12.5,"note":"a \"b\", c"},{"region":"South","amount":"007","note":null},{"region":"West","amount":9007199254740993,"note":"7"}]}"#,
        r#"{"rows":[{"a":1,"b":"x\ny"}]}"#,
        r#"{"rows":[{"a":"1,5","b":true}]}"#,
        r#"{"rows":[{"a":1},{"b":[2]}]}"#,
        r#"{"rows":[{"a":1},{"a":2}]}"#,
        r#"{"rows":[{"a":1}]}"#,
        "rows: Row 1 has 1 fields; the line of names has 2.",
        "rows: Row 1 is no object.",
        "rows: That is not JSON",
        "rows: Rows are a JSON list, or CSV: a line of names, then a line for each row.",
        "{}",
        "2 rows: a (numbers), b (text)",
    ]);
    assert_eq!(told, expected);

    // Where each entry has a form of its own, pasted rows fill these.
    let schema = json!({"type": "object", "required": ["people"], "properties": {
        "people": {"type": "array", "items": {"type": "object", "required": ["zip"], "properties": {
            "zip": {"type": "string"}, "age": {"type": "integer"},
        }}},
    }});
    let told = with_form(
        &browser,
        &schema,
        r#"const [, paste] = document.querySelectorAll('#function fieldset > .actions > button');
         paste.click();
         at('Rows for people').value = 'zip,age\n01234,7\n99,\n';
         at('Rows for people').closest('.field').querySelector('button').click();
         done(read());"#,
    );
    assert_eq!(
        told,
        json!({"people": [{"zip": "01234", "age": 7}, {"zip": "99"}]})
    );
}

#[test]
fn a_file_is_one_control_and_maps_have_names() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/");
    let schema = json!({"type": "object", "required": ["source"], "properties": {
        "source": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Inline"}]},
        "secret": {"type": "string", "format": "password"},
        "day": {"type": "string", "format": "date"},
        "headers": {"type": "object", "additionalProperties": {"type": "integer"}},
    }, "$defs": {"Inline": {"type": "object", "required": ["base64"], "properties": {"base64": {"type": "string"}}}}});
    let told = with_form(
        &browser,
        &schema,
        "const count = (css) => document.querySelectorAll(`#function ${css}`).length;
         const told = [count('fieldset'), count('fieldset fieldset'), count('input[type=file]'), at('secret').type, at('day').type, read()];
         told.push(made.fill({ source: { base64: 'AAAA' }, day: '2026-02-03', secret: 's', headers: { __proto__: null, ['__proto__']: 1, b: 2 } }));
         told.push(JSON.stringify(read()), JSON.stringify(made.draft()));
         told.push(made.fill({ source: 'a.jpg', other: 1 }), read().source);
         done(told);",
    );
    let expected = json!([
        2,
        0,
        1,
        "password",
        "date",
        "a file: a file is needed.",
        true,
        r#"{"secret":"s","day":"2026-02-03","headers":{"__proto__":1,"b":2},"source":{"base64":"AAAA"}}"#,
        r#"{"day":"2026-02-03","headers":{"__proto__":1,"b":2}}"#,
        false,
        "a.jpg",
    ]);
    assert_eq!(told, expected);
}

#[test]
fn forms_stay_as_they_were_left_and_addresses_lead_to_them() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/#sleep");
    browser.type_into(&field(&browser, "ms"), "17");
    browser.click("#functions button[data-name=fail]");
    browser.type_into(&field(&browser, "message"), "äh, \"1\" & 2?#");
    let shown = |name: &str| {
        browser.wait(
            name,
            &format!(
                "return document.querySelector('#function h2').textContent === '{name}' && location.hash.startsWith('#{name}')"
            ),
        );
    };
    browser.eval("history.back()");
    shown("sleep");
    assert_eq!(entered(&browser, "ms"), "17");
    browser.eval("location.hash = '#fail'");
    shown("fail");
    let message = entered(&browser, "message");

    // What was entered so far can be handed on.
    browser.click("#function .run button:nth-of-type(2)");
    browser.wait("the link", "return location.hash.includes('?')");
    let hash = browser.eval("return location.hash");
    go(&browser, &gateway, &format!("/{}", hash.as_str().unwrap()));
    shown("fail");
    assert_eq!(entered(&browser, "message"), message);

    // What doesn't fit is said, and so is a name that there isn't.
    go(
        &browser,
        &gateway,
        "/#sleep?%7B%22ms%22%3A5%2C%22no%22%3A1%7D",
    );
    assert_eq!(entered(&browser, "ms"), "5");
    assert!(browser.text("#function .note").starts_with("Not all"));
    browser.eval("location.hash = '#nowhere'");
    browser.wait(
        "the word",
        "return document.querySelector('#function .problem')?.textContent.startsWith('There is no such function')",
    );
}

#[test]
fn a_task_is_run_again_or_edited() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let browser = open(&gateway, Look::Light, "/#sleep");
    browser.type_into(&field(&browser, "ms"), &format!("3{ENTER}"));
    wait_for_states(&browser, &["done"]);
    browser.click("#history button[aria-label='Run again: sleep']");
    wait_for_states(&browser, &["done", "done"]);
    browser.click("#functions button[data-name=echo]");
    browser.click("#history button[aria-label='Edit and run: sleep']");
    assert_eq!(entered(&browser, "ms"), "3");
    let focused = browser.eval("return '#' + document.activeElement.id");
    assert_eq!(focused, field(&browser, "ms"));
    browser.press(&format!("0{ENTER}"));
    wait_for_states(&browser, &["done", "done", "done"]);
    browser.click("#history > li:first-child .args > summary");
    let args = browser.text("#history > li:first-child .args pre");
    assert_eq!(args, "{\n  \"ms\": 30\n}");
}

#[test]
fn everybody_can_use_it() {
    let host = Host::with(&[Plugin::Good, Plugin::Mail, Plugin::Resize]);
    let gateway = Gateway::to(&host);
    let axe = axe();
    for look in [Look::Light, Look::Dark, Look::Phone] {
        let browser = open(&gateway, look, "/#echo");
        let check = |where_: &str| {
            // The page's policy lets no foreign script in, but what the driver brings.
            browser.eval(&format!("if (!window.axe) {{ {axe} }}"));
            let found = browser.eval_async(
                "window.axe.run().then(({ violations }) => done(violations.map(({ id, nodes }) => [id, nodes[0].html])))",
            );
            assert_eq!(found, json!([]), "{look:?}, {where_}");
        };
        // Wherever the list has been scrolled to.
        let choose = |name: &str| {
            browser.eval(&format!(
                "document.querySelector('#functions button[data-name={name}]').click()"
            ))
        };
        let text = "name,n\nada,1\n";
        browser.type_into(
            "#function textarea",
            &json!({"outputs": [{"format": "csv", "text": text.repeat(40)}, {"format": "html", "text": "<!doctype html><html lang=en><title>x</title><main><h1>x</h1></main>".repeat(9)}], "rows": [{"a": 1}]}).to_string(),
        );
        browser.click("#function button.primary");
        wait_for_states(&browser, &["done"]);
        browser.eval("document.querySelectorAll('details').forEach((one) => { one.open = true })");
        check("results");
        for name in ["resize", "send_bulk", "send_mail"] {
            choose(name);
            browser.eval(
                "document.querySelectorAll('details').forEach((one) => { one.open = true });
                 document.querySelectorAll('#function fieldset > .actions > button').forEach((one) => one.click())",
            );
            check(name);
        }
        browser.click("#function button.primary");
        browser.wait_for("#function .problem:not(:empty)");
        check("a problem");
        choose("fail");
        browser.type_into(&field(&browser, "kind"), "x");
        browser.type_into(&field(&browser, "message"), "x");
        browser.click("#function button.primary");
        wait_for_states(&browser, &["failed", "done"]);
        check("an error");
    }
}
