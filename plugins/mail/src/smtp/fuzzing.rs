//! Servers that say anything, to the handshake and to the dialogue.

use std::collections::HashMap;

use super::{
    Outgoing,
    dialogue::{Dialogue, Finished, Outcome},
    handshake::{Handshake, Step},
    limits::{Verdict, judge},
    reply::{Reply, ReplyParser},
    settings::{Credentials, Settings, TlsMode},
    wire::Extensions,
};
use crate::{
    address,
    message::{Envelope, Message},
};

/// How many messages the client has, and how many recipients each of them.
const MESSAGES: usize = 3;
const RECIPIENTS: usize = 70;

/// Plays a server's bytes: the first of them says how the client is set up and how the others are cut.
///
/// # Panics
/// Where a message ends twice or never, or is taken for accepted without having been sent.
pub fn smtp_replies(data: &[u8]) {
    let Some((&setup, bytes)) = data.split_first() else {
        return;
    };
    let replies = replies(bytes, usize::from(setup >> 4) * 3 + 1);
    handshake(setup, &replies);
    dialogue(setup, &replies);
}

fn replies(bytes: &[u8], piece: usize) -> Vec<Reply> {
    let mut parser = ReplyParser::default();
    let mut replies = Vec::new();
    for bytes in bytes.chunks(piece) {
        parser.push(bytes);
        while let Ok(Some(reply)) = parser.pop() {
            assert!((200..600).contains(&reply.code));
            assert!(!reply.text.contains(['\r', '\0']) && !reply.to_string().contains('\n'));
            replies.push(reply);
        }
    }
    replies
}

fn handshake(setup: u8, replies: &[Reply]) {
    let settings = settings(setup);
    let mut handshake = Handshake::new(&settings, false);
    let mut is_secure = false;
    for reply in replies {
        let mut step = match handshake.on_reply(reply.clone()) {
            Ok(step) => step,
            Err(error) => {
                assert!(!error.to_string().contains("geheim"), "{error}");
                return;
            }
        };
        if step == Step::StartTls {
            is_secure = true;
            step = handshake.secured();
        }
        match step {
            Step::Send(line) => {
                assert!(line.ends_with("\r\n") && !line.trim_end().contains(['\r', '\n']));
                let may_say = is_secure || settings.tls_mode == TlsMode::None;
                assert!(may_say || !line.starts_with("AUTH"), "{line}");
            }
            Step::Ready => return,
            Step::StartTls => panic!("TLS twice"),
        }
    }
}

fn settings(setup: u8) -> Settings {
    let secret = || String::from("geheim");
    let tls_mode =
        [TlsMode::None, TlsMode::Opportunistic, TlsMode::Required][usize::from(setup % 3)];
    let credentials = match setup & 12 {
        0 => None,
        4 => Some(Credentials::Token {
            username: "max".to_owned(),
            token: kit::secret::SecretSource::Text(secret().into()),
        }),
        _ => Some(Credentials::Password {
            username: "max".to_owned(),
            password: secret().into(),
        }),
    };
    Settings::made_up(tls_mode, credentials)
}

fn mail(tag: usize, recipients: usize) -> Outgoing {
    let address = |text: &str| address::parse_one(text).expect("it is one").address;
    let message = Message {
        id: String::new(),
        envelope: Envelope {
            from: Some(address("me@example.com")),
            to: (0..recipients)
                .map(|index| address(&format!("a{index}@example.com")))
                .collect(),
        },
        bytes: format!("Subject: {tag}\r\n\r\n.\r\n").into_bytes(),
        needs_utf8: false,
        needs_8bit: false,
    };
    Outgoing::new(tag, message)
}

fn dialogue(setup: u8, replies: &[Reply]) {
    let mut dialogue = Dialogue::new(Extensions {
        pipelining: setup & 1 == 0,
        ..Extensions::default()
    });
    let mut mails = (0..MESSAGES).map(|tag| mail(tag, if tag == 1 { RECIPIENTS } else { tag + 1 }));
    let mut ended = Ended::default();
    let mut replies = replies.iter();
    let mut is_handed_over;
    'connection: loop {
        while dialogue.wants_mail()
            && let Some(mail) = mails.next()
        {
            ended.started += 1;
            dialogue.start(mail, usize::from(setup >> 2) + 1);
        }
        let mut out = Vec::new();
        is_handed_over = dialogue.push_output(&mut out).is_some();
        ended.sent += usize::from(is_handed_over);
        if out.is_empty() {
            assert!(dialogue.is_idle());
            break;
        }
        while dialogue.is_waiting() {
            let Some(reply) = replies.next() else {
                break 'connection;
            };
            match dialogue.on_reply(reply.clone()) {
                Ok(finished) => finished.into_iter().for_each(|one| ended.note(&one)),
                Err(_) => break 'connection,
            }
        }
    }
    for finished in dialogue.lost(is_handed_over) {
        ended.note(&finished);
    }
    assert_eq!(ended.times.len(), ended.started, "every message ends");
    assert!(dialogue.is_idle());
}

#[derive(Default)]
struct Ended {
    started: usize,
    /// How many messages went out whole.
    sent: usize,
    taken: usize,
    times: HashMap<usize, usize>,
}

impl Ended {
    fn note(&mut self, Finished { mail, outcome }: &Finished) {
        let times = self.times.entry(mail.tag).or_default();
        *times += 1;
        assert_eq!(*times, 1, "message {} ended twice", mail.tag);
        match outcome {
            Outcome::Answered { verdicts, is_first } => {
                assert_eq!(verdicts.len(), mail.open().len());
                let is_accepted = |one: &Verdict| matches!(one, Verdict::Accepted(_));
                let has_accepted = verdicts.iter().any(is_accepted);
                self.taken += usize::from(has_accepted);
                for verdict in verdicts {
                    let again = judge(verdict, has_accepted, *is_first);
                    assert!(!is_accepted(verdict) || again.is_none());
                }
            }
            Outcome::Unanswered => self.taken += 1,
            Outcome::Returned { .. } => {}
        }
        assert!(self.taken <= self.sent, "what wasn't sent was not taken");
    }
}
