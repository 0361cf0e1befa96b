//! The hosts: which of them runs a task, and what becomes of the task when it fails.
//!
//! [`placement`] decides, [`dispatcher`] does what it says, [`keeper`] keeps the connections, [`connection`] moves
//! bytes, and [`stream`] carries them. Tasks and answers go through the dispatcher, in either direction.

mod catalogue;
mod connection;
mod dispatcher;
mod keeper;
mod placement;
mod settings;
mod stream;
mod task;

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Request;
use service::supervise::Supervisor;
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) use self::catalogue::{Catalogue, Function};
use self::dispatcher::Dispatcher;
use self::keeper::Keeper;
pub(crate) use self::placement::HostStatus;
use self::placement::{Placement, Rules};
pub(crate) use self::settings::{Settings, Table};
use self::task::Task;
pub(crate) use self::task::{Sink, TaskAtHost};

/// How exactly the time limits of those that wait are kept.
const QUEUE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// All hosts.
#[derive(Debug)]
pub(crate) struct Upstream(Arc<Dispatcher>);

impl Upstream {
    /// Connects to the hosts, and stays connected for as long as the gateway runs.
    pub(crate) fn start(settings: Settings, supervisor: &Supervisor) -> Self {
        let rules = Rules {
            connect_wait: settings.connect_wait,
            suspect_after: settings.suspect_after,
            waiting_max: settings.waiting_max,
        };
        let placement = Placement::new(settings.hosts.clone(), rules, Instant::now());
        let dispatcher = Arc::new(Dispatcher::new(
            placement,
            settings.hosts.len(),
            settings.answer_grace,
        ));
        let settings = Arc::new(settings);
        for host in 0..settings.hosts.len() {
            for index in 0..settings.connections {
                let keeper = Keeper {
                    dispatcher: Arc::clone(&dispatcher),
                    settings: Arc::clone(&settings),
                    host,
                    index,
                };
                supervisor.restarting("host connection", move || keeper.clone().keep());
            }
        }
        let looked_after = Arc::clone(&dispatcher);
        supervisor.restarting("queue", move || look_after_queue(Arc::clone(&looked_after)));
        Self(dispatcher)
    }

    /// Hands a task to a host. Its time runs from now. Never waits: whatever goes wrong comes by the sink.
    pub(crate) fn submit(&self, request: Request, sink: Arc<dyn Sink>) {
        let now = Instant::now();
        self.0.submit(Task::new(request, now, sink), now);
    }

    /// The functions of all hosts, as they are and as they change.
    pub(crate) fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.catalogue()
    }

    pub(crate) fn hosts(&self) -> Vec<HostStatus> {
        self.0.hosts()
    }

    /// Whether a task would find a host now.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Tasks that wait for a host, or for room at one.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

async fn look_after_queue(dispatcher: Arc<Dispatcher>) {
    loop {
        sleep(QUEUE_CHECK_INTERVAL).await;
        dispatcher.look_after_queue();
    }
}
