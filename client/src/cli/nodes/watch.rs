//! Copies that the cluster makes, as somebody who waits for them is told.

use std::time::Instant;

use wire::membership::{NodesAnswer, ShardEntry};

use crate::cli::Session;
use crate::cli::copying::{OUTAGE, is_outage, stuck, stuck_in_words};
use crate::cli::failure::Failure;
use crate::ui::board::Bar;
use crate::ui::human;

use super::TELL_EVERY;
use super::progress::Progress;

/// What is left of one undertaking, on a bar or in words.
pub(super) struct Watch<'a> {
    session: &'a Session,
    /// Whose copies they are.
    name: String,
    bar: Bar,
    progress: Option<Progress>,
    /// When something was said, and of how many shards.
    told: Option<(Instant, u64)>,
    /// What was last said of why it does not go on.
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

    /// Says once why these shards do not get the copies that they lack, where that is so.
    pub(super) async fn explain(
        &mut self,
        cluster: &NodesAnswer,
        shards: &[&ShardEntry],
    ) -> Result<(), Failure> {
        let asked = self.session.client.stats().await;
        let stats =
            asked.map_err(|error| Failure::caused("cannot ask for the statistics", &error))?;
        let waiting = shards.iter().filter(|shard| shard.waits).count();
        let hindrance = if waiting > 0 {
            let wait = if waiting == 1 {
                "shard waits"
            } else {
                "shards wait"
            };
            let words = "for a copy to be made from: `client recover` shows which";
            Some(format!("{waiting} {wait} {words}"))
        } else if is_outage(cluster) {
            Some(OUTAGE.to_owned())
        } else {
            stuck_in_words(stuck(cluster, &stats.nodes, shards.iter().copied()))
        };
        if let Some(words) = hindrance.as_ref().filter(|_| hindrance != self.hindrance) {
            self.session.ui.note(&format!("{}: {words}", self.name));
        }
        self.hindrance = hindrance;
        Ok(())
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
    use std::time::Duration;

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
