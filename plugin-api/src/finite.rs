//! Numbers that JSON doesn't have. serde writes NaN and the infinities as `null`, against the schema of the result, which
//! promises a number; here they are found.

use std::fmt;

use serde::{Serialize, Serializer, ser};

/// Where a number is not finite: `None` if all of them are, or a sentence.
///
/// `json` is what was made of `value`. Without a `null` in it there is nothing to look for.
pub(crate) fn complaint<T: Serialize>(value: &T, json: &str) -> Option<String> {
    if !json.contains("null") {
        return None;
    }
    match value.serialize(Finite) {
        Err(Stop::NotFinite { number, path }) => {
            let mut place: String = path.into_iter().rev().collect();
            if place.starts_with('.') {
                place.remove(0);
            }
            let place = if place.is_empty() {
                place
            } else {
                format!("at `{place}`: ")
            };
            Some(format!(
                "{place}JSON has no {number}; for a number that may be missing, make it an `Option`"
            ))
        }
        // A value that can't be written has been refused before.
        Ok(()) | Err(Stop::Other) => None,
    }
}

/// Why the walk stopped.
#[derive(Debug)]
enum Stop {
    NotFinite {
        number: f64,
        /// From the innermost to the outermost.
        path: Vec<String>,
    },
    Other,
}

impl Stop {
    fn within(mut self, step: impl FnOnce() -> String) -> Self {
        if let Self::NotFinite { path, .. } = &mut self {
            path.push(step());
        }
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number is not finite")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::Other
    }
}

type Walk = Result<(), Stop>;

/// Writes nothing.
struct Finite;

macro_rules! nothing_to_check {
    ($($method:ident: $ty:ty),*) => {
        $(fn $method(self, _value: $ty) -> Walk { Ok(()) })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    nothing_to_check! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_char: char,
        serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str
    }

    fn serialize_f32(self, value: f32) -> Walk {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Walk {
        if value.is_finite() {
            Ok(())
        } else {
            Err(Stop::NotFinite {
                number: value,
                path: Vec::new(),
            })
        }
    }

    fn serialize_none(self) -> Walk {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Walk {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Walk {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> Walk {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Walk {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Walk {
        let walk = value.serialize(self);
        walk.map_err(|stop| stop.within(|| format!(".{variant}")))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items, Stop> {
        Ok(Items(0))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Items, Stop> {
        Ok(Items(0))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Items, Stop> {
        Ok(Items(0))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Items, Stop> {
        Ok(Items(0))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Entries, Stop> {
        Ok(Entries(String::new()))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Entries, Stop> {
        Ok(Entries(String::new()))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Entries, Stop> {
        Ok(Entries(String::new()))
    }
}

/// How many have been looked at.
struct Items(usize);

impl Items {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Walk {
        let index = self.0;
        self.0 += 1;
        let walk = value.serialize(Finite);
        walk.map_err(|stop| stop.within(|| format!("[{index}]")))
    }
}

/// The key whose value comes next.
struct Entries(String);

impl Entries {
    fn entry<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Walk {
        let walk = value.serialize(Finite);
        walk.map_err(|stop| stop.within(|| format!(".{key}")))
    }
}

macro_rules! items {
    ($($part:ident::$method:ident),*) => {
        $(impl ser::$part for Items {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Walk {
                self.item(value)
            }

            fn end(self) -> Walk {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field, SerializeTupleVariant::serialize_field
}

macro_rules! fields {
    ($($part:ident),*) => {
        $(impl ser::$part for Entries {
            type Ok = ();
            type Error = Stop;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Walk {
                self.entry(key, value)
            }

            fn end(self) -> Walk {
                Ok(())
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Entries {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Walk {
        let text = serde_json::to_string(key).unwrap_or_default();
        text.trim_matches('"').clone_into(&mut self.0);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Walk {
        let key = std::mem::take(&mut self.0);
        self.entry(&key, value)
    }

    fn end(self) -> Walk {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[derive(Serialize)]
    struct Statistics {
        mean: Option<f64>,
        parts: Vec<BTreeMap<String, (u8, f32)>>,
        #[serde(flatten)]
        more: BTreeMap<String, f64>,
        shape: Shape,
    }

    #[derive(Clone, Serialize)]
    enum Shape {
        Point,
        Circle { radius: f64 },
        Line(f64),
    }

    fn found(change: impl FnOnce(&mut Statistics)) -> Option<String> {
        let mut statistics = Statistics {
            mean: None,
            parts: Vec::new(),
            more: BTreeMap::new(),
            shape: Shape::Point,
        };
        change(&mut statistics);
        complaint(&statistics, &serde_json::to_string(&statistics).unwrap())
    }

    #[test]
    fn numbers_that_json_does_not_have_are_found_where_they_are() {
        assert_eq!(found(|_| ()), None);
        let key = || String::from("k");
        let cases: [(&str, Option<String>); 5] = [
            (
                "at `mean`: JSON has no NaN;",
                found(|s| s.mean = Some(f64::NAN)),
            ),
            (
                "at `parts[0].k[1]`: JSON has no inf;",
                found(|s| s.parts = vec![BTreeMap::from([(key(), (1, f32::INFINITY))])]),
            ),
            (
                "at `k`: JSON has no -inf;",
                found(|s| s.more = BTreeMap::from([(key(), f64::NEG_INFINITY)])),
            ),
            (
                "at `shape.radius`: JSON has no NaN;",
                found(|s| s.shape = Shape::Circle { radius: f64::NAN }),
            ),
            (
                "at `shape.Line`: JSON has no NaN;",
                found(|s| s.shape = Shape::Line(f64::NAN)),
            ),
        ];
        for (begins, found) in cases {
            let found = found.unwrap();
            assert!(found.starts_with(begins), "{found}");
        }
        let bare = complaint(&f64::NAN, "null").unwrap();
        assert!(bare.starts_with("JSON has no NaN;"), "{bare}");
    }

    #[test]
    fn a_null_that_is_one_is_left_alone() {
        assert_eq!(complaint(&Value::Null, "null"), None);
        assert_eq!(
            complaint(&(None::<f64>, 1.5, "null"), r#"[null,1.5,"null"]"#),
            None
        );
    }
}
