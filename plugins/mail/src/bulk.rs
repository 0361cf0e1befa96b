//! `send_bulk`: a message of their own to every recipient, over several connections at once.
//!
//! Every connection is a lane, a thread that takes recipients, one after another, from where all lanes take them. The
//! handler's thread reports progress and passes on that the task was cancelled.

mod shared;

use std::{
    mem,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use plugin_api::{
    Task, TaskError,
    serde_json::{Map, Value},
};

use self::shared::{Next, Shared};
use crate::{
    Mail, Transport,
    address::Mailbox,
    args::{Address, BulkReport, Recipient, SendBulk, SentMessage, TransportName},
    error::Trouble,
    fields,
    message::{Attachment, Draft, Error, Message},
    outbox::Outbox,
    smtp::{self, Answers, Client, Mails, Outgoing, report_time},
    template::{Sources, Templates, Variables},
};

/// How often progress is reported, and how late cancelling is noticed, at most.
const TICK: Duration = Duration::from_millis(50);
/// Writing files is done by as few threads as it takes to keep the disk busy.
const OUTBOX_LANES: usize = 2;

pub(crate) fn send_bulk(
    mail: &Mail,
    args: &SendBulk,
    task: &Task,
) -> Result<BulkReport, TaskError> {
    let bulk = Bulk::new(mail, args)?;
    let stop = bulk.run(task);
    bulk.finish(stop)
}

/// Why a bulk ends before all recipients had their turn.
#[derive(Clone, Copy)]
enum Stop {
    Cancelled,
    /// There is just enough time left for the report.
    TimeNearlyUp,
    TimeUp,
}

impl Stop {
    fn look(task: &Task, report_time: Duration) -> Option<Self> {
        match task.remaining() {
            Some(Duration::ZERO) => Some(Self::TimeUp),
            _ if task.is_cancelled() => Some(Self::Cancelled),
            Some(left) if left <= report_time => Some(Self::TimeNearlyUp),
            _ => None,
        }
    }
}

/// What all messages have in common, and how far all lanes are.
struct Bulk<'a> {
    mail: &'a Mail,
    from: Mailbox,
    reply_to: Vec<Mailbox>,
    attachments: Vec<Attachment>,
    templates: Templates<'a>,
    variables: &'a Map<String, Value>,
    recipients: &'a [Recipient],
    /// The first recipient that nobody has taken.
    next: AtomicUsize,
    sent: AtomicUsize,
    failed: AtomicUsize,
    /// A server has answered for a message, or may have taken one.
    has_effect: AtomicBool,
    is_stopped: AtomicBool,
    shared: Shared,
}

impl<'a> Bulk<'a> {
    /// Checks what concerns everybody.
    fn new(mail: &'a Mail, args: &'a SendBulk) -> Result<Self, Trouble> {
        if args.contents.is_none() && args.html.is_none() {
            return Err(Error::NoContents.into());
        }
        fields::header_names(&args.headers)?;
        let sources = Sources {
            envelope_from: args.envelope_from.as_deref(),
            subject: args.subject.as_deref(),
            contents: args.contents.as_deref(),
            html: args.html.as_deref(),
            headers: &args.headers,
        };
        Ok(Self {
            mail,
            from: fields::sender(args.from.as_ref(), mail.from.as_ref())?,
            reply_to: fields::mailboxes("reply_to", &args.reply_to)?,
            attachments: fields::attachments("attachments", &args.attachments)?,
            variables: &args.variables,
            templates: Templates::new(&sources, mail.message_len_max)?,
            recipients: &args.recipients,
            next: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            has_effect: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            shared: Shared::default(),
        })
    }

    /// Runs the lanes until all recipients are through, or the task has to end early, and says why it had to.
    ///
    /// The first one goes ahead, and the others follow when its connection stands: a wrong password is tried once and
    /// not by all of them, and no more connections are made than there is work for.
    fn run(&self, task: &Task) -> Option<Stop> {
        let report_time = report_time(task.remaining().unwrap_or(Duration::MAX));
        // A task may be too late before it begins.
        let mut stop = Stop::look(task, report_time);
        self.is_stopped.store(stop.is_some(), Ordering::Relaxed);
        if self.recipients.is_empty() {
            return stop;
        }
        let mut reported = (0, 0);
        thread::scope(|scope| {
            let start = |sender: &Sender<()>| {
                self.shared.enter();
                let lane = Lane {
                    bulk: self,
                    signal: Signal::new(sender.clone()),
                };
                scope.spawn(move || lane.run());
            };
            let (sender, signals) = mpsc::channel();
            start(&sender);
            // Once the lanes are started, the last one of them closes the channel.
            let mut sender = Some(sender);
            loop {
                match signals.recv_timeout(TICK) {
                    Ok(()) => {
                        if let Some(sender) = sender.take() {
                            (0..self.followers()).for_each(|_| start(&sender));
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => self.report(task, &mut reported),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if stop.is_none() {
                    stop = Stop::look(task, report_time);
                    self.is_stopped.store(stop.is_some(), Ordering::Relaxed);
                }
            }
        });
        // What the server has refused for now was tried, and has its reason.
        for mail in self.shared.take_refused() {
            self.conclude(mail, smtp::Error::Stopped);
        }
        self.report(task, &mut reported);
        stop
    }

    /// How many lanes to start beside the first one.
    fn followers(&self) -> usize {
        if self.is_stopped.load(Ordering::Relaxed) {
            return 0;
        }
        let lanes_max = match &self.mail.transport {
            Transport::Smtp(client) => client.connections(),
            Transport::Outbox(_) => OUTBOX_LANES,
        };
        let untaken = self
            .recipients
            .len()
            .saturating_sub(self.next.load(Ordering::Relaxed));
        untaken.min(lanes_max - 1)
    }

    /// Reports progress, if there is any since the last time.
    fn report(&self, task: &Task, reported: &mut (usize, usize)) {
        let (sent, failed) = (
            self.sent.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        );
        if *reported != (sent, failed) {
            *reported = (sent, failed);
            let total = self.recipients.len();
            let message = format!("{sent} of {total} sent, {failed} failed");
            task.progress((sent + failed) as u64, total as u64, &message);
        }
    }

    /// No connection is left and no new one can be made: recipients that were not reached fail.
    fn give_up(&self, returned: Vec<Outgoing>, error: &smtp::Error) {
        for mail in returned {
            self.conclude(mail, error.clone());
        }
        while !self.is_stopped.load(Ordering::Relaxed)
            && let Some(index) = self.take_index()
        {
            let trouble = self
                .prepare(index)
                .err()
                .unwrap_or_else(|| error.clone().into());
            self.fail(index, None, trouble);
        }
    }

    /// A message that is not sent any more.
    fn conclude(&self, mut mail: Outgoing, error: smtp::Error) {
        let result = mail.conclude(error);
        self.result(mail, result);
    }

    fn result(&self, mail: Outgoing, result: Result<Answers, smtp::Error>) {
        if matches!(result, Ok(_) | Err(smtp::Error::Unanswered { .. })) {
            self.has_effect.store(true, Ordering::Relaxed);
        }
        let id = mail.message.id;
        // Every message has one recipient.
        let answer = result.map(|answers| answers.into_iter().next());
        match answer.map(|answer| answer.map(Trouble::of)) {
            Ok(Some(Ok(reply))) => self.sent(mail.tag, id, Some(reply.to_string())),
            Ok(Some(Err(trouble))) => self.fail(mail.tag, Some(id), trouble),
            Ok(None) => self.sent(mail.tag, id, None),
            Err(error) => self.fail(mail.tag, Some(id), error.into()),
        }
    }

    fn sent(&self, index: usize, message_id: String, reply: Option<String>) {
        self.shared.sent(SentMessage {
            index,
            message_id,
            reply,
        });
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn take_index(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.recipients.len()).then_some(index)
    }

    /// The next message that can be sent; those that can't are failures at once.
    fn take(&self) -> Option<Outgoing> {
        while !self.is_stopped.load(Ordering::Relaxed) {
            let index = self.take_index()?;
            match self.prepare(index) {
                Ok(message) => return Some(Outgoing::new(index, message)),
                Err(trouble) => self.fail(index, None, trouble),
            }
        }
        None
    }

    fn prepare(&self, index: usize) -> Result<Message, Trouble> {
        let recipient = &self.recipients[index];
        let field = |name: &str| format!("recipients[{index}].{name}");
        let none = Address::Text(String::new());
        let to = fields::mailbox(&field("to"), recipient.to.as_ref().unwrap_or(&none))?;
        fields::header_names(&recipient.headers)?;
        let rendered = self.templates.render(&Variables {
            own: &recipient.variables,
            shared: self.variables,
        })?;
        let envelope_from = rendered.envelope_from.map(Address::Text);
        let envelope_from = fields::envelope_from(envelope_from.as_ref())?;
        let reply_to = fields::mailboxes(&field("reply_to"), &recipient.reply_to)?;
        let attachments = fields::attachments(&field("attachments"), &recipient.attachments)?;
        let attachments: Vec<_> = self.attachments.iter().chain(&attachments).collect();
        let draft = Draft {
            from: &self.from,
            envelope_from: envelope_from.as_ref().map(Option::as_ref),
            to: &[to],
            cc: &[],
            bcc: &[],
            reply_to: if reply_to.is_empty() {
                &self.reply_to
            } else {
                &reply_to
            },
            subject: rendered.subject.as_deref(),
            text: rendered.contents.as_deref(),
            html: rendered.html.as_deref(),
            headers: &headers_of(recipient, rendered.headers),
            attachments: &attachments,
        };
        Ok(draft.build(self.mail.message_len_max)?)
    }

    fn fail(&self, index: usize, message_id: Option<String>, trouble: Trouble) {
        let to = self.recipients[index].to.as_ref();
        let to = to.map(ToString::to_string).unwrap_or_default();
        self.shared
            .fail(trouble.into_failure(index, to, message_id));
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(self, stop: Option<Stop>) -> Result<BulkReport, TaskError> {
        let shared::Outcome {
            failed,
            messages,
            gave_up,
        } = self.shared.finish();
        let (total, sent) = (self.recipients.len(), self.sent.into_inner());
        let (transport, folder) = match &self.mail.transport {
            Transport::Smtp(_) => (TransportName::Smtp, None),
            Transport::Outbox(outbox) => (
                TransportName::Outbox,
                Some(outbox.folder().display().to_string()),
            ),
        };
        let unsent = total - sent - failed.count();
        let report = BulkReport {
            total,
            sent,
            failed: failed.items,
            failed_left_out: failed.left_out,
            messages: messages.items,
            messages_left_out: messages.left_out,
            unsent,
            transport,
            folder,
        };
        if unsent > 0 {
            return Err(stopped(&report, stop));
        }
        match gave_up {
            // Nobody got anything: the task as a whole may be tried again, as far as the error allows it.
            Some(error) if !self.has_effect.into_inner() => {
                Err(TaskError::from(Trouble::from(error)).data(serde_json::json!(report)))
            }
            _ => Ok(report),
        }
    }
}

/// The general headers, but for those that the recipient has of its own.
fn headers_of(recipient: &Recipient, general: Vec<(String, String)>) -> Vec<(String, String)> {
    if recipient.headers.is_empty() {
        return general;
    }
    let is_own = |name: &str| {
        recipient
            .headers
            .keys()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut headers = general;
    headers.retain(|(name, _)| !is_own(name));
    let own = recipient.headers.iter();
    headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    headers
}

fn stopped(report: &BulkReport, stop: Option<Stop>) -> TaskError {
    let BulkReport {
        total,
        sent,
        failed,
        failed_left_out,
        unsent,
        ..
    } = report;
    let reason = match stop {
        Some(Stop::TimeUp) => "its time was up",
        Some(Stop::TimeNearlyUp) => "its time was nearly up",
        Some(Stop::Cancelled) | None => "cancelled",
    };
    let message = format!(
        "{reason} after {sent} of {total} were sent and {} failed; {unsent} were not tried",
        failed.len() + failed_left_out
    );
    TaskError::new("cancelled", message).data(serde_json::json!(report))
}

/// Told, once, that a lane has a connection, or never will.
struct Signal {
    sender: Sender<()>,
    is_given: bool,
}

impl Signal {
    fn new(sender: Sender<()>) -> Self {
        Self {
            sender,
            is_given: false,
        }
    }

    fn give(&mut self) {
        if !mem::replace(&mut self.is_given, true) {
            // Nobody waits for it any more when all lanes have been started.
            let _ = self.sender.send(());
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.give();
    }
}

/// One connection after another, with a thread of its own.
struct Lane<'a> {
    bulk: &'a Bulk<'a>,
    signal: Signal,
}

impl Lane<'_> {
    fn run(mut self) {
        match &self.bulk.mail.transport {
            Transport::Smtp(client) => self.run_smtp(client),
            Transport::Outbox(outbox) => self.run_outbox(outbox),
        }
    }

    fn run_smtp(&mut self, client: &Client) {
        let bulk = self.bulk;
        let is_stopped = || bulk.is_stopped.load(Ordering::Relaxed);
        loop {
            let result = client.send_all(self, None, &is_stopped);
            match bulk.shared.leave(result, is_stopped()) {
                Next::GoOn => {}
                Next::Leave => return,
                Next::GiveUp(returned, error) => return bulk.give_up(returned, &error),
            }
        }
    }

    fn run_outbox(&mut self, outbox: &Outbox) {
        while let Some(mail) = self.next() {
            match outbox.write(&mail.message) {
                Ok(_) => self.bulk.sent(mail.tag, mail.message.id, None),
                Err(error) => {
                    let trouble = Trouble::outbox(outbox.folder(), &error);
                    self.bulk.fail(mail.tag, Some(mail.message.id), trouble);
                }
            }
        }
    }
}

impl Mails for Lane<'_> {
    fn next(&mut self) -> Option<Outgoing> {
        self.signal.give();
        let returned = self.bulk.shared.take_back();
        returned.or_else(|| self.bulk.take())
    }

    fn result(&mut self, mail: Outgoing, result: Result<Answers, smtp::Error>) {
        self.bulk.result(mail, result);
    }

    fn is_last(&self) -> bool {
        self.bulk.shared.is_last()
    }

    fn give_back(&mut self, mail: Outgoing) {
        self.bulk.shared.give_back(mail);
    }
}
