//! The last lines of all logs: each record near the ends is read once, and those further back only in the logs
//! that may still have one of these lines. Not each record is a line: a large content has one for all its chunks.

use std::collections::VecDeque;

use wire::operation::Operation;
use wire::{Lsn, Timestamp};

use super::shard::{LINES_MAX, Pages, ShardLog};
use super::{Log, LogError};

/// How much further back each step reaches than the one before.
const GROWTH: u64 = 8;

/// The end of one shard's log, as far as it was read.
#[derive(Debug)]
struct End {
    /// What was read lies behind this record.
    from: Lsn,
    /// The records of the next step further back.
    step: u64,
    /// The last lines of what was read.
    lines: VecDeque<Operation>,
}

impl Log {
    /// The last so many lines of what there is; the walk goes on behind them.
    ///
    /// # Errors
    /// As [`Log::next`].
    pub async fn tail(&mut self, lines: usize) -> Result<VecDeque<Operation>, LogError> {
        self.look().await?;
        let mut ends = Vec::new();
        for log in &mut self.shards {
            ends.push(log.read_end(&mut self.pages, lines).await?);
        }
        while let Some(place) = lacking(&ends, lines) {
            let (log, end) = (&mut self.shards[place], &mut ends[place]);
            log.read_before(&mut self.pages, end, lines).await?;
        }
        // All is told that there was a moment ago.
        self.looked = true;
        Ok(last(ends, lines))
    }
}

impl ShardLog {
    /// Reads from near the end to the end, and goes on from there.
    async fn read_end(&mut self, pages: &mut Pages, lines: usize) -> Result<End, LogError> {
        let step = (lines as u64).max(1);
        self.after = Lsn(self.committed.0.saturating_sub(step));
        self.ended = false;
        let mut end = End {
            from: self.after,
            step: step.saturating_mul(GROWTH),
            lines: VecDeque::new(),
        };
        while !self.ended {
            self.fill(pages).await?;
            end.lines.append(&mut self.lines);
            keep_last(&mut end.lines, lines);
        }
        Ok(end)
    }

    /// Reads a step further back.
    async fn read_before(
        &mut self,
        pages: &mut Pages,
        end: &mut End,
        lines: usize,
    ) -> Result<(), LogError> {
        let until = end.from;
        let mut after = Lsn(until.0.saturating_sub(end.step));
        end.from = after;
        end.step = end.step.saturating_mul(GROWTH);
        let mut found = VecDeque::new();
        while after < until {
            let Some(page) = self.page(pages, after).await? else {
                // Nobody tells it any more: what there is of it must do.
                end.from = Lsn::ZERO;
                break;
            };
            let is_last = page.len() < LINES_MAX;
            after = page.back().map_or(until, |line| line.lsn);
            found.extend(page.into_iter().filter(|line| line.lsn <= until));
            keep_last(&mut found, lines);
            if is_last {
                break;
            }
        }
        found.append(&mut end.lines);
        keep_last(&mut found, lines);
        end.lines = found;
        Ok(())
    }
}

fn keep_last(found: &mut VecDeque<Operation>, lines: usize) {
    found.drain(..found.len().saturating_sub(lines));
}

/// A log that may have one of the last lines further back. Where enough lines are known, one whose first line is
/// older than these has none: those before it are older still.
fn lacking(ends: &[End], lines: usize) -> Option<usize> {
    let wanted = lines.checked_sub(1)?;
    let each = ends.iter().flat_map(|end| &end.lines);
    let mut times: Vec<Timestamp> = each.map(|line| line.time).collect();
    let oldest =
        (wanted < times.len()).then(|| *times.select_nth_unstable_by(wanted, |a, b| b.cmp(a)).1);
    let is_older = |end: &End| {
        let first = end.lines.front();
        oldest.is_some_and(|oldest| first.is_some_and(|first| first.time < oldest))
    };
    ends.iter()
        .position(|end| end.from > Lsn::ZERO && end.lines.len() < lines && !is_older(end))
}

/// The last lines of all, in the order of a walk: each log's in its own order, those of different ones by time.
fn last(mut ends: Vec<End>, lines: usize) -> VecDeque<Operation> {
    let mut last = VecDeque::new();
    while last.len() < lines {
        let key = |end: &&mut End| end.lines.back().map(|line| (line.time, line.shard));
        let newest = ends.iter_mut().max_by_key(key);
        let Some(line) = newest.and_then(|end| end.lines.pop_back()) else {
            break;
        };
        last.push_front(line);
    }
    last
}

#[cfg(test)]
mod tests {
    use wire::operation::OperationKind;
    use wire::{Epoch, ShardNo};

    use super::*;

    /// The end of a log behind a record, with lines of these times.
    fn end(shard: u16, from: u64, times: &[u64]) -> End {
        let line = |(lsn, time): (u64, &u64)| Operation {
            shard: ShardNo(shard),
            lsn: Lsn(lsn),
            epoch: Epoch(1),
            operation: OperationKind::Epoch,
            id: None,
            version: None,
            size: None,
            hash: None,
            time: Timestamp(*time),
        };
        End {
            from: Lsn(from),
            step: 1,
            lines: (from + 1..).zip(times).map(line).collect(),
        }
    }

    // If this fails, the last lines are not the last, or all logs are read from their beginnings.
    #[test]
    fn only_a_log_that_may_have_one_of_the_last_lines_is_read_further_back() {
        let recent = || end(1, 100, &[11, 12, 13]);
        assert_eq!(lacking(&[recent()], 3), None, "enough of itself");
        assert_eq!(lacking(&[recent()], 4), Some(0));
        assert_eq!(lacking(&[end(1, 0, &[11])], 4), None, "that is all");
        let other = |times: &[u64]| lacking(&[recent(), end(2, 50, times)], 3);
        assert_eq!(other(&[10]), None, "what is before is older still");
        assert_eq!(other(&[12]), Some(1), "what is before may be newer than 11");
        assert_eq!(other(&[]), Some(1), "nobody knows");
        assert_eq!(lacking(&[end(1, 9, &[])], 0), None, "none is wanted");
    }

    // If this fails, lines of different shards are told in another order than without `--tail`.
    #[test]
    fn the_last_lines_are_in_the_order_of_a_walk() {
        let ends = || vec![end(1, 0, &[1, 5, 3]), end(2, 0, &[2, 3])];
        let told = |lines| -> Vec<(u16, u64)> {
            let last = last(ends(), lines).into_iter();
            last.map(|line| (line.shard.0, line.time.0)).collect()
        };
        assert_eq!(told(3), [(1, 5), (1, 3), (2, 3)]);
        assert_eq!(told(9).len(), 5);
        assert_eq!(told(0), []);
    }
}
