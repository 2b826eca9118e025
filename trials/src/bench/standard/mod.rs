//! The standard set: every path of a mirrored cluster on PostgreSQL under the load of `client bench`,
//! and nginx beside it under the same, in turn.
//!
//! Each case begins with an empty cluster of real processes and an empty folder of nginx's. What is
//! shown is the median of all rounds.

mod case;
pub(super) mod catalog;
mod cluster;
mod nginx;
pub(super) mod processes;
mod profile;
mod row;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use client::bench::mix::{Mix, Operation};
use client::bench::report::Report;
use client::bench::{Bound, Keep, Load, Stored, Target};
use pgtest::Postgres;

use crate::binaries::Binaries;
use case::Work;
pub use case::{CASES, Case};
use cluster::Cluster;
use nginx::Nginx;
use processes::Processes;
use profile::Profile;
use row::{Limits, Measured};
pub use row::{Row, print};

/// Two copies of what is uploaded at the rate that is wanted.
const LARGE_BYTES_PER_S: u64 = 512 << 20;

/// What shall be measured.
pub struct Settings {
    /// The services.
    pub binaries: Binaries,
    /// Where data goes.
    pub folder: PathBuf,
    /// How long each round of each case lasts.
    pub seconds: u32,
    /// How often each is measured.
    pub rounds: u32,
    /// Rows of the catalog whose pages are listed.
    pub rows: u64,
    /// The names of the cases; all, if there are none.
    pub only: Vec<String>,
    /// Where flame graphs go, if they are wanted.
    pub profiles: Option<PathBuf>,
}

/// Measures the cases one after the other.
///
/// # Errors
/// When a service does not start, or a load cannot be made at all.
pub async fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<Vec<Row>> {
    let cases = chosen(&settings.only)?;
    let profile = settings
        .profiles
        .as_deref()
        .map(Profile::into_folder)
        .transpose()?;
    let postgres = Postgres::start_durable()?;
    let nginx = match cases.iter().any(|case| case.is_beside_nginx()) {
        true => Some(Nginx::start(&settings.folder.join("nginx")).await?),
        false => None,
    };
    let mut rows: Vec<Row> = Vec::new();
    for case in cases {
        writeln!(out, "{}: {}", case.name, case.title)?;
        let bed = Bed {
            settings,
            case,
            postgres: &postgres,
            nginx: nginx.as_ref().filter(|_| case.is_beside_nginx()),
            profile: profile.as_ref(),
        };
        let row = bed.measure(&rows, out).await.with_context(|| case.name)?;
        rows.push(row);
    }
    Ok(rows)
}

/// What the cases of these names write at the most, about, in bytes, beside what loads of small contents do;
/// each is measured for so many seconds, and begins with an empty folder.
pub fn bytes(only: &[String], seconds: u32) -> u64 {
    let is_chosen = |case: &Case| only.is_empty() || only.iter().any(|name| name == case.name);
    let leave_much = CASES
        .iter()
        .any(|case| is_chosen(case) && case.leaves_much());
    u64::from(seconds) * if leave_much { LARGE_BYTES_PER_S } else { 0 }
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    for name in only {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        ensure!(
            names.contains(&name.as_str()),
            "there is no case `{name}`, but {}",
            names.join(", ")
        );
    }
    let is_chosen = |case: &&Case| only.is_empty() || only.iter().any(|name| name == case.name);
    Ok(CASES.iter().filter(is_chosen).collect())
}

/// Who is measured in a round.
struct Side<'a> {
    target: Target,
    /// What is there to be read.
    contents: Vec<Stored>,
    processes: &'a Processes,
}

/// One case, and everything it needs.
struct Bed<'a> {
    settings: &'a Settings,
    case: &'static Case,
    postgres: &'a Postgres,
    nginx: Option<&'a Nginx>,
    profile: Option<&'a Profile>,
}

impl Bed<'_> {
    async fn measure(&self, before: &[Row], out: &mut dyn Write) -> anyhow::Result<Row> {
        let folder = self.settings.folder.join(self.case.name);
        let cluster = Cluster::start(&self.settings.binaries, &folder, self.postgres).await?;
        let mut ours = Side {
            target: Target::Cluster(cluster.url().to_owned()),
            contents: Vec::new(),
            processes: cluster.processes(),
        };
        match self.case.work {
            Work::List => ours.contents = cluster.fill_catalog(self.settings.rows, out).await?,
            Work::Get | Work::Metadata => ours.contents = self.prepared(&ours).await?,
            Work::Upload | Work::Delete => {}
        }
        let mut row = Row::new(self.case);
        let mut theirs = self.nginx.map(Nginx::side);
        if let (Some(theirs), Work::Get) = (&mut theirs, self.case.work) {
            theirs.contents = self.prepared(theirs).await?;
        }
        for round in 1..=self.settings.rounds {
            let limits = cluster.probe().await?;
            self.provide(&mut ours).await?;
            let recording = match (self.profile, round) {
                (Some(profile), 1) => Some(profile.record(
                    self.case.name,
                    &cluster.processes().services,
                    self.settings.seconds,
                )?),
                _ => None,
            };
            let measured = self.round(&ours).await?;
            if let Some(recording) = recording {
                recording.finish(out).await?;
            }
            let beside = match (&mut theirs, self.nginx) {
                (Some(theirs), Some(nginx)) => {
                    if self.case.work != Work::Get {
                        theirs.target =
                            nginx.fresh_folder(&format!("{}-{round}", self.case.name))?;
                    }
                    self.provide(theirs).await?;
                    Some(self.round(theirs).await?)
                }
                _ => None,
            };
            if let Some(nginx) = self.nginx.filter(|_| self.case.leaves_much()) {
                nginx.clear()?;
            }
            row.add(measured, beside, limits);
        }
        cluster.stop().await?;
        std::fs::remove_dir_all(&folder)?;
        row.judge(before);
        writeln!(out, "  {}", row.in_short())?;
        Ok(row)
    }

    /// Uploads what will be read.
    async fn prepared(&self, side: &Side<'_>) -> anyhow::Result<Vec<Stored>> {
        let load = Load {
            bound: Bound::Count(self.case.contents),
            concurrency: if self.case.size > 1 << 20 { 2 } else { 32 },
            ..self.load(side)
        };
        let (report, stored) = make(load, Operation::Upload, Vec::new(), Keep::All).await?;
        ensure!(
            report.failures() == 0,
            "what shall be read was not uploaded: {:?}",
            report.all.errors
        );
        Ok(stored)
    }

    fn load(&self, side: &Side<'_>) -> Load {
        let case = self.case;
        Load {
            sizes: client::bench::sizes::Sizes::fixed(case.size),
            concurrency: case.concurrency,
            files_per_request: case.files,
            bound: Bound::Duration(Duration::from_secs(self.settings.seconds.into())),
            ..Load::on(side.target.clone())
        }
    }

    /// Uploads what will be deleted in one round.
    async fn provide(&self, side: &mut Side<'_>) -> anyhow::Result<()> {
        if self.case.work == Work::Delete {
            side.contents = self.prepared(side).await?;
        }
        Ok(())
    }

    async fn round(&self, side: &Side<'_>) -> anyhow::Result<Measured> {
        let mut load = self.load(side);
        if self.case.work == Work::Delete {
            load.bound = Bound::Count(self.case.contents);
        }
        side.processes.forget_peaks()?;
        let before = side.processes.times()?;
        let contents = side.contents.clone();
        let (report, _) = make(load, self.case.operation(), contents, Keep::Nothing).await?;
        let times = side.processes.times()?.since(before);
        Ok(Measured {
            report,
            times,
            peak_bytes: side.processes.peak()?,
        })
    }
}

/// Makes a load on a thread of its own: it has its own runtimes.
async fn make(
    load: Load,
    operation: Operation,
    contents: Vec<Stored>,
    keep: Keep,
) -> anyhow::Result<(Report, Vec<Stored>)> {
    let made = tokio::task::spawn_blocking(move || {
        client::bench::run(&load, &Mix::only(operation), &contents, keep)
    });
    Ok(made.await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, large uploads begin on a disk that has no room for them, or small ones do not begin.
    #[test]
    fn large_uploads_need_room_for_all_rounds() {
        let gibibytes = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            bytes(&only, 12) >> 30
        };
        assert_eq!(gibibytes(&[]), 6);
        assert_eq!(gibibytes(&["get-1k", "put-64m-1"]), 6);
        assert_eq!(gibibytes(&["get-64m-1", "put-1k-64"]), 0);
    }

    // If this fails, a misspelt `--only` measures nothing and passes.
    #[test]
    fn cases_are_chosen_by_name() {
        assert_eq!(chosen(&[]).expect("all").len(), CASES.len());
        let some = chosen(&["get-1k".to_owned()]).expect("one");
        assert_eq!(
            some.iter().map(|case| case.name).collect::<Vec<_>>(),
            ["get-1k"]
        );
        let error = chosen(&["get-1m".to_owned()]).expect_err("none");
        assert!(error.to_string().contains("but get-1k, "), "{error}");
    }
}
