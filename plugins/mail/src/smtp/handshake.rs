//! From the greeting to a connection that takes messages: EHLO, STARTTLS, AUTH. No I/O.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    error::Error,
    reply::Reply,
    settings::{Settings, TlsMode},
    wire::Extensions,
};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this line and wait for the reply.
    Send(String),
    /// Begin TLS on the connection, then call [`Handshake::secured`].
    StartTls,
    /// The connection is ready for messages.
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// The mechanism has been named; LOGIN asks for the name next.
    AuthLogin,
    AuthLoginName,
    /// The password is out; what comes is the verdict.
    AuthVerdict,
    Ready,
}

pub(crate) struct Handshake<'a> {
    settings: &'a Settings,
    state: State,
    is_secure: bool,
    extensions: Extensions,
}

impl<'a> Handshake<'a> {
    /// `is_secure`: TLS is there already. The server speaks first.
    pub(crate) fn new(settings: &'a Settings, is_secure: bool) -> Self {
        Self {
            settings,
            state: State::Greeting,
            is_secure,
            extensions: Extensions::default(),
        }
    }

    /// What the server can; whole once [`Step::Ready`] has come.
    pub(crate) fn into_extensions(self) -> Extensions {
        self.extensions
    }

    /// What the reply that comes next is called, for a message about its absence.
    pub(crate) fn waiting_for(&self) -> &'static str {
        match self.state {
            State::Greeting => "greeting",
            State::Ehlo | State::Helo => "reply to EHLO",
            State::StartTls => "reply to STARTTLS",
            State::AuthLogin | State::AuthLoginName | State::AuthVerdict | State::Ready => {
                "reply to AUTH"
            }
        }
    }

    /// TLS stands; what the server said before it counts no more.
    pub(crate) fn secured(&mut self) -> Step {
        self.is_secure = true;
        self.extensions = Extensions::default();
        self.hello()
    }

    pub(crate) fn on_reply(&mut self, reply: Reply) -> Result<Step, Error> {
        match self.state {
            State::Greeting if reply.code == 220 => Ok(self.hello()),
            State::Greeting => Err(self.refused("connection", reply)),
            State::Ehlo if reply.is_positive() => {
                self.extensions = Extensions::parse(&reply.text);
                self.after_hello()
            }
            // A server so old that it doesn't know EHLO. Whatever was to be protected isn't sent to it.
            State::Ehlo if (500..=504).contains(&reply.code) => {
                self.state = State::Helo;
                Ok(Step::Send(format!("HELO {}\r\n", self.settings.hello_name)))
            }
            State::Helo if reply.is_positive() => self.after_hello(),
            State::Ehlo | State::Helo => Err(self.refused("EHLO", reply)),
            State::StartTls if reply.code == 220 => Ok(Step::StartTls),
            State::StartTls => Err(self.refused("STARTTLS", reply)),
            State::AuthLogin if reply.code == 334 => {
                self.state = State::AuthLoginName;
                Ok(self.send_encoded(|credentials| credentials.username.clone()))
            }
            State::AuthLoginName if reply.code == 334 => {
                self.state = State::AuthVerdict;
                Ok(self.send_encoded(|credentials| credentials.password.expose().to_owned()))
            }
            State::AuthVerdict if reply.is_positive() => {
                self.state = State::Ready;
                Ok(Step::Ready)
            }
            State::AuthLogin | State::AuthLoginName | State::AuthVerdict if reply.code >= 400 => {
                Err(Error::Credentials {
                    server: self.settings.server.clone(),
                    reply,
                })
            }
            State::AuthLogin | State::AuthLoginName | State::AuthVerdict | State::Ready => {
                Err(Error::Protocol {
                    server: self.settings.server.clone(),
                    reason: "a reply to AUTH that means nothing there",
                })
            }
        }
    }

    fn hello(&mut self) -> Step {
        self.state = State::Ehlo;
        Step::Send(format!("EHLO {}\r\n", self.settings.hello_name))
    }

    fn after_hello(&mut self) -> Result<Step, Error> {
        let server = || self.settings.server.clone();
        if !self.is_secure
            && matches!(
                self.settings.tls_mode,
                TlsMode::Opportunistic | TlsMode::Required
            )
        {
            if self.extensions.start_tls {
                self.state = State::StartTls;
                return Ok(Step::Send("STARTTLS\r\n".to_owned()));
            }
            if self.settings.tls_mode == TlsMode::Required {
                return Err(Error::NoStartTls { server: server() });
            }
        }
        let Some(credentials) = &self.settings.credentials else {
            self.state = State::Ready;
            return Ok(Step::Ready);
        };
        if !self.is_secure && self.settings.tls_mode != TlsMode::None {
            return Err(Error::PlainPassword { server: server() });
        }
        if self.extensions.auth_plain {
            self.state = State::AuthVerdict;
            let secret = format!(
                "\0{}\0{}",
                credentials.username,
                credentials.password.expose()
            );
            Ok(Step::Send(format!(
                "AUTH PLAIN {}\r\n",
                BASE64_STANDARD.encode(secret)
            )))
        } else if self.extensions.auth_login {
            self.state = State::AuthLogin;
            Ok(Step::Send("AUTH LOGIN\r\n".to_owned()))
        } else {
            Err(Error::NoAuth { server: server() })
        }
    }

    fn send_encoded(&self, choose: impl Fn(&super::settings::Credentials) -> String) -> Step {
        let text = self
            .settings
            .credentials
            .as_ref()
            .map(choose)
            .unwrap_or_default();
        Step::Send(format!("{}\r\n", BASE64_STANDARD.encode(text)))
    }

    fn refused(&self, step: &'static str, reply: Reply) -> Error {
        Error::Refused {
            server: self.settings.server.clone(),
            step,
            reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::smtp::{settings::Credentials, tls::TlsSettings};

    fn settings(tls_mode: TlsMode, has_credentials: bool) -> Settings {
        Settings {
            host: "mx".to_owned(),
            port: 25,
            server: "mx:25".into(),
            tls_mode,
            tls: TlsSettings::default(),
            credentials: has_credentials.then(|| Credentials {
                username: "max".to_owned(),
                password: String::from("geheim").into(),
            }),
            hello_name: "me".to_owned(),
            connect_timeout: Duration::MAX,
            command_timeout: Duration::MAX,
            data_timeout: Duration::MAX,
            idle_timeout: Duration::MAX,
            connections: 1,
        }
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
}
