//! Passwords and the like in a plugin's configuration.

use plugin_api::PluginError;
pub use values::secret::{Secret, SecretSource};

/// The one secret that a configuration has in one of several settings, each with its name.
///
/// # Errors
///
/// It is in more than one of them, or can't be read. The message doesn't show it.
pub fn read_one_of<const N: usize>(
    settings: [(&str, Option<SecretSource>); N],
) -> Result<Option<Secret>, PluginError> {
    let mut given = settings
        .into_iter()
        .filter_map(|(key, source)| Some((key, source?)));
    let Some((key, source)) = given.next() else {
        return Ok(None);
    };
    if let Some((other, _)) = given.next() {
        return Err(PluginError::new(format!(
            "there is more than one of these: `{key}` and `{other}`"
        )));
    }
    match source.read() {
        Ok(secret) => Ok(Some(secret)),
        Err(error) => Err(PluginError::new(format!("`{key}`: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_settings_one_may_have_it() {
        let text = |text: &str| Some(SecretSource::Text(text.to_owned().into()));
        let read = |a, b| {
            read_one_of([("password", a), ("password_file", b)])
                .map(|secret| secret.map(|secret| secret.expose().to_owned()))
                .map_err(|error| error.message().to_owned())
        };
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(None, text("x")), Ok(Some("x".to_owned())));
        assert_eq!(
            read(text("hidden"), text("hidden")).unwrap_err(),
            "there is more than one of these: `password` and `password_file`"
        );
        assert_eq!(
            read(None, text("")).unwrap_err(),
            "`password_file`: the text is empty"
        );
    }
}
