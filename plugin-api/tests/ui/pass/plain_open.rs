//! `open` without a configuration, no dependency but plugin-api, and no unsafe code.
#![forbid(unsafe_code)]
#![deny(warnings)]

mod inner {
    use plugin_api::{PluginError, TaskError, plugin, schemars::JsonSchema, serde::Deserialize};

    pub(crate) struct Mail(u8);

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde")]
    #[schemars(crate = "plugin_api::schemars")]
    struct Letter {
        to: String,
    }

    #[plugin]
    impl Mail {
        fn open() -> Result<Self, PluginError> {
            Ok(Self(7))
        }

        #[handler]
        fn send(&self, args: Letter) -> Result<(String, u8), TaskError> {
            Ok((args.to, self.0))
        }
    }
}

use plugin_api::{serde_json::json, testing};

fn main() {
    let mail = testing::open::<inner::Mail>(()).unwrap();
    assert_eq!(mail.call("send", json!({"to": "a"})).unwrap(), json!(["a", 7]));
    let refused = testing::open::<inner::Mail>(json!({"key": 1})).unwrap_err();
    assert_eq!(
        refused.message(),
        "the configuration is refused: this plugin takes none, but `key` is set"
    );
}
