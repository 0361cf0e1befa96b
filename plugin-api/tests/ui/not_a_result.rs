use plugin_api::plugin;

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn plain(&self) -> String {
        String::new()
    }
}

fn main() {}
