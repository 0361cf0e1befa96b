use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take. Nothing here takes a tenth of it on a machine that is not overloaded; it only keeps a
/// test that has failed from hanging.
pub const DEADLINE: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain for this: {what}"
        );
        thread::sleep(LOOK_AGAIN);
    }
}

/// Looks again and again until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
