//! `send_mail`: one message, to however many recipients; `check_mail`: all of it but the sending.

use std::{collections::HashSet, time::Instant};

use plugin_api::{Task, TaskError};
use serde_json::json;

use crate::{
    Mail, Transport,
    address::Address,
    args::{MailCheck, MessageCheck, SendMail, Sent, TransportName},
    error::Trouble,
    fields,
    listed::Listed,
    message::{Draft, Error, Message},
    smtp::{self, Answers, report_time},
};

pub(crate) fn send_mail(mail: &Mail, args: &SendMail, task: &Task) -> Result<Sent, TaskError> {
    let message = build(mail, args).map_err(Trouble::from)?;
    let message_id = message.id.clone();
    let recipients = texts(&message.envelope.to);
    match &mail.transport {
        Transport::Smtp(client) => {
            let until = task
                .remaining()
                .map(|left| Instant::now() + (left - report_time(left)));
            match client.send(message, until, &|| task.is_cancelled()) {
                Ok(answers) => sent(message_id, recipients, answers),
                Err(error) => Err(failed(error, &message_id, task)),
            }
        }
        Transport::Outbox(outbox) => {
            let path = outbox
                .write(&message)
                .map_err(|error| Trouble::outbox(outbox.folder(), &error))?;
            Ok(Sent {
                message_id,
                transport: TransportName::Outbox,
                file: Some(path.display().to_string()),
                replies: Vec::new(),
                accepted: recipients,
                rejected: Vec::new(),
                rejected_left_out: 0,
            })
        }
    }
}

/// Says what would become of a message, if one is given, and whether the server is there for it.
pub(crate) fn check_mail(
    mail: &Mail,
    args: &SendMail,
    task: &Task,
) -> Result<MailCheck, TaskError> {
    let has_message = *args != SendMail::default();
    let message = has_message.then(|| build(mail, args)).transpose();
    let message = message.map_err(Trouble::from)?;
    let mut check = MailCheck {
        transport: TransportName::Outbox,
        folder: None,
        server: None,
        tls: None,
        auth: None,
        extensions: Vec::new(),
        message: message.as_ref().map(|message| MessageCheck {
            len: message.bytes.len(),
            envelope_from: message
                .envelope
                .from
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            recipients: texts(&message.envelope.to),
        }),
    };
    match &mail.transport {
        Transport::Smtp(client) => {
            let welcome = client
                .check(message.as_ref(), &|| task.is_cancelled())
                .map_err(|error| stopped_or(error, task))?;
            check.transport = TransportName::Smtp;
            check.server = Some(client.server().to_owned());
            check.tls = welcome.tls.map(str::to_owned);
            check.auth = welcome.auth.map(str::to_owned);
            check.extensions = welcome.extensions;
        }
        Transport::Outbox(outbox) => {
            outbox
                .check()
                .map_err(|error| Trouble::outbox(outbox.folder(), &error))?;
            check.folder = Some(outbox.folder().display().to_string());
        }
    }
    Ok(check)
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn build(mail: &Mail, args: &SendMail) -> Result<Message, Error> {
    fields::header_names(&args.headers)?;
    let headers: Vec<_> = args
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let attachments = fields::attachments("attachments", &args.attachments)?;
    let attachments: Vec<_> = attachments.iter().collect();
    let envelope_from = fields::envelope_from(args.envelope_from.as_ref())?;
    Draft {
        from: &fields::sender(args.from.as_ref(), mail.from.as_ref())?,
        envelope_from: envelope_from.as_ref().map(Option::as_ref),
        to: &fields::mailboxes("to", &args.to)?,
        cc: &fields::mailboxes("cc", &args.cc)?,
        bcc: &fields::mailboxes("bcc", &args.bcc)?,
        reply_to: &fields::mailboxes("reply_to", &args.reply_to)?,
        subject: args.subject.as_deref(),
        text: args.contents.as_deref(),
        html: args.html.as_deref(),
        headers: &headers,
        attachments: &attachments,
    }
    .build(mail.message_len_max)
}

fn sent(message_id: String, recipients: Vec<String>, answers: Answers) -> Result<Sent, TaskError> {
    let (mut accepted, mut rejected) = (Vec::new(), Listed::default());
    let (mut replies, mut seen) = (Listed::default(), HashSet::new());
    for (address, answer) in recipients.into_iter().zip(answers) {
        match Trouble::of(answer) {
            Ok(reply) => {
                accepted.push(address);
                let reply = reply.to_string();
                // One reply answers for all recipients of a transaction.
                if seen.insert(reply.clone()) {
                    replies.push(reply);
                }
            }
            Err(trouble) => rejected.push(trouble.into_rejection(address)),
        }
    }
    replies.make_room(&rejected);
    if !accepted.is_empty() {
        return Ok(Sent {
            message_id,
            transport: TransportName::Smtp,
            file: None,
            replies: replies.items,
            accepted,
            rejected: rejected.items,
            rejected_left_out: rejected.left_out,
        });
    }
    let first = rejected.items.first().map(|first| {
        let code = first
            .code
            .map(|code| format!("{code} "))
            .unwrap_or_default();
        format!("{}: {code}{}", first.address, first.message)
    });
    let message = format!(
        "the server refused every recipient: {}",
        first.unwrap_or_default()
    );
    let error = TaskError::new("rejected", message);
    // One is enough, as one that is accepted is.
    let may_work_later = rejected.items.iter().any(|rejection| rejection.retryable);
    let error = if may_work_later {
        error.retryable()
    } else {
        error
    };
    let mut data = json!({ "rejected": rejected.items, "message_id": message_id });
    if rejected.left_out > 0 {
        data["rejected_left_out"] = rejected.left_out.into();
    }
    Err(error.data(data))
}

fn failed(error: smtp::Error, message_id: &str, task: &Task) -> TaskError {
    let data = match error.code() {
        Some(code) => json!({ "code": code, "message_id": message_id }),
        None => json!({ "message_id": message_id }),
    };
    let is_stopped = matches!(error, smtp::Error::Stopped);
    let error = stopped_or(error, task);
    if is_stopped { error } else { error.data(data) }
}

/// A task that was stopped before anything was handed over ends as what it is.
fn stopped_or(error: smtp::Error, task: &Task) -> TaskError {
    match task.check() {
        Err(cancelled) if matches!(error, smtp::Error::Stopped) => cancelled,
        _ => Trouble::from(error).into(),
    }
}
