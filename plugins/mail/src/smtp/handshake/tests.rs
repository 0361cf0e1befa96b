use super::*;
use crate::smtp::settings::Credentials;

fn settings(tls_mode: TlsMode, has_credentials: bool) -> Settings {
    let credentials = has_credentials.then(|| Credentials::Password {
        username: "max".to_owned(),
        password: String::from("geheim").into(),
    });
    Settings::made_up(tls_mode, credentials)
}

/// Plays the server's replies against a handshake; TLS, where it is asked for, succeeds. Returns what was sent.
fn play(settings: &Settings, replies: &[&str]) -> Result<Vec<String>, Error> {
    let mut handshake = Handshake::new(settings, settings.tls_mode == TlsMode::Implicit);
    let mut sent = Vec::new();
    for reply in replies {
        let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
        let reply = Reply {
            code: code.parse().unwrap(),
            text: text.to_owned(),
        };
        let mut step = handshake.on_reply(reply)?;
        if step == Step::StartTls {
            sent.push("(TLS)".to_owned());
            step = handshake.secured();
        }
        sent.push(match step {
            Step::Send(line) => line.trim_end().to_owned(),
            Step::Ready => "(ready)".to_owned(),
            Step::StartTls => "(TLS again)".to_owned(),
        });
    }
    Ok(sent)
}

#[test]
fn the_plain_way() {
    let sent = play(
        &settings(TlsMode::None, false),
        &["220 hi", "250 mx\nSTARTTLS\nAUTH PLAIN"],
    )
    .unwrap();
    assert_eq!(sent, ["EHLO me", "(ready)"]);
    let sent = play(
        &settings(TlsMode::None, false),
        &["220 hi", "502 what?", "250 mx"],
    )
    .unwrap();
    assert_eq!(sent, ["EHLO me", "HELO me", "(ready)"]);
}

#[test]
fn tls_comes_before_the_password() {
    let replies = [
        "220 hi",
        "250 mx\nSTARTTLS\nAUTH LOGIN",
        "220 go",
        "250 mx\nAUTH PLAIN LOGIN",
        "235 welcome",
    ];
    for mode in [TlsMode::Opportunistic, TlsMode::Required] {
        let sent = play(&settings(mode, true), &replies).unwrap();
        let auth = "AUTH PLAIN AG1heABnZWhlaW0=";
        assert_eq!(
            sent,
            ["EHLO me", "STARTTLS", "(TLS)", "EHLO me", auth, "(ready)"]
        );
    }
}

#[test]
fn login_is_the_second_choice() {
    let replies = [
        "220 hi",
        "250 mx\nAUTH LOGIN",
        "334 VXNlcm5hbWU6",
        "334 UGFzc3dvcmQ6",
        "235 welcome",
    ];
    let sent = play(&settings(TlsMode::Implicit, true), &replies).unwrap();
    assert_eq!(
        sent,
        ["EHLO me", "AUTH LOGIN", "bWF4", "Z2VoZWlt", "(ready)"]
    );
}

#[test]
fn a_server_that_refuses_the_one_is_asked_the_other() {
    let plain_fails = [
        "220 hi",
        "250 mx\nAUTH PLAIN LOGIN",
        "535 5.7.8 not this way",
        "334 VXNlcm5hbWU6",
        "334 UGFzc3dvcmQ6",
    ];
    let settings = settings(TlsMode::None, true);
    let sent = play(&settings, &[&plain_fails[..], &["235 welcome"]].concat()).unwrap();
    let auth = "AUTH PLAIN AG1heABnZWhlaW0=";
    assert_eq!(
        sent,
        ["EHLO me", auth, "AUTH LOGIN", "bWF4", "Z2VoZWlt", "(ready)"]
    );
    let error = play(&settings, &[&plain_fails[..], &["535 no"]].concat()).unwrap_err();
    assert_eq!(error.code(), Some(535));
    assert!(error.to_string().contains("not this way"), "{error}");
    let error = play(
        &settings,
        &["220 hi", "250 mx\nAUTH PLAIN LOGIN", "454 later"],
    );
    assert!(
        error.unwrap_err().is_retryable(),
        "it is not asked the other"
    );
}

fn with_token(text: &str) -> Settings {
    Settings {
        credentials: Some(Credentials::Token {
            username: "max@x.de".to_owned(),
            token: kit::secret::SecretSource::Text(text.to_owned().into()),
        }),
        ..settings(TlsMode::None, false)
    }
}

/// The example of Google's page on XOAUTH2, and the one of RFC 7628, 4.1, with our names in it.
#[test]
fn a_token_goes_by_either_mechanism() {
    let settings = with_token("ya29.vF9d");
    let sent = play(
        &settings,
        &["220 hi", "250 mx\nAUTH PLAIN XOAUTH2 OAUTHBEARER", "235 ok"],
    );
    let response = BASE64_STANDARD.encode("user=max@x.de\x01auth=Bearer ya29.vF9d\x01\x01");
    assert_eq!(
        sent.unwrap(),
        ["EHLO me", &format!("AUTH XOAUTH2 {response}"), "(ready)"]
    );
    let sent = play(&settings, &["220 hi", "250 mx\nAUTH OAUTHBEARER", "235 ok"]);
    let response = BASE64_STANDARD
        .encode("n,a=max@x.de,\x01host=mx\x01port=25\x01auth=Bearer ya29.vF9d\x01\x01");
    assert_eq!(sent.unwrap()[1], format!("AUTH OAUTHBEARER {response}"));
    let error = play(&settings, &["220 hi", "250 mx\nAUTH PLAIN LOGIN"]).unwrap_err();
    assert!(matches!(error, Error::NoAuth { .. }), "{error}");
}

#[test]
fn what_is_wrong_with_a_token_is_told() {
    let challenge = format!("334 {}", BASE64_STANDARD.encode("{\"status\":\"400\"}"));
    let replies = [
        "220 hi",
        "250 mx\nAUTH XOAUTH2",
        &challenge,
        "535 5.7.8 bad",
    ];
    let error = play(&with_token("geheim"), &replies).unwrap_err();
    assert_eq!((error.kind(), error.code()), ("authentication", Some(535)));
    assert!(
        error.to_string().contains("{\"status\":\"400\"}"),
        "{error}"
    );
    assert!(!error.to_string().contains("geheim"), "{error}");
}

#[test]
fn a_password_is_never_sent_in_the_clear_unasked() {
    let plain = ["220 hi", "250 mx\nAUTH PLAIN"];
    let error = play(&settings(TlsMode::Opportunistic, true), &plain).unwrap_err();
    assert!(matches!(error, Error::PlainPassword { .. }), "{error}");
    let error = play(
        &settings(TlsMode::Opportunistic, true),
        &["220 hi", "500 what?", "250 mx"],
    )
    .unwrap_err();
    assert!(matches!(error, Error::PlainPassword { .. }), "{error}");
    let error = play(&settings(TlsMode::Required, false), &plain).unwrap_err();
    assert!(matches!(error, Error::NoStartTls { .. }), "{error}");
    assert_eq!(
        play(&settings(TlsMode::None, true), &plain).unwrap().len(),
        2
    );
}

#[test]
fn refusals_say_what_was_refused_and_if_it_may_work_later() {
    let cases: [(&[&str], &str, bool); 8] = [
        (&["421 too busy"], "refused", true),
        (&["554 go away"], "refused", false),
        (&["220 hi", "450 later"], "refused", true),
        (&["220 hi", "500 what?", "550 no"], "refused", false),
        (
            &["220 hi", "250 mx\nAUTH PLAIN", "535 wrong"],
            "authentication",
            false,
        ),
        (
            &["220 hi", "250 mx\nAUTH PLAIN", "454 later"],
            "authentication",
            true,
        ),
        (
            &["220 hi", "250 mx\nAUTH PLAIN", "334 more"],
            "protocol",
            false,
        ),
        (&["220 hi", "250 mx"], "authentication", false),
    ];
    for (replies, kind, is_retryable) in cases {
        let error = play(&settings(TlsMode::None, true), replies).unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (kind, is_retryable),
            "{error}"
        );
        assert!(!error.to_string().contains("geheim"));
    }
    assert!(!format!("{:?}", settings(TlsMode::None, true)).contains("geheim"));
}
