use plugin_api::{PluginError, TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    fn open(config: u8, more: u8) -> Result<Self, PluginError> {
        let _ = (config, more);
        Ok(Self)
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

struct Method;

#[plugin]
impl Method {
    fn open(&self) -> Result<(), PluginError> {
        Ok(())
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

struct Waiting;

#[plugin]
impl Waiting {
    async fn open() -> Result<Self, PluginError> {
        Ok(Self)
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
