//! The mail plugin: `send_mail` sends one message, `send_bulk` one to each of many recipients, `check_mail` none.
//!
//! With a server in its configuration it speaks SMTP; without one it writes `.eml` files to a folder.

// `for x in lock().take()` holds the lock through the loop, whose body then waits for it for ever.
#![warn(clippy::significant_drop_in_scrutinee)]

mod address;
mod args;
mod bulk;
mod config;
mod error;
mod fields;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod listed;
mod message;
mod outbox;
mod send;
mod smtp;
mod template;

use plugin_api::{PluginError, Task, TaskError, plugin};

use crate::{address::Mailbox, config::TransportConfig, outbox::Outbox, smtp::Client};
pub use crate::{
    args::{
        Address, Addresses, AttachmentArgs, BulkReport, Failure, MailCheck, MessageCheck,
        NamedAddress, Recipient, Rejection, SendBulk, SendMail, Sent, SentMessage, TransportName,
    },
    config::{MailConfig, Tls},
};

/// The plugin's state in a worker: the open connections, and what was configured.
pub struct Mail {
    transport: Transport,
    /// The sender of messages that name none.
    from: Option<Mailbox>,
    message_len_max: usize,
}

enum Transport {
    Smtp(Client),
    Outbox(Outbox),
}

#[plugin]
impl Mail {
    /// Connects to nothing: that waits for the first message.
    fn open(config: MailConfig) -> Result<Self, PluginError> {
        let checked = config.check()?;
        let transport = match checked.transport {
            TransportConfig::Smtp(settings) => Transport::Smtp(Client::new(*settings)),
            TransportConfig::Outbox(folder) => Transport::Outbox(Outbox::new(folder)),
        };
        Ok(Self {
            transport,
            from: checked.from,
            message_len_max: checked.message_len_max,
        })
    }

    /// Sends one message to all of its recipients. `from`, `to` and `contents` are enough.
    #[handler(timeout = "2m")]
    fn send_mail(&self, args: SendMail, task: &Task) -> Result<Sent, TaskError> {
        send::send_mail(self, &args, task)
    }

    /// Sends nothing: connects to the server, greets, logs in and takes leave, and says how that went. A message that is
    /// given is built, and held against what the server takes.
    #[handler(timeout = "1m")]
    fn check_mail(&self, args: SendMail, task: &Task) -> Result<MailCheck, TaskError> {
        send::check_mail(self, &args, task)
    }

    /// Sends every recipient a message of their own, filled in from a template, over several connections at once.
    /// Reports progress. Recipients that can't be reached are listed in the result; all others get their message.
    #[handler(timeout = "1h")]
    fn send_bulk(&self, args: SendBulk, task: &Task) -> Result<BulkReport, TaskError> {
        bulk::send_bulk(self, &args, task)
    }
}
