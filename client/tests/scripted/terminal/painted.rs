//! Tables and colours: on a terminal, and nowhere else.

use std::path::Path;

use super::Terminal;
use crate::command::{binary, run, signal};
use crate::fake::Fake;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a terminal shows of a run, with these variables.
fn shown(fake: &Fake, arguments: &[&str], variables: &[(&str, &str)], end: &str) -> String {
    let terminal = Terminal::open();
    let mut command = binary(fake, here(), arguments);
    let mut child = terminal.spawn(command.envs(variables.iter().copied()));
    child.wait().expect("ends");
    terminal.until_shown(end, 1)
}

// If this fails, a person has to count digits, or a script gets a table.
#[test]
fn a_list_is_a_table_on_a_terminal_alone() {
    let fake = Fake::start();
    let id = fake.put("a b", &[0; 1536]).to_string();
    let table = shown(&fake, &["list"], &[("NO_COLOR", "1")], "a b");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("id  ") && lines[0].ends_with("changed (UTC)        name"));
    assert_eq!(
        lines[1],
        format!("{id}     1.5 KiB  2026-01-31 12:00:00  a b")
    );
    let json = shown(&fake, &["list", "--json"], &[], "\n");
    assert!(json.starts_with('{'), "{json}");
    let piped = run(&fake, here(), &["list"]).out;
    assert_eq!(
        piped,
        format!("{id}\t1536\t2026-01-31T12:00:00.000Z\ta b\n")
    );
}

// If this fails, colours end in files, or cannot be turned off.
#[test]
fn colours_are_for_terminals_that_want_them() {
    let fake = Fake::start();
    let wrong = Fake::absent(&crate::nobody());
    let all = [
        (&fake, "stats"),
        (&fake, "nodes"),
        (&fake, "shards"),
        (&fake, "doctor"),
        (&wrong, "nodes"),
    ];
    for (fake, command) in all {
        let on_terminal = |variables, end| shown(fake, &[command], variables, end);
        // At the same time: each needs seconds to give up one that is not there.
        std::thread::scope(|looks| {
            looks.spawn(|| {
                let ran = run(fake, here(), &[command]);
                assert!(
                    !ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'),
                    "{command}: {}",
                    ran.out
                );
            });
            looks.spawn(|| {
                let plain = on_terminal(&[("NO_COLOR", "1")], "\n");
                assert!(!plain.contains('\u{1b}'), "{command}: {plain:?}");
            });
            looks.spawn(|| {
                let dumb = on_terminal(&[("TERM", "dumb")], "\n");
                assert!(!dumb.contains('\u{1b}'), "{command}: {dumb:?}");
            });
            looks.spawn(|| {
                let painted = on_terminal(&[("NO_COLOR", ""), ("TERM", "xterm")], "\u{1b}[");
                assert!(painted.contains("\u{1b}[0m"), "{command}: {painted:?}");
            });
        });
    }
}

// If this fails, a terminal that understands no sequences shows a mess, and no numbers.
#[test]
fn a_dumb_terminal_gets_rows_instead_of_a_screen() {
    let (terminal, fake) = (Terminal::open(), Fake::start());
    let mut command = binary(&fake, here(), &["stats", "--watch"]);
    let mut child = terminal.spawn(command.env("TERM", "dumb"));
    let shown = terminal.until("the first row", |shown| {
        shown.contains("Acequia") || shown.lines().count() > 1
    });
    signal(&child, "-INT");
    let code = child.wait().expect("ends").code();
    assert!(shown.trim_start().starts_with("time "), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert_eq!(code, Some(130), "it ends as in a pipe");
}
