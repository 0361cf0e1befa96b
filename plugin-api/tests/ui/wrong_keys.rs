use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin(nmae = "mail")]
impl Mail {
    #[handler(timout = "3s")]
    fn unknown_key(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(timeout = "3 seconds")]
    fn bad_timeout(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(timeout = 3)]
    fn bare_timeout(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(timeout = "0s")]
    fn no_time(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(name = "host.send")]
    fn of_the_host(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(name = "send mail")]
    fn bad_name(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(name = "a", name = "b")]
    fn two_names(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler]
    #[handler(timeout = "1s")]
    fn two_attributes(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

#[derive(Default)]
struct Slots;

#[plugin(slots = 0)]
impl Slots {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

#[derive(Default)]
struct ManySlots;

#[plugin(slots = 257)]
impl ManySlots {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

#[derive(Default)]
struct Name;

#[plugin(name = "a plugin")]
impl Name {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
