//! `stats --watch` on a terminal, and how it gives the terminal back.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use client::ui::screen::Screen;
use wire::Code;

use super::{PATIENCE, Terminal};
use crate::command::{binary, signal};
use crate::fake::{Fake, Fault};

const ENTERED: &str = "\u{1b}[?1049h";
const LEFT: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// Well below the time that a small exchange may take.
const SOON: Duration = Duration::from_secs(20);

/// Tells this program's own binary to panic with a borrowed screen.
const PANIC: &str = "PANIC_ON_THE_SCREEN";

fn watching(terminal: &Terminal, fake: &Fake) -> Child {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let child = terminal.spawn(&mut binary(fake, here, &["stats", "--watch"]));
    terminal.until_shown("Acequia", 1);
    assert!(terminal.reads_keys());
    child
}

#[track_caller]
fn is_given_back(terminal: &Terminal, mut child: Child, code: i32) -> String {
    let ended = child.wait().expect("ends");
    assert_eq!(ended.code(), Some(code));
    assert!(terminal.reads_lines(), "its keys are as they were");
    terminal.until_shown(LEFT, 1)
}

/// What stops is told of by the system alone.
fn until_stopped(child: &Child) {
    let stat = format!("/proc/{}/stat", child.id());
    let end = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&stat)
        .expect("it runs")
        .contains(") T ")
    {
        assert!(Instant::now() < end, "it does not stop");
        std::thread::sleep(Duration::from_millis(2));
    }
}

// If this fails, there is no live view, or `q` does not end it cleanly.
#[test]
fn a_picture_is_drawn_until_q_ends_it() {
    let (mut terminal, fake) = (Terminal::open(), Fake::start());
    assert!(terminal.reads_lines());
    let child = watching(&terminal, &fake);
    let shown = terminal.until("a second picture", |shown| {
        shown.matches("Acequia").count() > 1
    });
    for part in [
        "1 of 2",
        "received",
        "an upload",
        "node1",
        "storage",
        "down",
        "q or Ctrl-C ends",
    ] {
        assert!(shown.contains(part), "{part} in {shown:?}");
    }
    assert!(shown.starts_with(ENTERED), "what was there before is kept");
    terminal.press("x");
    terminal.press("q");
    let shown = is_given_back(&terminal, child, 0);
    assert!(!shown.contains("error"), "{shown:?}");
}

// If this fails, a terminal is unusable after Ctrl-C, or after its program was ended.
#[test]
fn signals_give_the_terminal_back() {
    for (name, code) in [("-INT", 0), ("-TERM", 130), ("-HUP", 130), ("-QUIT", 130)] {
        let (terminal, fake) = (Terminal::open(), Fake::start());
        let child = watching(&terminal, &fake);
        signal(&child, name);
        let shown = is_given_back(&terminal, child, code);
        let after = shown.split(LEFT).nth(1).expect("it was given back");
        assert!(code == 130 || after.is_empty(), "{name}: {after:?}");
    }
}

// If this fails, Ctrl-Z leaves the shell with a screen that is not its own.
#[test]
fn a_stopped_program_has_no_screen() {
    let (mut terminal, fake) = (Terminal::open(), Fake::start());
    let child = watching(&terminal, &fake);
    signal(&child, "-TSTP");
    terminal.until_shown(LEFT, 1);
    until_stopped(&child);
    assert!(terminal.reads_lines(), "its keys are as they were");
    signal(&child, "-CONT");
    terminal.until_shown(ENTERED, 2);
    terminal.press("q");
    is_given_back(&terminal, child, 0);
}

// If this fails, a past that could not be read looks as if there was none.
#[test]
fn a_past_that_is_refused_is_told() {
    let (mut terminal, fake) = (Terminal::open(), Fake::start());
    // What could be over in a moment would be asked again.
    fake.fail("GET /stats/history", Fault::Refuse(Code::Unauthorized));
    let child = watching(&terminal, &fake);
    terminal.until_shown("not all of the past is shown: refused by the script", 1);
    terminal.press("q");
    is_given_back(&terminal, child, 0);
}

// If this fails, a cluster that is away for a moment ends the view, or looks as if all went on.
#[test]
fn what_is_not_answered_is_told_and_asked_for_again() {
    let (mut terminal, fake) = (Terminal::open(), Fake::start());
    let child = watching(&terminal, &fake);
    fake.fail("GET /stats", Fault::Refuse(Code::Unauthorized));
    terminal.until_shown("nothing newer: refused by the script", 1);
    terminal.until("a picture without it", |shown| {
        let after = shown.rsplit("nothing newer").next();
        after.is_some_and(|after| after.contains("q or Ctrl-C ends"))
    });
    terminal.press("q");
    is_given_back(&terminal, child, 0);
}

// If this fails, a cluster that is not there leaves an empty screen instead of an error.
#[test]
fn a_cluster_that_is_away_is_told_as_by_every_command() {
    let (terminal, here) = (Terminal::open(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let fake = Fake::absent(&crate::nobody());
    let mut child = terminal.spawn(&mut binary(&fake, here, &["stats", "--watch"]));
    assert_eq!(child.wait().expect("ends").code(), Some(4));
    let shown = terminal.until_shown("ACEQUIA_URL", 1);
    assert!(!shown.contains(ENTERED), "{shown:?}");
}

// If this fails, the screen of a cluster that hangs stays empty, and nobody learns who is silent.
#[test]
fn a_silent_distributor_is_not_waited_for() {
    std::thread::scope(|both| {
        both.spawn(silence_is_told_on_the_screen);
        both.spawn(silence_from_the_beginning_ends_it);
    });
}

fn silence_is_told_on_the_screen() {
    let (mut terminal, fake) = (Terminal::open(), Fake::start());
    for _ in ["the cluster", "node1", "node2"] {
        fake.fail("GET /stats/history", Fault::Silence);
    }
    let begun = Instant::now();
    let child = watching(&terminal, &fake);
    let told = format!("not all of the past is shown: {}", fake.url);
    terminal.until_shown(&told, 1);
    fake.fail("GET /stats", Fault::Silence);
    terminal.until_shown("did not answer in time", 1);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    terminal.press("q");
    is_given_back(&terminal, child, 0);
}

fn silence_from_the_beginning_ends_it() {
    let (terminal, fake) = (Terminal::open(), Fake::start());
    let begun = Instant::now();
    fake.fail("GET /stats", Fault::Silence);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = terminal.spawn(&mut binary(&fake, here, &["stats", "--watch"]));
    assert_eq!(child.wait().expect("ends").code(), Some(4));
    terminal.until_shown(&format!("{}/stats did not answer in time", fake.url), 1);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

// If this fails, a fault of ours leaves a terminal without echo, and nobody sees what went wrong.
#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(PANIC).is_some() {
        let _screen = Screen::open().expect("a screen");
        panic!("a fault of ours");
    }
    let terminal = Terminal::open();
    let itself = std::env::current_exe().expect("this program");
    let mut command = Command::new(itself);
    let name = "terminal::watched::a_panic_gives_the_terminal_back_before_it_is_told";
    command
        .args(["--exact", name, "--nocapture"])
        .env(PANIC, "1");
    let mut child = terminal.spawn(&mut command);
    assert!(!child.wait().expect("ends").success());
    assert!(terminal.reads_lines(), "its keys are as they were");
    let shown = terminal.until_shown("a fault of ours", 1);
    let (borrowed, after) = shown.split_once(LEFT).expect("it was given back");
    assert!(
        borrowed.contains(ENTERED) && after.contains("a fault of ours"),
        "{shown:?}"
    );
}
