//! `client bench`: how fast the cluster is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wire::ContentId;

use crate::bench::probe::{SyncTime, sync_time};
use crate::bench::report::Report;
use crate::bench::{self, BenchError, Bound, Keep, Load, Stored};
use crate::ui::{Ui, human};

use super::Global;
use super::failure::{Failure, Kind};

/// Measure the cluster.
///
/// Contents that it uploads are named `bench` and stay. Latency is that of the request to the node;
/// places are asked for in batches. Failed operations are counted, not retried.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Upload contents.
    Upload {
        #[command(flatten)]
        load: LoadArguments,
        /// Write the ids of what was uploaded to this file, a line each.
        #[arg(long, value_name = "FILE")]
        ids_out: Option<PathBuf>,
    },
    /// Read contents at random, after uploading some.
    Get {
        #[command(flatten)]
        load: LoadArguments,
        /// How many contents to upload first.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        contents: u64,
        /// Read these instead: a file with an id at the beginning of each line.
        #[arg(long, value_name = "FILE")]
        ids: Option<PathBuf>,
    },
    /// Measure one 4 KiB append with fdatasync on a folder's disk.
    Probe {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct LoadArguments {
    /// The size of a content.
    #[arg(long, default_value = "1KiB", value_parser = human::parse_size)]
    size: u64,
    /// Operations under way at once.
    #[arg(long, short, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Stop after so many operations.
    #[arg(long, short = 'n', conflicts_with = "duration")]
    count: Option<u64>,
    /// Stop after this time.
    #[arg(long, short, default_value = "10s", value_parser = human::parse_duration)]
    duration: Duration,
    /// Threads of this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

impl LoadArguments {
    fn load(&self, global: &Global) -> Load {
        Load {
            endpoint: global.url.to_string(),
            access_key: global.access_key.clone(),
            size: self.size,
            concurrency: self.concurrency.into(),
            threads: self.threads.into(),
            bound: self
                .count
                .map_or(Bound::Duration(self.duration), Bound::Count),
        }
    }
}

pub(super) fn run(arguments: Arguments, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let failed = |error: BenchError| Failure::caused("cannot measure", &error);
    match arguments.what {
        What::Upload { load, ids_out } => {
            let keep = if ids_out.is_some() {
                Keep::All
            } else {
                Keep::Nothing
            };
            let (report, stored) = bench::upload(&load.load(global), keep).map_err(failed)?;
            if let Some(path) = ids_out {
                write_ids(&path, &stored).map_err(failed)?;
            }
            print(ui, &report)
        }
        What::Get {
            load,
            contents,
            ids,
        } => {
            let load = load.load(global);
            let contents = match ids {
                Some(path) => located(&load, &path).map_err(failed)?,
                None => prepared(&load, contents, ui)?,
            };
            print(ui, &bench::get(&load, &contents).map_err(failed)?)
        }
        What::Probe { dir } => {
            let time = sync_time(&dir).map_err(failed)?;
            ui.data(&time, || sync_text(&time))?;
            Ok(())
        }
    }
}

/// Uploads what will be read.
fn prepared(load: &Load, contents: u64, ui: &Ui) -> Result<Vec<Stored>, Failure> {
    let load = Load {
        bound: Bound::Count(contents),
        ..load.clone()
    };
    ui.note(&format!(
        "uploading {contents} contents of {}",
        human::size(load.size)
    ));
    let uploaded = bench::upload(&load, Keep::All);
    let (report, stored) =
        uploaded.map_err(|error| Failure::caused("cannot upload what will be read", &error))?;
    match verdict(&report) {
        Ok(()) => Ok(stored),
        Err(failure) => Err(Failure {
            message: format!("cannot upload what will be read: {}", failure.message),
            ..failure
        }),
    }
}

fn located(load: &Load, path: &Path) -> Result<Vec<Stored>, BenchError> {
    let wrong = |message: String| BenchError::Ids {
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    bench::locate(load, &parse_ids(&text).map_err(wrong)?)
}

/// The ids at the beginning of each line that is not empty.
fn parse_ids(text: &str) -> Result<Vec<ContentId>, String> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let id = |(number, line): (usize, &str)| {
        let word = line.split_whitespace().next().unwrap_or_default();
        word.parse()
            .map_err(|error| format!("line {}: {error}", number + 1))
    };
    lines.map(id).collect()
}

fn write_ids(path: &Path, stored: &[Stored]) -> Result<(), BenchError> {
    let text: String = stored
        .iter()
        .map(|stored| format!("{}\n", stored.id))
        .collect();
    std::fs::write(path, text).map_err(|error| BenchError::Ids {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

fn print(ui: &Ui, report: &Report) -> Result<(), Failure> {
    ui.data(report, || report.to_string())?;
    verdict(report)
}

/// A benchmark fails when bytes were wrong, or when nothing worked.
fn verdict(report: &Report) -> Result<(), Failure> {
    let errors: u64 = report.errors.values().sum();
    if report.mismatches > 0 {
        let message = format!("{} hashes were wrong", report.mismatches);
        return Err(Failure::new(Kind::Integrity, message));
    }
    if report.operations == 0 && errors > 0 {
        let words: Vec<&str> = report.errors.keys().map(String::as_str).collect();
        let message = format!("no operation succeeded: {}", words.join(", "));
        let unreachable = words
            .iter()
            .all(|&word| matches!(word, "connect" | "no_place"));
        let kind = if unreachable {
            Kind::Unreachable
        } else {
            Kind::Unavailable
        };
        return Err(Failure::new(kind, message));
    }
    Ok(())
}

fn sync_text(time: &SyncTime) -> String {
    format!(
        "4 KiB append + fdatasync, {} times: p50 {:.3}  p99 {:.3}  max {:.3} ms",
        time.writes, time.p50_ms, time.p99_ms, time.max_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the output of `upload` cannot be fed to `bench get --ids`.
    #[test]
    fn ids_are_the_first_words_of_lines() {
        let id = "01943e3f-0000-8001-9000-000000000000";
        let ids = parse_ids(&format!("{id}\ta file.txt\n\n{id}\n")).expect("ids");
        assert_eq!(ids, [id.parse().expect("an id"); 2]);
        assert!(parse_ids("\nx").is_err_and(|message| message.starts_with("line 2:")));
    }
}
