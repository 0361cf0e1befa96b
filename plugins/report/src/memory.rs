//! How much memory the operators of a query may hold together.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use datafusion::{
    error::{DataFusionError, Result},
    execution::memory_pool::{
        FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
    },
};

/// Operators that hand rows from one thread to another. They could put rows on disk where they get no memory, and must
/// not: with `DataFusion` 55, when two threads do so at once, the one that reads may wait for ever for a file in which
/// nothing comes, while the rows lie in another (apache/datafusion#24883). What they hold is little: threads that are
/// ahead of the others wait.
const HANDS_OVER: &str = "RepartitionExec";

/// What a sort holds of the rows that it has yet to sort, and of sorted ones that it has yet to put on disk.
const SORTS: &str = "ExternalSorter[";

/// What a sort needs to merge the rows that it holds: they themselves, and a copy of their keys. It can't go to disk.
const MERGES: &str = "ExternalSorterMerge[";

/// So many fifths of the memory are the shares of sorts: a sort that goes to disk needs two and a half times its share.
/// The sorted rows that it has yet to write take a whole one, the rows that it merges half of one (before they are sorted,
/// each counts twice), and the rest is for their keys, which may be twice as large as the rows (several short columns).
/// The sorts of two threads may well do so at the same moment.
const FIFTHS: usize = 2;

/// An even share for each operator that can put what it holds on disk; for sorts so much less that all of them find
/// room for their merging.
#[derive(Debug)]
pub(crate) struct Pool {
    fair: FairSpillPool,
    memory_max: usize,
    /// How many operators there are that can put what they hold on disk.
    spillers: AtomicUsize,
    /// The bytes of what can't go to disk, but for those of [`MERGES`].
    kept: AtomicUsize,
}

impl Pool {
    /// A pool of that many bytes.
    pub(crate) fn new(memory_max: usize) -> Self {
        Self {
            fair: FairSpillPool::new(memory_max),
            memory_max,
            spillers: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
        }
    }

    /// The most that a sort may hold at the moment.
    fn sort_max(&self) -> usize {
        let left = self
            .memory_max
            .saturating_sub(self.kept.load(Ordering::Relaxed));
        left / 5 * FIFTHS / self.spillers.load(Ordering::Relaxed).max(1)
    }
}

fn is_kept(consumer: &MemoryConsumer) -> bool {
    !consumer.can_spill() && !consumer.name().starts_with(MERGES)
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fair.fmt(f)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.fair.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let spillers = usize::from(consumer.can_spill());
        self.spillers.fetch_add(spillers, Ordering::Relaxed);
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let spillers = usize::from(consumer.can_spill());
        self.spillers.fetch_sub(spillers, Ordering::Relaxed);
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        if is_kept(reservation.consumer()) {
            self.kept.fetch_add(additional, Ordering::Relaxed);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        if is_kept(reservation.consumer()) {
            self.kept.fetch_sub(shrink, Ordering::Relaxed);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        if consumer.can_spill() && consumer.name().starts_with(HANDS_OVER) {
            self.grow(reservation, additional);
            return Ok(());
        }
        if consumer.can_spill() && consumer.name().starts_with(SORTS) {
            let sort_max = self.sort_max();
            if reservation.size() + additional > sort_max {
                let message = format!("a sort may hold {sort_max} bytes at the moment");
                return Err(DataFusionError::ResourcesExhausted(message));
            }
        }
        self.fair.try_grow(reservation, additional)?;
        if is_kept(consumer) {
            self.kept.fetch_add(additional, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.fair.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::{
        execution::runtime_env::RuntimeEnvBuilder,
        prelude::{SessionConfig, SessionContext},
    };

    use super::*;

    #[test]
    fn what_hands_rows_over_is_never_sent_to_the_disk() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
        let consumer = |name: &str| {
            let consumer = MemoryConsumer::new(name).with_can_spill(true);
            consumer.register(&pool)
        };
        let (hands_over, groups) = (
            consumer("RepartitionExec[1]"),
            consumer("GroupedHashAggregateStream[1]"),
        );
        assert!(hands_over.try_grow(5000).is_ok());
        assert!(groups.try_grow(500).is_ok(), "its share is its own");
        assert!(groups.try_grow(1).is_err());
        // What can't go to the disk anyway gets what there is.
        let merges = MemoryConsumer::new("RepartitionExec[Merge 1]").register(&pool);
        assert!(merges.try_grow(5000).is_err());
        drop((hands_over, groups, merges));
        assert_eq!(pool.reserved(), 0);
    }

    /// The worst moment: each sort merges all that it held, and holds sorted rows again that have yet to be written.
    #[test]
    fn sorts_that_merge_at_the_same_moment_all_have_room() {
        for (threads, kept) in [(1, 0), (2, 0), (2, 400_000), (4, 0)] {
            let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1_000_000));
            let join = MemoryConsumer::new("HashJoinInput").register(&pool);
            join.try_grow(kept).unwrap();
            let sorts: Vec<[MemoryReservation; 3]> = (0..threads)
                .map(|thread| {
                    let holds = MemoryConsumer::new(format!("{SORTS}{thread}]"));
                    let holds = holds.with_can_spill(true).register(&pool);
                    let merges = MemoryConsumer::new(format!("{MERGES}{thread}]"));
                    [holds.new_empty(), holds, merges.register(&pool)]
                })
                .collect();
            let fill = |reservation: &MemoryReservation| {
                while reservation.try_grow(1000).is_ok() {}
                assert!(reservation.size() >= 20_000, "{}", reservation.size());
            };
            for [_, holds, merges] in &sorts {
                merges.try_grow(100_000).unwrap();
                fill(holds);
            }
            for [sorted, holds, merges] in &sorts {
                let len = holds.free();
                merges.free();
                merges.try_grow(len * 3 / 2).unwrap();
                fill(sorted);
            }
            drop(sorts);
            join.free();
            assert_eq!(pool.reserved(), 0);
        }
    }

    /// The engine's sorts have the names that are looked for.
    #[tokio::test]
    async fn sorts_are_known_by_their_names() {
        for (reserved, expected) in [(1000, MERGES), (0, "a sort may hold")] {
            let config = SessionConfig::new().with_sort_spill_reservation_bytes(reserved);
            let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(Pool::new(100)));
            let context =
                SessionContext::new_with_config_rt(config, environment.build_arc().unwrap());
            let query = "SELECT v FROM (VALUES (2), (1)) AS t (v) ORDER BY v";
            let error = context.sql(query).await.unwrap().collect().await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// The engine's operators have the name that is looked for.
    #[tokio::test]
    async fn what_hands_rows_over_is_known_by_its_name() {
        let config = SessionConfig::new().with_target_partitions(2);
        let environment = RuntimeEnvBuilder::new().build_arc().unwrap();
        let context = SessionContext::new_with_config_rt(config, environment);
        let query = "SELECT v % 3, count(*) FROM (VALUES (1), (2), (3), (4)) AS t (v) GROUP BY 1";
        let plan = context.sql(query).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let mut operators = vec![Arc::clone(&plan)];
        let mut names = Vec::new();
        while let Some(operator) = operators.pop() {
            names.push(operator.name().to_owned());
            operators.extend(operator.children().into_iter().cloned());
        }
        assert!(names.iter().any(|name| name == HANDS_OVER), "{names:?}");
    }
}
