use plugin_api::{PluginError, TaskError, plugin};

/// Like `anyhow::Error`: it can be shown, and is no `std::error::Error`.
struct Anyhow;

fn text() -> Result<u8, String> {
    Err(String::from("no"))
}

fn boxed() -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    Err("no".into())
}

fn anyhow() -> Result<u8, Anyhow> {
    Err(Anyhow)
}

struct Mail;

#[plugin]
impl Mail {
    fn open() -> Result<Self, PluginError> {
        text()?;
        Ok(Self)
    }

    #[handler]
    fn send(&self) -> Result<u8, TaskError> {
        Ok(text()?)
    }

    #[handler]
    fn send_boxed(&self) -> Result<u8, TaskError> {
        Ok(boxed()?)
    }

    #[handler]
    async fn send_anyhow(&self) -> Result<u8, TaskError> {
        Ok(anyhow()?)
    }
}

fn main() {}
