//! Every pair of state and event.

use crate::ledger::states::{Event, State};

/// One row a state; the columns are events, in the order of `Event::ALL`; `-` is what may not happen.
const TABLE: &str = "
            due       claim   complete  try_again give_up   lose    release   cancel    stop      expire    retry     discard
scheduled   available -       -         -         -         -       -         cancelled -         discarded available discarded
available   -         running -         -         -         -       -         cancelled -         discarded -         discarded
running     -         -       completed retryable discarded unknown available running   cancelled -         -         -
retryable   available -       -         -         -         -       -         cancelled -         discarded available discarded
completed   -         -       -         -         -         -       -         -         -         -         -         -
discarded   -         -       -         -         -         -       -         -         -         -         available -
cancelled   -         -       -         -         -         -       -         -         -         -         available -
unknown     -         -       -         -         -         -       -         -         -         -         available discarded
";

#[test]
fn every_state_and_event_leads_where_the_table_says() {
    let rows: Vec<Vec<&str>> = TABLE
        .trim()
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), State::ALL.len());
    for (row, state) in rows.iter().zip(State::ALL) {
        assert_eq!(row.len(), 1 + Event::ALL.len(), "{row:?}");
        assert_eq!(row[0], state.name());
        for (cell, event) in row[1..].iter().zip(Event::ALL) {
            let leads_to = state.after(event).map_or("-", State::name);
            assert_eq!(leads_to, *cell, "{state} {event:?}");
        }
    }
}

#[test]
fn names_and_numbers_of_states_are_each_its_own() {
    for (index, state) in State::ALL.into_iter().enumerate() {
        assert_eq!(state.index(), index);
        assert_eq!(State::from_index(index), Some(state));
        assert_eq!(State::from_name(state.name()), Some(state));
    }
    assert_eq!(State::from_index(State::ALL.len()), None);
    assert_eq!(State::from_name("Running"), None);
}

#[test]
fn nothing_leads_out_of_a_finished_state_but_a_person() {
    for state in State::ALL.into_iter().filter(|state| state.is_finished()) {
        for event in Event::ALL {
            assert!(
                state.after(event).is_none() || matches!(event, Event::Retry | Event::Discard),
                "{state} {event:?}"
            );
        }
    }
}

#[test]
fn a_new_task_is_available_unless_it_is_to_wait() {
    assert_eq!(State::of_new(5, 5), State::Available);
    assert_eq!(State::of_new(4, 5), State::Available);
    assert_eq!(State::of_new(6, 5), State::Scheduled);
}
