//! What the two functions take, and what they result in.

mod addresses;

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

pub use self::addresses::{Address, Addresses, NamedAddress};

/// The arguments of `send_mail` and `check_mail`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SendMail {
    /// The sender, `max@example.com` or `Max Muster <max@example.com>`; by default the one of the plugin's config.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub from: Option<Address>,
    /// Where reports of what can't be delivered go, if not to `from`; `""` for none.
    #[serde(default)]
    pub envelope_from: Option<Address>,
    /// The recipients: `max@example.com`, or several with commas between them; or a list.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub to: Addresses,
    /// The text. Without it there must be `html`.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub contents: Option<String>,
    /// The subject.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub subject: Option<String>,
    /// The text as HTML; beside `contents`, readers see the one or the other.
    #[serde(default)]
    pub html: Option<String>,
    /// The recipients of copies.
    #[serde(default)]
    pub cc: Addresses,
    /// The recipients of blind copies, whom no other recipient sees.
    #[serde(default)]
    pub bcc: Addresses,
    /// Where answers go.
    #[serde(default)]
    pub reply_to: Addresses,
    /// Further headers, such as `List-Unsubscribe`.
    #[serde(default, deserialize_with = "map")]
    pub headers: BTreeMap<String, String>,
    /// Files that travel with the message.
    #[serde(default)]
    pub attachments: Vec<AttachmentArgs>,
}

/// A file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AttachmentArgs {
    /// Its name, as the recipient sees it.
    pub name: String,
    /// Its media type; by default `application/octet-stream`.
    #[serde(default)]
    pub media_type: Option<String>,
    /// For a picture that the HTML shows, `<img src="cid:logo">`: what stands after `cid:`.
    #[serde(default)]
    pub cid: Option<String>,
    /// What is in it, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub data: String,
}

/// What `send_mail` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Sent {
    /// The message's `Message-ID`.
    pub message_id: String,
    /// Where it went.
    pub transport: TransportName,
    /// The file it was written to, for the transport `outbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What the server said when it took the message; most servers tell their own name for it. Several, where it had to
    /// be handed over in several parts: as many as there is room for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<String>,
    /// The recipients it was accepted for.
    pub accepted: Vec<String>,
    /// The recipients it was refused for: as many as there is room for in a reply.
    pub rejected: Vec<Rejection>,
    /// How many of them found no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejected_left_out: usize,
}

/// Where mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransportName {
    /// To a server.
    Smtp,
    /// To files in a folder.
    Outbox,
}

/// A recipient that the server refused, or gave no answer for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Rejection {
    /// Its address.
    pub address: String,
    /// A word for programs: `rejected`, or that of an error.
    pub kind: String,
    /// The server's code, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The server's words, or what went wrong.
    pub message: String,
    /// Whether it may work later.
    pub retryable: bool,
}

/// What `check_mail` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MailCheck {
    /// Where mail goes.
    pub transport: TransportName,
    /// The folder messages are written to, for the transport `outbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Host and port, for the transport `smtp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The version of TLS; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// How the server was told who we are; none without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// What the server says it can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// What would be sent, where a message was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageCheck>,
}

/// A message that could be sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MessageCheck {
    /// How long it is, in bytes.
    pub len: usize,
    /// The envelope's sender; empty for none.
    pub envelope_from: String,
    /// The envelope's recipients.
    pub recipients: Vec<String>,
}

/// The arguments of `send_bulk`. `subject`, `contents`, `html`, `envelope_from` and the values of `headers` are
/// templates: `{{ name }}` stands for the variable `name`, `{{ name | default("friend") }}` for a text where there is
/// none.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendBulk {
    /// The sender; by default the one of the plugin's config.
    #[serde(default)]
    pub from: Option<Address>,
    /// Where reports of what can't be delivered go, if not to `from`, such as `bounces+{{ id }}@example.com`; `""` for
    /// none.
    #[serde(default)]
    pub envelope_from: Option<String>,
    /// The subject.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub subject: Option<String>,
    /// The text. Without it there must be `html`.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub contents: Option<String>,
    /// The text as HTML; what variables hold is escaped.
    #[serde(default)]
    pub html: Option<String>,
    /// Where answers go.
    #[serde(default)]
    pub reply_to: Addresses,
    /// Further headers.
    #[serde(default, deserialize_with = "map")]
    pub headers: BTreeMap<String, String>,
    /// Files that travel with every message.
    #[serde(default)]
    pub attachments: Vec<AttachmentArgs>,
    /// Variables of everybody; a recipient's own ones go before them.
    #[serde(default, deserialize_with = "map")]
    pub variables: Map<String, Value>,
    /// The recipients; each gets a message of their own.
    pub recipients: Vec<Recipient>,
}

/// One recipient of `send_bulk`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// One address. A missing or wrong one fails this recipient alone.
    #[serde(default)]
    pub to: Option<Address>,
    /// What the templates' variables stand for.
    #[serde(default, deserialize_with = "map")]
    pub variables: Map<String, Value>,
    /// Where this recipient's answers go, in place of the general `reply_to`.
    #[serde(default)]
    pub reply_to: Addresses,
    /// Further headers of this message, as they are; each in place of a general one of its name.
    #[serde(default, deserialize_with = "map")]
    pub headers: BTreeMap<String, String>,
    /// Files that travel with this message, beside the general ones.
    #[serde(default)]
    pub attachments: Vec<AttachmentArgs>,
}

/// What `send_bulk` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BulkReport {
    /// How many recipients there are.
    pub total: usize,
    /// For how many of them the message was accepted.
    pub sent: usize,
    /// The recipients that it could not be sent to, in the order of `recipients`: as many as there is room for in a reply.
    pub failed: Vec<Failure>,
    /// How many of them found no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_left_out: usize,
    /// The messages that were sent, in the order of `recipients`: as many as there is room for beside `failed`.
    pub messages: Vec<SentMessage>,
    /// How many of them found no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_left_out: usize,
    /// How many were not tried, because the task was stopped; 0 in a result.
    pub unsent: usize,
    /// Where it went.
    pub transport: TransportName,
    /// The folder the messages were written to, for the transport `outbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A message of `send_bulk` that was sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SentMessage {
    /// The recipient's place in `recipients`, from 0.
    pub index: usize,
    /// The message's `Message-ID`.
    pub message_id: String,
    /// What the server said when it took the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// A recipient of `send_bulk` that nothing could be sent to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// The place in `recipients`, from 0.
    pub index: usize,
    /// The address, as it was given.
    pub to: String,
    /// The `Message-ID` of the message that was made for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// A word for programs, the same ones as the errors of `send_mail`.
    pub kind: String,
    /// The server's code, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// What went wrong.
    pub message: String,
    /// Whether it may work later.
    pub retryable: bool,
}

/// A map; `null`, and `[]`, which is how PHP writes an empty one, stand for nothing in it.
fn map<'de, D: Deserializer<'de>, M: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<M, D::Error> {
    struct MapOrNothing<M>(PhantomData<M>);

    impl<'de, M: Deserialize<'de> + Default> Visitor<'de> for MapOrNothing<M> {
        type Value = M;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E: de::Error>(self) -> Result<M, E> {
            Ok(M::default())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<M, A::Error> {
            M::deserialize(MapAccessDeserializer::new(map))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<M, A::Error> {
            match list.next_element::<de::IgnoredAny>()? {
                None => Ok(M::default()),
                Some(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
            }
        }
    }

    deserializer.deserialize_any(MapOrNothing(PhantomData))
}
