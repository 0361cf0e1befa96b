use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail<T>(T);

#[plugin]
impl<T> Mail<T> {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
