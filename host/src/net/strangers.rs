//! Connections whose clients have not shown who they are: so many at a time. Beyond that, the one that has been here the
//! longest makes room, so that those who say nothing keep nobody out who does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use service::sync::lock;
use tokio::sync::Notify;

/// All of them.
#[derive(Debug)]
pub(crate) struct Strangers {
    max: usize,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    number_last: u64,
    /// In the order in which they came.
    leave: BTreeMap<u64, Arc<Notify>>,
}

/// One of them. Dropped, it is one no more.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    leave: Arc<Notify>,
}

impl Strangers {
    /// With room for so many.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            here: Mutex::default(),
        })
    }

    /// One more.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let mut here = lock(&self.here);
        while here.leave.len() >= self.max
            && let Some((_, leave)) = here.leave.pop_first()
        {
            leave.notify_one();
        }
        here.number_last += 1;
        let number = here.number_last;
        let leave = Arc::<Notify>::default();
        here.leave.insert(number, Arc::clone(&leave));
        Stranger {
            strangers: Arc::clone(self),
            number,
            leave,
        }
    }
}

impl Stranger {
    /// Waits until it has to make room.
    pub(super) async fn has_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        lock(&self.strangers.here).leave.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_been_here_the_longest_makes_room() {
        let strangers = Strangers::new(2);
        let [first, second] = [(); 2].map(|()| strangers.enter());
        let stays = |stranger: &Stranger| {
            let leave = Arc::clone(&stranger.leave);
            async move {
                tokio::select! {
                    biased;
                    () = leave.notified() => false,
                    () = std::future::ready(()) => true,
                }
            }
        };
        assert!(stays(&first).await && stays(&second).await);
        let third = strangers.enter();
        assert!(!stays(&first).await);
        assert!(stays(&second).await && stays(&third).await);
        // One that has gone by itself leaves room.
        drop(second);
        let fourth = strangers.enter();
        assert!(stays(&third).await && stays(&fourth).await);
        drop((first, third, fourth));
        assert!(lock(&strangers.here).leave.is_empty());
    }
}
