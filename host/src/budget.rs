//! A bound on the bytes that requests hold in the host, all connections together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            used: Arc::default(),
            max,
        }
    }

    /// `None` when that many more bytes don't fit.
    pub(crate) fn take(&self, len: usize) -> Option<Permit> {
        let mut permit = Permit {
            used: Arc::clone(&self.used),
            max: self.max,
            len: 0,
        };
        permit.resize(len).then_some(permit)
    }
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    used: Arc<AtomicUsize>,
    max: usize,
    len: usize,
}

impl Permit {
    /// Holds `len` bytes from now on; false, and unchanged, when the budget has not so many left.
    pub(crate) fn resize(&mut self, len: usize) -> bool {
        if len <= self.len {
            self.used.fetch_sub(self.len - len, Ordering::Relaxed);
            self.len = len;
            return true;
        }
        let more = len - self.len;
        let fits = |used: usize| used.checked_add(more).filter(|used| *used <= self.max);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if taken {
            self.len = len;
        }
        taken
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.used.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let second = budget.take(4).unwrap();
        assert!(!first.resize(7));
        assert!(first.resize(1));
        assert_eq!(budget.used.load(Ordering::Relaxed), 5);
        drop((first, second));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
