//! Panics of handlers: caught, located, and kept from crossing the ABI, where they would abort the process.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

thread_local! {
    /// How many `catch` calls are on this thread's stack.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    /// The last panic that the hook saw on this thread.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `run`; a panic comes back as the sentence "panicked at `PLACE`: `MESSAGE`".
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    install_hook();
    // An earlier panic of this thread, which the author's own code caught, may have left its text.
    take_last();
    CATCHING.set(CATCHING.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(CATCHING.get() - 1);
    outcome.map_err(|payload| {
        let text = take_last().unwrap_or_else(|| format!("panicked: {}", message_of(&*payload)));
        drop_quietly(payload);
        text
    })
}

/// The panic that unwinds this thread now, as a sentence.
pub(crate) fn take_last() -> Option<String> {
    LAST.try_with(RefCell::take).ok().flatten()
}

/// Puts the hook above one that the plugin has set meanwhile, without which no panic would have a place. Theirs is called
/// for every panic.
pub(crate) fn hook_again() {
    let theirs = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        keep(info);
        theirs(info);
    }));
}

fn keep(info: &PanicHookInfo<'_>) {
    // A thread that is ending has lost its `LAST`, and runs no handler.
    let _ = LAST.try_with(|last| last.replace(Some(describe(info))));
}

/// Only a hook learns where a panic happened. It belongs to this library's own copy of std: neither the host nor
/// another plugin shares it.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            keep(info);
            if CATCHING.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = message_of(info.payload());
    match info.location() {
        Some(place) => format!(
            "panicked at {}:{}:{}: {message}",
            short(place.file()),
            place.line(),
            place.column()
        ),
        None => format!("panicked: {message}"),
    }
}

/// A file's path without what it is on the machine where it was compiled: that of a dependency begins with the crate's name
/// and version, that of the standard library with `library/`.
fn short(file: &str) -> &str {
    const REGISTRY: &str = "/registry/src/";
    const COMPILER: &str = "/rustc/";
    let after = |root: &str| {
        let (_, rest) = file.split_once(root)?;
        rest.split_once('/').map(|(_, path)| path)
    };
    after(REGISTRY).or_else(|| after(COMPILER)).unwrap_or(file)
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}

/// Dropping a payload may panic. The payload of that panic is leaked, since dropping it may panic again.
fn drop_quietly(payload: Box<dyn Any + Send>) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_place_and_message() {
        let line = line!() + 1;
        let text = catch(|| panic!("no {}", "luck")).unwrap_err();
        let place = format!("panicked at plugin-api/src/panics.rs:{line}:");
        assert!(text.starts_with(&place), "{text}");
        assert!(text.ends_with(": no luck"), "{text}");
        assert_eq!(take_last(), None);
    }

    #[test]
    fn a_payload_that_is_not_text_is_caught_too() {
        let text = catch(|| panic::panic_any(7_u8)).unwrap_err();
        assert!(text.ends_with(": a value that is not text"), "{text}");
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_no_harm() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("boom");
            }
        }
        assert!(catch(|| panic::panic_any(Bomb)).is_err());
    }

    #[test]
    fn a_panic_without_the_hook_still_has_its_message() {
        // `resume_unwind` runs no hook, as a library that catches and goes on does.
        let text = catch(|| panic::resume_unwind(Box::new("second hand"))).unwrap_err();
        assert_eq!(text, "panicked: second hand");
    }

    #[test]
    fn places_say_nothing_of_the_machine_that_compiled_them() {
        let registry = "/home/ada/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";
        for (file, shown) in [
            ("src/lib.rs", "src/lib.rs"),
            (
                &format!("{registry}/log-0.4.35/src/lib.rs"),
                "log-0.4.35/src/lib.rs",
            ),
            (
                "/rustc/59807616e1fa2540/library/core/src/cell.rs",
                "library/core/src/cell.rs",
            ),
        ] {
            assert_eq!(short(file), shown);
        }
    }

    #[test]
    fn catching_nests() {
        let outer = catch(|| {
            let inner = catch(|| panic!("inner")).unwrap_err();
            assert!(inner.ends_with(": inner"));
            7
        });
        assert_eq!(outer, Ok(7));
    }
}
