//! A bound on bytes that are held for many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, all holders together. Clones count together.
#[derive(Clone, Debug)]
pub struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    held: AtomicUsize,
    max: usize,
}

impl ByteBudget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner {
            held: AtomicUsize::new(0),
            max,
        }))
    }

    /// Holds that many bytes. `None`: they don't fit.
    #[must_use]
    pub fn hold(&self, len: usize) -> Option<HeldBytes> {
        let mut held = self.hold_nothing();
        held.try_set(len).then_some(held)
    }

    /// As [`Self::hold`], but what is more than the bound by itself fits where nothing else is held.
    #[must_use]
    pub fn hold_or_alone(&self, len: usize) -> Option<HeldBytes> {
        self.hold(len).or_else(|| {
            let taken = self
                .0
                .held
                .compare_exchange(0, len, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok().then(|| HeldBytes {
                budget: self.clone(),
                len,
            })
        })
    }

    /// Holds nothing yet.
    #[must_use]
    pub fn hold_nothing(&self) -> HeldBytes {
        HeldBytes {
            budget: self.clone(),
            len: 0,
        }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }
}

/// Bytes of a [`ByteBudget`], given back when dropped.
#[derive(Debug)]
pub struct HeldBytes {
    budget: ByteBudget,
    len: usize,
}

impl HeldBytes {
    /// Holds `len` bytes from now on; false, and unchanged, when these are more than before and don't fit.
    #[must_use]
    pub fn try_set(&mut self, len: usize) -> bool {
        if len <= self.len {
            self.set(len);
            return true;
        }
        let more = len - self.len;
        let max = self.budget.0.max;
        let fits = |held: usize| held.checked_add(more).filter(|held| *held <= max);
        let counter = &self.budget.0.held;
        let taken = counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if taken {
            self.len = len;
        }
        taken
    }

    /// Holds `len` bytes from now on, beyond the bound too: for what is there already and can only be counted.
    pub fn set(&mut self, len: usize) {
        let counter = &self.budget.0.held;
        if len >= self.len {
            counter.fetch_add(len - self.len, Ordering::Relaxed);
        } else {
            counter.fetch_sub(self.len - len, Ordering::Relaxed);
        }
        self.len = len;
    }

    /// How many it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let budget = ByteBudget::new(10);
        let first = budget.hold(6).unwrap();
        assert!(budget.hold(5).is_none());
        let mut second = budget.hold(4).unwrap();
        assert!(!second.try_set(5));
        assert_eq!((second.len(), budget.held()), (4, 10));
        drop(first);
        assert!(second.try_set(10));
        assert!(second.try_set(1));
        assert_eq!(budget.held(), 1);
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_more_than_the_bound_is_held_alone() {
        let budget = ByteBudget::new(10);
        let small = budget.hold_or_alone(1);
        assert!(small.is_some() && budget.hold_or_alone(11).is_none());
        drop(small);
        let large = budget.hold_or_alone(11);
        assert!(large.is_some() && budget.hold_or_alone(1).is_none());
        assert_eq!(budget.held(), 11);
        drop(large);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_there_already_is_counted_beyond_the_bound() {
        let budget = ByteBudget::new(10);
        let mut held = budget.hold_nothing();
        held.set(15);
        assert_eq!((budget.held(), budget.max()), (15, 10));
        assert!(budget.hold(1).is_none());
        assert!(budget.hold(usize::MAX).is_none());
        held.set(5);
        assert!(budget.hold(5).is_some());
    }
}
