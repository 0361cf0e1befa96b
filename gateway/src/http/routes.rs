//! Which path is what, for whom, and by which methods: the one table that all requests go by.

use hyper::Method;

use super::assets::{self, Asset};
use super::settings::Settings;

/// What is served under a path.
#[derive(Clone, Copy)]
pub(super) enum Page {
    Socket,
    Tasks,
    OpenApi,
    Functions,
    Health,
    Readiness,
    Metrics,
    Asset(&'static Asset),
    /// There is nothing.
    None,
}

/// Whom a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Programs, and pages of the gateway's own origin and of those that are listed.
    Clients,
    /// Pages of every origin, too.
    Everybody,
    /// Programs on this machine.
    Machine,
}

#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) page: Page,
    pub(super) audience: Audience,
    /// What may be done with it, as `Allow` says it.
    pub(super) methods: &'static str,
}

const READ: &str = "GET, HEAD, OPTIONS";
const RUN: &str = "POST, OPTIONS";

impl Route {
    pub(super) fn of(path: &str, settings: &Settings) -> Self {
        let (page, audience, methods) = match path {
            "/ws" => (Page::Socket, Audience::Clients, READ),
            "/tasks" => (Page::Tasks, Audience::Clients, RUN),
            "/openapi.json" => (Page::OpenApi, Audience::Clients, READ),
            "/functions.json" => (Page::Functions, Audience::Clients, READ),
            "/healthz" => (Page::Health, Audience::Clients, READ),
            "/readyz" => (Page::Readiness, Audience::Clients, READ),
            "/metrics" => (Page::Metrics, Audience::Machine, READ),
            _ => match assets::find(settings, path) {
                // What the client library may do elsewhere is up to the origins that are listed.
                Some(asset) if asset.is_library => (Page::Asset(asset), Audience::Everybody, READ),
                Some(asset) => (Page::Asset(asset), Audience::Clients, READ),
                None => (Page::None, Audience::Clients, READ),
            },
        };
        Self {
            page,
            audience,
            methods,
        }
    }

    /// Whether the method is one of its own.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|one| one == method.as_str())
    }
}
