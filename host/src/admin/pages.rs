//! The pages for operators and load balancers, on the port that `--http` names.

use std::sync::Arc;

use service::life::Phase;
use service::metrics::MEDIA_TYPE;
use service::pages::{Answer, Status};

use super::{Admin, metrics};

impl Admin {
    /// The page at this path.
    pub(crate) async fn page(self: Arc<Self>, path: String) -> Option<Answer> {
        match path.as_str() {
            "/metrics" => Some(Answer {
                media_type: MEDIA_TYPE,
                ..Answer::text(Status::Ok, metrics::page(&self).await)
            }),
            "/healthz" => Some(Answer::text(Status::Ok, "alive\n")),
            "/readyz" => Some(self.ready()),
            _ => None,
        }
    }

    /// Whether the host should get tasks.
    fn ready(&self) -> Answer {
        if self.phase() > Phase::Serving {
            return Answer::text(Status::Unavailable, "draining\n");
        }
        if self.roster.lists().live.is_empty() {
            return Answer::text(Status::Unavailable, "no plugin is live\n");
        }
        Answer::text(Status::Ok, "ready\n")
    }
}
