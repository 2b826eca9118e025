//! Progress bars: one for each file under way, and one for the whole where there are several.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::human;

const FILE: &str = "{prefix:28!} {bar:24} {bytes:>11} of {size:>11}  {rate:>13}  {eta:>6}";
const STREAM: &str = "{prefix:28!} {spinner} {bytes:>11}  {rate:>13}";
const WHOLE: &str = "{prefix:28!} {bar:24} {bytes:>11} of {size:>11}  {rate:>13}  {eta:>6}  {msg}";

/// How often bars look at what they show.
pub const TICK: Duration = Duration::from_millis(100);

/// The bars of one command; without a terminal nothing is drawn, and nothing else differs.
#[derive(Clone, Debug)]
pub struct Board {
    bars: MultiProgress,
}

/// One bar; it disappears when dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Board {
    /// A board that draws on standard error, or not at all.
    pub fn new(shown: bool) -> Self {
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Board {
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// Whether anything is drawn.
    pub fn is_shown(&self) -> bool {
        !self.bars.is_hidden()
    }

    /// A bar for one file; of unknown size if none is given.
    pub fn file(&self, name: &str, bytes: Option<u64>) -> Bar {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes).with_style(style(FILE)),
            None => ProgressBar::no_length().with_style(style(STREAM)),
        };
        Bar {
            bar: self.bars.insert(0, bar.with_prefix(super::printable(name))),
        }
    }

    /// The bar for all files together, below theirs.
    pub fn whole(&self, files: usize) -> Bar {
        let bar = ProgressBar::new(0)
            .with_style(style(WHOLE))
            .with_prefix("all");
        Bar {
            bar: self
                .bars
                .add(bar.with_message(format!("0 of {files} files"))),
        }
    }

    /// A bar for work that the cluster does.
    pub fn work(&self, name: &str) -> Bar {
        let bar = ProgressBar::new(0)
            .with_style(style(WHOLE))
            .with_prefix(super::printable(name));
        Bar {
            bar: self.bars.add(bar),
        }
    }

    /// Runs `print` while no bar is on the screen.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }
}

impl Bar {
    /// Shows how many bytes are transferred.
    pub fn show(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Shows how many of all bytes that are known of are transferred.
    pub fn show_whole(&self, bytes: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(bytes);
    }

    /// Shows a few words beside the bar.
    pub fn say(&self, words: String) {
        self.bar.set_message(words);
    }

    /// Shows how many files are done.
    pub fn show_files(&self, done: usize, files: usize) {
        self.bar.set_message(format!("{done} of {files} files"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants that a test parses")
        .progress_chars("━╸─")
        .with_key(
            "bytes",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                written(out, &human::size(state.pos()));
            },
        )
        .with_key(
            "size",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                written(out, &human::size(state.len().unwrap_or(0)));
            },
        )
        .with_key(
            "rate",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                written(out, &format!("{}/s", human::size(rounded(state.per_sec()))));
            },
        )
}

fn written(out: &mut dyn std::fmt::Write, text: &str) {
    out.write_str(text)
        .expect("writing to a line of the terminal's buffer cannot fail");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for the eye"
)]
fn rounded(rate: f64) -> u64 {
    rate.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the first progress bar ends the program.
    #[test]
    fn all_bars_can_be_made_and_moved() {
        let board = Board::new(false);
        let whole = board.whole(2);
        for bytes in [Some(10), Some(0), None] {
            let bar = board.file("a name that is much longer than its column is", bytes);
            bar.show(5);
        }
        whole.show_whole(3, 30);
        whole.show_files(1, 2);
        board.work("node1").say("2 shards left".to_owned());
        assert!(!board.is_shown());
        assert_eq!(board.suspend(|| 7), 7);
    }
}
