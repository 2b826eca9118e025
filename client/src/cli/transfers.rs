//! Several transfers at once, with their bars, their failures told as they come, and one outcome.

use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::api::Meter;
use crate::ui::board::{Bar, Board, TICK};

use super::failure::{Failure, Kind};
use super::{Session, report};

/// How many transfers run at once by default: enough to hide latency, few enough for any disk.
pub(super) const JOBS_DEFAULT: u16 = 4;

/// One transfer as its bar sees it; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The bytes that were moved.
    pub(super) meter: Meter,
    begun: Arc<OnceLock<(String, Option<u64>)>>,
}

impl Progress {
    /// Name and size are known now.
    pub(super) fn begin(&self, name: &str, bytes: Option<u64>) {
        self.begun.get_or_init(|| (name.to_owned(), bytes));
    }

    fn size(&self) -> u64 {
        self.begun.get().and_then(|(_, bytes)| *bytes).unwrap_or(0)
    }
}

/// Runs `work` on every input, at most `jobs` at once. A failure is told at once and does not stop
/// the others; the end of standard output does.
pub(super) async fn run_all<T, F>(
    session: &Session,
    jobs: u16,
    inputs: Vec<T>,
    work: impl Fn(T, Progress) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let files = inputs.len();
    let mut shown = Shown::new(session.ui.board(), files);
    let mut failures = Vec::new();
    let mut waiting = inputs.into_iter();
    let mut running = FuturesUnordered::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        while running.len() < usize::from(jobs.max(1)) {
            let Some(input) = waiting.next() else { break };
            let key = shown.add();
            let job = work(input, shown.progress(key));
            running.push(async move { (key, job.await) });
        }
        tokio::select! {
            next = running.next() => match next {
                None => break,
                Some((key, Ok(()))) => shown.end(key),
                Some((_, Err(failure))) if failure.kind == Kind::OutputClosed => return Err(failure),
                Some((key, Err(failure))) => {
                    shown.end(key);
                    report(&session.ui, &failure);
                    failures.push(failure);
                }
            },
            _ = tick.tick() => shown.draw(),
        }
    }
    Failure::several(&failures, files).map_or(Ok(()), Err)
}

/// The transfers under way, and their bars.
struct Shown<'a> {
    board: &'a Board,
    under_way: Vec<(usize, Progress, Option<Bar>)>,
    whole: Option<Bar>,
    files: usize,
    added: usize,
    ended: usize,
    ended_bytes: u64,
}

impl<'a> Shown<'a> {
    fn new(board: &'a Board, files: usize) -> Self {
        let whole = (files > 1).then(|| board.whole(files));
        let (added, ended, ended_bytes) = (0, 0, 0);
        Shown {
            board,
            under_way: Vec::new(),
            whole,
            files,
            added,
            ended,
            ended_bytes,
        }
    }

    fn add(&mut self) -> usize {
        self.added += 1;
        self.under_way.push((self.added, Progress::default(), None));
        self.added
    }

    fn progress(&self, key: usize) -> Progress {
        let found = self.under_way.iter().find(|(of, _, _)| *of == key);
        found
            .map(|(_, progress, _)| progress.clone())
            .unwrap_or_default()
    }

    fn end(&mut self, key: usize) {
        if let Some(at) = self.under_way.iter().position(|(of, _, _)| *of == key) {
            let (_, progress, _bar) = self.under_way.swap_remove(at);
            self.ended += 1;
            self.ended_bytes += progress.size().max(progress.meter.bytes());
        }
    }

    /// A transfer gets its bar at the first tick that finds it under way, so that small ones do
    /// not flicker.
    fn draw(&mut self) {
        if !self.board.is_shown() {
            return;
        }
        let (mut bytes, mut size) = (self.ended_bytes, self.ended_bytes);
        for (_, progress, bar) in &mut self.under_way {
            let Some((name, expected)) = progress.begun.get() else {
                continue;
            };
            let moved = progress.meter.bytes();
            bar.get_or_insert_with(|| self.board.file(name, *expected))
                .show(moved);
            bytes += moved;
            size += expected.unwrap_or(moved);
        }
        if let Some(whole) = &self.whole {
            whole.show_whole(bytes, size);
            whole.show_files(self.ended, self.files);
        }
    }
}
