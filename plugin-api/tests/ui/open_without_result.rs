use plugin_api::{PluginError, TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    fn open(config: u8) -> Self {
        let _ = config;
        Self
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

struct Config;

struct Other;

#[plugin]
impl Other {
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
