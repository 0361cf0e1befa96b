//! Users of this machine, by number or by name.

use std::path::Path;

use serde::Deserialize;

/// Where names have their numbers.
const PASSWD: &str = "/etc/passwd";

/// A user as a configuration names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum User {
    Number(u32),
    Name(String),
}

impl User {
    /// The user's number.
    ///
    /// # Errors
    /// There is no user of that name, as the rest of a sentence.
    pub(crate) fn number(&self) -> Result<u32, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Name(name) => number_in(Path::new(PASSWD), name),
        }
    }
}

fn number_in(file: &Path, name: &str) -> Result<u32, String> {
    let passwd = std::fs::read_to_string(file)
        .map_err(|error| format!("{} can't be read: {error}", file.display()))?;
    let number = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    number.ok_or_else(|| {
        format!(
            "{} has no user {name:?}; write the user's number (`id -u {name}`) where users come from elsewhere",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_that_the_system_gives_them() {
        let named = |name: &str| User::Name(name.to_owned()).number();
        assert_eq!(named("root"), Ok(0));
        assert_eq!(User::Number(7).number(), Ok(7));
        let error = named("no such user").unwrap_err();
        assert!(error.contains("id -u"), "{error}");
        assert!(named("").is_err());
        assert!(number_in(Path::new("/no/such"), "root").is_err());
    }
}
