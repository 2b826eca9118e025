//! The picture that `stats --watch` shows: a function of what is known and of the room that there is.

use wire::NodeName;
use wire::Timestamp;
use wire::history::Measures;
use wire::limits::{STORAGE_PERCENT_PLACED_MAX, STORAGE_PERCENT_STORED_MAX};
use wire::stats::{ClusterStats, NodeStats};

use crate::ui::colour::{Hue, Palette};
use crate::ui::line::Line;
use crate::ui::{chart, human};

use super::past::{Course, Past};

/// What is shown.
pub(super) struct View<'a> {
    pub(super) url: &'a str,
    pub(super) now_ms: u64,
    pub(super) stats: &'a ClusterStats,
    pub(super) past: &'a Past,
    /// Why there is nothing newer, if so.
    pub(super) trouble: Option<&'a str>,
    /// What one can do.
    pub(super) help: &'a str,
}

/// One row of charts: of which measure, and how that is written.
struct Chart {
    name: &'static str,
    value: fn(&Measures) -> Option<f64>,
    shown: fn(f64) -> String,
}

const CHARTS: [Chart; 6] = [
    Chart {
        name: "received",
        value: |measures| Some(measures.bytes_in_per_s),
        shown: rate,
    },
    Chart {
        name: "sent",
        value: |measures| Some(measures.bytes_out_per_s),
        shown: rate,
    },
    Chart {
        name: "uploads",
        value: |measures| Some(measures.uploads_per_s),
        shown: per_second,
    },
    Chart {
        name: "reads",
        value: |measures| Some(measures.reads_per_s),
        shown: per_second,
    },
    Chart {
        name: "an upload",
        value: Measures::upload_ms,
        shown: milliseconds,
    },
    Chart {
        name: "a read",
        value: Measures::read_ms,
        shown: milliseconds,
    },
];

/// Columns beside a chart: its name, what is now, and the most there was.
const NAME_WIDTH: usize = 10;
const VALUE_WIDTH: usize = 14;
const MOST_WIDTH: usize = 20;

/// Columns of a node's row beside its charts and its name.
const NODE_WIDTH: usize = 58;
const NODE_NAME_WIDTH_MAX: usize = 20;
const BAR_WIDTH_MAX: usize = 24;

/// Rows beside charts and nodes: the head, the help, and the nodes' heading.
const ROWS_FIXED: usize = 3;

/// The picture's lines, of at most `width` characters, `height` at most.
pub(super) fn draw(view: &View, (width, height): (usize, usize), palette: Palette) -> Vec<String> {
    let nodes = view.stats.nodes.len();
    let room = height.saturating_sub(ROWS_FIXED);
    // Charts are only drawn if a node has room below them; blank lines come last.
    let charts = room > CHARTS.len();
    let room = room - if charts { CHARTS.len() } else { 0 };
    let blanks = room >= nodes + 3;
    let blank = || blanks.then(Line::new);
    let mut lines = vec![head(view)];
    lines.extend(blank());
    if charts {
        lines.extend(CHARTS.iter().map(|chart| chart.draw(view, width)));
        lines.extend(blank());
    }
    lines.extend(node_rows(view, width, room));
    lines.extend(blank());
    lines.push(foot(view));
    lines.truncate(height);
    lines.iter().map(|line| line.fit(width, palette)).collect()
}

fn head(view: &View) -> Line {
    let ClusterStats {
        nodes,
        total,
        contents_led,
        ..
    } = view.stats;
    let up = nodes.values().flatten().count();
    let hue = if up < nodes.len() {
        Hue::Bad
    } else {
        Hue::Good
    };
    let stored = format!(
        "{contents_led} contents  {} of {} ({:.1} %)",
        human::size(total.storage),
        human::size(total.max_storage),
        total.storagep
    );
    Line::new()
        .painted(Hue::Strong, "Acequia")
        .text(format!("  {}  ", view.url))
        .painted(hue, format!("{up} of {} nodes", nodes.len()))
        .text(format!("  {stored}  {}", time(view.now_ms)))
}

/// The time of day, in UTC.
pub(super) fn time(now_ms: u64) -> String {
    let date = Timestamp(now_ms).to_string();
    let time = date.get(11..19).unwrap_or(&date);
    format!("{time} UTC")
}

fn foot(view: &View) -> Line {
    match view.trouble {
        Some(trouble) => Line::new().painted(Hue::Bad, trouble),
        None => Line::new().painted(Hue::Faint, view.help),
    }
}

impl Chart {
    fn draw(&self, view: &View, width: usize) -> Line {
        let room = width.saturating_sub(NAME_WIDTH + VALUE_WIDTH + MOST_WIDTH);
        let columns = view.past.cluster.columns(view.now_ms, room);
        let values: Vec<Option<f64>> = columns
            .iter()
            .map(|column| column.as_ref().and_then(self.value))
            .collect();
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        let now = view.past.cluster.now().and_then(self.value);
        let now = now.map_or_else(|| "-".to_owned(), self.shown);
        let Chart { name, shown, .. } = self;
        Line::new()
            .text(format!("{name:<NAME_WIDTH$}{now:>12}  "))
            .painted(Hue::Good, chart::curve(&values, most))
            .painted(Hue::Faint, format!("  most {}", shown(most)))
    }
}

/// The nodes, with their heading; those that there is no room for are counted.
fn node_rows(view: &View, width: usize, room: usize) -> Vec<Line> {
    let widths = NodeWidths::new(view, width);
    let mut lines = vec![widths.heading()];
    let nodes = &view.stats.nodes;
    let shown = if nodes.len() > room {
        room.saturating_sub(1)
    } else {
        nodes.len()
    };
    for (name, stats) in nodes.iter().take(shown) {
        lines.push(match stats {
            Some(stats) => widths.row(view, name, stats),
            None => Line::new()
                .text(format!("{:<1$}", name.as_str(), widths.name))
                .painted(Hue::Bad, "down"),
        });
    }
    if shown < nodes.len() {
        let more = format!("and {} more", nodes.len() - shown);
        lines.push(Line::new().painted(Hue::Faint, more));
    }
    lines
}

/// How wide the parts of a node's row are.
struct NodeWidths {
    name: usize,
    curve: usize,
    bar: usize,
}

impl NodeWidths {
    fn new(view: &View, width: usize) -> Self {
        let names = view.stats.nodes.keys().map(|name| name.as_str().len());
        let name = names.max().unwrap_or(0).min(NODE_NAME_WIDTH_MAX) + 2;
        let each = view.stats.nodes.values().flatten();
        let notes = each.map(|stats| notes(stats).width()).max().unwrap_or(0);
        let free = width.saturating_sub(name + NODE_WIDTH + notes);
        let bar = (free / 2).min(BAR_WIDTH_MAX);
        NodeWidths {
            name,
            bar,
            curve: free - bar,
        }
    }

    fn heading(&self) -> Line {
        let (name, curve, bar) = (self.name, self.curve, self.bar);
        let (load, storage) = ("cpu", "storage");
        Line::new().painted(
            Hue::Faint,
            format!(
                "{:<name$}{load:>6} {:curve$}  {storage:>7} {:bar$} {:<12}{:>12}{:>12}",
                "node", "", "", "of", "received", "sent"
            ),
        )
    }

    fn row(&self, view: &View, name: &NodeName, stats: &NodeStats) -> Line {
        let course = view.past.nodes.get(name);
        let now = course.and_then(Course::now);
        let rate_of = |value: fn(&Measures) -> f64| {
            now.map_or_else(|| "-".to_owned(), |measures| rate(value(measures)))
        };
        let shown = name
            .as_str()
            .chars()
            .take(NODE_NAME_WIDTH_MAX)
            .collect::<String>();
        let (of, hue) = (human::size(stats.max_storage), fullness(stats.storagep));
        let line = Line::new()
            .text(format!("{shown:<0$}{1:>4.0} % ", self.name, stats.cpu))
            .painted(Hue::Good, self.load(view, course))
            .text(format!("  {:>5.1} % ", stats.storagep))
            .painted(hue, chart::bar(stats.storagep / 100.0, self.bar))
            .text(format!(" {of:<12}"))
            .text(format!(
                "{:>12}",
                rate_of(|measures| measures.bytes_in_per_s)
            ))
            .text(format!(
                "{:>12}",
                rate_of(|measures| measures.bytes_out_per_s)
            ));
        line.then(notes(stats))
    }

    fn load(&self, view: &View, course: Option<&Course>) -> String {
        let columns = course.map(|course| course.columns(view.now_ms, self.curve));
        let columns = columns.unwrap_or_else(|| vec![None; self.curve]);
        let values: Vec<_> = columns
            .iter()
            .map(|column| column.as_ref().map(|m| m.cpu))
            .collect();
        chart::curve(&values, 100.0)
    }
}

/// What a node's row says at its end, if anything is to be said.
fn notes(stats: &NodeStats) -> Line {
    let mut line = Line::new();
    if stats.unlisted > 0 {
        line = line.painted(Hue::Warning, format!("  {} unlisted", stats.unlisted));
    }
    if stats.damaged > 0 {
        line = line.painted(Hue::Bad, format!("  {} damaged", stats.damaged));
    }
    line
}

/// In which colour a disk is shown that is full to this share.
fn fullness(percent: f64) -> Hue {
    if percent > STORAGE_PERCENT_STORED_MAX {
        Hue::Bad
    } else if percent > STORAGE_PERCENT_PLACED_MAX {
        Hue::Warning
    } else {
        Hue::Good
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for the eye, and never negative"
)]
fn rate(bytes_per_s: f64) -> String {
    format!("{}/s", human::size(bytes_per_s.round() as u64))
}

fn per_second(value: f64) -> String {
    format!("{value:.1}/s")
}

fn milliseconds(value: f64) -> String {
    format!("{value:.1} ms")
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
