//! A row of the table: what came out of all rounds of a case, and whether it is enough.

use std::fmt;
use std::io::Write;

use client::bench::report::Report;

use super::case::{Case, Goal, Unit};
use super::processes::Times;
use crate::bench::{Bound, small};

/// 99 % of all requests may take so many times as long as half of them.
const P99_OF_P50_MAX: f64 = 10.0;

/// A node's memory under any load.
const RESIDENT_MIB_MAX: f64 = 256.0;

/// One round of one side.
pub(super) struct Measured {
    pub(super) report: Report,
    pub(super) times: Times,
    pub(super) peak_bytes: u64,
}

/// What disk and database allowed just before a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sync_ms: f64,
    pub(super) commit_ms: f64,
}

/// The medians of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Medians {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    committed_ms: f64,
    /// Processor time for each content, or page, in microseconds.
    services_us: f64,
    database_us: f64,
    peak_mib: f64,
    load_cores: f64,
    failures: f64,
    mismatches: f64,
    /// Changes that were answered before they were listed.
    pending: f64,
    /// Rounds in which the load set the pace.
    crowded: f64,
}

/// One case's rounds.
pub struct Row {
    case: &'static Case,
    ours: Vec<Medians>,
    nginx: Vec<Medians>,
    limits: Vec<Limits>,
    bound: Option<Bound>,
    shortfalls: Vec<String>,
}

impl Row {
    pub(super) fn new(case: &'static Case) -> Self {
        Row {
            case,
            ours: Vec::new(),
            nginx: Vec::new(),
            limits: Vec::new(),
            bound: None,
            shortfalls: Vec::new(),
        }
    }

    /// A round.
    pub(super) fn add(&mut self, ours: Measured, nginx: Option<Measured>, limits: Limits) {
        let unit = self.case.unit;
        self.ours.push(Medians::of(&ours, unit));
        self.nginx
            .extend(nginx.map(|nginx| Medians::of(&nginx, unit)));
        self.limits.push(limits);
    }

    /// Compares what came out with what must; `before` are the rows of cases before.
    pub(super) fn judge(&mut self, before: &[Row]) {
        let ours = Medians::median(&self.ours);
        let nginx = self.nginx();
        let of_case = |name: &str| {
            let row = before.iter().find(|row| row.case.name == name)?;
            Some(Medians::median(&row.ours).rate)
        };
        let goal = self.case.goal;
        self.bound = goal.bound(nginx.map(|nginx| nginx.rate), self.of_probes(), of_case);
        let reached = match goal {
            Goal::P99(_) => ours.p99_ms,
            _ => ours.rate,
        };
        let mut shortfalls = Vec::new();
        match self.bound {
            Some(Bound::AtLeast(least)) if reached < least => {
                shortfalls.push(format!("{:.0} % of the goal", 100.0 * reached / least));
            }
            Some(Bound::AtMost(most)) if reached > most => {
                shortfalls.push(format!("{:.1} × the bound", reached / most));
            }
            _ => {}
        }
        if ours.p99_ms > P99_OF_P50_MAX * ours.p50_ms {
            shortfalls.push(format!("p99 {:.0} × p50", ours.p99_ms / ours.p50_ms));
        }
        if ours.peak_mib > RESIDENT_MIB_MAX {
            shortfalls.push(format!("{:.0} MiB resident", ours.peak_mib));
        }
        if ours.failures + ours.mismatches > 0.0 {
            let Medians {
                failures,
                mismatches,
                ..
            } = ours;
            shortfalls.push(format!("{failures:.0} failed, {mismatches:.0} wrong"));
        }
        if ours.pending > 0.0 {
            shortfalls.push(format!("{:.0} not listed in time", ours.pending));
        }
        self.shortfalls = shortfalls;
    }

    /// Whether it reaches all that it must.
    pub fn holds(&self) -> bool {
        self.shortfalls.is_empty()
    }

    fn nginx(&self) -> Option<Medians> {
        (!self.nginx.is_empty()).then(|| Medians::median(&self.nginx))
    }

    fn of_probes(&self) -> f64 {
        let of = |limits: &Limits| small::allowed_uploads(limits.sync_ms, limits.commit_ms);
        median(self.limits.iter().map(of).collect())
    }

    /// In a line, while the rest is still measured.
    pub(super) fn in_short(&self) -> String {
        let ours = Medians::median(&self.ours);
        let unit = self.case.unit.name();
        let rates: Vec<String> = self.ours.iter().map(|one| rate(one.rate)).collect();
        let nginx = match self.nginx() {
            Some(nginx) => format!(", nginx {} {unit}", rate(nginx.rate)),
            None => String::new(),
        };
        let (rounds, p99) = (rates.join(" "), ours.p99_ms);
        format!(
            "{} {unit} (rounds {rounds}), p99 {p99:.2} ms{nginx}",
            rate(ours.rate)
        )
    }
}

impl Medians {
    fn of(measured: &Measured, unit: Unit) -> Self {
        let all = &measured.report.all;
        let each = match unit {
            Unit::Requests => all.operations,
            Unit::Contents | Unit::Megabytes => all.contents,
        };
        let each = (each as f64).max(1.0);
        Medians {
            rate: match unit {
                Unit::Contents => all.contents_per_s,
                Unit::Requests => all.operations_per_s,
                Unit::Megabytes => all.megabytes_per_s,
            },
            p50_ms: all.latency_ms.p50,
            p99_ms: all.latency_ms.p99,
            committed_ms: all.committed_ms.map_or(0.0, |committed| committed.p50),
            services_us: measured.times.services / each,
            database_us: measured.times.database / each,
            peak_mib: measured.peak_bytes as f64 / f64::from(1 << 20),
            load_cores: measured.report.load.cores,
            failures: measured.report.failures() as f64,
            mismatches: all.mismatches as f64,
            pending: all.pending as f64,
            crowded: f64::from(u8::from(measured.report.load.is_bottleneck)),
        }
    }

    /// Of each figure its median; of memory and failures the most.
    fn median(rounds: &[Medians]) -> Self {
        let of = |get: fn(&Medians) -> f64| median(rounds.iter().map(get).collect());
        let most = |get: fn(&Medians) -> f64| rounds.iter().map(get).fold(0.0, f64::max);
        Medians {
            rate: of(|one| one.rate),
            p50_ms: of(|one| one.p50_ms),
            p99_ms: of(|one| one.p99_ms),
            committed_ms: of(|one| one.committed_ms),
            services_us: of(|one| one.services_us),
            database_us: of(|one| one.database_us),
            peak_mib: most(|one| one.peak_mib),
            load_cores: of(|one| one.load_cores),
            failures: most(|one| one.failures),
            mismatches: most(|one| one.mismatches),
            pending: most(|one| one.pending),
            crowded: of(|one| one.crowded),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn rate(value: f64) -> String {
    match value {
        0.0..100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let (head, tail) = digits.split_at(digits.len().saturating_sub(3));
            match head {
                "" => tail.to_owned(),
                _ => format!("{head},{tail}"),
            }
        }
    }
}

const HEAD: &str = "\
| load | Acequia | nginx | ratio | must | | p50 / p99 ms | committed p50 ms | CPU µs: cluster, PostgreSQL, nginx | node MiB | load's cores |
|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = Medians::median(&self.ours);
        let nginx = self.nginx();
        let unit = self.case.unit.name();
        let crowded = |one: Medians| if one.crowded > 0.5 { "\\*" } else { "" };
        write!(
            f,
            "| {} | {} {unit}{} |",
            self.case.title,
            rate(ours.rate),
            crowded(ours)
        )?;
        match nginx {
            Some(nginx) => {
                let ratio = ours.rate / nginx.rate;
                write!(
                    f,
                    " {} {unit}{} | {ratio:.2} |",
                    rate(nginx.rate),
                    crowded(nginx)
                )?;
            }
            None => write!(f, " | |")?,
        }
        match (self.case.goal, self.bound) {
            (Goal::OfNginx(share), _) => write!(f, " {share} × nginx |")?,
            (Goal::OfCase(name, share), Some(_)) => write!(f, " {share} × `{name}` |")?,
            (_, Some(Bound::AtLeast(least))) => write!(f, " {} {unit} |", rate(least))?,
            (_, Some(Bound::AtMost(most))) => write!(f, " p99 {most:.0} ms |")?,
            (_, None) => write!(f, " |")?,
        }
        let verdict = match self.holds() {
            true => "holds".to_owned(),
            false => format!("**{}**", self.shortfalls.join(", ")),
        };
        write!(f, " {verdict} | {:.2} / {:.2} |", ours.p50_ms, ours.p99_ms)?;
        match ours.committed_ms {
            0.0 => write!(f, " |")?,
            ms => write!(f, " {ms:.2} |")?,
        }
        write!(f, " {:.0}, {:.0}", ours.services_us, ours.database_us)?;
        if let Some(nginx) = nginx {
            write!(f, ", {:.0}", nginx.services_us)?;
        }
        write!(f, " | {:.0} | {:.2} |", ours.peak_mib, ours.load_cores)
    }
}

/// Prints the table; true when all rows hold.
///
/// # Errors
/// When it cannot be written.
pub fn print(rows: &[Row], out: &mut dyn Write) -> std::io::Result<bool> {
    writeln!(out, "\n{HEAD}")?;
    for row in rows {
        writeln!(out, "{row}")?;
    }
    let limits = || rows.iter().flat_map(|row| &row.limits);
    let sync = median(limits().map(|limits| limits.sync_ms).collect());
    let commit = median(limits().map(|limits| limits.commit_ms).collect());
    writeln!(
        out,
        "\nt_sync {sync:.2} ms, t_commit {commit:.2} ms (medians of all rounds; one after the other, \
         without load). CPU is for each content, or page. \\* the load set the pace: it had no time \
         left, or no core was idle and it took a large share."
    )?;
    Ok(rows.iter().all(Row::holds))
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::*;

    fn case(name: &str) -> &'static Case {
        CASES.iter().find(|case| case.name == name).expect("a case")
    }

    fn row(name: &str, rates: &[f64], nginx: &[f64]) -> Row {
        let mut row = Row::new(case(name));
        let of = |&rate: &f64| Medians {
            rate,
            p50_ms: 1.0,
            p99_ms: 5.0,
            ..Medians::default()
        };
        row.ours = rates.iter().map(of).collect();
        row.nginx = nginx.iter().map(of).collect();
        let limits = Limits {
            sync_ms: 2.0,
            commit_ms: 1.7,
        };
        row.limits = vec![limits; rates.len()];
        row
    }

    // If this fails, one lucky round decides, or a shortfall is printed as a success.
    #[test]
    fn medians_are_compared_with_goals() {
        let mut good = row("get-1k", &[9_000.0, 51_000.0, 60_000.0], &[100_000.0; 3]);
        good.judge(&[]);
        assert!(good.holds(), "{good}");
        assert!(
            good.to_string()
                .contains("| 51,000 /s | 100,000 /s | 0.51 | 0.5 × nginx | holds |")
        );
        let mut bad = row("get-1k", &[9_000.0, 40_000.0, 60_000.0], &[100_000.0; 3]);
        bad.judge(&[]);
        assert!(
            !bad.holds() && bad.to_string().contains("**80 % of the goal**"),
            "{bad}"
        );
        let mut wide = row("get-1k-1024", &[50_000.0; 3], &[]);
        wide.judge(&[good]);
        assert!(wide.holds());
        wide.judge(&[row("get-1k", &[90_000.0; 3], &[])]);
        assert!(!wide.holds(), "{wide}");
    }

    // If this fails, tails, memory and errors are not looked at.
    #[test]
    fn tails_memory_and_failures_count() {
        let spoilt = |spoil: fn(&mut Medians)| {
            let mut row = row("put-1k-64", &[20_000.0; 3], &[]);
            row.ours.iter_mut().for_each(spoil);
            row.judge(&[]);
            row.shortfalls
        };
        assert!(spoilt(|_| {}).is_empty());
        assert_eq!(spoilt(|one| one.p99_ms = 11.0), ["p99 11 × p50"]);
        assert_eq!(spoilt(|one| one.peak_mib = 300.0), ["300 MiB resident"]);
        assert_eq!(spoilt(|one| one.failures = 2.0), ["2 failed, 0 wrong"]);
        assert_eq!(spoilt(|one| one.pending = 3.0), ["3 not listed in time"]);
    }

    // If this fails, a slow disk is taken for a slow program.
    #[test]
    fn probes_set_the_bound_of_small_uploads() {
        let mut slow = row("put-1k-16", &[2_500.0; 3], &[]);
        slow.judge(&[]);
        assert!(
            slow.holds() && slow.to_string().contains("| 2,400 /s |"),
            "{slow}"
        );
    }

    // If this fails, the printed figures are not the measured ones.
    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(rate(4.25), "4.2");
        assert_eq!(rate(999.6), "1,000");
        assert_eq!(rate(101_234.0), "101,234");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
