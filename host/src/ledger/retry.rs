//! When a task that failed is tried again, or that it isn't.

/// No wait is longer, whatever a failure asks for: a year, in milliseconds.
pub(crate) const WAIT_MAX_MS: i64 = 365 * 24 * 3600 * 1000;

/// Which failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryOn {
    /// All, but those that never are.
    Any,
    /// Those that say that they may go away by themselves.
    Retryable,
}

/// How often a task is tried again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Attempts after the first.
    pub(crate) max: u32,
    /// The first wait, in milliseconds; each further one is twice as long.
    pub(crate) base_ms: i64,
    /// The longest wait, in milliseconds.
    pub(crate) cap_ms: i64,
    pub(crate) on: RetryOn,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max: 5,
            base_ms: 1_000,
            cap_ms: 3_600_000,
            on: RetryOn::Any,
        }
    }
}

/// What a failure says about another attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its kind is one that may go away by itself.
    pub(crate) retryable: bool,
    /// The same arguments would fail the same way: `invalid_args`, `result_too_large`.
    pub(crate) never_again: bool,
    /// The wait that the failure itself asks for, in milliseconds.
    pub(crate) wait_ms: Option<i64>,
}

/// How long to wait before the next attempt, in milliseconds; none if there is none. `attempts` were made, the one that
/// just failed among them; `random` is a random number.
pub(crate) fn wait_ms(
    policy: &RetryPolicy,
    attempts: u32,
    failure: Failure,
    random: u64,
) -> Option<i64> {
    let is_wanted = match policy.on {
        RetryOn::Any => true,
        RetryOn::Retryable => failure.retryable,
    };
    if failure.never_again || !is_wanted || attempts > policy.max {
        return None;
    }
    Some(match failure.wait_ms {
        Some(asked) => asked.clamp(0, WAIT_MAX_MS),
        None => back_off_ms(policy, attempts.saturating_sub(1), random),
    })
}

/// `min(cap, base × 2ⁿ)`, between half and all of it at random.
fn back_off_ms(policy: &RetryPolicy, n: u32, random: u64) -> i64 {
    let factor = 1_i64.checked_shl(n.min(62)).unwrap_or(i64::MAX);
    let whole = policy.base_ms.max(0).saturating_mul(factor);
    let whole = whole.min(policy.cap_ms.max(0)).min(WAIT_MAX_MS);
    let half = whole - whole / 2;
    let span = u64::try_from(whole / 2).unwrap_or(0) + 1;
    half + i64::try_from(random % span).unwrap_or(0)
}

/// A random number for attempt `attempt` of the task with this id: ids are random in their second half, so tasks that fail
/// together are tried again apart, and what is written down is the same whoever works it out.
pub(crate) fn spread(id: &[u8; 16], attempt: u32) -> u64 {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let [.., a, b, c, d, e, f, g, h] = *id;
    let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max: 5,
        base_ms: 1_000,
        cap_ms: 10_000,
        on: RetryOn::Any,
    };
    const FAILED: Failure = Failure {
        retryable: false,
        never_again: false,
        wait_ms: None,
    };

    #[test]
    fn waits_double_up_to_the_cap_and_lie_between_half_and_all_of_it() {
        // (attempts made, half, whole)
        let rows = [
            (1, 500, 1_000),
            (2, 1_000, 2_000),
            (3, 2_000, 4_000),
            (4, 4_000, 8_000),
            (5, 5_000, 10_000),
        ];
        for (attempts, half, whole) in rows {
            let waits =
                (0..100_000).map(|random| wait_ms(&POLICY, attempts, FAILED, random).unwrap());
            let (mut least, mut most) = (i64::MAX, i64::MIN);
            for wait in waits {
                (least, most) = (least.min(wait), most.max(wait));
            }
            assert_eq!((least, most), (half, whole), "after {attempts} attempts");
        }
    }

    #[test]
    fn max_counts_the_attempts_after_the_first() {
        assert!(wait_ms(&POLICY, 5, FAILED, 0).is_some());
        assert_eq!(wait_ms(&POLICY, 6, FAILED, 0), None);
        let none = RetryPolicy { max: 0, ..POLICY };
        assert_eq!(wait_ms(&none, 1, FAILED, 0), None);
    }

    #[test]
    fn what_the_failure_asks_for_goes_first_and_is_bounded_by_a_year() {
        for (asked, wait) in [
            (0, 0),
            (7, 7),
            (86_400_000, 86_400_000),
            (i64::MAX, WAIT_MAX_MS),
            (-1, 0),
        ] {
            let failure = Failure {
                wait_ms: Some(asked),
                ..FAILED
            };
            assert_eq!(wait_ms(&POLICY, 1, failure, 9), Some(wait));
            assert_eq!(
                wait_ms(&POLICY, 6, failure, 9),
                None,
                "it asks for a wait, not for more attempts"
            );
        }
    }

    #[test]
    fn some_failures_are_never_tried_again() {
        let never = Failure {
            never_again: true,
            retryable: true,
            wait_ms: Some(5),
        };
        assert_eq!(wait_ms(&POLICY, 1, never, 0), None);
        let only = RetryPolicy {
            on: RetryOn::Retryable,
            ..POLICY
        };
        assert_eq!(wait_ms(&only, 1, FAILED, 0), None);
        assert!(
            wait_ms(
                &only,
                1,
                Failure {
                    retryable: true,
                    ..FAILED
                },
                0
            )
            .is_some()
        );
    }

    #[test]
    fn no_numbers_overflow() {
        for max in [0, 1, u32::MAX] {
            for number in [i64::MIN, -1, 0, 1, i64::MAX] {
                for attempts in [0, 1, 63, 64, 65, u32::MAX] {
                    let policy = RetryPolicy {
                        max,
                        base_ms: number,
                        cap_ms: number,
                        on: RetryOn::Any,
                    };
                    if let Some(wait) = wait_ms(&policy, attempts, FAILED, u64::MAX) {
                        assert!((0..=WAIT_MAX_MS).contains(&wait));
                    }
                }
            }
        }
    }

    #[test]
    fn tasks_that_fail_together_are_spread() {
        let numbers: std::collections::BTreeSet<u64> = (0..1_000_u128)
            .flat_map(|n| [1, 2].map(|attempt| spread(&n.to_be_bytes(), attempt) % 1_000))
            .collect();
        assert!(numbers.len() > 500, "{}", numbers.len());
    }
}
