//! What the two functions take, and what they result in.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

/// The arguments of `send_mail`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMail {
    /// The sender, `max@example.com` or `Max Muster <max@example.com>`; by default the one of the plugin's config.
    #[serde(default)]
    pub from: Option<String>,
    /// The recipients.
    #[serde(default)]
    pub to: Addresses,
    /// The text. Without it there must be `html`.
    #[serde(default)]
    pub contents: Option<String>,
    /// The subject.
    #[serde(default)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentArgs {
    /// Its name, as the recipient sees it.
    pub name: String,
    /// Its media type; by default `application/octet-stream`.
    #[serde(default)]
    pub media_type: Option<String>,
    /// What is in it, in base64.
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
    /// The recipients it was accepted for.
    pub accepted: Vec<String>,
    /// The recipients it was refused for.
    pub rejected: Vec<Rejection>,
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

/// A recipient that the server refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Rejection {
    /// Its address.
    pub address: String,
    /// The server's code.
    pub code: u16,
    /// The server's words.
    pub message: String,
    /// Whether it may work later.
    pub retryable: bool,
}

/// The arguments of `send_bulk`. `subject`, `contents`, `html` and the values of `headers` are templates:
/// `{{ name }}` stands for the recipient's variable `name`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendBulk {
    /// The sender; by default the one of the plugin's config.
    #[serde(default)]
    pub from: Option<String>,
    /// The subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The text. Without it there must be `html`.
    #[serde(default)]
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
    /// The recipients; each gets a message of their own.
    pub recipients: Vec<Recipient>,
}

/// One recipient of `send_bulk`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// One address. A missing or wrong one fails this recipient alone.
    #[serde(default)]
    pub to: Option<String>,
    /// What the templates' variables stand for.
    #[serde(default, deserialize_with = "map")]
    pub variables: Map<String, Value>,
}

/// What `send_bulk` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BulkReport {
    /// How many recipients there are.
    pub total: usize,
    /// For how many of them the message was accepted.
    pub sent: usize,
    /// The recipients that it could not be sent to, in the order of `recipients`.
    pub failed: Vec<Failure>,
    /// How many were not tried, because the task was stopped; 0 in a result.
    pub unsent: usize,
    /// Where it went.
    pub transport: TransportName,
    /// The folder the messages were written to, for the transport `outbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A recipient of `send_bulk` that nothing could be sent to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// The place in `recipients`, from 0.
    pub index: usize,
    /// The address, as it was given.
    pub to: String,
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

/// Addresses: one text, which may hold several with commas between them, or a list of such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![text.to_owned()]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Addresses, E> {
                Ok(Addresses::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element()? {
                    addresses.push(address);
                }
                Ok(Addresses(addresses))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Addresses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One address, several with commas between them, or a list of such.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        })
    }
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
