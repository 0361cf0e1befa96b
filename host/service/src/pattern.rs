//! Names of functions, with `*` for any part.

/// `resize`, `report.*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Reads the text.
    ///
    /// # Errors
    /// The text is empty.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "an empty name allows nothing; write a function's name, or `*` for any part of it"
                    .to_owned(),
            );
        }
        Ok(Self(text.split('*').map(str::to_owned).collect()))
    }

    /// Whether the name is one of those that it stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = &self.0[..] else {
            return self.0[0] == name;
        };
        let Some(rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
            return false;
        };
        // The leftmost place for each part leaves the most for those after it.
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_part() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        for (pattern, name) in [
            ("resize", "resize"),
            ("*", ""),
            ("*", "x"),
            ("re*", "re"),
            ("re*", "report"),
            ("*_mail", "send_mail"),
            ("a*b*c", "a1b2c"),
            ("a*b*c", "abbc"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("resize", "resize2"),
            ("resize", "Resize"),
            ("re*re", "re"),
            ("a*b*c", "acb"),
            ("*_mail", "send_mails"),
            ("a*b", "ab "),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(Pattern::new("").is_err());
    }
}
