use plugin_api::{PluginError, TaskError, plugin};

struct Config;

struct Mail;

#[plugin]
impl Mail {
    fn open(config: Config) -> Result<Self, PluginError> {
        let _ = config;
        Ok(Self)
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
