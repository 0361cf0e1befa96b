//! From the greeting to a connection that takes messages: EHLO, STARTTLS, AUTH. No I/O.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    error::Error,
    reply::Reply,
    settings::{Credentials, Settings, TlsMode},
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
    /// The password or the token is out; what comes is the verdict.
    AuthVerdict,
    Ready,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Login,
    Xoauth2,
    OauthBearer,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

pub(crate) struct Handshake<'a> {
    settings: &'a Settings,
    state: State,
    is_secure: bool,
    extensions: Extensions,
    /// The one in use.
    mechanism: Option<Mechanism>,
    /// The others that the server offers, and that we have what they take for; the next one comes last.
    mechanisms: Vec<Mechanism>,
    /// The server's first refusal, and what it said in base64 before one.
    refusal: Option<Reply>,
    challenge: Option<String>,
}

impl<'a> Handshake<'a> {
    /// `is_secure`: TLS is there already. The server speaks first.
    pub(crate) fn new(settings: &'a Settings, is_secure: bool) -> Self {
        Self {
            settings,
            state: State::Greeting,
            is_secure,
            extensions: Extensions::default(),
            mechanism: None,
            mechanisms: Vec::new(),
            refusal: None,
            challenge: None,
        }
    }

    /// By what the server knows us.
    pub(crate) fn mechanism(&self) -> Option<&'static str> {
        self.mechanism.map(Mechanism::name)
    }

    /// Why the connection ended, told by what it was about: a server may hang up on whom it has refused.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        match self.refusal.take() {
            Some(reply) if matches!(error, Error::Lost { .. }) => self.denied(reply),
            _ => error,
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
                Ok(self.send_of_password(|username, _| username.to_owned()))
            }
            State::AuthLoginName if reply.code == 334 => {
                self.state = State::AuthVerdict;
                Ok(self.send_of_password(|_, password| password.to_owned()))
            }
            // What is wrong with the token; the refusal itself comes when this is acknowledged.
            State::AuthVerdict
                if reply.code == 334 && self.challenge.is_none() && self.has_token() =>
            {
                self.challenge = Some(decoded(&reply.text));
                Ok(Step::Send(
                    if self.mechanism == Some(Mechanism::OauthBearer) {
                        "AQ==\r\n".to_owned()
                    } else {
                        "\r\n".to_owned()
                    },
                ))
            }
            State::AuthVerdict if reply.is_positive() => {
                self.state = State::Ready;
                Ok(Step::Ready)
            }
            State::AuthLogin | State::AuthLoginName | State::AuthVerdict if reply.code >= 400 => {
                let is_final = reply.is_transient() || reply.code == 421;
                let first = self.refusal.get_or_insert(reply).clone();
                if is_final || self.mechanisms.is_empty() {
                    return Err(self.denied(first));
                }
                self.begin_auth()
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
        let Extensions {
            auth_plain,
            auth_login,
            auth_xoauth2,
            auth_oauthbearer,
            ..
        } = self.extensions;
        // Some servers offer one that they don't do, so that the other is tried as well.
        let choice = match credentials {
            Credentials::Password { .. } => [
                (auth_login, Mechanism::Login),
                (auth_plain, Mechanism::Plain),
            ],
            Credentials::Token { .. } => [
                (auth_oauthbearer, Mechanism::OauthBearer),
                (auth_xoauth2, Mechanism::Xoauth2),
            ],
        };
        let offered = choice.into_iter().filter(|(is_offered, _)| *is_offered);
        self.mechanisms = offered.map(|(_, mechanism)| mechanism).collect();
        self.begin_auth()
    }

    fn begin_auth(&mut self) -> Result<Step, Error> {
        let settings = self.settings;
        self.mechanism = self.mechanisms.pop();
        self.challenge = None;
        self.state = State::AuthVerdict;
        let (host, port) = (&settings.host, settings.port);
        let response = match (self.mechanism, &settings.credentials) {
            (Some(Mechanism::Login), _) => {
                self.state = State::AuthLogin;
                return Ok(Step::Send("AUTH LOGIN\r\n".to_owned()));
            }
            (Some(Mechanism::Plain), Some(Credentials::Password { username, password })) => {
                format!("\0{username}\0{}", password.expose())
            }
            (Some(mechanism), Some(Credentials::Token { username, token })) => {
                let token = token.read().map_err(|error| Error::Token {
                    reason: error.to_string(),
                })?;
                let token = token.expose();
                if mechanism == Mechanism::Xoauth2 {
                    format!("user={username}\x01auth=Bearer {token}\x01\x01")
                } else {
                    // RFC 7628, 3.1; RFC 5801, 4: `=` and `,` in a name are written as numbers.
                    let name = username.replace('=', "=3D").replace(',', "=2C");
                    format!(
                        "n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
                    )
                }
            }
            _ => {
                return Err(Error::NoAuth {
                    server: settings.server.clone(),
                });
            }
        };
        Ok(Step::Send(format!(
            "AUTH {} {}\r\n",
            self.mechanism().unwrap_or_default(),
            BASE64_STANDARD.encode(response)
        )))
    }

    fn has_token(&self) -> bool {
        matches!(self.settings.credentials, Some(Credentials::Token { .. }))
    }

    fn denied(&self, mut reply: Reply) -> Error {
        if let Some(challenge) = &self.challenge {
            reply.text = format!("{} {challenge}", reply.text);
        }
        Error::Credentials {
            server: self.settings.server.clone(),
            reply,
        }
    }

    fn send_of_password(&self, choose: impl Fn(&str, &str) -> String) -> Step {
        let text = match &self.settings.credentials {
            Some(Credentials::Password { username, password }) => {
                choose(username, password.expose())
            }
            _ => String::new(),
        };
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

/// What the server said in base64, for people: short, and without control characters.
fn decoded(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text.trim()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let signs = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    signs.take(300).collect()
}

#[cfg(test)]
mod tests;
