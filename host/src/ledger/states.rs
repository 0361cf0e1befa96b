//! The states of a task, and which follow which: the one table that every store goes by.

use std::fmt;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Waits for a time that its sender asked for.
    Scheduled,
    /// May be claimed.
    Available,
    /// Claimed by a host.
    Running,
    /// Failed, and waits to be tried again.
    Retryable,
    /// Ended well.
    Completed,
    /// Failed for good, past its deadline, or given up by a person.
    Discarded,
    /// Called off.
    Cancelled,
    /// May have run, once, and may not run twice: a person decides.
    Unknown,
}

impl State {
    /// All of them; the place of each is its [`Self::index`].
    pub(crate) const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Discarded,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// What stands for it in a database; never to be changed.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// The word of the protocol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more becomes of the task by itself.
    pub(crate) const fn is_finished(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Discarded | Self::Cancelled | Self::Unknown
        )
    }

    /// Where a new task begins.
    pub(crate) const fn of_new(available_at: i64, now: i64) -> Self {
        if available_at > now {
            Self::Scheduled
        } else {
            Self::Available
        }
    }

    /// Where `event` leads from here; none where it may not happen.
    pub(crate) const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Scheduled | Self::Retryable, Event::Due)
            | (Self::Running, Event::Release)
            // A person wants it now, or once more.
            | (
                Self::Scheduled | Self::Retryable | Self::Discarded | Self::Cancelled | Self::Unknown,
                Event::Retry,
            ) => Some(Self::Available),
            (Self::Available, Event::Claim)
            // It is told to stop; how it ends is what its end says.
            | (Self::Running, Event::Cancel) => Some(Self::Running),
            (Self::Running, Event::Complete) => Some(Self::Completed),
            (Self::Running, Event::TryAgain) => Some(Self::Retryable),
            (Self::Running, Event::GiveUp)
            | (Self::Scheduled | Self::Available | Self::Retryable, Event::Expire)
            | (Self::Scheduled | Self::Available | Self::Retryable | Self::Unknown, Event::Discard) => {
                Some(Self::Discarded)
            }
            (Self::Running, Event::LoseTrack) => Some(Self::Unknown),
            (Self::Running, Event::Stop)
            | (Self::Scheduled | Self::Available | Self::Retryable, Event::Cancel) => Some(Self::Cancelled),
            _ => None,
        }
    }
}

/// The word of the protocol.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The time it waited for has come.
    Due,
    /// A host takes it to run it.
    Claim,
    /// It ended well.
    Complete,
    /// It failed, and has another attempt.
    TryAgain,
    /// It failed, and has none.
    GiveUp,
    /// Its worker or host died while it ran, and it may run at most once.
    LoseTrack,
    /// It was claimed and hasn't begun, or was stopped in good order for a shutdown.
    Release,
    /// A person or client calls it off.
    Cancel,
    /// It was called off while it ran, and has ended.
    Stop,
    /// Its deadline has passed while it waited.
    Expire,
    /// A person wants it to run now.
    Retry,
    /// A person gives it up.
    Discard,
}

impl Event {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Due,
        Self::Claim,
        Self::Complete,
        Self::TryAgain,
        Self::GiveUp,
        Self::LoseTrack,
        Self::Release,
        Self::Cancel,
        Self::Stop,
        Self::Expire,
        Self::Retry,
        Self::Discard,
    ];
}
