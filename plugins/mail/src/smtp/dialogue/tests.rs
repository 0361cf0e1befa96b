use super::*;
use crate::{
    address::parse_one,
    message::{Envelope, Message},
    smtp::reply::ReplyParser,
};

fn mail(tag: usize, recipients: &[&str]) -> Outgoing {
    let address = |text: &str| parse_one(text).unwrap().address;
    let envelope = Envelope {
        from: Some(address("me@example.com")),
        to: recipients
            .iter()
            .map(|local| address(&format!("{local}@example.com")))
            .collect(),
    };
    let bytes = format!("Subject: {tag}\r\n\r\n.\r\n").into_bytes();
    let message = Message {
        id: String::new(),
        envelope,
        bytes,
        needs_utf8: false,
        needs_8bit: false,
    };
    Outgoing::new(tag, message)
}

/// A server that refuses on command: a local part that begins with a digit is refused with that digit as the class of
/// the code; so is a sender's MAIL, a DATA, or a message, where `refuse` names them.
#[derive(Default)]
struct Server {
    pipelining: bool,
    refuse: Vec<(&'static str, &'static str)>,
    /// What it heard; every write of the client is one item.
    heard: Vec<String>,
    is_open: bool,
    recipients: usize,
    is_in_data: bool,
    delivered: Vec<String>,
}

impl Server {
    fn refusal(&self, command: &str) -> Option<String> {
        self.refuse
            .iter()
            .find(|(at, _)| command.starts_with(at))
            .map(|(_, reply)| (*reply).to_owned())
    }

    fn hear(&mut self, written: &[u8]) -> String {
        let written = String::from_utf8(written.to_vec()).unwrap();
        self.heard.push(written.replace("\r\n", "|"));
        written
            .split_inclusive("\r\n")
            .map(|line| self.hear_line(line))
            .collect()
    }

    fn hear_line(&mut self, line: &str) -> String {
        if self.is_in_data {
            if line != ".\r\n" {
                return String::new();
            }
            self.is_in_data = false;
            let recipients = std::mem::take(&mut self.recipients);
            self.is_open = false;
            let reply = self.refusal(".").unwrap_or_else(|| {
                if recipients == 0 {
                    "554 no valid recipients".to_owned()
                } else {
                    "250 queued".to_owned()
                }
            });
            if reply.starts_with('2') {
                self.delivered.push(format!("to {recipients}"));
            }
            return reply + "\r\n";
        }
        let reply = if let Some(refusal) = self.refusal(line) {
            refusal
        } else if line.starts_with("RSET") {
            self.is_open = false;
            self.recipients = 0;
            "250 reset".to_owned()
        } else if line.starts_with("MAIL") {
            if std::mem::replace(&mut self.is_open, true) {
                "503 nested MAIL".to_owned()
            } else {
                "250 ok".to_owned()
            }
        } else if let Some(to) = line.strip_prefix("RCPT TO:<") {
            match to.as_bytes()[0] {
                _ if !self.is_open => "503 no MAIL".to_owned(),
                class @ (b'4' | b'5') => format!("{}50-no\r\n{0}50 such user", char::from(class)),
                _ => {
                    self.recipients += 1;
                    "250 ok".to_owned()
                }
            }
        } else if line.starts_with("DATA") {
            // As RFC 2920 allows: contents are wanted even when nobody is there to get them.
            if self.is_open {
                self.is_in_data = true;
                "354 go on".to_owned()
            } else {
                "503 no MAIL".to_owned()
            }
        } else {
            format!("500 what is {line:?}?")
        };
        reply + "\r\n"
    }
}

/// Runs mails through a dialogue with the server, whose replies arrive in pieces of `piece` bytes.
fn run(server: &mut Server, mails: Vec<Outgoing>, piece: usize) -> Vec<(usize, Vec<u16>)> {
    let mut dialogue = Dialogue::new(Extensions {
        pipelining: server.pipelining,
        ..Extensions::default()
    });
    let mut mails = mails.into_iter();
    let mut parser = ReplyParser::default();
    let mut results = Vec::new();
    loop {
        if dialogue.wants_mail()
            && let Some(mail) = mails.next()
        {
            dialogue.start(mail, usize::MAX);
        }
        let mut out = Vec::new();
        dialogue.push_output(&mut out);
        if out.is_empty() {
            assert!(dialogue.is_idle() && !dialogue.is_waiting());
            return results;
        }
        for bytes in server.hear(&out).as_bytes().chunks(piece) {
            parser.push(bytes);
            while let Some(reply) = parser.pop().unwrap() {
                if let Some(Finished { mail, outcome }) = dialogue.on_reply(reply).unwrap() {
                    results.push((mail.tag, codes(&outcome)));
                }
            }
        }
        assert!(!dialogue.is_waiting(), "every reply came");
    }
}

/// The codes that refuse; 0 where a recipient was accepted, 1 where it wasn't asked for.
fn codes(outcome: &Outcome) -> Vec<u16> {
    let Outcome::Answered { verdicts, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let code = |verdict: &Verdict| match verdict {
        Verdict::Accepted(_) => 0,
        Verdict::Unasked => 1,
        Verdict::Refused { reply, .. } => reply.code,
    };
    verdicts.iter().map(code).collect()
}

fn both_ways(
    refuse: &[(&'static str, &'static str)],
    mails: &[Outgoing],
) -> (Server, Server, Vec<(usize, Vec<u16>)>) {
    let server = |pipelining| Server {
        pipelining,
        refuse: refuse.to_vec(),
        ..Server::default()
    };
    let (mut pipelined, mut plain) = (server(true), server(false));
    let wanted = run(&mut plain, mails.to_vec(), usize::MAX);
    for piece in [1, 2, 3, 5, 7, 1000] {
        pipelined = server(true);
        assert_eq!(
            run(&mut pipelined, mails.to_vec(), piece),
            wanted,
            "pieces of {piece}"
        );
    }
    assert_eq!(pipelined.delivered, plain.delivered);
    (pipelined, plain, wanted)
}

#[test]
fn a_pipelined_message_takes_one_turn() {
    let (pipelined, plain, results) = both_ways(&[], &[mail(1, &["a", "b"]), mail(2, &["c"])]);
    assert_eq!(results, [(1, vec![0, 0]), (2, vec![0])]);
    assert_eq!(
        pipelined.heard,
        [
            "MAIL FROM:<me@example.com>|RCPT TO:<a@example.com>|RCPT TO:<b@example.com>|DATA|",
            "Subject: 1||..|.|MAIL FROM:<me@example.com>|RCPT TO:<c@example.com>|DATA|",
            "Subject: 2||..|.|",
        ]
    );
    assert_eq!(
        plain.heard,
        [
            "MAIL FROM:<me@example.com>|",
            "RCPT TO:<a@example.com>|",
            "RCPT TO:<b@example.com>|",
            "DATA|",
            "Subject: 1||..|.|",
            "MAIL FROM:<me@example.com>|",
            "RCPT TO:<c@example.com>|",
            "DATA|",
            "Subject: 2||..|.|",
        ]
    );
}

#[test]
fn who_is_refused_harms_nobody_else() {
    let mails = [
        mail(1, &["4a", "b", "5c"]),
        mail(2, &["5d", "4e"]),
        mail(3, &["f"]),
    ];
    let (pipelined, plain, results) = both_ways(&[], &mails);
    assert_eq!(
        results,
        [(1, vec![450, 0, 550]), (2, vec![550, 450]), (3, vec![0])]
    );
    assert_eq!(pipelined.delivered, ["to 1", "to 1"]);
    // All refused, contents wanted nevertheless: a dot and nothing else, together with the next message's commands.
    assert_eq!(
        pipelined.heard[2],
        ".|MAIL FROM:<me@example.com>|RCPT TO:<f@example.com>|DATA|"
    );
    // In lock-step, DATA is spared, and the open transaction is reset.
    assert_eq!(
        plain.heard[9..11],
        ["RSET|".to_owned(), "MAIL FROM:<me@example.com>|".to_owned()]
    );
}

#[test]
fn a_refused_sender_is_told_for_every_recipient() {
    let (_, plain, results) = both_ways(
        &[("MAIL", "553 not you")],
        &[mail(1, &["a", "b"]), mail(2, &["c"])],
    );
    assert_eq!(results, [(1, vec![553, 553]), (2, vec![553])]);
    assert_eq!(
        plain.heard.len(),
        2,
        "nothing else was tried: {:?}",
        plain.heard
    );
}

#[test]
fn a_refused_data_is_told_for_those_who_were_accepted() {
    let (_, _, results) = both_ways(
        &[("DATA", "451 later")],
        &[mail(1, &["a", "5b"]), mail(2, &["c"])],
    );
    assert_eq!(results, [(1, vec![451, 550]), (2, vec![451])]);
}

#[test]
fn a_refused_message_is_told_for_those_who_were_accepted() {
    let (_, _, results) = both_ways(
        &[(".", "554 spam")],
        &[mail(1, &["a", "4b"]), mail(2, &["c"])],
    );
    assert_eq!(results, [(1, vec![554, 450]), (2, vec![554])]);
}

#[test]
fn many_recipients_go_in_groups() {
    let names: Vec<String> = (0..200)
        .map(|i| {
            if i % 50 == 0 {
                format!("5x{i}")
            } else {
                format!("x{i}")
            }
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (pipelined, _, results) = both_ways(&[], &[mail(1, &names), mail(2, &["a"])]);
    assert_eq!(results[0].1.iter().filter(|code| **code == 550).count(), 4);
    assert!(
        pipelined
            .heard
            .iter()
            .all(|write| write.matches('|').count() <= COMMANDS_MAX)
    );
    assert_eq!(pipelined.delivered, ["to 196", "to 1"]);
}

#[test]
fn a_full_transaction_leaves_the_others_for_the_next() {
    let names: Vec<String> = (0..100)
        .map(|i| {
            if i < 70 {
                format!("x{i}")
            } else {
                format!("y{i}")
            }
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for pipelining in [true, false] {
        let mut server = Server {
            pipelining,
            refuse: vec![("RCPT TO:<y", "452 4.5.3 too many recipients")],
            ..Server::default()
        };
        let mails = vec![mail(1, &names), mail(2, &["a"])];
        let results = run(&mut server, mails, 7);
        assert_eq!(server.delivered, ["to 70", "to 1"]);
        assert_eq!(results[0].1.len(), 100);
        assert_eq!(results[0].1[..71], [vec![0; 70], vec![452]].concat());
        // Pipelined, some more had been asked for before the first refusal came back.
        let asked = if pipelining { 100 } else { 71 };
        assert_eq!(results[0].1[71..asked], vec![452; asked - 71]);
        assert_eq!(results[0].1[asked..], vec![1; 100 - asked]);
    }
}

fn replies(dialogue: &mut Dialogue, codes: &[u16]) -> Result<Vec<Finished>, Violation> {
    let replies = codes.iter().map(|code| Reply {
        code: *code,
        text: String::new(),
    });
    replies
        .filter_map(|reply| dialogue.on_reply(reply).transpose())
        .collect()
}

/// A dialogue of two messages, both started; the first one's contents are written after three replies.
fn started() -> Dialogue {
    let mut dialogue = Dialogue::new(Extensions {
        pipelining: true,
        ..Extensions::default()
    });
    dialogue.start(mail(1, &["a"]), usize::MAX);
    assert_eq!(dialogue.push_output(&mut Vec::new()), None);
    dialogue
}

fn fates(lost: &[Finished]) -> Vec<(usize, &'static str)> {
    let fate = |finished: &Finished| match finished.outcome {
        Outcome::Answered { .. } => "answered",
        Outcome::Returned { is_first: true } => "returned, was first",
        Outcome::Returned { is_first: false } => "returned",
        Outcome::Unanswered => "unanswered",
    };
    lost.iter()
        .map(|finished| (finished.mail.tag, fate(finished)))
        .collect()
}

#[test]
fn a_connection_may_go_at_any_point() {
    for codes in [&[][..], &[250], &[250, 250], &[250, 250, 354]] {
        let mut dialogue = started();
        assert!(replies(&mut dialogue, codes).unwrap().is_empty());
        assert_eq!(fates(&dialogue.lost(false)), [(1, "returned, was first")]);
        assert!(dialogue.is_idle());
    }
    for (is_handed_over, first) in [(false, "returned, was first"), (true, "unanswered")] {
        let mut dialogue = started();
        replies(&mut dialogue, &[250, 250, 354]).unwrap();
        dialogue.start(mail(2, &["b"]), usize::MAX);
        let mut out = Vec::new();
        let handed_over = dialogue.push_output(&mut out).unwrap();
        assert!(
            out[..handed_over].ends_with(b"\r\n.\r\n") && out[handed_over..].starts_with(b"MAIL")
        );
        assert_eq!(
            fates(&dialogue.lost(is_handed_over)),
            [(1, first), (2, "returned")]
        );
    }
    let mut dialogue = started();
    replies(&mut dialogue, &[250, 250, 354]).unwrap();
    dialogue.start(mail(2, &["b"]), usize::MAX);
    dialogue.push_output(&mut Vec::new());
    assert_eq!(
        fates(&replies(&mut dialogue, &[250, 250]).unwrap()),
        [(1, "answered")]
    );
    assert_eq!(fates(&dialogue.lost(true)), [(2, "returned")]);
}

#[test]
fn nobody_can_have_got_a_message_without_recipients() {
    let mut dialogue = started();
    replies(&mut dialogue, &[250, 550, 354]).unwrap();
    assert_eq!(dialogue.push_output(&mut Vec::new()), None);
    assert_eq!(fates(&dialogue.lost(true)), [(1, "answered")]);
}

#[test]
fn a_421_ends_it_but_is_a_verdict_after_the_dot() {
    for codes in [&[421][..], &[250, 421], &[250, 250, 421]] {
        let error = replies(&mut started(), codes).unwrap_err();
        assert!(matches!(error, Violation::Closing(Reply { code: 421, .. })));
    }
    let mut dialogue = started();
    replies(&mut dialogue, &[250, 250, 354]).unwrap();
    dialogue.push_output(&mut Vec::new());
    let finished = replies(&mut dialogue, &[421]).unwrap();
    assert_eq!(codes(&finished[0].outcome), [421]);
}

#[test]
fn replies_out_of_place_end_it() {
    for codes in [
        &[354][..],
        &[250, 354],
        &[250, 250, 250],
        &[250, 250, 354, 250],
    ] {
        assert_eq!(
            replies(&mut started(), codes).unwrap_err(),
            Violation::Unexpected,
            "{codes:?}"
        );
    }
    let mut dialogue = started();
    replies(&mut dialogue, &[250, 250, 354]).unwrap();
    dialogue.push_output(&mut Vec::new());
    assert_eq!(
        replies(&mut dialogue, &[354]).unwrap_err(),
        Violation::Unexpected
    );
    assert_eq!(fates(&dialogue.lost(true)), [(1, "unanswered")]);
}
