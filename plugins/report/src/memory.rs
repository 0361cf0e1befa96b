//! How much memory the operators of a query may hold together.

use std::fmt;

use datafusion::{
    error::Result,
    execution::memory_pool::{
        FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
    },
};

/// Operators that hand rows from one thread to another. They could put rows on disk where they get no memory, and must
/// not: with `DataFusion` 55, when two threads do so at once, the one that reads may wait for ever for a file in which
/// nothing comes, while the rows lie in another (apache/datafusion#24883). What they hold is little: threads that are
/// ahead of the others wait.
const HANDS_OVER: &str = "RepartitionExec";

/// An even share for each operator that can put what it holds on disk.
#[derive(Debug)]
pub(crate) struct Pool(FairSpillPool);

impl Pool {
    /// A pool of that many bytes.
    pub(crate) fn new(memory_max: usize) -> Self {
        Self(FairSpillPool::new(memory_max))
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.0.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.0.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.0.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.0.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        if consumer.can_spill() && consumer.name().starts_with(HANDS_OVER) {
            self.0.grow(reservation, additional);
            return Ok(());
        }
        self.0.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.0.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.0.memory_limit()
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
        let (hands_over, sorts) = (
            consumer("RepartitionExec[1]"),
            consumer("ExternalSorter[1]"),
        );
        assert!(hands_over.try_grow(5000).is_ok());
        assert!(sorts.try_grow(500).is_ok(), "its share is its own");
        assert!(sorts.try_grow(1).is_err());
        // What can't go to the disk anyway gets what there is.
        let merges = MemoryConsumer::new("RepartitionExec[Merge 1]").register(&pool);
        assert!(merges.try_grow(5000).is_err());
        drop((hands_over, sorts, merges));
        assert_eq!(pool.reserved(), 0);
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
