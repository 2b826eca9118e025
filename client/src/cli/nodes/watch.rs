//! Copies that the cluster makes, as somebody who waits for them is told.

use std::time::{Duration, Instant};

use wire::membership::{NodesAnswer, ShardEntry};

use crate::cli::Session;
use crate::cli::copying::{OUTAGE, Stats, is_outage, stuck, stuck_in_words};
use crate::ui::board::Bar;
use crate::ui::human;

use super::TELL_EVERY;
use super::progress::Progress;

/// Between two looks at why it does not go on: whatever keeps copies from being made lasts longer than this.
const EXPLAIN_EVERY: Duration = Duration::from_secs(5);

/// What is left of one undertaking, on a bar or in words.
pub(super) struct Watch<'a> {
    session: &'a Session,
    /// Whose copies they are.
    name: String,
    bar: Bar,
    progress: Option<Progress>,
    /// When something was said, and of how many shards.
    told: Option<(Instant, u64)>,
    /// When it was last asked why it does not go on.
    explained: Option<Instant>,
    /// What was last said of that.
    hindrance: Option<String>,
    /// What nodes had said of themselves then.
    stats: Stats,
}

impl<'a> Watch<'a> {
    /// Begins; the bar has this title.
    pub(super) fn new(session: &'a Session, title: &str, name: &str) -> Watch<'a> {
        Watch {
            session,
            name: name.to_owned(),
            bar: session.ui.board().work(title),
            progress: None,
            told: None,
            explained: None,
            hindrance: None,
            stats: Stats::new(),
        }
    }

    /// So much is left.
    pub(super) fn show(&mut self, shards_left: u64, bytes_left: u64) {
        let left = what_is_left(shards_left, bytes_left);
        let words = format!("{left} left");
        self.say((shards_left, bytes_left), left, &words);
    }

    /// So much is to be moved, and so many copies are on their way.
    pub(super) fn show_moves(&mut self, bytes_left: u64, moving: usize) {
        let copies = format!("copies on their way: {moving}");
        let words = format!("about {} to move, {copies}", human::size(bytes_left));
        self.say((0, bytes_left), copies, &words);
    }

    /// On a bar, or in words where none is drawn.
    fn say(&mut self, (shards_left, bytes_left): (u64, u64), on_bar: String, words: &str) {
        let now = Instant::now();
        let progress = self
            .progress
            .get_or_insert_with(|| Progress::new(bytes_left, now));
        let (done, of) = progress.look(bytes_left);
        self.bar.show_whole(done, of);
        self.bar.say(on_bar);
        if !self.session.ui.board().is_shown() && is_due(self.told, shards_left, now) {
            self.told = Some((now, shards_left));
            let estimate = progress.estimate_in_words(now);
            self.session
                .ui
                .note(&format!("{}: {words}{estimate}", self.name));
        }
    }

    /// What nodes said of themselves when it was last asked why it does not go on.
    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Says once why these shards do not get the copies that they lack, where that is so. It is asked for now
    /// and then, and borne that nobody can tell.
    pub(super) async fn explain(&mut self, cluster: &NodesAnswer, shards: &[&ShardEntry]) {
        self.explain_or(cluster, shards, |_| None).await;
    }

    /// The same, and where copies are made, what else it waits for.
    pub(super) async fn explain_or(
        &mut self,
        cluster: &NodesAnswer,
        shards: &[&ShardEntry],
        other: impl FnOnce(&Stats) -> Option<String>,
    ) {
        let now = Instant::now();
        let is_recent = |at: Instant| now.saturating_duration_since(at) < EXPLAIN_EVERY;
        if self.explained.is_some_and(is_recent) {
            return;
        }
        self.explained = Some(now);
        let asked = self.session.client.stats().await;
        let asked = asked.map(|stats| self.stats = stats.nodes);
        let hindrance = of_shards(cluster, shards).or_else(|| match asked {
            Ok(()) => {
                let stuck = stuck(cluster, &self.stats, shards.iter().copied());
                stuck_in_words(stuck).or_else(|| other(&self.stats))
            }
            Err(error) => Some(format!("cannot ask who has room for copies: {error}")),
        });
        if let Some(words) = hindrance.as_ref().filter(|_| hindrance != self.hindrance) {
            self.session.ui.note(&format!("{}: {words}", self.name));
        }
        self.hindrance = hindrance;
    }
}

/// What keeps copies from being made wherever there is room.
fn of_shards(cluster: &NodesAnswer, shards: &[&ShardEntry]) -> Option<String> {
    let waiting = shards.iter().filter(|shard| shard.waits).count();
    if waiting > 0 {
        let wait = if waiting == 1 {
            "shard waits"
        } else {
            "shards wait"
        };
        let words = "for a copy to be made from: `client recover` shows which";
        return Some(format!("{waiting} {wait} {words}"));
    }
    is_outage(cluster).then(|| OUTAGE.to_owned())
}

/// Whether it is time for words: at first, when a shard is done, and now and then, since a large one takes hours.
fn is_due(told: Option<(Instant, u64)>, shards_left: u64, now: Instant) -> bool {
    told.is_none_or(|(at, shards)| {
        shards != shards_left || now.saturating_duration_since(at) >= TELL_EVERY
    })
}

/// Shards, and bytes of them.
pub(in crate::cli) fn what_is_left(shards: u64, bytes: u64) -> String {
    let s = if shards == 1 { "" } else { "s" };
    format!("{shards} shard{s}, {}", human::size(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a log of a drain says nothing for the hours that one large shard takes, or far too much.
    #[test]
    fn words_come_now_and_then_while_nothing_is_done() {
        let begun = Instant::now();
        let told = Some((begun, 2));
        assert!(is_due(None, 2, begun));
        assert!(!is_due(told, 2, begun + Duration::from_secs(9)));
        assert!(is_due(told, 1, begun), "a shard is done");
        assert!(is_due(told, 2, begun + TELL_EVERY));
    }

    // If this fails, an operator is told of another amount than there is.
    #[test]
    fn what_is_left_is_counted() {
        assert_eq!(what_is_left(1, 1024), "1 shard, 1.0 KiB");
        assert_eq!(what_is_left(2, 0), "2 shards, 0 B");
    }
}
