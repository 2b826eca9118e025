//! A terminal's whole screen, borrowed for a while and given back in every way out.
//!
//! What was on the screen before is there again afterwards. Keys come at once and are not shown;
//! Ctrl-C and Ctrl-Z stay signals. Giving back happens when a [`Screen`] is dropped, thus also on an
//! error or when its task is cancelled, and before a panic says what went wrong. Signals that end a
//! process are its owner's to catch.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen, without a cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";

/// The cursor, and the screen that was there before.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// What a terminal has that does not tell its size.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// What must be given back; none while nothing is borrowed.
static BORROWED: Mutex<Option<Borrowed>> = Mutex::new(None);

struct Borrowed {
    /// How keys were read before; none where standard input is no terminal.
    input: Option<Termios>,
}

/// The borrowed screen of standard output.
#[derive(Debug)]
pub struct Screen(());

impl Screen {
    /// Borrows the screen. Without a terminal as standard input it cannot be asked for keys.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        borrow()?;
        Ok(Screen(()))
    }

    /// Whether keys come.
    pub fn has_keys(&self) -> bool {
        io::stdin().is_terminal()
    }

    /// Columns and rows, as they are now.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => SIZE_DEFAULT,
        }
    }

    /// Stops the process as Ctrl-Z does, with the screen given back until it goes on.
    ///
    /// # Errors
    /// When the terminal refuses to be borrowed again.
    pub fn pause(&self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::STOP)?;
        borrow()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What shows these lines from the top of a screen of so many rows, and nothing else.
pub fn frame(lines: &[String], rows: usize) -> String {
    // Each row is cleared before it is written: behind its last column nothing can be. No line ends
    // the last row, or the screen would scroll.
    let row = |at: usize| format!("\u{1b}[2K{}", lines.get(at).map_or("", String::as_str));
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("\u{1b}[H{}", rows.join("\r\n"))
}

fn borrow() -> io::Result<()> {
    let input = if io::stdin().is_terminal() {
        let before = tcgetattr(io::stdin())?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        Some(before)
    } else {
        None
    };
    *BORROWED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Borrowed { input });
    say(ENTER);
    Ok(())
}

fn give_back() {
    let borrowed = BORROWED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(Borrowed { input }) = borrowed else {
        return;
    };
    say(LEAVE);
    if let Some(before) = input {
        // A terminal that is gone needs nothing back.
        let _given = tcsetattr(io::stdin(), OptionalActions::Now, &before).is_ok();
    }
}

/// That a terminal does not take it is nothing that anybody can be told.
fn say(sequence: &str) {
    let mut out = io::stdout().lock();
    let _said = out.write_all(sequence.as_bytes()).is_ok() && out.flush().is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, parts of the last picture stay on the screen, or the last row scrolls it away.
    #[test]
    fn a_frame_covers_what_was_there() {
        let lines = ["a".to_owned(), "b".to_owned()];
        let shown = frame(&lines, 3);
        assert_eq!(shown, "\u{1b}[H\u{1b}[2Ka\r\n\u{1b}[2Kb\r\n\u{1b}[2K");
        assert_eq!(frame(&lines, 1), "\u{1b}[H\u{1b}[2Ka");
    }
}
