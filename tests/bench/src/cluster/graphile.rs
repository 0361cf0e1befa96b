//! graphile-worker, which runs jobs out of `PostgreSQL` too, by Node.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::args::ClusterArgs;
use super::cost::{Before, Cost};
use super::database::Database;
use crate::contender::text;
use crate::error::BenchError;
use crate::program::Program;
use crate::usage::Processes;

const SCRIPT: &str = include_str!("../../peers/graphile.mjs");
/// How often it is looked whether jobs are left.
const LOOK: Duration = Duration::from_millis(20);

struct Graphile<'a> {
    args: &'a ClusterArgs,
    database: &'a Database,
    folder: TempDir,
}

impl Graphile<'_> {
    fn start(&self, command: &str, more: &[&str]) -> Result<Program, BenchError> {
        let script = self.folder.path().join("graphile.mjs");
        let url = self.database.url();
        let graphile = fs::canonicalize(&self.args.graphile)
            .map_err(BenchError::io("can't find graphile-worker"))?;
        let mut args = vec![text(&script)?, text(&graphile)?, command, &url];
        args.extend(more);
        Program::start(&self.args.node, &args)
    }

    /// So many submitters add jobs for so many seconds; answers how many they added.
    fn add(&self, submitters: usize, seconds: f64) -> Result<u64, BenchError> {
        let mut program = self.start("add", &[&submitters.to_string(), &seconds.to_string()])?;
        let line = program.line()?;
        line.parse().map_err(|_| BenchError::WrongReply {
            expected: "a number of jobs".to_owned(),
            got: line,
        })
    }

    fn until_none_is_left(&self) -> Result<(), BenchError> {
        while self
            .database
            .ask("SELECT 1 FROM graphile_worker._private_jobs LIMIT 1")?
            == "1"
        {
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

pub(super) fn measure(
    args: &ClusterArgs,
    database: &Database,
    submitters: usize,
) -> Result<Cost, BenchError> {
    let folder = TempDir::new().map_err(BenchError::io("can't make a folder"))?;
    write(folder.path())?;
    let graphile = Graphile {
        args,
        database,
        folder,
    };
    let mut worker = graphile.start("work", &[])?;
    let ready = worker.line()?;
    if ready != "ready" {
        return Err(BenchError::NotServing {
            server: worker.name.clone(),
            got: ready,
        });
    }
    graphile.add(submitters, args.rounds.warm_up_seconds)?;
    graphile.until_none_is_left()?;
    let processes = Processes {
        server: worker.pid(),
        helpers: Vec::new(),
    };
    let before = Before::now(database, [processes].into_iter())?;
    let added = graphile.add(submitters, args.rounds.seconds)?;
    graphile.until_none_is_left()?;
    let took = before.took();
    before.cost(database, added, took)
}

fn write(folder: &Path) -> Result<(), BenchError> {
    fs::write(folder.join("graphile.mjs"), SCRIPT).map_err(BenchError::io("can't write a script"))
}
