use plugin_api::plugin;

#[derive(Default)]
struct Mail;

#[plugin]
impl Clone for Mail {
    fn clone(&self) -> Self {
        Mail
    }
}

fn main() {}
