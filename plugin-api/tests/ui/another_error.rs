use plugin_api::plugin;

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn plain(&self) -> Result<String, std::io::Error> {
        Ok(String::new())
    }
}

fn main() {}
