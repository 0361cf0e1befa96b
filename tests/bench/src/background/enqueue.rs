//! How many tasks are taken in a second, each on disk before it is answered: by the host, and by others that promise the
//! same.

use super::args::{BackgroundArgs, Disk};
use super::desk::Desk;
use crate::contender::{Contender, installed_of};
use crate::error::BenchError;
use crate::figures::{figures, ratios};
use crate::load::{Report, Shape};
use crate::rounds::Line;
use crate::workload::Dialect;

/// Each sends its next task when the last one is answered.
const SUBMITTERS: [usize; 3] = [1, 50, 500];

/// The tables.
pub(super) fn measure(args: &BackgroundArgs) -> Result<String, BenchError> {
    let disk = args.disk()?;
    let contenders = contenders(args, &disk)?;
    let lines = SUBMITTERS.map(|submitters| Line {
        title: submitters.to_string(),
        ..Line::new(Shape::without_ids(submitters))
    });
    let lines = args.rounds.in_turns(&contenders, &lines)?;
    let ratio = |of, figure| ratios(&lines, "host", of, figure);
    Ok(format!(
        "{}\n{}\n{}",
        ratio("Enqueued/s", Report::tasks_per_second),
        ratio("CPU an enqueued task", Report::servers_us_per_task),
        figures(&lines, "Submitters"),
    ))
}

/// The limit first, then peers, as far as they are installed, then the host, which runs none of what it takes in.
fn contenders(args: &BackgroundArgs, disk: &Disk) -> Result<Vec<Contender>, BenchError> {
    let mut all = vec![Contender::group_commit(&disk.folder("group-commit")?)?];
    all.extend(installed_of([
        (
            "beanstalkd",
            Contender::beanstalkd(&disk.folder("beanstalkd")?)?,
        ),
        ("Redis", Contender::redis(&disk.folder("redis")?)?),
        (
            "gearmand",
            Contender::gearmand_with_sqlite(&disk.folder("gearmand")?)?,
        ),
    ]));
    let mut host = args.host(disk)?;
    Desk::of(&host)?.pause()?;
    host.target.dialect = Dialect::Background;
    all.push(host);
    Ok(all)
}
