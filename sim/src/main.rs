//! The simulator's command line.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use sim::{BUGS, Outcome, Plan, RESTLESS, SeededBug, run, run_many};

/// Runs simulated clusters, each decided by its seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell all that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Switch each deliberate bug on, and tell how many schedules it took to catch it.
    #[arg(long)]
    bugs: bool,
    /// Switch this bug on, by its name.
    #[arg(long)]
    bug: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout();
    let named = |name: &String| BUGS.iter().find(|(of, _)| of == name).map(|(_, bug)| *bug);
    let bug = arguments.bug.as_ref().and_then(named);
    anyhow::ensure!(
        arguments.bug.is_none() || bug.is_some(),
        "there is no such bug"
    );
    if arguments.bugs {
        for (name, bug) in BUGS {
            let caught = catch(bug, arguments.seeds, arguments.from);
            let told = caught.map_or("not caught".to_owned(), |(tries, why)| {
                format!("{tries:>6}  {why}")
            });
            writeln!(out, "{name:<32} {told}")?;
        }
        return Ok(());
    }
    if let Some(seed) = arguments.seed {
        let outcome = run(&Plan {
            seed,
            bug,
            trace: arguments.trace,
        });
        write!(out, "{}", outcome.trace.clone().unwrap_or_default())?;
        writeln!(out, "{}", told(&outcome))?;
        anyhow::ensure!(outcome.violation.is_none(), "seed {seed} fails");
        return Ok(());
    }
    many(&arguments, bug)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn many(arguments: &Arguments, bug: Option<SeededBug>) -> anyhow::Result<()> {
    let began = Instant::now();
    let failures = Mutex::new(Vec::new());
    let totals = [const { AtomicU64::new(0) }; 5];
    let seeds = arguments.from..arguments.from + arguments.seeds;
    run_many(seeds, bug, threads(), &|seed, outcome| {
        let figures = [
            1,
            outcome.steps,
            outcome.acknowledged,
            outcome.reads,
            outcome.faults,
        ];
        for (total, figure) in totals.iter().zip(figures) {
            total.fetch_add(figure, Ordering::Relaxed);
        }
        let mut failures = failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failures.extend(outcome.violation.map(|violation| (seed, violation)));
        failures.len() < 10
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut out = std::io::stdout();
    for (seed, violation) in &failures {
        writeln!(
            out,
            "seed {seed}: {violation}\n  again: cargo run -p sim --release -- --seed {seed} --trace"
        )?;
    }
    let [schedules, steps, acknowledged, reads, faults] = totals.map(AtomicU64::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "{schedules} schedules in {seconds:.1} s: {steps} steps, {acknowledged} changes acknowledged, {reads} reads, {faults} faults, {} violations",
        failures.len()
    )?;
    anyhow::ensure!(failures.is_empty(), "there are violations");
    Ok(())
}

/// How many schedules it takes to catch a bug, and what gave it away: something that must never
/// happen, or else a cluster that does not come to rest.
fn catch(bug: SeededBug, seeds: u64, from: u64) -> Option<(u64, String)> {
    let (unsafe_at, restless_at) = (Mutex::new(None), Mutex::new(None));
    run_many(
        from..from + seeds,
        Some(bug),
        threads(),
        &|seed, outcome| {
            let Some(violation) = outcome.violation else {
                return true;
            };
            let is_safe = violation.starts_with(RESTLESS);
            let first = if is_safe { &restless_at } else { &unsafe_at };
            let mut first = first
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let tries = seed - from + 1;
            if first.as_ref().is_none_or(|(least, _)| *least > tries) {
                *first = Some((tries, violation));
            }
            is_safe
        },
    );
    let [caught, restless] = [unsafe_at, restless_at].map(|first| {
        first
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    });
    caught.or(restless)
}

fn told(outcome: &Outcome) -> String {
    let end = outcome.violation.as_deref().unwrap_or("no violation");
    format!(
        "{end}\n{} steps, {} changes acknowledged, {} reads, {} faults, digest {:016x}",
        outcome.steps, outcome.acknowledged, outcome.reads, outcome.faults, outcome.digest
    )
}
