use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

mod resize {
    use plugin_api::{TaskError, plugin};

    #[derive(Default)]
    struct Resize;

    #[plugin]
    impl Resize {
        #[handler]
        fn resize(&self) -> Result<(), TaskError> {
            Ok(())
        }
    }
}

fn main() {}
