//! What happened in a run, for people.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::contended::Judged;
use super::failover::Times;
use super::fault::Fault;
use super::worker::Counts;

/// What happened.
#[derive(Debug, Default)]
pub struct Report {
    /// How many rounds were completed.
    pub rounds: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// How many times a single node died that led a shard.
    pub leader_kills: u64,
    /// Changes and reads.
    pub counts: Counts,
    /// How many times a distributor was killed or stood still beside another one.
    pub distributor_faults: u64,
    /// Contents that several clients used at the same time.
    pub judged: Judged,
    /// Contents compared on all their copies.
    pub verified: u64,
    /// How long shards were without a leader.
    pub failovers: Times,
    /// What should not have happened, a line each.
    pub violations: Vec<String>,
}

impl Report {
    /// A fault happened, so many times.
    pub fn done(&mut self, fault: Fault, count: u64) {
        *self.faults.entry(fault).or_default() += count;
    }

    /// Something happened that should not.
    pub fn violation(&mut self, why: String) {
        self.violations.push(why);
    }

    /// How often a fault happened.
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// One line for a round that has just ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_round(&self, out: &mut dyn Write, taken: Duration) -> io::Result<()> {
        writeln!(
            out,
            "round {}: {}; {} acknowledged, {} verified, {} violations, {:.1} s",
            self.rounds,
            self.faults(),
            self.counts.acknowledged,
            self.verified,
            self.violations.len(),
            taken.as_secs_f64()
        )
    }

    /// All of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for violation in &self.violations {
            writeln!(out, "VIOLATION {violation}")?;
        }
        let counts = &self.counts;
        writeln!(out, "{} rounds: {}", self.rounds, self.faults())?;
        writeln!(
            out,
            "{} changes acknowledged, {} without an answer; {} reads without an answer, {} behind",
            counts.acknowledged, counts.lost, counts.unread, counts.behind
        )?;
        let judged = &self.judged;
        writeln!(
            out,
            "{} histories of contents that several clients used, {} operations, {} of them changes \
             during another one; {} could not be decided",
            judged.histories, judged.operations, judged.overlapping, judged.undecided
        )?;
        if self.distributor_faults > 0 {
            writeln!(
                out,
                "{} faults of a distributor beside another",
                self.distributor_faults
            )?;
        }
        let Times {
            count,
            unseen,
            p50,
            p99,
            max,
        } = self.failovers;
        writeln!(
            out,
            "{} kills of a leader: {count} failovers seen by the load, {unseen} not; \
             p50 {:.2} s, p99 {:.2} s, max {:.2} s",
            self.leader_kills,
            p50.as_secs_f64(),
            p99.as_secs_f64(),
            max.as_secs_f64()
        )?;
        writeln!(
            out,
            "{} contents verified on every copy, {} violations",
            self.verified,
            self.violations.len()
        )
    }

    fn faults(&self) -> String {
        let counts: Vec<String> = self
            .faults
            .iter()
            .map(|(f, n)| format!("{n} {f}"))
            .collect();
        counts.join(", ")
    }
}
