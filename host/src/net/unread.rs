//! A bound on the unread replies of all connections together. Beyond it, those who have the most of them are closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use service::sync::lock;

use super::inbox::Inbox;

/// Who has less unread than this is never closed for it.
const SMALL_LEN: usize = 64 * 1024;

/// The unread bytes of all connections.
#[derive(Debug)]
pub(crate) struct Unread {
    len_max: usize,
    len: AtomicUsize,
    number_last: AtomicU64,
    large: Mutex<HashMap<u64, Large>>,
}

/// A connection with much that is unread.
#[derive(Debug)]
struct Large {
    len: usize,
    is_taken: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
}

impl Unread {
    /// With room for that many bytes.
    pub(crate) fn new(len_max: usize) -> Arc<Self> {
        Arc::new(Self {
            len_max,
            len: AtomicUsize::new(0),
            number_last: AtomicU64::new(0),
            large: Mutex::default(),
        })
    }

    /// The share of one more connection, which is rung when it is to close.
    pub(super) fn share(self: &Arc<Self>, inbox: &Arc<Inbox>) -> Share {
        Share {
            unread: Arc::clone(self),
            number: self.number_last.fetch_add(1, Ordering::Relaxed),
            len: 0,
            is_taken: Arc::default(),
            inbox: Arc::clone(inbox),
        }
    }

    /// Takes the rooms of those who have the most, until the rest fits.
    fn make_room(&self) {
        let mut large = lock(&self.large);
        let mut excess = self
            .len
            .load(Ordering::Relaxed)
            .saturating_sub(self.len_max);
        // Those who were told before are about to give back what they have.
        for taken in large
            .values()
            .filter(|one| one.is_taken.load(Ordering::Relaxed))
        {
            excess = excess.saturating_sub(taken.len);
        }
        while excess > 0 {
            let others = large
                .values_mut()
                .filter(|one| !one.is_taken.load(Ordering::Relaxed));
            let Some(most) = others.max_by_key(|one| one.len) else {
                return;
            };
            most.is_taken.store(true, Ordering::Relaxed);
            most.inbox.ring();
            excess = excess.saturating_sub(most.len);
        }
    }
}

/// One connection's share. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Share {
    unread: Arc<Unread>,
    number: u64,
    len: usize,
    is_taken: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
}

impl Share {
    /// The connection has that many unread bytes now.
    pub(super) fn set(&mut self, len: usize) {
        if len == self.len {
            return;
        }
        let (before, unread) = (std::mem::replace(&mut self.len, len), &self.unread);
        let all = if len > before {
            let more = len - before;
            unread.len.fetch_add(more, Ordering::Relaxed) + more
        } else {
            let less = before - len;
            unread.len.fetch_sub(less, Ordering::Relaxed) - less
        };
        if len > SMALL_LEN {
            let large = Large {
                len,
                is_taken: Arc::clone(&self.is_taken),
                inbox: Arc::clone(&self.inbox),
            };
            lock(&unread.large).insert(self.number, large);
        } else if before > SMALL_LEN {
            lock(&unread.large).remove(&self.number);
        }
        if len > before && all > unread.len_max {
            unread.make_room();
        }
    }

    /// Whether the connection is to close, for the sake of the others.
    pub(super) fn is_taken(&self) -> bool {
        self.len > 0 && self.is_taken.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn whoever_has_the_most_unread_makes_room() {
        let unread = Unread::new(10 * MIB);
        let mut shares: Vec<Share> = (0..4).map(|_| unread.share(&Arc::default())).collect();
        for (share, len) in shares.iter_mut().zip([4 * MIB, 5 * MIB, MIB, 0]) {
            share.set(len);
        }
        let taken = |shares: &[Share]| shares.iter().map(Share::is_taken).collect::<Vec<_>>();
        assert_eq!(taken(&shares), [false; 4], "all fits");
        shares[3].set(1);
        assert_eq!(taken(&shares), [false, true, false, false]);
        // It is told once, and gives back when it closes.
        shares[3].set(2);
        assert_eq!(taken(&shares), [false, true, false, false]);
        shares[1].set(0);
        assert_eq!(unread.len.load(Ordering::Relaxed), 5 * MIB + 2);
        shares.clear();
        assert_eq!(unread.len.load(Ordering::Relaxed), 0);
        assert!(lock(&unread.large).is_empty());
    }

    #[test]
    fn many_who_have_little_are_left_alone() {
        let unread = Unread::new(SMALL_LEN);
        let mut shares: Vec<Share> = (0..10).map(|_| unread.share(&Arc::default())).collect();
        for share in &mut shares {
            share.set(SMALL_LEN);
        }
        assert!(!shares.iter().any(Share::is_taken));
    }
}
