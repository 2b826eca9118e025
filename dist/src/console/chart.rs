//! Charts of the last hours as SVG.

mod kinds;

use maud::{Markup, PreEscaped, html};
use wire::NodeName;
use wire::history::{HistoryPoint, StatsHistory};

use super::figures::minute;
use kinds::{CLUSTER, Chart, Line, NODE, Value};

/// How far back charts go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Range {
    Hour,
    #[default]
    SixHours,
    Day,
    Week,
}

impl Range {
    pub(crate) const ALL: [Range; 4] = [Range::Hour, Range::SixHours, Range::Day, Range::Week];

    /// As it is written in a query.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Range::Hour => "1h",
            Range::SixHours => "6h",
            Range::Day => "24h",
            Range::Week => "7d",
        }
    }

    /// Reads it; anything else is the default.
    pub(crate) fn of(name: &str) -> Self {
        let found = Range::ALL.into_iter().find(|range| range.name() == name);
        found.unwrap_or_default()
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Range::Hour => "hour",
            Range::SixHours => "six hours",
            Range::Day => "day",
            Range::Week => "week",
        }
    }

    pub(crate) fn seconds(self) -> u64 {
        match self {
            Range::Hour => 3600,
            Range::SixHours => 6 * 3600,
            Range::Day => 24 * 3600,
            Range::Week => 7 * 24 * 3600,
        }
    }
}

/// The drawing's size in its own units; the page scales it.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 150.0;

/// A step without samples longer than this many steps is a gap in the line.
const GAP_STEPS: u64 = 3;

/// The part of a page with the charts of the cluster, or of a node: they are drawn anew by themselves.
pub(crate) fn section(of: Option<&NodeName>, charts: &Markup, range: Range) -> Markup {
    let (page, asked) = match of {
        None => ("/".to_owned(), String::new()),
        Some(node) => (format!("/console/nodes/{node}"), format!("&node={node}")),
    };
    html! {
        section .history aria-labelledby="history-title" {
            div .row {
                h2 #history-title { "The last " (range.words()) }
                nav .ranges aria-label="How far back" {
                    @for each in Range::ALL {
                        a href={ (page) "?range=" (each.name()) "#history-title" }
                            aria-current=[(each == range).then_some("true")] { (each.name()) }
                    }
                }
            }
            div #charts data-refresh={ "/console/charts?range=" (range.name()) (asked) } { (charts) }
        }
    }
}

/// All charts of a history.
pub(crate) fn charts(history: &StatsHistory) -> Markup {
    if history.points.is_empty() {
        return nothing(history);
    }
    let kinds = match history.node {
        None => CLUSTER,
        Some(_) => NODE,
    };
    html! {
        div .charts {
            @for chart in kinds { (draw(chart, history)) }
        }
    }
}

fn nothing(history: &StatsHistory) -> Markup {
    let (lead, note) = match history.node {
        None => (
            "Nothing recorded yet",
            "A sample is taken every five seconds; the first appears in a moment.",
        ),
        Some(_) => (
            "Nothing recorded in this time",
            "A sample is taken every five seconds while the node answers.",
        ),
    };
    html! {
        div .empty {
            p .lead { (lead) }
            p { (note) }
        }
    }
}

/// What stands in their place while the database is away.
pub(crate) fn away() -> Markup {
    html! {
        div .empty {
            p .lead { "The history is in the catalog database, which does not answer" }
            p { "What is live above goes on. Samples of the next ten minutes are kept and written when it is back." }
        }
    }
}

fn draw(chart: &Chart, history: &StatsHistory) -> Markup {
    let values = |line: &Line| {
        history
            .points
            .iter()
            .filter_map(line.value)
            .collect::<Vec<_>>()
    };
    let most = chart.lines.iter().flat_map(&values).fold(0.0, f64::max);
    let top = ceiling(most, chart.thousand);
    let last = |line: &Line| latest(history).and_then(line.value);
    html! {
        figure .chart {
            figcaption {
                h3 { (chart.title) }
                @for (number, line) in chart.lines.iter().enumerate() {
                    span class={ "key line-" (number) } {
                        (line.name) " "
                        b { (last(line).map_or_else(|| "–".to_owned(), chart.unit)) }
                    }
                }
            }
            p .scale { ((chart.unit)(top)) }
            svg viewBox="0 0 480 150" preserveAspectRatio="none" role="img"
                aria-label={ (chart.title) ": at most " ((chart.unit)(most)) } {
                @for share in [0.0, 0.5, 1.0] {
                    line .grid x1="0" x2="480" y1=(y(share, 1.0)) y2=(y(share, 1.0)) {}
                }
                @for (number, line) in chart.lines.iter().enumerate() {
                    (PreEscaped(format!(
                        "<path class=\"line line-{number}\" d=\"{}\"/>", path(history, line.value, top)
                    )))
                }
            }
            div .times {
                span { (minute(history.from)) }
                span { (minute(history.to)) " UTC" }
            }
        }
    }
}

/// The point of this moment; none while nothing is recorded.
fn latest(history: &StatsHistory) -> Option<&HistoryPoint> {
    let age_ms = |point: &&HistoryPoint| history.to.0.saturating_sub(point.at.0);
    let last = history.points.last();
    last.filter(|point| age_ms(point) <= gap_ms(history))
}

/// Points that are farther apart are not joined.
fn gap_ms(history: &StatsHistory) -> u64 {
    history.step_s * 1000 * GAP_STEPS
}

/// The least round number of a unit that is not less.
fn ceiling(most: f64, thousand: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let unit = thousand.powf(most.log(thousand).floor());
    let power = unit * 10_f64.powf((most / unit).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0].into_iter();
    let fitting = steps.map(|step| step * power).find(|top| *top >= most);
    fitting.unwrap_or(10.0 * power)
}

fn y(value: f64, top: f64) -> String {
    format!("{:.1}", HEIGHT - 2.0 - value / top * (HEIGHT - 4.0))
}

/// The line through all points; where samples are missing it is broken.
fn path(history: &StatsHistory, value: Value, top: f64) -> String {
    let span = history.to.0.saturating_sub(history.from.0).max(1) as f64;
    let mut path = String::new();
    let mut before: Option<u64> = None;
    for point in &history.points {
        let Some(value) = value(point) else { continue };
        let joined = before.is_some_and(|before| point.at.0 - before <= gap_ms(history));
        let x = WIDTH * point.at.0.saturating_sub(history.from.0) as f64 / span;
        let letter = if joined { 'L' } else { 'M' };
        path.push_str(&format!("{letter}{x:.1} {}", y(value, top)));
        if !joined {
            // A single point is seen, too.
            path.push_str("h.1");
        }
        before = Some(point.at.0);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::figures::short;
    use wire::Timestamp;
    use wire::history::Measures;

    fn history(at_s: &[u64]) -> StatsHistory {
        let point = |at: &u64| {
            let measures = Measures {
                uploads_per_s: 3.0,
                ..Measures::default()
            };
            HistoryPoint::new(Timestamp(at * 1000), 1, measures)
        };
        StatsHistory {
            node: None,
            from: Timestamp(0),
            to: Timestamp(100_000),
            step_s: 10,
            points: at_s.iter().map(point).collect(),
        }
    }

    // If this fails, an outage is drawn as if there had been load.
    #[test]
    fn a_gap_in_the_samples_is_a_gap_in_the_line() {
        let path = |at_s: &[u64]| path(&history(at_s), |p| Some(p.measures.uploads_per_s), 5.0);
        assert_eq!(path(&[0, 10, 20]).matches('M').count(), 1);
        assert_eq!(path(&[0, 10, 60, 70]).matches('M').count(), 2);
        assert_eq!(path(&[]), "");
    }

    // If this fails, a line runs out of its chart.
    #[test]
    fn the_scale_is_round_and_holds_everything() {
        let tops = [0.0, 0.3, 1.0, 1.1, 4.0, 7.0, 1234.0].map(|most| ceiling(most, 1000.0));
        assert_eq!(
            tops.map(short),
            ["1.0", "0.30", "1.0", "1.5", "4.0", "8.0", "1500"]
        );
        assert_eq!(ceiling(30.0 * 1048576.0, 1024.0), 30.0 * 1048576.0);
    }

    // If this fails, a fresh cluster shows empty frames.
    #[test]
    fn nothing_recorded_says_so() {
        assert!(
            charts(&history(&[]))
                .into_string()
                .contains("Nothing recorded yet")
        );
        assert_eq!(
            charts(&history(&[0])).into_string().matches("<svg").count(),
            3
        );
        assert_eq!(Range::of("7d"), Range::Week);
        assert_eq!(Range::of("x"), Range::SixHours);
    }

    fn of_node(at_s: &[u64]) -> String {
        let history = StatsHistory {
            node: Some("node1".parse().expect("a name")),
            ..history(at_s)
        };
        charts(&history).into_string()
    }

    // If this fails, nobody sees which node is slow, or fills its disk.
    #[test]
    fn a_node_has_charts_of_its_own() {
        let text = of_node(&[100]);
        assert_eq!(text.matches("<svg").count(), 6);
        for title in ["Throughput", "Latency", "Storage", "Processor"] {
            assert!(text.contains(&format!("<h3>{title}</h3>")), "{text}");
        }
        assert!(of_node(&[]).contains("while the node answers"));
    }

    // If this fails, a node that died an hour ago seems to be busy now.
    #[test]
    fn what_was_long_ago_is_not_what_is_now() {
        let is_now = |at_s: &[u64]| of_node(at_s).contains("uploads <b>3.0/s</b>");
        assert!(is_now(&[0, 70]) && is_now(&[100]));
        assert!(!is_now(&[0, 60]));
    }

    // If this fails, another range, or the next look, shows the cluster's charts in place of the node's.
    #[test]
    fn a_section_stays_with_whom_it_shows() {
        let node = "node1".parse().expect("a name");
        let section = |of| section(of, &html! {}, Range::Day).into_string();
        let text = section(Some(&node));
        assert!(
            text.contains("href=\"/console/nodes/node1?range=7d#history-title\""),
            "{text}"
        );
        assert!(
            text.contains("data-refresh=\"/console/charts?range=24h&amp;node=node1\""),
            "{text}"
        );
        let text = section(None);
        assert!(text.contains("href=\"/?range=7d#history-title\""), "{text}");
        assert!(text.contains("data-refresh=\"/console/charts?range=24h\""));
    }
}
