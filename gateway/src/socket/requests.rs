//! From a client's request to a task of its session, or to a refusal.

use std::sync::Arc;

use protocol::{ErrorCode, Request, RequestId, TaskFailure};

use super::turns::Turns;
use crate::gateway::Gateway;
use crate::limits::{ConnectionBucket, ConnectionPermit, RETRY_AFTER, TaskPermit, overloaded};
use crate::session::{Session, TaskKey};

/// The session that a socket speaks for.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: Arc<Session>,
    /// The socket's number in the session.
    pub(super) number: u64,
}

/// What a client asks for, and may ask for.
#[derive(Debug)]
pub(super) struct Requests<'g> {
    gateway: &'g Gateway,
    permit: ConnectionPermit,
    bucket: ConnectionBucket,
    turns: Turns,
}

impl<'g> Requests<'g> {
    pub(super) fn new(gateway: &'g Gateway, permit: ConnectionPermit) -> Self {
        Self {
            gateway,
            permit,
            bucket: ConnectionBucket::new(&gateway.limits.caps),
            turns: Turns::default(),
        }
    }

    /// Whether more is taken from the client.
    pub(super) fn has_room(&self) -> bool {
        !self.turns.is_full()
    }

    /// Whether requests wait for their turn.
    pub(super) fn is_anybodys_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Begins a request with an id, whose message has `len` bytes.
    pub(super) fn run(&mut self, client: &Attached, request: Request, len: usize) {
        let id = request.id.clone();
        let in_flight_max = self.gateway.limits.caps.connection_in_flight_max;
        let begun = if client.session.in_flight_count() >= in_flight_max {
            let message = format!(
                "this connection may have {in_flight_max} tasks in flight; wait for one of them"
            );
            Err(overloaded(&message, RETRY_AFTER))
        } else {
            self.admit(client, &request, len)
                .and_then(|permit| self.begin(client, request, permit))
        };
        if let Err(failure) = begun {
            self.refuse(client, id, failure);
        }
    }

    /// Lets a request without an id wait for its turn.
    pub(super) fn run_in_turn(&mut self, client: &Attached, request: Request, len: usize) {
        let admitted = self.admit(client, &request, len);
        self.turns.push(admitted.map(|permit| (request, permit)));
    }

    /// Refuses what is not a request: at once if it has an id, or else in its turn.
    pub(super) fn refuse_bad(&mut self, client: &Attached, id: Option<RequestId>, why: String) {
        let failure = TaskFailure::new(ErrorCode::BadRequest, why);
        match id {
            Some(_) => self.refuse(client, id, failure),
            None => self.turns.push(Err(failure)),
        }
    }

    /// Lets the next request without an id begin, when the one before it has ended.
    pub(super) fn take_turns(&mut self, client: &Attached) {
        while client.session.is_turn_free()
            && let Some(turn) = self.turns.pop()
        {
            let begun = turn.and_then(|(request, permit)| self.begin(client, request, permit));
            if let Err(failure) = begun {
                self.refuse(client, None, failure);
            }
        }
    }

    /// Tells the client that its request did not become a task.
    pub(super) fn refuse(&self, client: &Attached, id: Option<RequestId>, failure: TaskFailure) {
        self.gateway.metrics.refused();
        client.session.refuse(id, failure);
    }

    /// Whether the client may call that, now.
    fn admit(
        &mut self,
        client: &Attached,
        request: &Request,
        len: usize,
    ) -> Result<TaskPermit, TaskFailure> {
        let identity = &client.session.identity;
        self.gateway.check_call(identity, &request.function)?;
        self.bucket.take()?;
        self.permit.task(len)
    }

    fn begin(
        &self,
        client: &Attached,
        request: Request,
        permit: TaskPermit,
    ) -> Result<(), TaskFailure> {
        let access = &self.gateway.access;
        let args = access.fill(&client.session.identity, &request.args)?;
        let key = request.id.clone().map_or(TaskKey::Turn, TaskKey::Id);
        let begun = client
            .session
            .begin(client.number, key, request.progress, permit);
        let Ok(begun) = begun else {
            // It came too late, and was never there: the next look at the session ends this socket.
            return Ok(());
        };
        let Some(task) = begun else {
            let id = request.id.map_or_else(String::new, |id| id.to_string());
            let message = format!("a task with the id {id} is in flight; ids must differ");
            return Err(TaskFailure::new(ErrorCode::BadRequest, message));
        };
        let identity = &client.session.identity;
        self.gateway
            .submit(Request { args, ..request }, identity, task);
        Ok(())
    }
}
