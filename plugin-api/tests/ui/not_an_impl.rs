use plugin_api::plugin;

#[plugin]
struct Mail;

fn main() {}
