//! Rows that the database refuses: found by bisection, listed with sanitized fields.
//!
//! What could be refused is refused before it becomes durable; this is for what slips through, so
//! that one record never blocks its shard's listing for ever.

use std::collections::BTreeSet;

use wire::content::ContentRow;
use wire::limits::CONTENT_BYTES_MAX;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};
use wire::{ContentId, Timestamp};

use super::error::QueryError;

/// The last millisecond of the year 9000: every calendar here can write it.
const TIME_MS_MAX: u64 = 221_845_391_999_999;

/// The longest sanitized file name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What both databases do in their own words: apply parts, and try rows without keeping them.
pub(super) trait Apply {
    /// Applies parts; rows of `marked` are listed with sanitized fields.
    async fn apply(
        &self,
        parts: &[ListingPart],
        marked: &BTreeSet<ContentId>,
    ) -> Result<Vec<ListingOutcome>, QueryError>;

    /// Inserts rows and rolls back: [`QueryError::Refused`] if the database would refuse one.
    async fn probe(&self, rows: &[&ContentRow]) -> Result<(), QueryError>;
}

/// Applies parts, and lists rows that the database refuses as unlistable.
pub(super) async fn apply_all<A: Apply>(
    database: &A,
    parts: &[ListingPart],
) -> Result<Vec<ListingOutcome>, QueryError> {
    let mut marked = unrepresentable(parts);
    let outcome = database.apply(parts, &marked).await;
    let Err(QueryError::Refused(reason)) = outcome else {
        return outcome.map(|outcomes| name_marked(outcomes, parts, &marked));
    };
    let found = refused_rows(database, parts, &marked).await?;
    tracing::error!(
        alert = "unlistable",
        ids = ?found,
        reason,
        "the database refused rows; they are listed as UNLISTABLE"
    );
    marked.extend(found);
    let outcomes = database.apply(parts, &marked).await?;
    Ok(name_marked(outcomes, parts, &marked))
}

/// The rows of parts whose numbers and times fit no column.
fn unrepresentable(parts: &[ListingPart]) -> BTreeSet<ContentId> {
    parts
        .iter()
        .flat_map(rows)
        .filter(|row| !representable(row))
        .map(|row| row.id)
        .collect()
}

fn representable(row: &ContentRow) -> bool {
    row.size <= CONTENT_BYTES_MAX
        && i64::try_from(row.version).is_ok()
        && row.created_date.0 <= TIME_MS_MAX
        && row.updated_date.0 <= TIME_MS_MAX
}

/// Halves the rows until each refused one stands alone.
async fn refused_rows<A: Apply>(
    database: &A,
    parts: &[ListingPart],
    marked: &BTreeSet<ContentId>,
) -> Result<Vec<ContentId>, QueryError> {
    let all: Vec<&ContentRow> = parts
        .iter()
        .flat_map(rows)
        .filter(|row| !marked.contains(&row.id))
        .collect();
    let mut refused = Vec::new();
    let mut left: Vec<&[&ContentRow]> = vec![&all];
    while let Some(slice) = left.pop() {
        match (database.probe(slice).await, slice) {
            (Ok(()), _) => {}
            (Err(QueryError::Refused(_)), [row]) => refused.push(row.id),
            (Err(QueryError::Refused(_)), rows) => {
                let (first, second) = rows.split_at(rows.len() / 2);
                left.extend([first, second]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(refused)
}

/// The rows that a part would insert.
fn rows(part: &ListingPart) -> Box<dyn Iterator<Item = &ContentRow> + Send + '_> {
    match &part.step {
        ListingStep::Ask | ListingStep::LiveEnd { .. } => Box::new(std::iter::empty()),
        ListingStep::Live { rows, .. } => Box::new(rows.iter()),
        ListingStep::Follow { operations, .. } => {
            Box::new(operations.iter().filter_map(|operation| match operation {
                ListedOperation::Upsert(row) => Some(row),
                ListedOperation::Delete(_) => None,
            }))
        }
    }
}

fn name_marked(
    mut outcomes: Vec<ListingOutcome>,
    parts: &[ListingPart],
    marked: &BTreeSet<ContentId>,
) -> Vec<ListingOutcome> {
    if marked.is_empty() {
        return outcomes;
    }
    for (outcome, part) in outcomes.iter_mut().zip(parts) {
        outcome.unlistable = rows(part)
            .map(|row| row.id)
            .filter(|id| marked.contains(id))
            .collect();
    }
    outcomes
}

/// The row with what every database takes: a name of visible ASCII, no attributes, bounded numbers.
pub(super) fn sanitize(row: &ContentRow) -> ContentRow {
    let mut filename: String = row
        .filename
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .take(NAME_BYTES_MAX)
        .collect();
    if filename.is_empty() {
        filename = row.id.to_string();
    }
    ContentRow {
        id: row.id,
        filename,
        size: row.size.min(CONTENT_BYTES_MAX),
        content_type: "application/octet-stream".to_owned(),
        checksum: row.checksum,
        version: row.version.clamp(1, i64::MAX.unsigned_abs()),
        collection: None,
        attributes: None,
        created_date: Timestamp(row.created_date.0.min(TIME_MS_MAX)),
        updated_date: Timestamp(row.updated_date.0.min(TIME_MS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use wire::listing::ListingStep;
    use wire::{Checksum, Epoch, Lsn, Position, ShardNo};

    /// A database that refuses rows whose names contain `bad`.
    #[derive(Default)]
    struct Picky {
        kept: RefCell<Vec<ContentRow>>,
        probes: RefCell<usize>,
    }

    impl Apply for Picky {
        async fn apply(
            &self,
            parts: &[ListingPart],
            marked: &BTreeSet<ContentId>,
        ) -> Result<Vec<ListingOutcome>, QueryError> {
            let all: Vec<ContentRow> = parts
                .iter()
                .flat_map(rows)
                .map(|row| {
                    if marked.contains(&row.id) {
                        sanitize(row)
                    } else {
                        row.clone()
                    }
                })
                .collect();
            if all
                .iter()
                .any(|row| row.filename.contains('\u{1}') || row.size > 1 << 62)
            {
                return Err(QueryError::Refused("bad".to_owned()));
            }
            self.kept.borrow_mut().extend(all);
            Ok(parts
                .iter()
                .map(|part| ListingOutcome {
                    shard: part.shard,
                    applied: true,
                    listed: Position::default(),
                    unlistable: Vec::new(),
                })
                .collect())
        }

        async fn probe(&self, rows: &[&ContentRow]) -> Result<(), QueryError> {
            *self.probes.borrow_mut() += 1;
            if rows.iter().any(|row| row.filename.contains('\u{1}')) {
                return Err(QueryError::Refused("bad".to_owned()));
            }
            Ok(())
        }
    }

    fn row(number: u64, filename: &str) -> ContentRow {
        ContentRow {
            id: ContentId::mint(ShardNo(1), 1, number),
            filename: filename.to_owned(),
            size: 1,
            content_type: "text/plain".to_owned(),
            checksum: Checksum([0; 32]),
            version: 1,
            collection: None,
            attributes: None,
            created_date: Timestamp(1),
            updated_date: Timestamp(1),
        }
    }

    fn part(rows: Vec<ContentRow>) -> ListingPart {
        let upto = Position {
            epoch: Epoch(1),
            lsn: Lsn(rows.len() as u64),
        };
        let operations = rows.into_iter().map(ListedOperation::Upsert).collect();
        let step = ListingStep::Follow {
            after: Position::default(),
            upto,
            operations,
        };
        ListingPart {
            shard: ShardNo(1),
            step,
        }
    }

    // If this fails, one bad record keeps a thousand good ones out of the catalog.
    #[tokio::test]
    async fn bad_rows_are_found_and_the_others_are_listed() {
        let mut all: Vec<ContentRow> = (0..1000).map(|n| row(n, "fine")).collect();
        all[0].filename = "\u{1}".to_owned();
        all[777].filename = "\u{1}b\u{1}".to_owned();
        let bad = vec![all[0].id, all[777].id];
        let picky = Picky::default();
        let outcomes = apply_all(&picky, &[part(all)]).await.expect("listed");
        assert_eq!(outcomes[0].unlistable, bad);
        assert_eq!(picky.kept.borrow().len(), 1000);
        assert_eq!(picky.kept.borrow()[777].filename, "_b_");
        assert!(
            *picky.probes.borrow() < 50,
            "{} probes",
            picky.probes.borrow()
        );
    }

    // If this fails, a number that no column holds stops a shard's listing.
    #[tokio::test]
    async fn numbers_beyond_the_columns_are_bounded() {
        let mut huge = row(1, "");
        huge.size = u64::MAX;
        huge.updated_date = Timestamp(u64::MAX);
        let clean = sanitize(&huge);
        assert!(representable(&clean) && !representable(&huge));
        assert_eq!(clean.filename, huge.id.to_string());
        assert_eq!(
            unrepresentable(&[part(vec![huge.clone()])]),
            BTreeSet::from([huge.id])
        );
    }
}
