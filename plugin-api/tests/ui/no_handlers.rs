use plugin_api::plugin;

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    fn send(&self) {}
}

fn main() {
    Mail.send();
}
