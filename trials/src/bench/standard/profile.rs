//! Flame graphs of the services under load, by Linux's `perf`.

use std::fs::File;
use std::io::{BufReader, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use tokio::process::{Child, Command};

use crate::command;

/// Samples a second on each core: many enough for a few seconds, few enough to disturb little.
const SAMPLES_PER_S: &str = "299";

/// Frames are found by what the compiler wrote for debuggers, from this much of the stack: releases
/// keep no frame pointers.
const CALL_GRAPH: &str = "dwarf,16384";

/// Where flame graphs go.
#[derive(Debug)]
pub(super) struct Profile {
    folder: PathBuf,
}

/// A recording that runs.
pub(super) struct Recording {
    child: Child,
    data: PathBuf,
    graph: PathBuf,
}

impl Profile {
    /// # Errors
    /// When `perf` is not there, may not record, or the folder cannot be made.
    pub(super) fn into_folder(folder: &Path) -> anyhow::Result<Self> {
        command::run("perf", &["record", "-q", "-o", "/dev/null", "true"]).context(
            "`perf` cannot record: flame graphs need Debian's `linux-perf`, and root, or \
             kernel.perf_event_paranoid of at most 1",
        )?;
        std::fs::create_dir_all(folder)?;
        Ok(Profile {
            folder: folder.to_path_buf(),
        })
    }

    /// Begins to record these processes, for so many seconds.
    ///
    /// # Errors
    /// When `perf` cannot be run.
    pub(super) fn record(
        &self,
        name: &str,
        pids: &[u32],
        seconds: u32,
    ) -> anyhow::Result<Recording> {
        let data = self.folder.join(format!("{name}.perf"));
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let child = Command::new("perf")
            .args([
                "record",
                "-q",
                "-F",
                SAMPLES_PER_S,
                "--call-graph",
                CALL_GRAPH,
            ])
            .arg("-o")
            .arg(&data)
            .args(["-p", &pids.join(","), "--", "sleep", &seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run perf")?;
        Ok(Recording {
            child,
            data,
            graph: self.folder.join(format!("{name}.svg")),
        })
    }
}

impl Recording {
    /// Waits for its end, draws the graph and says where it is.
    ///
    /// # Errors
    /// When `perf` fails.
    pub(super) async fn finish(mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "perf record ended with {status}");
        let script = Command::new("perf")
            .args(["script", "--no-inline", "-i"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .await?;
        ensure!(
            script.status.success(),
            "perf script ended with {}",
            script.status
        );
        let folded = fold(&script.stdout)?;
        std::fs::write(self.graph.with_extension("folded"), &folded)?;
        draw(&folded, &self.graph)?;
        std::fs::remove_file(&self.data)?;
        writeln!(out, "  {}", self.graph.display())?;
        Ok(())
    }
}

/// Samples as `perf script` prints them, a line for each stack.
fn fold(script: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut folded = Vec::new();
    Folder::from(Options::default())
        .collapse(BufReader::new(Cursor::new(script)), &mut folded)
        .context("the output of `perf script` cannot be read")?;
    Ok(folded)
}

fn draw(folded: &[u8], graph: &Path) -> anyhow::Result<()> {
    let mut options = inferno::flamegraph::Options::default();
    let file = File::create(graph)?;
    inferno::flamegraph::from_reader(&mut options, Cursor::new(folded), file)
        .context("no flame graph can be drawn: nothing was sampled")
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a profile is empty, or names no function.
    #[test]
    fn samples_become_a_graph() {
        let script =
            b"node 7/8 [000] 1.000000: 1 cycles:u: \n\t    55 append+0x1 (/bin/node)\n\t    \
                       77 main+0x2 (/bin/node)\n\n";
        let folded = fold(script).expect("folds");
        assert_eq!(folded, b"node;main;append 1\n");
        let folder = tempfile::tempdir().expect("a folder");
        let graph = folder.path().join("x.svg");
        draw(&folded, &graph).expect("draws");
        assert!(
            std::fs::read_to_string(&graph)
                .expect("a file")
                .contains("append")
        );
    }
}
