//! The lane that listens to other hosts: looks for all that is waited for here at once, reads what they changed while somebody
//! watches, and says how far those tasks are that run here and that somebody elsewhere waits for. While nobody does either, it
//! asks the database nothing, and has no connection.

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use super::fault::Fault;
use super::heard::{self, Snapshot};
use super::link::Link;
use super::shared::Shared;
use crate::ledger::id::TaskId;
use crate::ledger::listening::{RunReport, Wants};
use crate::ledger::store::{Change, Listener};

/// How often it is looked, and how often it is said how far a task is.
const LOOK: Duration = Duration::from_millis(500);
/// Tasks that are looked at in one query.
const LOOK_MAX: usize = 1_000;
/// Tasks of other hosts whose progress one host may want.
const FOLLOWED_MAX: usize = 4_096;
/// What is wanted here is said again so often. It counts for 15 seconds.
const SAY_AGAIN: Duration = Duration::from_secs(4);
const COUNTS_FOR: Duration = Duration::from_secs(15);
/// What hasn't changed is written down again so often, as it is forgotten after a minute.
const WRITE_AGAIN: Duration = Duration::from_secs(20);
/// Bytes of a message that other hosts are told.
const MESSAGE_LEN_MAX: usize = 4_096;
/// Changes that are read at once, how long those who watch have for them, and how often that is done in one look.
const PAGE_LEN: usize = 512;
const PAGE_PAUSE: Duration = Duration::from_millis(5);
const PAGES_MAX: usize = 64;
/// Changes are kept at least for so long, and at most about twice as long. It is longer than what is wanted here counts.
const KEEP: Duration = Duration::from_secs(20);
/// How often it is looked whether there are changes to forget.
const FORGET: Duration = Duration::from_secs(2);
/// An unused connection is closed after so long.
const IDLE: Duration = Duration::from_secs(30);

/// Listens until the store is closed.
pub(super) async fn run(shared: &Shared, link: Link) {
    let mut feed = Feed {
        shared,
        link,
        said: None,
        reading: None,
        told: FxHashMap::default(),
        written: FxHashMap::default(),
    };
    while !shared.own.is_over() {
        let begun = Instant::now();
        let Some(listener) = shared.listener() else {
            shared.ears.rung().await;
            continue;
        };
        let wants = listener.wants();
        let followed = shared.ears.followed();
        let is_idle = wants.ends.is_empty() && !listener.watches() && followed.is_empty();
        if is_idle && feed.said.is_none() {
            feed.rest_idly().await;
            continue;
        }
        if let Err(fault) = feed.turn(&*listener, &wants, &followed).await {
            feed.link.heed(&fault);
        }
        feed.rest(&*listener, begun + LOOK).await;
    }
    // Otherwise it is over in a few seconds.
    if feed.said.is_some()
        && let Ok(connection) = feed.link.get().await
    {
        let _ = heard::listen_no_more(connection, &shared.own.id).await;
    }
}

struct Feed<'a> {
    shared: &'a Shared,
    link: Link,
    /// What the others know that is wanted here.
    said: Option<Said>,
    /// How far changes were read; none while nobody watches.
    reading: Option<Reading>,
    /// The newest report of each task that somebody here was told, by its lease and number.
    told: FxHashMap<TaskId, (i64, u64)>,
    /// The newest report of each task that was written down, and when.
    written: FxHashMap<TaskId, (i64, u64, Instant)>,
}

struct Said {
    /// When it was being said.
    at: Instant,
    watches: bool,
    tasks: Vec<TaskId>,
}

struct Reading {
    /// All that was committed before it was read, and when it was taken.
    from: Snapshot,
    from_at: Instant,
    /// What is being read, as of when, and the last number that was.
    to: Option<(Snapshot, Instant, i64)>,
    /// What was committed before may be forgotten, as of two moments.
    old: Option<(Instant, Snapshot)>,
    older: Option<Snapshot>,
    forget_at: Instant,
}

impl Reading {
    fn new(from: Snapshot, from_at: Instant) -> Self {
        Self {
            from,
            from_at,
            to: None,
            old: None,
            older: None,
            forget_at: Instant::now() + KEEP,
        }
    }
}

impl Feed<'_> {
    /// Until there is something to do.
    async fn rest_idly(&mut self) {
        self.told.clear();
        self.written.clear();
        if timeout(IDLE, self.shared.ears.rung()).await.is_err() {
            self.link.drop_connection();
            self.shared.ears.rung().await;
        }
    }

    /// Until the next look, or until somebody begins to watch.
    async fn rest(&self, listener: &dyn Listener, until: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.shared.ears.rung() => {}
            }
            let begins = self.reading.is_none() && listener.watches();
            if begins || self.shared.own.is_over() {
                return;
            }
        }
    }

    async fn turn(
        &mut self,
        listener: &dyn Listener,
        wants: &Wants,
        followed: &[TaskId],
    ) -> Result<(), Fault> {
        self.say(listener, wants).await?;
        self.look(listener, wants).await?;
        self.read(listener).await?;
        self.forget().await?;
        self.write(listener, followed).await
    }

    /// Has the others know what is wanted here.
    async fn say(&mut self, listener: &dyn Listener, wants: &Wants) -> Result<(), Fault> {
        let own = &*self.shared.own.id;
        let tasks = wants.progress.get(..FOLLOWED_MAX);
        let tasks = tasks.unwrap_or(&wants.progress);
        let watches = listener.watches();
        if !watches {
            self.reading = None;
        }
        if !watches && tasks.is_empty() {
            if self.said.is_some() {
                let connection = self.link.get().await.map_err(Fault::Known)?;
                heard::listen_no_more(connection, own).await?;
                self.said = None;
            }
            return Ok(());
        }
        let is_known = self.said.as_ref().is_some_and(|said| {
            said.at.elapsed() < SAY_AGAIN && said.watches == watches && said.tasks == tasks
        });
        if is_known && watches == self.reading.is_some() {
            return Ok(());
        }
        let at = Instant::now();
        let connection = self.link.get().await.map_err(Fault::Known)?;
        let (snapshot, was_watching) = heard::listen(connection, own, watches, tasks).await?;
        // The others have told all since the last time only if that was still valid when this was committed.
        let is_gapless = was_watching
            && self
                .said
                .as_ref()
                .is_some_and(|said| said.watches && said.at.elapsed() < COUNTS_FOR);
        self.said = Some(Said {
            at,
            watches,
            tasks: tasks.to_vec(),
        });
        if watches && !(is_gapless && self.reading.is_some()) {
            if self.reading.is_some() {
                listener.missed();
            }
            self.reading = Some(Reading::new(snapshot, at));
        }
        Ok(())
    }

    /// Looks at all that is waited for here.
    async fn look(&mut self, listener: &dyn Listener, wants: &Wants) -> Result<(), Fault> {
        let followed: FxHashSet<TaskId> = wants.progress.iter().copied().collect();
        self.told.retain(|task, _| followed.contains(task));
        for tasks in wants.ends.chunks(LOOK_MAX) {
            let connection = self.link.get().await.map_err(Fault::Known)?;
            let found = heard::look(connection, tasks).await?;
            if !found.ended.is_empty() {
                listener.ended(&found.ended);
            }
            for report in found.progress {
                let newest = (report.lease, report.number);
                if followed.contains(&report.task)
                    && self.told.insert(report.task, newest) != Some(newest)
                {
                    listener.progressed(report);
                }
            }
        }
        Ok(())
    }

    /// Reads what was changed since the last time.
    async fn read(&mut self, listener: &dyn Listener) -> Result<(), Fault> {
        let Some(reading) = &mut self.reading else {
            return Ok(());
        };
        let connection = self.link.get().await.map_err(Fault::Known)?;
        if reading.to.is_none() {
            let to_at = Instant::now();
            let to = heard::snapshot(connection).await?;
            // Nobody has changed anything.
            if to == reading.from {
                reading.from_at = to_at;
                return Ok(());
            }
            reading.to = Some((to, to_at, 0));
        }
        for page in 1.. {
            let Some((to, _, after)) = &mut reading.to else {
                break;
            };
            let bounds = (&reading.from, &*to);
            let numbered = heard::changes(connection, bounds, *after, PAGE_LEN).await?;
            let is_last = numbered.len() < PAGE_LEN;
            if let Some((last, _)) = numbered.last() {
                *after = *last;
            }
            let changes: Vec<Change> = numbered.into_iter().map(|(_, change)| change).collect();
            if !changes.is_empty() {
                listener.heard(&changes);
            }
            // Or what was there is forgotten already.
            if (!is_last && page == PAGES_MAX) || reading.from_at.elapsed() >= KEEP {
                listener.missed();
            }
            if is_last || page == PAGES_MAX {
                if let Some((to, to_at, _)) = reading.to.take() {
                    (reading.from, reading.from_at) = (to, to_at);
                }
            } else {
                sleep(PAGE_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Forgets changes that all who watch have had the time to read.
    async fn forget(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let Some(reading) = &mut self.reading else {
            return Ok(());
        };
        if reading
            .old
            .as_ref()
            .is_none_or(|(at, _)| at.elapsed() >= KEEP)
        {
            let newer = (now, reading.from.clone());
            reading.older = reading.old.replace(newer).map(|(_, snapshot)| snapshot);
        }
        if let Some(older) = &reading.older
            && reading.forget_at <= now
        {
            reading.forget_at = now + FORGET;
            let connection = self.link.get().await.map_err(Fault::Known)?;
            heard::forget_changes(connection, older).await?;
        }
        Ok(())
    }

    /// Writes down how far those tasks are that run here and that others wait for.
    async fn write(&mut self, listener: &dyn Listener, followed: &[TaskId]) -> Result<(), Fault> {
        self.written
            .retain(|task, _| followed.binary_search(task).is_ok());
        if followed.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let mut reports = listener.reports(followed);
        reports.retain(|report| {
            let written = self.written.get(&report.task);
            written.is_none_or(|(lease, number, at)| {
                (*lease, *number) != (report.lease, report.number) || at.elapsed() >= WRITE_AGAIN
            })
        });
        if reports.is_empty() {
            return Ok(());
        }
        for report in &mut reports {
            cut(&mut report.message);
        }
        // In one order, so that no two hosts wait for one another.
        reports.sort_unstable_by_key(|report| report.task);
        let connection = self.link.get().await.map_err(Fault::Known)?;
        heard::write_progress(connection, &self.shared.own.id, &reports).await?;
        let written = |report: &RunReport| (report.task, (report.lease, report.number, now));
        self.written.extend(reports.iter().map(written));
        Ok(())
    }
}

/// Leaves of a message what other hosts are told.
fn cut(message: &mut String) {
    let len = message.floor_char_boundary(MESSAGE_LEN_MAX);
    message.truncate(len);
}
