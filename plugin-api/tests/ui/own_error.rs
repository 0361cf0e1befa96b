use plugin_api::plugin;

#[derive(Debug)]
struct MailError;

impl std::fmt::Display for MailError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no mail")
    }
}

impl std::error::Error for MailError {}

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<(), MailError> {
        Err(MailError)
    }

    #[handler]
    fn send_boxed(&self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

fn main() {}
