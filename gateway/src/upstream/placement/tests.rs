//! Decisions as plain calls: connections are names, and time stands still until it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::Request;

use super::super::task::Sink;
use super::*;

const RULES: Rules = Rules {
    connect_wait: Duration::from_secs(2),
    suspect_after: Duration::from_millis(500),
    waiting_max: 3,
};
const TASKS_MAX: usize = 1000;

/// Somebody who may cancel.
#[derive(Debug, Default)]
struct Client(AtomicBool);

impl Sink for Client {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn done(&self, _: Outcome) {}
}

/// Hosts, and a clock that stands still until it is told.
struct Hosts {
    placement: Placement<&'static str>,
    now: Instant,
    sink: Arc<Client>,
}

/// Where a task went, by the connection's name, or what it was told.
#[derive(Debug, PartialEq, Eq)]
enum At {
    On(&'static str),
    Told(ErrorCode),
    Waits,
}

impl Hosts {
    /// Hosts of these addresses, without connections.
    fn new(addresses: &[&str]) -> Self {
        let now = Instant::now();
        let addresses = addresses.iter().map(|address| (*address).to_owned());
        Self {
            placement: Placement::new(addresses.collect(), RULES, now),
            now,
            sink: Arc::default(),
        }
    }

    /// Two hosts with one connection each, both with the functions `echo` and one of their own.
    fn two() -> (Self, [ConnectionKey; 2]) {
        let mut hosts = Self::new(&["a:1", "b:2"]);
        let first = hosts.up(0, 0, "a", TASKS_MAX);
        let second = hosts.up(1, 0, "b", TASKS_MAX);
        hosts.tells(0, &["echo", "mail"]);
        hosts.tells(1, &["echo", "report"]);
        (hosts, [first, second])
    }

    /// One host with these connections, each of which takes so many tasks.
    fn one(connections: &[&'static str], tasks_max: usize) -> (Self, Vec<ConnectionKey>) {
        let mut hosts = Self::new(&["a:1"]);
        let keys = (0..connections.len())
            .map(|index| hosts.up(0, index, connections[index], tasks_max))
            .collect();
        hosts.placement.was_asked(0);
        (hosts, keys)
    }

    fn up(
        &mut self,
        host: usize,
        index: usize,
        name: &'static str,
        tasks_max: usize,
    ) -> ConnectionKey {
        let key = self.placement.opened(host, index, name, self.now);
        self.placement.is_up(key, tasks_max);
        key
    }

    fn tells(&mut self, host: usize, functions: &[&str]) {
        let functions = functions.iter().map(|name| (*name).to_owned());
        self.placement.has_functions(host, functions.collect());
        self.placement.was_asked(host);
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
    }

    fn task(&self, function: &str) -> Task {
        let sink = Arc::clone(&self.sink) as Arc<dyn Sink>;
        Task::new(Request::new(function), self.now, sink)
    }

    fn submit(&mut self, function: &str) -> At {
        let task = self.task(function);
        at(self.placement.submit(task, self.now))
    }

    /// All that is handed out of the queue: on which connection, or why not.
    fn next(&mut self) -> Vec<(String, At)> {
        let mut handed = Vec::new();
        while let Some(step) = self.placement.next(self.now) {
            let function = match &step {
                Step::Hand(_, _, task) | Step::Fail(task, _) => task.request.function.clone(),
                Step::Wait => panic!("it waits already"),
            };
            handed.push((function, at(step)));
        }
        handed
    }

    fn over(&mut self) -> Vec<(String, ErrorCode)> {
        let over = self.placement.take_over(self.now);
        over.into_iter()
            .map(|(task, failure)| (task.request.function, failure.code))
            .collect()
    }
}

fn at(step: Step<&'static str>) -> At {
    match step {
        Step::Hand(_, name, _) => At::On(name),
        Step::Fail(_, failure) => At::Told(failure.code),
        Step::Wait => At::Waits,
    }
}

fn on(function: &str, name: &'static str) -> (String, At) {
    (function.to_owned(), At::On(name))
}

#[test]
fn tasks_go_to_the_host_with_the_fewest() {
    let (mut hosts, [first, _]) = Hosts::two();
    let places = [(); 4].map(|()| hosts.submit("echo"));
    assert_eq!(places, ["a", "b", "a", "b"].map(At::On));
    hosts.placement.ended(first, 2);
    assert_eq!(hosts.submit("echo"), At::On("a"));
    let in_flight = hosts
        .placement
        .hosts(hosts.now)
        .iter()
        .map(|host| host.in_flight)
        .collect::<Vec<_>>();
    assert_eq!(in_flight, [1, 2]);
}

#[test]
fn few_tasks_share_a_connection_and_many_are_spread() {
    let (mut hosts, _) = Hosts::one(&["first", "second"], TASKS_MAX);
    for _ in 0..256 {
        assert_eq!(hosts.submit("echo"), At::On("first"));
    }
    for _ in 0..256 {
        assert_eq!(hosts.submit("echo"), At::On("second"));
    }
    assert_eq!(hosts.submit("echo"), At::On("first"));
    assert_eq!(hosts.submit("echo"), At::On("second"));
}

#[test]
fn a_task_goes_where_its_function_is() {
    let (mut hosts, _) = Hosts::two();
    for _ in 0..3 {
        assert_eq!(hosts.submit("mail"), At::On("a"));
        assert_eq!(hosts.submit("report"), At::On("b"));
    }
    // Any of them knows how to say so.
    assert_eq!(hosts.submit("nothing"), At::On("a"));
    hosts.tells(0, &["report"]);
    assert_eq!(hosts.submit("mail"), At::On("b"), "nobody has it any more");
}

#[test]
fn unknown_functions_wait_until_all_hosts_have_told() {
    let mut hosts = Hosts::new(&["a:1", "b:2"]);
    hosts.up(0, 0, "a", TASKS_MAX);
    hosts.up(1, 0, "b", TASKS_MAX);
    assert_eq!(hosts.submit("mail"), At::Waits, "nobody was asked");
    hosts.tells(0, &["echo"]);
    assert_eq!(hosts.submit("echo"), At::On("a"));
    assert_eq!(hosts.next(), []);
    hosts.tells(1, &["mail"]);
    assert_eq!(hosts.next(), [on("mail", "b")]);
}

#[test]
fn a_host_that_never_tells_is_not_waited_for() {
    let mut hosts = Hosts::new(&["a:1", "b:2"]);
    hosts.up(0, 0, "a", TASKS_MAX);
    hosts.tells(0, &["echo"]);
    assert_eq!(hosts.submit("nothing"), At::Waits);
    hosts.after(RULES.connect_wait);
    assert_eq!(hosts.next(), [on("nothing", "a")]);
}

#[test]
fn what_finds_no_room_waits_in_its_line() {
    let (mut hosts, [first, second]) = Hosts::two();
    hosts.placement.is_up(first, 1);
    hosts.placement.is_up(second, 1);
    assert_eq!(hosts.submit("mail"), At::On("a"));
    assert_eq!(hosts.submit("mail"), At::Waits);
    hosts.after(Duration::from_millis(1));
    assert_eq!(hosts.submit("report"), At::On("b"));
    assert_eq!(hosts.submit("report"), At::Waits);
    hosts.after(Duration::from_millis(1));
    assert_eq!(hosts.submit("echo"), At::Waits);
    assert_eq!(hosts.placement.waiting(), 3);
    assert_eq!(hosts.submit("echo"), At::Told(ErrorCode::Overloaded));
    hosts.placement.ended(second, 1);
    assert_eq!(
        hosts.next(),
        [on("report", "b")],
        "the mail keeps nobody waiting"
    );
    hosts.placement.ended(second, 1);
    hosts.placement.ended(first, 1);
    assert_eq!(hosts.next(), [on("mail", "a"), on("echo", "b")]);
    assert_eq!(hosts.placement.waiting(), 0);
}

#[test]
fn where_nobody_is_too_many_are_told_that_nobody_is() {
    let mut hosts = Hosts::new(&["a:1"]);
    for _ in 0..RULES.waiting_max {
        assert_eq!(hosts.submit("echo"), At::Waits);
    }
    assert_eq!(hosts.submit("echo"), At::Told(ErrorCode::Unavailable));
}

#[test]
fn who_has_waited_for_a_host_for_too_long_is_told() {
    let (mut hosts, [first, second]) = Hosts::two();
    hosts.placement.is_gone(second, "reset");
    hosts.placement.is_up(first, 1);
    assert_eq!(hosts.submit("echo"), At::On("a"));
    assert_eq!(hosts.submit("echo"), At::Waits);
    assert_eq!(hosts.submit("report"), At::Waits);
    assert_eq!(hosts.over(), [], "it has been away for a moment only");
    hosts.after(RULES.connect_wait);
    let over = hosts.placement.take_over(hosts.now);
    let [(task, failure)] = &over[..] else {
        panic!("{over:?}");
    };
    assert_eq!(task.request.function, "report");
    assert!(
        failure.message.contains("report") && failure.retryable,
        "{failure:?}"
    );
    hosts.after(Duration::from_secs(3600));
    assert_eq!(hosts.over(), [], "a host that is busy is there");
    hosts.placement.is_gone(first, "reset");
    assert_eq!(hosts.over(), []);
    hosts.after(RULES.connect_wait);
    assert_eq!(hosts.over(), [("echo".to_owned(), ErrorCode::Unavailable)]);
}

#[test]
fn who_waits_may_cancel_and_has_a_time_limit() {
    let mut hosts = Hosts::new(&["a:1"]);
    let mut task = hosts.task("late");
    task.terms.limit = Some(Duration::from_secs(1));
    assert!(matches!(
        hosts.placement.submit(task, hosts.now),
        Step::Wait
    ));
    hosts.after(Duration::from_secs(1));
    assert_eq!(hosts.over(), [("late".to_owned(), ErrorCode::Timeout)]);
    assert_eq!(hosts.submit("echo"), At::Waits);
    hosts.sink.0.store(true, Ordering::Relaxed);
    assert_eq!(hosts.over(), [("echo".to_owned(), ErrorCode::Cancelled)]);
    assert_eq!(hosts.submit("echo"), At::Waits);
    hosts.up(0, 0, "a", 1);
    hosts.placement.was_asked(0);
    let handed = hosts.next();
    assert_eq!(
        handed,
        [("echo".to_owned(), At::Told(ErrorCode::Cancelled))]
    );
    hosts.sink.0.store(false, Ordering::Relaxed);
    assert_eq!(hosts.submit("echo"), At::On("a"), "it took no place");
}

#[test]
fn the_clients_time_runs_while_a_task_waits() {
    let (mut hosts, keys) = Hosts::one(&["only"], 1);
    assert_eq!(hosts.submit("echo"), At::On("only"));
    for (own, left) in [(Some(10), Some(6)), (None, None)] {
        let mut request = Request::new("echo");
        request.timeout = own.map(Duration::from_secs);
        let task = Task::new(request, hosts.now, Arc::new(Client::default()));
        assert!(matches!(
            hosts.placement.submit(task, hosts.now),
            Step::Wait
        ));
        hosts.after(Duration::from_secs(4));
        hosts.placement.ended(keys[0], 1);
        let Some(Step::Hand(_, _, task)) = hosts.placement.next(hosts.now) else {
            panic!("there is room");
        };
        assert_eq!(task.request.timeout, left.map(Duration::from_secs));
        let grace = Duration::from_secs(30);
        let told = left.map(|left| hosts.now + Duration::from_secs(left) + grace);
        assert_eq!(task.terms.expires_at(grace), told, "what the host was told");
    }
}

#[test]
fn what_is_left_of_a_task_s_time_is_never_nothing() {
    let mut hosts = Hosts::new(&["a:1"]);
    let mut task = hosts.task("echo");
    task.terms.limit = Some(Duration::from_secs(1));
    hosts.after(Duration::from_secs(1));
    task.shorten(hosts.now);
    assert_eq!(task.request.timeout, Some(Duration::from_millis(1)));
}

#[test]
fn a_silent_host_gets_nothing_new_until_it_speaks() {
    let (mut hosts, [first, second]) = Hosts::two();
    hosts.placement.pinged(first, hosts.now);
    hosts.after(RULES.suspect_after);
    assert_eq!(hosts.submit("echo"), At::On("a"));
    hosts.after(Duration::from_millis(1));
    for _ in 0..3 {
        assert_eq!(hosts.submit("echo"), At::On("b"));
    }
    assert!(!hosts.placement.hosts(hosts.now)[0].is_well);
    assert_eq!(hosts.submit("mail"), At::Waits);
    hosts.placement.heard(first, hosts.now);
    assert_eq!(hosts.next(), [on("mail", "a")]);
    hosts.placement.ponged(first);
    hosts.after(Duration::from_secs(3600));
    assert_eq!(hosts.submit("echo"), At::On("a"), "nobody has asked");
    assert_eq!(hosts.placement.silence(first, hosts.now), None);
    hosts.placement.pinged(second, hosts.now);
    hosts.after(Duration::from_secs(7));
    let silence = hosts.placement.silence(second, hosts.now);
    assert_eq!(silence, Some(Duration::from_secs(7)));
}

#[test]
fn a_clogged_connection_gets_nothing_until_it_is_free() {
    let (mut hosts, keys) = Hosts::one(&["first", "second"], TASKS_MAX);
    let task = hosts.task("echo");
    let Step::Hand(key, "first", task) = hosts.placement.submit(task, hosts.now) else {
        panic!("there is room");
    };
    hosts.placement.clogged(key, true);
    assert_eq!(
        at(hosts.placement.refused(key, task, hosts.now)),
        At::On("second")
    );
    let Step::Hand(key, "second", task) = hosts.placement.submit(hosts.task("echo"), hosts.now)
    else {
        panic!("there is room");
    };
    hosts.placement.clogged(key, true);
    assert_eq!(at(hosts.placement.refused(key, task, hosts.now)), At::Waits);
    assert!(hosts.placement.is_ready(hosts.now));
    hosts.placement.clogged(keys[0], false);
    assert_eq!(hosts.next(), [on("echo", "first")]);
}

#[test]
fn a_host_that_drains_gets_nothing_until_it_takes_a_connection() {
    let (mut hosts, [first, _]) = Hosts::two();
    let Step::Hand(key, "a", task) = hosts.placement.submit(hosts.task("echo"), hosts.now) else {
        panic!("there is room");
    };
    hosts.placement.ended(key, 1);
    assert!(hosts.placement.drains(key) && !hosts.placement.drains(key));
    let step = hosts.placement.orphaned(key, task, false, hosts.now);
    let Step::Hand(_, "b", task) = step else {
        panic!("{step:?}");
    };
    assert_eq!(task.terms.attempts, 1);
    assert_eq!(hosts.submit("mail"), At::Waits);
    assert!(hosts.placement.hosts(hosts.now)[0].is_draining);
    hosts.placement.is_gone(first, "closed");
    hosts.up(0, 0, "a again", TASKS_MAX);
    assert_eq!(hosts.next(), [on("mail", "a again")]);
}

#[test]
fn what_may_have_begun_is_not_begun_again() {
    let (mut hosts, [first, _]) = Hosts::two();
    hosts.placement.is_gone(first, "reset");
    let task = hosts.task("echo");
    let step = hosts.placement.orphaned(first, task, true, hosts.now);
    let Step::Fail(_, failure) = step else {
        panic!("{step:?}");
    };
    assert_eq!(failure.code, ErrorCode::WorkerCrashed);
    assert!(
        failure.started && failure.message.contains("a:1"),
        "{failure:?}"
    );
    let task = hosts.task("echo");
    assert_eq!(
        at(hosts.placement.orphaned(first, task, false, hosts.now)),
        At::On("b")
    );
}

#[test]
fn a_task_that_nobody_takes_is_given_up() {
    let (mut hosts, [first, _]) = Hosts::two();
    let mut task = hosts.task("echo");
    for _ in 1..ATTEMPTS_MAX {
        let step = hosts.placement.orphaned(first, task, false, hosts.now);
        let Step::Hand(key, _, again) = step else {
            panic!("{step:?}");
        };
        hosts.placement.ended(key, 1);
        task = again;
    }
    let step = hosts.placement.orphaned(first, task, false, hosts.now);
    assert_eq!(at(step), At::Told(ErrorCode::Unavailable));
}

#[test]
fn what_is_said_of_a_connection_that_has_ended_is_not_said_of_the_next() {
    let (mut hosts, keys) = Hosts::one(&["first"], 2);
    assert_eq!(hosts.submit("echo"), At::On("first"));
    assert!(hosts.placement.is_gone(keys[0], "reset"), "that is news");
    let second = hosts.up(0, 0, "second", 2);
    assert_eq!(hosts.submit("echo"), At::On("second"));
    hosts.placement.ended(keys[0], 1);
    hosts.placement.clogged(keys[0], true);
    hosts.placement.pinged(keys[0], hosts.now);
    hosts.after(Duration::from_secs(60));
    assert_eq!(hosts.placement.silence(second, hosts.now), None);
    assert_eq!(hosts.submit("echo"), At::On("second"));
    assert_eq!(hosts.submit("echo"), At::Waits);
    hosts.placement.is_gone(keys[0], "reset");
    assert_eq!(hosts.placement.hosts(hosts.now)[0].connections, 1);
}

#[test]
fn the_same_error_is_news_once() {
    let (mut hosts, keys) = Hosts::one(&["first"], 2);
    assert!(hosts.placement.is_gone(keys[0], "reset"));
    assert!(!hosts.placement.failed(0, "reset") && hosts.placement.failed(0, "refused"));
    let status = &hosts.placement.hosts(hosts.now)[0];
    assert_eq!(status.last_error.as_deref(), Some("refused"));
    hosts.up(0, 0, "second", 2);
    assert_eq!(hosts.placement.hosts(hosts.now)[0].last_error, None);
    assert!(hosts.placement.failed(0, "refused"));
}

#[test]
fn only_a_refusal_to_begin_gives_a_task_back() {
    let failure = |code, started| {
        Err(TaskFailure {
            started,
            ..TaskFailure::new(code, "")
        })
    };
    assert!(is_handed_back(&failure(ErrorCode::ShuttingDown, false)));
    assert!(!is_handed_back(&failure(ErrorCode::ShuttingDown, true)));
    assert!(!is_handed_back(&failure(ErrorCode::Overloaded, false)));
    assert!(!is_handed_back(&Ok("1".into())));
}
