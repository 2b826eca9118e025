//! Colours: which there are, and when a terminal is given them.
//!
//! Only a terminal is, and not when `NO_COLOR` says so or it is a dumb one. Whatever is written
//! elsewhere is plain, so that programs can read it.

use std::ffi::OsStr;

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Not as it should be.
    Bad,
    /// What one looks for first.
    Strong,
    /// What can be passed over.
    Faint,
}

impl Hue {
    fn code(self) -> &'static str {
        match self {
            Hue::Good => "32",
            Hue::Warning => "33",
            Hue::Bad => "1;31",
            Hue::Strong => "1",
            Hue::Faint => "2",
        }
    }
}

/// Paints, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    shown: bool,
}

impl Palette {
    /// Paints nothing.
    pub const PLAIN: Palette = Palette { shown: false };

    /// Paints.
    #[cfg(test)]
    pub(crate) fn of_terminal() -> Self {
        Palette { shown: true }
    }

    /// Paints for a terminal, unless the environment's `NO_COLOR` or `TERM` speak against it.
    pub fn of_environment(terminal: bool) -> Self {
        let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        Self::decide(terminal, no_color.as_deref(), term.as_deref())
    }

    /// <https://no-color.org>: any value but the empty one refuses colours.
    fn decide(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        let dumb = term.is_some_and(|term| term == "dumb");
        Palette {
            shown: terminal && !refused && !dumb,
        }
    }

    /// The text in its colour, if colours are wanted.
    pub fn paint(self, hue: Hue, text: &str) -> String {
        if self.shown && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", hue.code())
        } else {
            text.to_owned()
        }
    }
}

/// How many columns a text takes that may be painted.
pub fn width(text: &str) -> usize {
    let mut columns = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A colour ends with its `m`.
            characters.by_ref().find(|&c| c == 'm');
        } else {
            columns += 1;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(terminal: bool, no_color: Option<&str>, term: Option<&str>) -> bool {
        Palette::decide(terminal, no_color.map(OsStr::new), term.map(OsStr::new)).shown
    }

    // If this fails, escape sequences end in files, or somebody who wants no colours gets them.
    #[test]
    fn only_a_terminal_that_wants_colours_gets_them() {
        assert!(decided(true, None, None));
        assert!(decided(true, Some(""), Some("xterm-256color")));
        assert!(!decided(true, Some("1"), Some("xterm")));
        assert!(!decided(true, Some("0"), None), "any value refuses");
        assert!(!decided(true, None, Some("dumb")));
        assert!(!decided(false, None, Some("xterm")));
    }

    // If this fails, columns beside a painted word are moved, or a colour runs on.
    #[test]
    fn paint_takes_no_room_and_ends() {
        let shown = Palette::of_terminal();
        for hue in [Hue::Good, Hue::Warning, Hue::Bad, Hue::Strong, Hue::Faint] {
            let painted = shown.paint(hue, "down");
            assert_eq!(width(&painted), 4, "{painted:?}");
            assert!(painted.ends_with("down\u{1b}[0m"), "{painted:?}");
            assert_eq!(Palette::PLAIN.paint(hue, "down"), "down");
        }
        assert_eq!(shown.paint(Hue::Bad, ""), "");
        assert_eq!(width("é1"), 2);
    }
}
