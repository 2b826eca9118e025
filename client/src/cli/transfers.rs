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
/// the others; the end of standard output does, and is a failure itself if anything was left to do.
pub(super) async fn run_all<T, F>(
    session: &Session,
    jobs: u16,
    inputs: Vec<T>,
    work: impl Fn(T, Progress) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    run_rest(session, jobs, inputs, Vec::new(), work).await
}

/// As [`run_all`], where others were `refused` before, and told: they count as failed.
pub(super) async fn run_rest<T, F>(
    session: &Session,
    jobs: u16,
    inputs: Vec<T>,
    refused: Vec<Failure>,
    work: impl Fn(T, Progress) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut left = inputs.len();
    let files = left + refused.len();
    let mut shown = Shown::new(session.ui.board(), left);
    let mut failures = refused;
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
                Some((key, Ok(()))) => {
                    left -= 1;
                    shown.end(key);
                }
                Some((_, Err(failure))) if failure.kind == Kind::OutputClosed => {
                    // It was done, and could not be told.
                    return closed(left - 1, &failures, files);
                }
                Some((key, Err(failure))) => {
                    left -= 1;
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

/// Standard output was closed, which nobody sees if nothing is left to do: then what failed counts.
fn closed(left: usize, failures: &[Failure], of: usize) -> Result<(), Failure> {
    if left == 0 {
        return Failure::several(failures, of).map_or(Ok(()), Err);
    }
    let left = left + failures.len();
    let message = format!("standard output was closed; {left} of {of} were not done, or not told");
    Err(Failure::new(Kind::Local, message))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Client, Options};
    use crate::ui::{Format, Ui};
    use std::cell::{Cell, RefCell};

    fn session() -> Session {
        let endpoint = "http://127.0.0.1:1".parse().expect("a base URL");
        let client = Client::new(Options::new(endpoint)).expect("a client");
        Session {
            client,
            ui: Ui::new(Format::Text, true),
        }
    }

    // If this fails, `--jobs` overwhelms a small machine, or files are left out.
    #[tokio::test(start_paused = true)]
    async fn all_inputs_run_and_never_too_many_at_once() {
        let (running, most, done) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
        let (running, most, done) = (&running, &most, &done);
        let work = |input: u64, progress: Progress| async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            progress.begin("a", Some(input));
            // Shorter and shorter: they end in another order than they begin.
            tokio::time::sleep(std::time::Duration::from_millis(100 - input)).await;
            running.set(running.get() - 1);
            done.borrow_mut().push(input);
            Ok(())
        };
        run_all(&session(), 3, (0..10).collect(), work)
            .await
            .expect("all succeed");
        assert_eq!(most.get(), 3);
        done.borrow_mut().sort_unstable();
        assert_eq!(*done.borrow(), (0..10).collect::<Vec<_>>());
        run_all(&session(), 3, Vec::new(), work)
            .await
            .expect("nothing to do");
    }

    // If this fails, one bad file among many stops the others, or is forgotten.
    #[tokio::test]
    async fn failures_are_counted_and_stop_nothing() {
        let done = Cell::new(0);
        let done = &done;
        let work = |input: u32, _| async move {
            done.set(done.get() + 1);
            match input % 3 {
                0 => Err(Failure::new(Kind::NotFound, "it is not there")),
                _ => Ok(()),
            }
        };
        let failure = run_all(&session(), 4, (0..9).collect(), work)
            .await
            .expect_err("3 fail");
        assert_eq!((failure.kind, done.get()), (Kind::NotFound, 9));
        assert_eq!(failure.message, "3 of 9 failed");
    }

    // If this fails, `client upload … | head -1` goes on for hours after its reader is gone, or a
    // script takes for done what was not.
    #[tokio::test]
    async fn the_end_of_standard_output_stops_all_and_is_a_failure() {
        let done = Cell::new(0);
        let done = &done;
        let work = |input: u32, _| async move {
            done.set(done.get() + 1);
            match input {
                0 => Ok(()),
                1 => Err(Failure::new(Kind::NotFound, "it is not there")),
                _ => Err(Failure::new(Kind::OutputClosed, "closed")),
            }
        };
        let failure = run_all(&session(), 1, (0..9).collect(), work)
            .await
            .expect_err("closed");
        assert_eq!((failure.kind, done.get()), (Kind::Local, 3));
        let told = "standard output was closed; 7 of 9 were not done, or not told";
        assert_eq!(failure.message, told);
    }

    // If this fails, what was refused before is not counted, or its kind is hidden by what is no failure.
    #[tokio::test]
    async fn what_was_refused_before_counts_as_failed() {
        let refused = || vec![Failure::new(Kind::Usage, "refused")];
        let failing = |_: u32, _| async { Err(Failure::new(Kind::NotFound, "it is not there")) };
        let ended = run_rest(&session(), 4, vec![0, 1], refused(), failing).await;
        let told = ended.map_err(|failure| (failure.kind, failure.message));
        assert_eq!(told, Err((Kind::Failure, "3 of 3 failed".to_owned())));

        let closing = |_: u32, _| async { Err(Failure::new(Kind::OutputClosed, "closed")) };
        let ended = run_rest(&session(), 1, vec![0], refused(), closing).await;
        let told = ended.map_err(|failure| (failure.kind, failure.message));
        assert_eq!(told, Err((Kind::Usage, "1 of 2 failed".to_owned())));
        let ended = run_rest(&session(), 1, vec![0, 1], refused(), closing).await;
        let told = ended.map_err(|failure| (failure.kind, failure.message));
        let message = "standard output was closed; 2 of 3 were not done, or not told";
        assert_eq!(told, Err((Kind::Local, message.to_owned())));
    }

    // If this fails, `client get ID -o - | head` fails, or a command that did all that it should.
    #[tokio::test]
    async fn the_end_of_standard_output_after_the_last_is_none() {
        let work = |input: u32, _| async move {
            match input {
                0 => Ok(()),
                _ => Err(Failure::new(Kind::OutputClosed, "closed")),
            }
        };
        let ended = run_all(&session(), 1, vec![0, 1], work).await;
        assert_eq!(ended, Ok(()));
    }
}
