//! One line of a picture: pieces of text, each in its colour, cut to the room that there is.

use super::colour::{Hue, Palette};

/// Pieces, from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Option<Hue>, String)>,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece in no colour.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.pieces.push((None, text.into()));
        self
    }

    /// Adds a piece in a colour.
    #[must_use]
    pub fn painted(mut self, hue: Hue, text: impl Into<String>) -> Self {
        self.pieces.push((Some(hue), text.into()));
        self
    }

    /// Adds another line's pieces.
    #[must_use]
    pub fn then(mut self, other: Line) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// How many characters it has.
    pub fn width(&self) -> usize {
        self.pieces
            .iter()
            .map(|(_, text)| text.chars().count())
            .sum()
    }

    /// The line in colours, of at most `width` characters, without any that commands a terminal.
    pub fn fit(&self, width: usize, palette: Palette) -> String {
        let mut left = width;
        let mut fitted = String::new();
        for (hue, text) in &self.pieces {
            let shown: String = text
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .take(left)
                .collect();
            left -= shown.chars().count();
            match hue {
                Some(hue) => fitted += &palette.paint(*hue, &shown),
                None => fitted += &shown,
            }
        }
        fitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::colour;

    // If this fails, a picture breaks into more lines than the terminal has, or commands it.
    #[test]
    fn a_line_is_cut_where_the_room_ends() {
        let line = Line::new()
            .text("node1 ")
            .painted(Hue::Bad, "do\u{1b}wn")
            .then(Line::new().text(" now"));
        assert_eq!(line.width(), 15);
        for width in 0..20 {
            let fitted = line.fit(width, Palette::PLAIN);
            assert_eq!(fitted.chars().count(), width.min(15));
            let painted = line.fit(width, Palette::of_terminal());
            assert_eq!(colour::width(&painted), width.min(15), "{painted:?}");
        }
        assert_eq!(line.fit(9, Palette::PLAIN), "node1 do\u{fffd}");
    }
}
