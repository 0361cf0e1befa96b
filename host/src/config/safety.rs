//! What must not stand open by accident: who beyond this machine can reach the host, and what they need for it. Pure.

use service::config::ConfigError;
use service::proxies::Proxies;
use service::tls::TlsFiles;

use super::listen::Listening;
use crate::access::ClientSettings;

/// What the configuration plans.
pub(super) struct Plan<'c> {
    pub(super) listen: &'c [Listening],
    pub(super) clients: &'c [ClientSettings],
    pub(super) trusted_proxies: &'c Proxies,
    pub(super) tls: Option<&'c TlsFiles>,
    /// What stands open is meant to.
    pub(super) is_meant: bool,
}

/// Refuses what nobody can have meant, or what only somebody who says so can have meant.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn check(plan: &Plan<'_>) -> Result<(), ConfigError> {
    check_tls(plan)?;
    if plan.is_meant {
        return Ok(());
    }
    for listening in plan.listen.iter().filter(|one| !one.is_local()) {
        if plan.clients.is_empty() || listening.takes_guests {
            return Err(ConfigError::value(
                "listen",
                format!(
                    "everybody who reaches {listening} could call every function: say who may in `[clients.NAME]` (`host token new NAME` makes a token), or listen on a loopback address like \"127.0.0.1:12345\"; where others keep everybody else away, `insecure = true` (or --insecure) says that it is meant"
                ),
            ));
        }
        if !listening.is_tls {
            return Err(ConfigError::value(
                "listen",
                format!(
                    "whoever is on the way to {listening} could read tokens and tasks: write \"tls://{listening}\", with a certificate in `[tls]`; where the way is safe (a tunnel, a private network), `insecure = true` (or --insecure) says that it is meant"
                ),
            ));
        }
    }
    if !plan.trusted_proxies.is_empty() && plan.clients.is_empty() {
        return Err(ConfigError::value(
            "trusted_proxies",
            "everybody who reaches the proxy could call every function: say who may in `[clients.NAME]` (`host token new NAME` makes a token), or that it is meant by `insecure = true` (or --insecure)",
        ));
    }
    Ok(())
}

fn check_tls(plan: &Plan<'_>) -> Result<(), ConfigError> {
    let speaks_tls = plan.listen.iter().find(|one| one.is_tls);
    match (speaks_tls, plan.tls) {
        (Some(listening), None) => Err(ConfigError::value(
            "tls",
            format!(
                "{listening} needs a certificate: write `[tls]` with `certificates` and `key`, the PEM files of both"
            ),
        )),
        (None, Some(_)) => Err(ConfigError::value(
            "tls",
            "no address of `listen` speaks TLS: write one like \"tls://0.0.0.0:12346\"",
        )),
        _ => Ok(()),
    }
    .and_then(|()| {
        let has_unix = plan.listen.iter().any(Listening::is_unix);
        let by_user = plan.clients.iter().find(|client| client.has_users());
        match by_user {
            Some(client) if !has_unix => Err(ConfigError::value(
                format!("clients.{client}.users"),
                "the host knows users on Unix sockets alone, and `listen` has none: add one, like { address = \"unix:/run/tasks.sock\", mode = \"0660\" }",
            )),
            _ => Ok(()),
        }
    })
    .and_then(|()| {
        let by_certificate = plan.clients.iter().find(|client| client.has_certificates());
        match (by_certificate, plan.tls.and_then(|tls| tls.client_ca.as_ref())) {
            (Some(client), None) => Err(ConfigError::value(
                "tls.client_ca",
                format!(
                    "the client `{client}` shows a certificate: name the file of the authorities that such certificates come from"
                ),
            )),
            _ => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};

    const CLIENT: &str = "[clients.a]\nfunctions = [\"*\"]\ntokens = [{ sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }]\n";
    const TLS: &str = "[tls]\ncertificates = \"chain.pem\"\nkey = \"key.pem\"\n";

    fn load(text: &str, insecure: bool) -> Result<Config, String> {
        let raw = service::config::parse(text)?;
        let overrides = Overrides {
            insecure,
            ..Overrides::default()
        };
        Config::check(raw, overrides).map_err(|error| error.to_string())
    }

    /// Every address × clients or none × meant or not.
    #[test]
    fn nothing_is_open_beyond_this_machine_unless_somebody_says_so() {
        let own = [
            "\"127.0.0.1:0\"",
            "\"[::1]:0\"",
            "\"unix:a.sock\"",
            "[\"127.0.0.1:0\", \"unix:a.sock\"]",
        ];
        let open = [
            "\"0.0.0.0:0\"",
            "\"[::]:0\"",
            "[\"127.0.0.1:0\", \"0.0.0.0:0\"]",
            "{ address = \"0.0.0.0:0\" }",
        ];
        for listen in own {
            for (clients, insecure) in [("", false), (CLIENT, false), ("", true), (CLIENT, true)] {
                load(&format!("listen = {listen}\n{clients}"), insecure).unwrap();
            }
        }
        for listen in open {
            let with = |rest: &str| format!("listen = {listen}\n{rest}");
            let error = load(&with(""), false).unwrap_err();
            assert!(
                error.contains("[clients.NAME]") && error.contains("insecure"),
                "{error}"
            );
            let error = load(&with(CLIENT), false).unwrap_err();
            assert!(
                error.contains("tls://") && error.contains("insecure"),
                "{error}"
            );
            for text in [with(""), with(CLIENT), with("insecure = true\n")] {
                load(&text, true).unwrap();
            }
            load(&with("insecure = true\n"), false).unwrap();
        }
        let tls = "listen = \"tls://0.0.0.0:0\"\n";
        load(&format!("{tls}{CLIENT}{TLS}"), false).unwrap();
        let error = load(&format!("{tls}{TLS}"), false).unwrap_err();
        assert!(error.contains("[clients.NAME]"), "{error}");
        load(&format!("{tls}{TLS}"), true).unwrap();
        let guests = "listen = { address = \"tls://0.0.0.0:0\", guests = true }\n";
        assert!(load(&format!("{guests}{CLIENT}{TLS}"), false).is_err());
        let guests = "listen = { address = \"127.0.0.1:0\", guests = true }\n";
        load(&format!("{guests}{CLIENT}"), false).unwrap();
        let proxies = "trusted_proxies = [\"127.0.0.1\"]\n";
        let error = load(proxies, false).unwrap_err();
        assert!(error.contains("trusted_proxies"), "{error}");
        load(proxies, true).unwrap();
        load(&format!("{proxies}{CLIENT}"), false).unwrap();
    }

    #[test]
    fn what_belongs_together_is_asked_for() {
        for (text, named) in [
            ("listen = \"tls://127.0.0.1:0\"", "certificates"),
            (TLS, "tls://"),
            (
                "[clients.a]\nfunctions = []\ncertificates = [\"a.example\"]",
                "client_ca",
            ),
            ("listen = []", "listen"),
            ("listen = 7", "7"),
            ("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "twice"),
            ("listen = [\"unix:a\", \"tls://unix:a\"]", "twice"),
            ("listen = [\"127.0.0.1:1\", \"localhost:1\"]", "twice"),
            ("listen = \"unix:\"", "path"),
            ("listen = { address = \"unix:a\", mode = \"rw\" }", "0660"),
            ("listen = { address = \"unix:a\", mode = 660 }", "in quotes"),
            (
                "[clients.a]\nfunctions = []\nusers = [0]",
                "`clients.a.users`",
            ),
            ("listen = \"/run/a.sock\"", "\"unix:/run/a.sock\""),
            ("listen = \"http://127.0.0.1:1\"", "doesn't speak"),
            ("listen = \"TLS://127.0.0.1:1\"", "tls://"),
            ("listen = \"tls:///run/a.sock\"", "is a path"),
            (
                "listen = { address = \"unix:a\", users = [\"no one here\"] }",
                "id -u",
            ),
            (
                "listen = { address = \"127.0.0.1:1\", users = [0] }",
                "Unix sockets",
            ),
            (
                "listen = { address = \"127.0.0.1:1\", guest = true }",
                "guest",
            ),
            ("listen = { tls = true }", "address"),
            ("trusted_proxies = [\"near\"]", "near"),
        ] {
            let error = load(text, false).unwrap_err();
            assert!(error.contains(named), "{text:?} gave {error:?}");
        }
    }

    #[test]
    fn both_families_may_have_all_addresses_of_one_port() {
        load("listen = [\"0.0.0.0:1\", \"[::]:1\"]", true).unwrap();
    }
}
