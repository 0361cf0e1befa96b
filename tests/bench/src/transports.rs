//! What ways to connect cost: TCP, a Unix socket, TLS, and TLS with clients that show a token.

use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;

use crate::contender::{ANY_PORT, Contender, text};
use crate::error::BenchError;
use crate::figures::{figures, ratios};
use crate::load::{Report, Shape};
use crate::machine;
use crate::program::stop_all_when_told_to_end;
use crate::rounds::{Line, RoundsArgs};
use crate::wire::Trust;

const SHAPES: [Shape; 3] = [Shape::new(1, 1), Shape::new(50, 1), Shape::new(50, 16)];
/// What the other ways are compared to.
const TCP: &str = "TCP";
/// The token of the client of the configuration.
const TOKEN: &str = "task_bench";
/// It, by `sha256sum`.
const CLIENT: &str = "[clients.bench]\nfunctions = [\"*\"]\n\
    tokens = [{ sha256 = \"b93f5b96e15f392188bd1dd56d1118bd4b162829ddaf762f3823407458db63ff\" }]\n";

#[derive(Args)]
pub(crate) struct TransportsArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    certificates: CertificatesArgs,
}

#[derive(Args)]
pub(crate) struct CertificatesArgs {
    /// A folder with `chain.pem` and `key.pem` of a server at 127.0.0.1, and with `ca.pem` of its authority
    #[arg(long)]
    certificates: PathBuf,
}

impl CertificatesArgs {
    /// What a host's configuration says of them.
    pub(crate) fn table(&self) -> Result<String, BenchError> {
        let folder = self.certificates.canonicalize();
        let folder = folder.map_err(BenchError::io("no certificates"))?;
        let file = |name: &str| folder.join(name);
        Ok(format!(
            "[tls]\ncertificates = {:?}\nkey = {:?}\n",
            text(&file("chain.pem"))?,
            text(&file("key.pem"))?
        ))
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.certificates.join("ca.pem")
    }
}

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &TransportsArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    let folder = TempDir::new().map_err(BenchError::io("can't make a folder"))?;
    let contenders = contenders(args, folder.path())?;
    let lines = args.rounds.in_turns(&contenders, &SHAPES.map(Line::new))?;
    let ratio = |of, figure| ratios(&lines, TCP, of, figure);
    Ok(format!(
        "\n## Ways to connect\n\n{}.\n\n{}\n{}\n{}",
        machine::made_with(&args.rounds),
        ratio("tasks/s", Report::tasks_per_second),
        ratio("CPU a task, the host's own", |report| {
            report.us_per_task(report.usage.server)
        }),
        figures(&lines, "Connections × depth"),
    ))
}

/// A host for each way.
fn contenders(args: &TransportsArgs, folder: &Path) -> Result<[Contender; 4], BenchError> {
    let unix = format!("unix:{}", text(&folder.join("host.sock"))?);
    let tls = format!("tls://{ANY_PORT}");
    let table = args.certificates.table()?;
    let trust = Trust::of(&args.certificates.authority())?;
    let host = |name, listen: &str, config: &str| -> Result<Contender, BenchError> {
        let RoundsArgs { host, plugins, .. } = &args.rounds;
        let mut contender = Contender::host_at(&[listen], host, plugins, config)?;
        contender.name = name;
        contender.target.way.trust = Some(trust.clone());
        Ok(contender)
    };
    let mut by_token = host("TLS, a token", &tls, &format!("{table}{CLIENT}"))?;
    by_token.target.way.token = Some(TOKEN.into());
    Ok([
        host(TCP, ANY_PORT, "")?,
        host("Unix socket", &unix, "")?,
        host("TLS", &tls, &table)?,
        by_token,
    ])
}
