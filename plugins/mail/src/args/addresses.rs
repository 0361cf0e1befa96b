//! Addresses as clients give them: a text, or name and address apart.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `max@example.com` or `Max Muster <max@example.com>`; where several may stand, also several with commas between
    /// them.
    Text(String),
    /// `{"name": …, "address": …}`: whatever the name holds is the name.
    Named(NamedAddress),
}

/// A name and an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NamedAddress {
    /// What readers show; none, or empty, for no name.
    #[serde(default)]
    pub name: Option<String>,
    /// The address alone.
    pub address: String,
}

/// As an error or a report shows it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Named(NamedAddress { address, .. }) => f.write_str(address),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNamed;

        impl<'de> Visitor<'de> for TextOrNamed {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, as a text or as an object with `name` and `address`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                Ok(Address::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Address, A::Error> {
                NamedAddress::deserialize(MapAccessDeserializer::new(map)).map(Address::Named)
            }
        }

        deserializer.deserialize_any(TextOrNamed)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`max@example.com`, `Max Muster <max@example.com>`, or name and address apart.",
            "anyOf": [
                {"type": "string", "x-primary": true},
                {
                    "type": "object",
                    "properties": {"name": {"type": ["string", "null"]}, "address": {"type": "string"}},
                    "required": ["address"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Addresses: one, or a list; a text may hold several with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![Address::Text(text.to_owned())]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Addresses, E> {
                Ok(Addresses::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Addresses, A::Error> {
                let named = NamedAddress::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Addresses(vec![Address::Named(named)]))
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

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Address>();
        let mut usual = one.clone();
        usual.insert("x-primary".to_owned(), true.into());
        json_schema!({
            "description": "One address, several in a text with commas between them, or a list of such.",
            "anyOf": [usual, {"type": "array", "items": one}, {"type": "null"}],
        })
    }
}
