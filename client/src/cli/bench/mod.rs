//! `client bench`: how fast the cluster is.

mod arguments;

use std::path::Path;

use serde::Serialize;
use wire::ContentId;

use crate::bench::mix::{Mix, Operation};
use crate::bench::probe::{CommitTime, SyncTime, commit_time, sync_time};
use crate::bench::report::Report;
use crate::bench::{self, BenchError, Bound, Keep, Load, Stored, Target};
use crate::ui::Ui;

use super::Global;
use super::failure::{Failure, Kind};
use arguments::{ContentsArguments, What};

/// Measure the cluster.
///
/// Contents that it uploads are named `bench` and stay. Latency is that of the request itself;
/// places are asked for in batches. Failed requests are counted, not retried.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

/// What a probe measured.
#[derive(Debug, Serialize)]
struct Probed {
    sync: Option<SyncTime>,
    commit: Option<CommitTime>,
}

fn failed(error: BenchError) -> Failure {
    Failure::caused("cannot measure", &error)
}

pub(super) fn run(arguments: Arguments, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match arguments.what {
        What::Upload { load, ids_out } => {
            let keep = if ids_out.is_some() {
                Keep::All
            } else {
                Keep::Nothing
            };
            let mix = Mix::only(Operation::Upload);
            let measured = bench::run(&load.load(global), &mix, &[], keep);
            let (report, stored) = measured.map_err(failed)?;
            if let Some(path) = ids_out {
                write_ids(&path, &stored).map_err(failed)?;
            }
            print(ui, &report)
        }
        What::Probe { dir, no_commit } => {
            let target = Target::Cluster(global.first_url());
            let load = Load {
                access_key: global.access_key.clone(),
                ..Load::on(target)
            };
            let sync = dir.map(|dir| sync_time(&dir)).transpose();
            let commit = (!no_commit).then(|| commit_time(&load)).transpose();
            let probed = Probed {
                sync: sync.map_err(failed)?,
                commit: commit.map_err(failed)?,
            };
            ui.data(&probed, || probe_text(&probed))?;
            Ok(())
        }
        what => on_contents(what, global, ui),
    }
}

fn on_contents(what: What, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let Some((mix, on, limit)) = what.on_contents() else {
        unreachable!("`run` takes what needs no contents");
    };
    let mut load = on.load.load(global);
    load.page_rows = limit.map_or(load.page_rows, usize::from);
    let ContentsArguments { contents, ids } = on.contents;
    let contents = match ids {
        Some(path) => located(&load, &path).map_err(failed)?,
        None if mix.needs_contents() => prepared(&load, contents, ui)?,
        None => Vec::new(),
    };
    let (report, _) = bench::run(&load, &mix, &contents, Keep::Nothing).map_err(failed)?;
    print(ui, &report)
}

/// Uploads what will be read.
fn prepared(load: &Load, contents: u64, ui: &Ui) -> Result<Vec<Stored>, Failure> {
    let load = Load {
        bound: Bound::Count(contents),
        files_per_request: 1,
        ..load.clone()
    };
    ui.note(&format!("uploading {contents} contents of {}", load.sizes));
    let uploaded = bench::run(&load, &Mix::only(Operation::Upload), &[], Keep::All);
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
    if report.all.mismatches > 0 {
        let message = format!("{} contents were not as stored", report.all.mismatches);
        return Err(Failure::new(Kind::Integrity, message));
    }
    if report.all.operations == 0 && report.failures() > 0 {
        let words: Vec<&str> = report.all.errors.keys().map(String::as_str).collect();
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

fn probe_text(probed: &Probed) -> String {
    let mut lines = Vec::new();
    if let Some(time) = &probed.sync {
        lines.push(format!(
            "sync        4 KiB append + fdatasync, {} times: p50 {:.3}  p99 {:.3}  max {:.3} ms",
            time.writes, time.p50_ms, time.p99_ms, time.max_ms
        ));
    }
    if let Some(time) = &probed.commit {
        let CommitTime {
            uploads,
            committed_ms,
            listed_ms,
            catalog_ms,
        } = time;
        lines.push(format!(
            "committed   {uploads} uploads alone: {committed_ms}"
        ));
        lines.push(format!("listed      {uploads} uploads alone: {listed_ms}"));
        lines.push(format!(
            "catalog     {catalog_ms:.3} ms: the difference of the medians"
        ));
    }
    lines.join("\n")
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
