use super::*;

fn shown(text: &str) -> Result<Vec<(Option<String>, String)>, Reason> {
    let list = parse_list(text)?;
    Ok(list
        .into_iter()
        .map(|mailbox| (mailbox.name, mailbox.address.to_string()))
        .collect())
}

#[test]
fn what_people_write_is_understood() {
    type Case = (
        &'static str,
        &'static [(Option<&'static str>, &'static str)],
    );
    let cases: &[Case] = &[
        ("max@example.com", &[(None, "max@example.com")]),
        ("  <max@example.com>\t", &[(None, "max@example.com")]),
        (
            "Max Muster <max@example.com>",
            &[(Some("Max Muster"), "max@example.com")],
        ),
        (
            "max@Example.com <max@example.com>",
            &[(None, "max@example.com")],
        ),
        (
            "\"Muster, Max\" <max@example.com>",
            &[(Some("Muster, Max"), "max@example.com")],
        ),
        (
            "John Q. Public <j@x.de>",
            &[(Some("John Q. Public"), "j@x.de")],
        ),
        ("Jürgen Groß <j@x.de>", &[(Some("Jürgen Groß"), "j@x.de")]),
        (
            "\"a \\\"b\\\" c\" <a@b.de>",
            &[(Some("a \"b\" c"), "a@b.de")],
        ),
        (
            "Max (sales (north)) <max(x)@example.com>",
            &[(Some("Max"), "max@example.com")],
        ),
        (
            "a@b.de, Max <c@d.de>,, e@f.de",
            &[(None, "a@b.de"), (Some("Max"), "c@d.de"), (None, "e@f.de")],
        ),
        (
            "Team: a@b.de, Max <c@d.de>;, e@f.de",
            &[(None, "a@b.de"), (Some("Max"), "c@d.de"), (None, "e@f.de")],
        ),
        ("undisclosed-recipients:;", &[]),
        (
            "\"john doe\"@example.com",
            &[(None, "\"john doe\"@example.com")],
        ),
        ("\"john\"@example.com", &[(None, "john@example.com")]),
        ("\"a\".b@example.com", &[(None, "a.b@example.com")]),
        ("max@[127.0.0.1]", &[(None, "max@[127.0.0.1]")]),
        ("root@localhost", &[(None, "root@localhost")]),
        ("max@bücher.example", &[(None, "max@xn--bcher-kva.example")]),
        ("jürgen@example.com", &[(None, "jürgen@example.com")]),
        ("a+b/c=d@example.com", &[(None, "a+b/c=d@example.com")]),
        ("\"\" <a@b.de>", &[(None, "a@b.de")]),
    ];
    for (text, wanted) in cases {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(name, address)| (name.map(str::to_owned), (*address).to_owned()))
            .collect();
        assert_eq!(shown(text).as_ref(), Ok(&wanted), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused_with_its_reason() {
    let cases = [
        ("", Reason::Empty),
        ("xxx", Reason::NoAt),
        ("<xxx>", Reason::NoAt),
        ("a b@c.de", Reason::LocalPart),
        ("a..b@c.de", Reason::LocalPartDots),
        (".a@c.de", Reason::LocalPartDots),
        ("a.@c.de", Reason::LocalPartDots),
        ("@c.de", Reason::LocalPart),
        ("a@", Reason::Domain),
        ("a@b..de", Reason::Domain),
        ("a@b c.de", Reason::Domain),
        ("a@-b.de", Reason::Domain),
        ("a@\"b\".de", Reason::Domain),
        ("a@b.de>", Reason::Unexpected('>')),
        ("a@b@c.de", Reason::Unexpected('@')),
        ("Müller, Max <a@b.de>", Reason::UnquotedComma),
        ("nobody, a@b.de", Reason::NoAt),
        ("nobody, a@b.de, Max <c@d.de>", Reason::NoAt),
        ("a@b.de <c@d.de>", Reason::Unexpected('@')),
        ("Max <a@b.de", Reason::Unclosed('<')),
        ("\"Max <a@b.de>", Reason::Unclosed('"')),
        ("Max (a@b.de", Reason::Unclosed('(')),
        ("a@[127.0.0.1", Reason::Unclosed('[')),
        ("Team: a@b.de", Reason::Unclosed(':')),
        ("a@b.de, c@d.de", Reason::Several),
        ("a@b.de\r\nRCPT TO:<x@y.de>", Reason::Control),
        ("\"a\\\r\nBcc: x@y.de\" <a@b.de>", Reason::Control),
        ("a\0@b.de", Reason::Control),
        ("a\u{85}@b.de", Reason::Control),
    ];
    for (text, wanted) in cases {
        assert_eq!(parse_one(text), Err(wanted), "{text:?}");
    }
    assert_eq!(
        parse_one(&format!("{}@example.com", "a".repeat(65))),
        Err(Reason::LocalPartTooLong)
    );
    assert_eq!(
        parse_one(&format!("a@{}.com", "b".repeat(64))),
        Err(Reason::Domain)
    );
}

#[test]
fn a_name_that_is_given_apart_is_a_name_whatever_it_holds() {
    let one = named(Some("Doe, \"Jane\" <evil@x.de>, "), "jane@x.de").unwrap();
    assert_eq!(one.name.as_deref(), Some("Doe, \"Jane\" <evil@x.de>,"));
    assert_eq!(one.address.as_str(), "jane@x.de");
    assert_eq!(named(Some(" "), "jane@x.de").unwrap().name, None);
    let refused = [
        (None, "Jane <jane@x.de>", Reason::HasName),
        (None, "a@x.de, b@x.de", Reason::Several),
        (Some("x\r\nBcc: y"), "jane@x.de", Reason::Control),
        (None, "", Reason::Empty),
    ];
    for (name, address, reason) in refused {
        assert_eq!(named(name, address), Err(reason), "{name:?} {address}");
    }
}

#[test]
fn the_domain_has_no_case() {
    let [a, b, c] = ["Max@Example.com", "Max@example.COM", "max@example.com"]
        .map(|text| parse_one(text).unwrap().address);
    assert_eq!(a.key(), b.key());
    assert_ne!(a.key(), c.key());
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_no_address_breaks_a_line(text in "[\\PC\r\n\"<>@., ()\\[\\]\\\\:;]{0,60}") {
        for mailbox in parse_list(&text).unwrap_or_default() {
            proptest::prop_assert!(!mailbox.address.as_str().contains(['\r', '\n']));
            proptest::prop_assert_eq!(parse_one(mailbox.address.as_str()).map(|again| again.address), Ok(mailbox.address));
        }
    }
}
