//! Which room may know which: the tables, and the check that they hold.

use std::collections::BTreeSet;

use super::modules::Edge;

/// A house: its rooms, from the top floor down, and what no change of the table may ever allow.
pub(super) struct House {
    pub(super) rooms: &'static [Room],
    /// A room, and one that it must never import, whatever stands below what.
    pub(super) never: &'static [(&'static str, &'static str)],
}

/// A room: a module at the root of a program, or a crate of ours.
pub(super) struct Room {
    name: &'static str,
    /// The names of the rooms that it may import. All of them stand below it.
    may_know: &'static str,
}

pub(super) const fn room(name: &'static str, may_know: &'static str) -> Room {
    Room { name, may_know }
}

impl Room {
    fn may_know(&self) -> impl Iterator<Item = &'static str> {
        self.may_know.split_whitespace()
    }
}

/// The crates. Plugins know nothing of the protocol or of a program, the gateway nothing of plugins.
pub(super) const CRATES: House = House {
    rooms: &[
        room("tests", "protocol"),
        room("bench", "databases protocol"),
        room("databases", ""),
        // Programs.
        room("host", "client service protocol plugin-api values"),
        room("gateway", "client service protocol values"),
        room("client", "protocol"),
        room("service", "values"),
        room("protocol", ""),
        // Plugins.
        room("mail", "kit plugin-api"),
        room("resize", "kit plugin-api"),
        room("report", "report-document kit plugin-api"),
        room("report-document", ""),
        room("kit", "plugin-api values"),
        room("good", "plugin-api"),
        room("many", "plugin-api"),
        room("evil", "plugin-api"),
        room("versioned", "plugin-api"),
        // What people write in configurations, of programs and plugins alike.
        room("values", ""),
        room("plugin-api", "plugin-api-macros"),
        room("plugin-api-macros", ""),
    ],
    never: &[
        ("gateway", "plugin-api"),
        ("protocol", "service"),
        ("kit", "protocol"),
        ("kit", "service"),
        ("mail", "protocol"),
        ("mail", "service"),
        ("resize", "protocol"),
        ("resize", "service"),
        ("report", "protocol"),
        ("report", "service"),
        ("report-document", "plugin-api"),
        ("plugin-api", "protocol"),
        ("plugin-api", "service"),
    ],
};

/// The host.
pub(super) const HOST: House = House {
    rooms: &[
        // The command line, and what it starts.
        room("cli", "app call check token config ledger"),
        // Builds, serves, drains.
        room(
            "app",
            "net admin admit background access generations ledger reload router config children stats task clock",
        ),
        room("call", ""),
        room("check", "generations reload config"),
        room("token", "access"),
        // Sockets: accept, connections, lanes, output.
        room("net", "admin admit access config stats task clock"),
        // The functions `host.*`, metrics, health.
        room(
            "admin",
            "admit background access generations ledger router config plugin stats task clock",
        ),
        // The one door between a connection and a task.
        room(
            "admit",
            "background access generations router config stats task clock",
        ),
        // Background tasks: from the ledger to their pools, and back.
        room(
            "background",
            "access generations ledger router config plugin stats task clock",
        ),
        // What becomes of a plugin's generations.
        room(
            "generations",
            "reload router config plugin link stats task clock",
        ),
        // From a file in the folder to a staged one.
        room("reload", "config task clock"),
        // From the name of a function to what runs it, and nothing else.
        room("router", "plugin access task"),
        room("config", "plugin access ledger link task clock"),
        // Background tasks, as they are written down.
        room("ledger", ""),
        // Workers, and which of them runs what.
        room("plugin", "link access children stats task clock"),
        // The child process.
        room("worker", "link clock"),
        // What host and worker say to each other.
        room("link", "clock"),
        // What all of them speak of.
        room("children", ""),
        room("stats", ""),
        room("task", "access clock"),
        // Who may connect, and what they may call.
        room("access", ""),
        room("clock", ""),
    ],
    never: &[
        ("net", "plugin"),
        ("net", "worker"),
        ("worker", "net"),
        ("plugin", "net"),
        ("router", "stats"),
        ("plugin", "ledger"),
        ("ledger", "plugin"),
        // What `admin` shows must not depend on it.
        ("admit", "admin"),
        ("reload", "admin"),
        ("generations", "admin"),
        ("router", "admin"),
        ("plugin", "admin"),
    ],
};

/// The gateway.
pub(super) const GATEWAY: House = House {
    rooms: &[
        // The command line, and what it starts.
        room("cli", "app config"),
        room("app", "config http gateway tls"),
        // In tests and for fuzzers only: the whole, without a host.
        room("fuzzing", "config http gateway message"),
        // The file; each room checks its own table.
        room("config", "http socket session upstream access limits tls"),
        // Pages, tasks by POST, upgrades.
        room(
            "http",
            "socket gateway session upstream access limits tls metrics message",
        ),
        // One WebSocket.
        room("socket", "gateway session access limits message"),
        // What all connections of clients share.
        room("gateway", "session upstream access limits metrics"),
        // A client and its tasks, which outlive its sockets.
        room("session", "upstream access limits message"),
        // The hosts: connections, choice, health.
        room("upstream", "limits"),
        // Who may call what.
        room("access", ""),
        // How much at once.
        room("limits", ""),
        room("metrics", ""),
        room("tls", ""),
        room("message", ""),
    ],
    never: &[
        ("session", "socket"),
        ("session", "http"),
        ("upstream", "session"),
        ("upstream", "socket"),
        ("upstream", "http"),
        ("access", "upstream"),
    ],
};

impl House {
    /// What is wrong with the table by itself.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, room) in self.rooms.iter().enumerate() {
            let name = room.name;
            let below = self.rooms[number + 1..].iter();
            let below: BTreeSet<&str> = below.map(|room| room.name).collect();
            if below.contains(name) {
                faults.push(format!("`{name}` is in the table twice"));
            }
            for known in room.may_know() {
                if !below.contains(known) {
                    faults.push(format!(
                        "the table allows `{name}` to know `{known}`, which doesn't stand below it"
                    ));
                }
                if self.never.contains(&(name, known)) {
                    faults.push(format!(
                        "the table allows `{name}` to know `{known}`, which it must never know"
                    ));
                }
            }
        }
        faults
    }

    /// The imports that the table doesn't allow, and the rooms that either the table or the house doesn't have: those
    /// of the house are `rooms`.
    pub(super) fn strays<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a str>,
        edges: &[Edge],
    ) -> Vec<String> {
        let rooms: BTreeSet<&str> = rooms.into_iter().collect();
        let listed: BTreeSet<&str> = self.rooms.iter().map(|room| room.name).collect();
        let mut strays = Vec::new();
        for name in rooms.difference(&listed) {
            strays.push(format!(
                "`{name}` is not in the table: say there what it may know"
            ));
        }
        for name in listed.difference(&rooms) {
            strays.push(format!("`{name}` is only in the table: take it out"));
        }
        let mut seen = BTreeSet::new();
        for edge in edges.iter().filter(|edge| edge.level.is_empty()) {
            let mut found = self.rooms.iter();
            let Some(room) = found.find(|room| room.name == edge.from) else {
                continue;
            };
            let is_allowed = room.may_know().any(|name| name == edge.to);
            // The first import of a room by another is enough.
            if is_allowed || !seen.insert((&edge.from, &edge.to)) {
                continue;
            }
            let allowed = if room.may_know.is_empty() {
                "no other room"
            } else {
                room.may_know
            };
            strays.push(format!(
                "{}: `{}` imports `{}` ({}), but may know {allowed}",
                edge.place, edge.from, edge.to, edge.import
            ));
        }
        strays
    }
}
