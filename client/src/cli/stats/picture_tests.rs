//! The picture, in rooms of any size.

use super::*;
use crate::ui::colour;
use proptest::prelude::{any, prop_assert, proptest};
use wire::stats::Traffic;

const MINUTE_MS: u64 = 1_769_860_800_000;

fn node(step: u64) -> NodeStats {
    NodeStats {
        cpu: 25.0,
        storage: 96 << 20,
        storagep: 96.0,
        max_storage: 100 << 20,
        unlisted: 7,
        damaged: 2,
        traffic: Traffic {
            uploads: step * 10,
            upload_us: step * 40_000,
            bytes_in: step * (4 << 20),
            ..Traffic::default()
        },
        ..NodeStats::default()
    }
}

/// So many nodes, of which the last is down, after so many looks.
fn seen(nodes: usize, looks: u64) -> (ClusterStats, Past) {
    let stats = |step: u64| ClusterStats {
        nodes: (1..=nodes)
            .map(|at| {
                let name = format!("node{at}").parse().expect("a name");
                (name, (at < nodes).then(|| node(step)))
            })
            .collect(),
        total: node(step),
        contents_led: 12,
        shards: Vec::new(),
    };
    let mut past = Past::default();
    for step in 0..looks {
        past.look(MINUTE_MS + step * 2_000, &stats(step));
    }
    (stats(looks.saturating_sub(1)), past)
}

fn drawn(nodes: usize, looks: u64, size: (usize, usize), trouble: Option<&str>) -> Vec<String> {
    let (stats, past) = seen(nodes, looks);
    let view = View {
        url: "http://127.0.0.1:8000",
        now_ms: MINUTE_MS + looks.saturating_sub(1) * 2_000,
        stats: &stats,
        past: &past,
        trouble,
        help: "q ends",
    };
    draw(&view, size, Palette::PLAIN)
}

// If this fails, whoever watches does not see what goes on, or on which node.
#[test]
fn everything_is_in_the_picture_if_there_is_room() {
    let lines = drawn(3, 6, (120, 30), None);
    let line = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no {start:?} in\n{}", lines.join("\n")))
            .as_str()
    };
    let head = line("Acequia  http://127.0.0.1:8000  2 of 3 nodes  12 contents");
    assert!(head.contains("96.0 MiB of 100.0 MiB (96.0 %)") && head.ends_with("12:00:10 UTC"));
    // Two nodes each receive 4 MiB in 2 seconds, in 10 uploads of 4 ms.
    let received = line("received ");
    assert!(
        received.contains("4.0 MiB/s") && received.contains("██"),
        "{received}"
    );
    assert!(line("uploads ").contains("10.0/s"));
    assert!(line("an upload ").contains("4.0 ms"));
    assert!(
        line("a read ").contains(" -  "),
        "nobody read: {}",
        line("a read ")
    );
    let node = line("node1 ");
    for part in [
        "25 % ",
        "96.0 % ",
        "100.0 MiB",
        "2.0 MiB/s",
        "0 B/s",
        "7 unlisted",
        "2 damaged",
    ] {
        assert!(node.contains(part), "{part} in {node}");
    }
    assert!(
        node.contains('▃') && node.contains("███"),
        "a curve and a bar: {node}"
    );
    assert!(line("node3 ").ends_with("down"));
    assert_eq!(lines.last().map(String::as_str), Some("q ends"));
    let troubled = drawn(3, 6, (120, 30), Some("nobody answers"));
    assert_eq!(troubled.last().map(String::as_str), Some("nobody answers"));
}

// If this fails, headings do not stand above what they name.
#[test]
fn headings_stand_above_their_columns() {
    let lines = drawn(2, 6, (120, 30), None);
    let heading = lines
        .iter()
        .find(|line| line.starts_with("node "))
        .expect("a heading");
    let row = lines
        .iter()
        .find(|line| line.starts_with("node1 "))
        .expect("a row");
    let column = |line: &str, part: &str| {
        let at = line
            .find(part)
            .unwrap_or_else(|| panic!("{part} in {line}"));
        line[..at].chars().count()
    };
    assert_eq!(column(heading, "of "), column(row, "100.0 MiB"));
    let end = |line: &str, part: &str| column(line, part) + part.chars().count();
    assert_eq!(end(heading, "received"), end(row, "2.0 MiB/s"));
    assert_eq!(end(heading, "sent"), end(row, "0 B/s"));
    assert_eq!(end(heading, "cpu"), end(row, "25 %"));
    assert_eq!(end(heading, "storage"), end(row, "96.0 %"));
}

// If this fails, a small window shows the least important, or hides that there are more nodes.
#[test]
fn what_matters_most_stays_in_a_small_room() {
    let whole = drawn(3, 6, (100, 16), None).join("\n");
    assert!(
        whole.contains("received ") && whole.contains("node3"),
        "{whole}"
    );
    let small = drawn(9, 6, (100, 8), None);
    assert!(
        !small.iter().any(|line| line.starts_with("received  ")),
        "no room for charts"
    );
    assert_eq!(small[small.len() - 2], "and 5 more", "{small:?}");
    assert_eq!(small.len(), 8);
}

// If this fails, the first picture has holes where nothing is known yet, or ends the program.
#[test]
fn one_look_is_enough_for_a_picture() {
    let text = drawn(2, 1, (100, 24), None).join("\n");
    assert!(text.contains("node1") && text.contains("96.0 %"), "{text}");
    assert!(drawn(0, 0, (100, 24), None)[0].contains("0 of 0 nodes"));
}

// If this fails, colours are missing on a terminal.
#[test]
fn a_terminal_gets_colours() {
    let (stats, past) = seen(2, 3);
    let view = View {
        url: "u",
        now_ms: MINUTE_MS,
        stats: &stats,
        past: &past,
        trouble: None,
        help: "",
    };
    let painted = draw(&view, (80, 24), Palette::of_terminal());
    assert!(
        painted.iter().any(|line| line.contains("\u{1b}[1;31mdown")),
        "{painted:?}"
    );
}

proptest! {
    // If this fails, a picture runs over the window's edge and tears it.
    #[test]
    fn the_picture_fits_into_any_room(
        nodes in 0_usize..40, looks in 0_u64..8, width in 0_usize..260, height in 0_usize..60,
        painted in any::<bool>(),
    ) {
        let (stats, past) = seen(nodes, looks);
        let view = View {
            url: "http://127.0.0.1:8000",
            now_ms: MINUTE_MS,
            stats: &stats,
            past: &past,
            trouble: None,
            help: "q ends",
        };
        let palette = if painted { Palette::of_terminal() } else { Palette::PLAIN };
        let lines = draw(&view, (width, height), palette);
        prop_assert!(lines.len() <= height);
        prop_assert!(lines.iter().all(|line| colour::width(line) <= width && !line.contains('\n')));
    }
}
