//! What the writer keeps in memory beside the database: functions, lanes with their counts, words. All of it is in the
//! database too, written with the tasks that it counts, and read again when a transaction came to nothing.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, params};
use rustc_hash::{FxHashMap, FxHashSet};

use super::fault::Fault;
use crate::ledger::id::TaskId;
use crate::ledger::states::State;

const STATES: usize = State::ALL.len();

/// A function that was ever heard of.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) number: i64,
    pub(super) name: Arc<str>,
    pub(super) paused: bool,
    /// Tasks of it that were handed out, which says when age alone counts; not written down.
    pub(super) claims: u64,
    /// Places in [`Book::lanes`].
    pub(super) lanes: Vec<usize>,
    /// Those of them that have available tasks.
    pub(super) open_lanes: FxHashSet<usize>,
}

/// Tasks of one function, version and limit key.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) number: i64,
    /// A place in [`Book::functions`].
    pub(super) function: usize,
    pub(super) version: Option<Arc<str>>,
    pub(super) limit_key: Option<Arc<str>>,
    /// By [`State::index`].
    pub(super) counts: [i64; STATES],
    /// Bytes of arguments and results.
    pub(super) stored_len: i64,
    /// Of those that are available: the next one by priority and age, and the oldest; none where they aren't known.
    pub(super) next: Option<(u8, TaskId)>,
    pub(super) oldest: Option<TaskId>,
    is_dirty: bool,
}

impl Lane {
    pub(super) fn count(&self, state: State) -> i64 {
        self.counts[state.index()]
    }

    fn comes(&mut self, priority: u8, id: TaskId) {
        if self.count(State::Available) == 1 {
            self.next = Some((priority, id));
            self.oldest = Some(id);
        } else {
            self.next = self.next.map(|next| next.min((priority, id)));
            self.oldest = self.oldest.map(|oldest| oldest.min(id));
        }
    }

    fn goes(&mut self, id: TaskId) {
        self.next = self.next.filter(|next| next.1 != id);
        self.oldest = self.oldest.filter(|oldest| *oldest != id);
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

type LaneName = (usize, Option<Arc<str>>, Option<Arc<str>>);

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) functions: Vec<Function>,
    pub(super) lanes: Vec<Lane>,
    function_places: FxHashMap<Arc<str>, usize>,
    lane_places: FxHashMap<LaneName, usize>,
    lanes_by_number: FxHashMap<i64, usize>,
    words: FxHashMap<Arc<str>, i64>,
    dirty: Vec<usize>,
    unfinished: i64,
    stored_len: i64,
    /// The latest time that any call has brought, as far as it is written down.
    pub(super) latest: i64,
    next_long_text: i64,
}

impl Book {
    pub(super) fn load(connection: &Connection) -> Result<Self, Fault> {
        let mut book = Self::default();
        let mut by_number = FxHashMap::default();
        let mut statement = connection
            .prepare_cached("SELECT function, name, paused FROM function ORDER BY function")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = book.push_function(row.get(0)?, row.get(1)?, row.get(2)?);
            by_number.insert(row.get::<_, i64>(0)?, place);
        }
        let mut statement = connection.prepare_cached(
            "SELECT lane, function, version, limit_key, stored_len, scheduled, available, running, retryable, completed, \
             discarded, cancelled, unknown FROM lane",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(function) = by_number.get(&row.get(1)?) else {
                return Err(super::fault::damaged(
                    "a lane is of a function that isn't there",
                ));
            };
            let place = book.push_lane(row.get(0)?, (*function, row.get(2)?, row.get(3)?));
            let lane = &mut book.lanes[place];
            lane.stored_len = row.get(4)?;
            for (state, count) in lane.counts.iter_mut().enumerate() {
                *count = row.get(5 + state)?;
            }
            book.stored_len += lane.stored_len;
            let unfinished = State::ALL.iter().filter(|state| !state.is_finished());
            book.unfinished += unfinished.map(|state| lane.count(*state)).sum::<i64>();
            book.open_or_close(place);
        }
        let mut statement = connection.prepare_cached("SELECT word, text FROM word")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            book.words.insert(row.get(1)?, row.get(0)?);
        }
        book.latest = connection.query_row("SELECT latest FROM clock", [], |row| row.get(0))?;
        let last: Option<i64> =
            connection.query_row("SELECT max(at) FROM long_text", [], |row| row.get(0))?;
        book.next_long_text = last.unwrap_or(0) + 1;
        Ok(book)
    }

    /// Tasks that haven't finished.
    pub(super) fn unfinished(&self) -> u64 {
        u64::try_from(self.unfinished).unwrap_or(0)
    }

    /// Bytes of arguments and results.
    pub(super) fn stored_len(&self) -> u64 {
        u64::try_from(self.stored_len).unwrap_or(0)
    }

    /// The place of this function, which is written down if it is new.
    pub(super) fn know(
        &mut self,
        connection: &Connection,
        name: &Arc<str>,
        now: i64,
    ) -> Result<usize, Fault> {
        if let Some(place) = self.function_places.get(name) {
            return Ok(*place);
        }
        let mut insert =
            connection.prepare_cached("INSERT INTO function (name, known_at) VALUES (?, ?)")?;
        let number = insert.insert(params![name, now])?;
        Ok(self.push_function(number, Arc::clone(name), false))
    }

    /// The place of the lane, which is written down if it is new.
    pub(super) fn lane(
        &mut self,
        connection: &Connection,
        function: usize,
        version: Option<&str>,
        limit_key: Option<&str>,
    ) -> Result<usize, Fault> {
        let name = (function, version.map(Arc::from), limit_key.map(Arc::from));
        if let Some(place) = self.lane_places.get(&name) {
            return Ok(*place);
        }
        let sql = "INSERT INTO lane (function, version, limit_key) VALUES (?, ?, ?)";
        let mut insert = connection.prepare_cached(sql)?;
        let number = insert.insert(params![self.functions[function].number, name.1, name.2])?;
        Ok(self.push_lane(number, name))
    }

    pub(super) fn lane_of(&self, number: i64) -> Result<usize, Fault> {
        let place = self.lanes_by_number.get(&number);
        place
            .copied()
            .ok_or_else(|| super::fault::damaged("a task is of a lane that isn't there"))
    }

    pub(super) fn function_of(&self, lane: usize) -> &Function {
        &self.functions[self.lanes[lane].function]
    }

    pub(super) fn function_of_mut(&mut self, place: usize) -> &mut Function {
        &mut self.functions[place]
    }

    pub(super) fn place_of(&self, function: &str) -> Option<usize> {
        self.function_places.get(function).copied()
    }

    /// The number of a name of a host, or of a plugin's version.
    pub(super) fn word(&mut self, connection: &Connection, text: &Arc<str>) -> Result<i64, Fault> {
        if let Some(number) = self.words.get(text) {
            return Ok(*number);
        }
        let number = connection
            .prepare_cached("INSERT INTO word (text) VALUES (?)")?
            .insert([text])?;
        self.words.insert(Arc::clone(text), number);
        Ok(number)
    }

    pub(super) fn next_long_text(&mut self) -> i64 {
        let next = self.next_long_text;
        self.next_long_text += 1;
        next
    }

    /// A task of this lane changes its state; one that is new comes from none, one that is forgotten goes to none.
    pub(super) fn moves(
        &mut self,
        lane: usize,
        (priority, id): (u8, TaskId),
        from: Option<State>,
        to: Option<State>,
    ) {
        let entry = &mut self.lanes[lane];
        for (state, by) in [(from, -1), (to, 1)] {
            let Some(state) = state else { continue };
            entry.counts[state.index()] += by;
            if !state.is_finished() {
                self.unfinished += by;
            }
        }
        if from == Some(State::Available) {
            entry.goes(id);
        }
        if to == Some(State::Available) {
            entry.comes(priority, id);
        }
        if [from, to].contains(&Some(State::Available)) {
            self.open_or_close(lane);
        }
        self.touch(lane);
    }

    /// Has its function know whether the lane has available tasks.
    fn open_or_close(&mut self, lane: usize) {
        let entry = &self.lanes[lane];
        let open = &mut self.functions[entry.function].open_lanes;
        if entry.count(State::Available) > 0 {
            open.insert(lane);
        } else {
            open.remove(&lane);
        }
    }

    /// So many more bytes are kept of a lane's tasks; fewer, where negative.
    pub(super) fn holds(&mut self, lane: usize, by: i64) {
        self.lanes[lane].stored_len += by;
        self.stored_len += by;
        self.touch(lane);
    }

    fn touch(&mut self, lane: usize) {
        let entry = &mut self.lanes[lane];
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty.push(lane);
        }
    }

    /// Writes down what has changed, as a part of the transaction that changed it.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let mut update = connection.prepare_cached(
            "UPDATE lane SET stored_len = ?, scheduled = ?, available = ?, running = ?, retryable = ?, completed = ?, \
             discarded = ?, cancelled = ?, unknown = ? WHERE lane = ?",
        )?;
        for place in std::mem::take(&mut self.dirty) {
            let lane = &mut self.lanes[place];
            lane.is_dirty = false;
            write_lane(&mut update, lane)?;
        }
        Ok(())
    }

    /// Deletes the lanes that have had no task since they were last looked at, whose limit keys would pile up otherwise.
    /// To be followed by [`Self::load`], since it moves the others.
    pub(super) fn delete_empty_lanes(&self, connection: &Connection) -> Result<usize, Fault> {
        let mut delete = connection.prepare_cached("DELETE FROM lane WHERE lane = ?")?;
        let empty = self
            .lanes
            .iter()
            .filter(|lane| lane.is_empty() && lane.limit_key.is_some());
        let mut deleted = 0;
        for lane in empty {
            deleted += delete.execute([lane.number])?;
        }
        Ok(deleted)
    }

    pub(super) fn empty_lanes(&self) -> usize {
        self.lanes
            .iter()
            .filter(|lane| lane.is_empty() && lane.limit_key.is_some())
            .count()
    }

    fn push_function(&mut self, number: i64, name: Arc<str>, paused: bool) -> usize {
        let place = self.functions.len();
        self.function_places.insert(Arc::clone(&name), place);
        self.functions.push(Function {
            number,
            name,
            paused,
            claims: 0,
            lanes: Vec::new(),
            open_lanes: FxHashSet::default(),
        });
        place
    }

    fn push_lane(&mut self, number: i64, name: LaneName) -> usize {
        let place = self.lanes.len();
        let (function, version, limit_key) = name.clone();
        self.lane_places.insert(name, place);
        self.lanes_by_number.insert(number, place);
        self.functions[function].lanes.push(place);
        self.lanes.push(Lane {
            number,
            function,
            version,
            limit_key,
            counts: [0; STATES],
            stored_len: 0,
            next: None,
            oldest: None,
            is_dirty: false,
        });
        place
    }
}

fn write_lane(update: &mut CachedStatement<'_>, lane: &Lane) -> Result<(), Fault> {
    let [
        scheduled,
        available,
        running,
        retryable,
        completed,
        discarded,
        cancelled,
        unknown,
    ] = lane.counts;
    update.execute(params![
        lane.stored_len,
        scheduled,
        available,
        running,
        retryable,
        completed,
        discarded,
        cancelled,
        unknown,
        lane.number
    ])?;
    Ok(())
}

/// Functions whose tasks have become available, each once.
#[derive(Debug, Default)]
pub(super) struct Named(FxHashSet<usize>);

impl Named {
    pub(super) fn insert(&mut self, function: usize) {
        self.0.insert(function);
    }

    pub(super) fn take(&mut self, book: &Book) -> Vec<Arc<str>> {
        self.0
            .drain()
            .map(|place| Arc::clone(&book.functions[place].name))
            .collect()
    }
}
