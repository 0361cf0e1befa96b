//! Who notices that a loop has ended, and what that means.
//!
//! A panic is a mistake of ours. It ends in one line of the log that has its place (see [`crate::log`]), in a counter, and
//! in one of three things, which whoever starts a loop chooses: the loop is started again with its state made anew
//! ([`Supervisor::restarting`]), the program ends in good order with an exit code ([`Supervisor::essential`]), or whoever
//! waited for a result gets an error ([`caught`]). Tasks that serve one client each need nothing of this: their answers
//! are given when they are dropped.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep;

/// The pause before a loop is started again: ever longer while it goes on panicking.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A loop that has run for so long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Starts loops, and is told of their ends.
#[derive(Clone, Debug)]
pub struct Supervisor {
    failures: mpsc::UnboundedSender<Failure>,
}

/// Something that the program can't do without has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    name: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop {:?} has ended; the log says why", self.name)
    }
}

/// What the program can't do without, if it ends.
#[derive(Debug)]
pub struct Failures(mpsc::UnboundedReceiver<Failure>);

impl Failures {
    /// The next one. Waits for ever where nothing fails.
    pub async fn next(&mut self) -> Failure {
        match self.0.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

impl Supervisor {
    /// A supervisor, and where it tells of failures.
    #[must_use]
    pub fn new() -> (Self, Failures) {
        let (failures, receiver) = mpsc::unbounded_channel();
        (Self { failures }, Failures(receiver))
    }

    /// Runs a loop that must not end. When it does, by a panic or by itself, [`Failures`] tells.
    pub fn essential(
        &self,
        name: &'static str,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        let failures = self.failures.clone();
        Task(tokio::spawn(async move {
            let how = match caught(run).await {
                Ok(()) => "ended",
                Err(Panicked) => "panicked",
            };
            tracing::error!(name, "a loop that must not end has {how}");
            // Nobody listens to it once the program ends anyway.
            drop(failures.send(Failure { name }));
        }))
    }

    /// Runs a loop that is made anew, with all its state, whenever it panics. Ends when it ends by itself.
    pub fn restarting<F>(&self, name: &'static str, make: impl Fn() -> F + Send + 'static) -> Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Task(tokio::spawn(async move {
            let mut pause = PAUSE_MIN;
            loop {
                let since = Instant::now();
                if caught(make()).await.is_ok() {
                    return;
                }
                if since.elapsed() > WELL_AFTER {
                    pause = PAUSE_MIN;
                }
                let pause_ms = pause.as_millis();
                tracing::error!(name, pause_ms, "a loop has panicked and is started again");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }))
    }
}

/// A loop that is looked after. It goes on when this is dropped.
#[derive(Debug)]
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    /// Ends it.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits for its end.
    pub async fn ended(self) {
        drop(self.0.await);
    }
}

/// It panicked; the log has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs it as a task of its own.
///
/// # Errors
/// It panicked.
pub async fn caught<T: Send + 'static>(
    run: impl Future<Output = T> + Send + 'static,
) -> Result<T, Panicked> {
    let task = Abort(tokio::spawn(run));
    task.wait().await
}

/// A task that ends with whoever waits for it.
struct Abort<T>(tokio::task::JoinHandle<T>);

impl<T> Abort<T> {
    async fn wait(mut self) -> Result<T, Panicked> {
        match (&mut self.0).await {
            Ok(result) => Ok(result),
            Err(_) => Err(Panicked),
        }
    }
}

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn panics() {
        panic!("as it should in this test");
    }

    #[tokio::test]
    async fn the_end_of_what_is_essential_is_told() {
        let (supervisor, mut failures) = Supervisor::new();
        supervisor.essential("quiet", async {});
        assert_eq!(failures.next().await.name, "quiet");
        supervisor.essential("loud", async { panics() });
        assert_eq!(failures.next().await.name, "loud");
    }

    #[tokio::test]
    async fn a_loop_is_made_anew_until_it_ends_by_itself() {
        let (supervisor, _failures) = Supervisor::new();
        let made = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&made);
        let task = supervisor.restarting("loop", move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                if number < 3 {
                    panics();
                }
            }
        });
        task.ended().await;
        assert_eq!(made.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn what_is_caught_ends_with_whoever_waits_for_it() {
        assert_eq!(caught(async { 5 }).await, Ok(5));
        assert_eq!(caught(async { panics() }).await, Err(Panicked));
        let ended = Arc::new(Notify::new());
        struct Tells(Arc<Notify>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let tells = Tells(Arc::clone(&ended));
        let (supervisor, _failures) = Supervisor::new();
        let task = supervisor.essential("waits", async move {
            let _tells = tells;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        task.abort();
        ended.notified().await;
    }
}
