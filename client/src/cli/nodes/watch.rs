//! Copies that the cluster makes, as somebody who waits for them is told.

use std::time::{Duration, Instant};

use wire::membership::{NodesAnswer, ShardEntry};

use crate::cli::Session;
use crate::cli::copying::{OUTAGE, is_outage, stuck, stuck_in_words};
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
        }
    }

    /// So much is left.
    pub(super) fn show(&mut self, shards_left: u64, bytes_left: u64) {
        let now = Instant::now();
        let progress = self
            .progress
            .get_or_insert_with(|| Progress::new(bytes_left, now));
        let (done, of) = progress.look(bytes_left);
        let left = what_is_left(shards_left, bytes_left);
        self.bar.show_whole(done, of);
        self.bar.say(left.clone());
        if !self.session.ui.board().is_shown() && is_due(self.told, shards_left, now) {
            self.told = Some((now, shards_left));
            let estimate = progress.estimate_in_words(now);
            self.session
                .ui
                .note(&format!("{}: {left} left{estimate}", self.name));
        }
    }

    /// Says once why these shards do not get the copies that they lack, where that is so. It is asked for now
    /// and then, and borne that nobody can tell.
    pub(super) async fn explain(&mut self, cluster: &NodesAnswer, shards: &[&ShardEntry]) {
        let now = Instant::now();
        let is_recent = |at: Instant| now.saturating_duration_since(at) < EXPLAIN_EVERY;
        if self.explained.is_some_and(is_recent) {
            return;
        }
        self.explained = Some(now);
        let hindrance = self.hindrance(cluster, shards).await;
        if let Some(words) = hindrance.as_ref().filter(|_| hindrance != self.hindrance) {
            self.session.ui.note(&format!("{}: {words}", self.name));
        }
        self.hindrance = hindrance;
    }

    /// What keeps these shards from getting their copies, if anything.
    async fn hindrance(&self, cluster: &NodesAnswer, shards: &[&ShardEntry]) -> Option<String> {
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
        if is_outage(cluster) {
            return Some(OUTAGE.to_owned());
        }
        match self.session.client.stats().await {
            Ok(stats) => stuck_in_words(stuck(cluster, &stats.nodes, shards.iter().copied())),
            Err(error) => Some(format!("cannot ask who has room for copies: {error}")),
        }
    }
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
