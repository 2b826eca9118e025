//! Charts of one line: a curve of small bars, and a bar that is full to a share.

/// A curve's bars, the lowest first.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar's last cell, the narrowest first.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

const EMPTY: char = '·';

/// A character for each value, as high as its share of `most`; a blank where nothing is known.
pub fn curve(values: &[Option<f64>], most: f64) -> String {
    let level = |value: &Option<f64>| match value {
        Some(value) if most > 0.0 => {
            let height = (value / most).clamp(0.0, 1.0) * (LEVELS.len() - 1) as f64;
            LEVELS[whole(height.ceil(), LEVELS.len() - 1)]
        }
        Some(_) => LEVELS[0],
        None => ' ',
    };
    values.iter().map(level).collect()
}

/// A bar of `width` characters, full to this share between 0 and 1.
pub fn bar(share: f64, width: usize) -> String {
    let eighths = whole(
        (share.clamp(0.0, 1.0) * (width * 8) as f64).round(),
        width * 8,
    );
    let mut cells = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        cells.push(EIGHTHS[eighths % 8 - 1]);
    }
    let used = cells.chars().count();
    cells.extend(std::iter::repeat_n(EMPTY, width - used));
    cells
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a small range that begins at 0; NaN becomes 0"
)]
fn whole(value: f64, most: usize) -> usize {
    (value.max(0.0) as usize).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    // If this fails, a busy minute looks like a quiet one, or a gap like a zero.
    #[test]
    fn a_curve_is_as_high_as_its_values() {
        let values = [None, Some(0.0), Some(1.0), Some(50.0), Some(100.0)];
        assert_eq!(curve(&values, 100.0), " ▁▂▅█");
        assert_eq!(curve(&values, 0.0), " ▁▁▁▁", "nothing was ever done");
        assert_eq!(curve(&[], 1.0), "");
    }

    // If this fails, a full disk looks half empty.
    #[test]
    fn a_bar_is_as_full_as_its_share() {
        assert_eq!(bar(0.0, 4), "····");
        assert_eq!(bar(0.5, 4), "██··");
        assert_eq!(bar(0.55, 4), "██▎·");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(1.7, 4), "████", "more than there is room for");
        assert_eq!(bar(0.5, 0), "");
    }

    proptest! {
        // If this fails, an odd value ends the program, or moves all that stands beside its chart.
        #[test]
        fn any_value_is_drawn_in_its_room(
            share in any::<f64>(), width in 0_usize..200,
            values in proptest::collection::vec(proptest::option::of(any::<f64>()), 0..50),
        ) {
            prop_assert_eq!(bar(share, width).chars().count(), width);
            prop_assert_eq!(curve(&values, share).chars().count(), values.len());
        }
    }
}
