//! `client list`: what the catalog holds.

use wire::ContentId;
use wire::content::ContentRow;
use wire::name::check_collection;

use crate::api::Filter;
use crate::ui::colour::{Hue, Palette};
use crate::ui::{Format, human, printable};

use super::Session;
use super::failure::Failure;

/// List contents, the oldest first.
///
/// On a terminal as a table. Anywhere else a line for each: id, size in bytes, date of the last change
/// and name, with tabs between.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only contents of this name; with a `*` at the end, of every name that begins so.
    #[arg(long, value_name = "NAME")]
    filename: Option<String>,
    /// Only contents of this collection.
    #[arg(long, value_parser = |text: &str| check_collection(text).map(|()| text.to_owned()))]
    collection: Option<String>,
    /// Only contents after this one.
    #[arg(long, value_name = "ID")]
    after: Option<ContentId>,
    /// At most so many; all if not given.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        filename,
        collection,
        after,
        limit,
    } = arguments;
    let filter = Filter {
        filename,
        collection,
        after,
    };
    let mut listing = session.client.list(filter, limit.unwrap_or(u64::MAX));
    let failed = |error| Failure::caused("cannot list", &error);
    let (ui, mut headed) = (&session.ui, false);
    let table = ui.format() == Format::Text && ui.is_stdout_terminal();
    while let Some(item) = listing.next().await.map_err(failed)? {
        if table && !headed {
            ui.data(&(), || heading(ui.palette()))?;
            headed = true;
        }
        ui.data(&item, || {
            if table {
                row(&item.row)
            } else {
                line(&item.row)
            }
        })?;
    }
    Ok(())
}

/// For `cut` and `awk`.
fn line(row: &ContentRow) -> String {
    let ContentRow {
        id,
        size,
        updated_date,
        filename,
        ..
    } = row;
    format!("{id}\t{size}\t{updated_date}\t{filename}")
}

/// Of fixed widths, but for names: a row is shown as soon as it comes, however many there are.
fn cells(id: &str, size: &str, changed: &str, name: &str) -> String {
    format!("{id:<36}  {size:>10}  {changed:<19}  {name}")
}

fn heading(palette: Palette) -> String {
    palette.paint(Hue::Faint, &cells("id", "size", "changed (UTC)", "name"))
}

fn row(row: &ContentRow) -> String {
    let date = row.updated_date.to_string().replace('T', " ");
    let seconds: String = date.chars().take("2026-01-31 12:00:00".len()).collect();
    let name = printable(&row.filename);
    cells(&row.id.to_string(), &human::size(row.size), &seconds, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Checksum, ShardNo, Timestamp};

    fn content(filename: &str, size: u64) -> ContentRow {
        ContentRow {
            id: ContentId::mint(ShardNo(1), 1, 1),
            filename: filename.to_owned(),
            size,
            content_type: "text/plain".to_owned(),
            checksum: Checksum([7; 32]),
            version: 1,
            collection: None,
            attributes: None,
            created_date: Timestamp(1),
            updated_date: Timestamp(1_769_860_800_123),
        }
    }

    // If this fails, a person has to count digits, or columns do not stand below their headings.
    #[test]
    fn a_terminal_is_shown_sizes_for_people() {
        let heading = heading(Palette::PLAIN);
        for size in [0, 1536, 1_048_575, 1 << 40] {
            let shown = row(&content("a b", size));
            assert_eq!(shown.find("a b"), heading.find("name"), "{shown}");
            assert_eq!(
                shown.find("2026-01-31 12:00:00 "),
                heading.find("changed"),
                "{shown}"
            );
        }
        assert!(row(&content("x", 1536)).contains("  1.5 KiB  "));
        assert!(
            !row(&content("a\u{1b}[2J", 1)).contains('\u{1b}'),
            "a name commands nobody"
        );
    }

    // If this fails, scripts that cut the lines of `list` get other columns.
    #[test]
    fn lines_for_programs_stay_as_they_are() {
        let row = content("a b", 1536);
        let expected = format!("{}\t1536\t2026-01-31T12:00:00.123Z\ta b", row.id);
        assert_eq!(line(&row), expected);
    }
}
