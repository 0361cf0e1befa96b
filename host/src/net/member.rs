//! A connection's client: who it is, as far as the connection has to know.

use std::sync::Arc;

use protocol::{Request, TaskFailure};

use super::inbox::Inbox;
use crate::access::{Access, Denied, Pass, Visit, Watch, hello, unauthorized};

/// The client of one connection.
#[derive(Debug)]
pub(super) struct Member {
    access: Arc<Access>,
    /// Where it connects from.
    origin: String,
    pass: Pass,
    _visit: Visit,
    /// Rings when it may not be here any more.
    watch: Option<Watch>,
}

impl Member {
    /// The client that has this pass, on one more connection.
    ///
    /// # Errors
    /// It has as many as it may.
    pub(super) fn enter(
        access: &Arc<Access>,
        pass: Pass,
        origin: String,
    ) -> Result<Self, TaskFailure> {
        let visit = pass.enter(&origin).map_err(|Denied(failure)| failure)?;
        Ok(Self {
            access: Arc::clone(access),
            origin,
            pass,
            _visit: visit,
            watch: None,
        })
    }

    /// Has the bell rung when it may not be here any more.
    pub(super) fn ring(&mut self, inbox: &Arc<Inbox>) {
        let bell = Arc::clone(inbox);
        self.watch = Some(self.access.watch(&self.pass, move || bell.ring()));
    }

    pub(super) fn pass(&self) -> &Pass {
        &self.pass
    }

    /// The client shows a token, although it need not: from now on it is whom that says.
    ///
    /// # Errors
    /// The token is nobody's, or its client has as many connections as it may.
    pub(super) fn hello(
        &mut self,
        request: &Request,
        inbox: &Arc<Inbox>,
    ) -> Result<(), TaskFailure> {
        let Some(token) = hello::token(request) else {
            return Ok(());
        };
        // Where there are no clients, whoever brings a token is as welcome as everybody.
        let pass = match self.access.is_open() {
            true => self.access.of_nobody(false),
            false => self.access.of_token(&token),
        };
        let pass = pass.ok_or_else(unauthorized)?;
        let origin = self.origin.clone();
        *self = Self::enter(&self.access, pass, origin)?;
        self.ring(inbox);
        Ok(())
    }
}
