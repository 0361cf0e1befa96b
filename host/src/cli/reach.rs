//! The flags by which a running host is reached.

use std::path::PathBuf;

use clap::Args;
use service::remote::{Remote, Trust};

use crate::call::Target;
use crate::config::LISTEN_DEFAULT;

#[derive(Debug, Args)]
#[command(next_help_heading = "Reaching the host")]
pub(super) struct Reach {
    /// Address of the host: ADDRESS:PORT, tls://NAME:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT, value_parser = address)]
    connect: String,
    /// File with the token to show; without it, the environment variable `HOST_TOKEN` may have one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the authority that the host's certificate comes from [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate to show
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
}

/// As it was written, if it is one.
fn address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<Remote>().map_err(|error| error.to_string());
    parsed.map(|_| text.to_owned())
}

impl Reach {
    pub(super) fn target(self) -> Target {
        Target {
            connect: self.connect,
            token_file: self.token_file,
            trust: Trust {
                ca: self.ca,
                certificate: self.certificate.zip(self.certificate_key),
            },
        }
    }
}
