//! `send_mail`: one message, to however many recipients.

use plugin_api::{Task, TaskError};
use serde_json::json;

use crate::{
    Mail, Transport,
    args::{Rejection, SendMail, Sent, TransportName},
    error::Trouble,
    fields,
    message::{Draft, Error, Message},
    smtp::{self, Answers},
};

pub(crate) fn send_mail(mail: &Mail, args: &SendMail, task: &Task) -> Result<Sent, TaskError> {
    let message = build(mail, args).map_err(Trouble::from)?;
    let message_id = message.id.clone();
    let recipients: Vec<String> = message
        .envelope
        .to
        .iter()
        .map(ToString::to_string)
        .collect();
    match &mail.transport {
        Transport::Smtp(client) => match client.send(message, &|| task.is_cancelled()) {
            Ok(answers) => sent(message_id, recipients, &answers),
            Err(error) => Err(failed(error, task)),
        },
        Transport::Outbox(outbox) => {
            let path = outbox
                .write(&message)
                .map_err(|error| Trouble::outbox(outbox.folder(), &error))?;
            Ok(Sent {
                message_id,
                transport: TransportName::Outbox,
                file: Some(path.display().to_string()),
                accepted: recipients,
                rejected: Vec::new(),
            })
        }
    }
}

fn build(mail: &Mail, args: &SendMail) -> Result<Message, Error> {
    fields::header_names(&args.headers)?;
    let headers: Vec<_> = args
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Draft {
        from: &fields::sender(args.from.as_deref(), mail.from.as_ref())?,
        to: &fields::mailboxes("to", &args.to)?,
        cc: &fields::mailboxes("cc", &args.cc)?,
        bcc: &fields::mailboxes("bcc", &args.bcc)?,
        reply_to: &fields::mailboxes("reply_to", &args.reply_to)?,
        subject: args.subject.as_deref(),
        text: args.contents.as_deref(),
        html: args.html.as_deref(),
        headers: &headers,
        attachments: &fields::attachments(&args.attachments)?,
    }
    .build(mail.message_len_max)
}

fn sent(message_id: String, recipients: Vec<String>, answers: &Answers) -> Result<Sent, TaskError> {
    let mut accepted = Vec::new();
    let mut rejected = Vec::new();
    for (address, answer) in recipients.into_iter().zip(answers) {
        match answer {
            None => accepted.push(address),
            Some(reply) => rejected.push(Rejection::new(address, reply)),
        }
    }
    if !accepted.is_empty() {
        return Ok(Sent {
            message_id,
            transport: TransportName::Smtp,
            file: None,
            accepted,
            rejected,
        });
    }
    let first = rejected
        .first()
        .map(|first| format!("{}: {} {}", first.address, first.code, first.message));
    let message = format!(
        "the server refused every recipient: {}",
        first.unwrap_or_default()
    );
    let error = TaskError::new("rejected", message);
    let may_work_later = rejected.iter().all(|rejection| rejection.retryable);
    let error = if may_work_later {
        error.retryable()
    } else {
        error
    };
    Err(error.data(json!({ "rejected": rejected })))
}

fn failed(error: smtp::Error, task: &Task) -> TaskError {
    // A task that was stopped before anything was handed over ends as what it is.
    match task.check() {
        Err(cancelled) if matches!(error, smtp::Error::Stopped) => cancelled,
        _ => Trouble::from(error).into(),
    }
}
