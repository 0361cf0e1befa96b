use std::borrow::Cow;

use plugin_api::{PluginError, TaskError, plugin};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Letter<'a> {
    text: &'a str,
}

struct Mail;

#[plugin]
impl Mail {
    fn open(config: Letter<'_>) -> Result<Self, PluginError> {
        drop(config.text);
        Ok(Self)
    }

    #[handler]
    fn send(&self, args: Letter<'_>) -> Result<(), TaskError> {
        drop(args.text);
        Ok(())
    }

    #[handler]
    fn send_many(&self, args: Vec<&str>) -> Result<(), TaskError> {
        drop(args);
        Ok(())
    }

    #[handler]
    fn send_text(&self, args: Cow<'_, str>) -> Result<(), TaskError> {
        drop(args);
        Ok(())
    }
}

#[derive(Default)]
struct Hidden;

mod hidden {
    use super::{Hidden, Letter, TaskError, plugin};

    #[plugin]
    impl Hidden {
        #[handler]
        fn send(&self, args: Letter) -> Result<(), TaskError> {
            drop(args.text);
            Ok(())
        }
    }
}

fn main() {}
