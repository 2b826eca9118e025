//! What the copies of one content are, beside what they should be.

use serde::Serialize;
use wire::content::ContentRow;
use wire::integrity::Verified;
use wire::{Checksum, Code, ContentId, NodeName};

use crate::api::RequestError;
use crate::cli::failure::{Caused, Failure, Kind};
use crate::ui::human;
use crate::ui::table::Table;

/// One content.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) id: ContentId,
    /// As the catalog has it.
    version: u64,
    pub(super) size: u64,
    checksum: Checksum,
    /// Whether every copy is as the catalog says, and there is one.
    pub(super) agree: bool,
    pub(super) copies: Vec<Copy>,
    /// How many there shall be; none where the distributor does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    copies_wanted: Option<u8>,
    /// Whether there are fewer. That is no difference: what there is may be as it should be.
    pub(super) fewer_copies: bool,
}

/// One node's copy.
#[derive(Debug, Serialize)]
pub(super) struct Copy {
    node: NodeName,
    #[serde(flatten)]
    verified: Option<Verified>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    kind: Option<Kind>,
    /// Whether the node says that it has none.
    #[serde(skip)]
    is_absent: bool,
}

impl Copy {
    /// What a node answered; nothing, where nobody knows where it is.
    pub(super) fn new(node: NodeName, asked: Result<Option<Verified>, RequestError>) -> Copy {
        let mut is_absent = false;
        let (verified, error, kind) = match asked {
            Ok(Some(verified)) => (Some(verified), None, None),
            Ok(None) => {
                let error = "its address is not known".to_owned();
                (None, Some(error), Some(Kind::Unreachable))
            }
            Err(error) => {
                is_absent = matches!(error.code(), Some(Code::NotFound | Code::Deleted));
                let kind = match error.code() {
                    // It must have it.
                    Some(Code::Damaged | Code::NotFound | Code::Deleted) => Kind::Integrity,
                    _ => error.kind(),
                };
                (None, Some(error.to_string()), Some(kind))
            }
        };
        Copy {
            node,
            verified,
            error,
            kind,
            is_absent,
        }
    }

    fn is_as(&self, row: &ContentRow) -> bool {
        self.verified.as_ref().is_some_and(|verified| {
            verified.ok
                && (verified.version, verified.checksum, verified.size)
                    == (row.version, row.checksum, row.size)
        })
    }
}

impl Comparison {
    pub(super) fn new(row: &ContentRow, copies: Vec<Copy>, wanted: Option<u8>) -> Comparison {
        Comparison {
            id: row.id,
            version: row.version,
            size: row.size,
            checksum: row.checksum,
            agree: !copies.is_empty() && copies.iter().all(|copy| copy.is_as(row)),
            fewer_copies: wanted.is_some_and(|wanted| copies.len() < usize::from(wanted)),
            copies,
            copies_wanted: wanted,
        }
    }

    /// Whether an update, a delete or a move that is under way explains all of what is wrong: copies are
    /// of other versions, or are not where they are looked for.
    pub(super) fn may_pass(&self) -> bool {
        let is_of_another = |copy: &Copy| {
            let verified = copy.verified.as_ref();
            copy.is_absent || verified.is_some_and(|v| v.ok && v.version != self.version)
        };
        let is_explained = |copy: &Copy| {
            let is_as_said = copy.verified.as_ref().is_some_and(|v| !self.differs(v));
            is_as_said || is_of_another(copy) || copy.kind.is_some_and(|k| k != Kind::Integrity)
        };
        self.copies.iter().any(is_of_another) && self.copies.iter().all(is_explained)
    }

    /// What is wrong with it, if anything.
    pub(super) fn failure(&self) -> Option<Failure> {
        if self.agree {
            return None;
        }
        let asked = self.copies.iter().filter(|copy| copy.verified.is_none());
        let only_silent = asked.clone().count() > 0 && self.differing() == 0;
        let kinds: Vec<Kind> = asked.filter_map(|copy| copy.kind).collect();
        let kind = match kinds.iter().min() {
            Some(kind) if only_silent && !kinds.contains(&Kind::Integrity) => *kind,
            None if self.copies.is_empty() => Kind::Unavailable,
            _ => Kind::Integrity,
        };
        let message = match kind {
            Kind::Integrity => format!("the copies of {} do not agree with the catalog", self.id),
            _ => format!("not all copies of {} could be read", self.id),
        };
        Some(Failure::new(kind, message))
    }

    /// Copies that were read and are something else than they should be.
    fn differing(&self) -> usize {
        let read = self.copies.iter().filter_map(|copy| copy.verified.as_ref());
        read.filter(|verified| self.differs(verified)).count()
    }

    fn differs(&self, verified: &Verified) -> bool {
        !verified.ok
            || (verified.version, verified.checksum, verified.size)
                != (self.version, self.checksum, self.size)
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new(&["copy", ">version", ">size", "checksum", "result"]);
        table.row(vec![
            "catalog".to_owned(),
            self.version.to_string(),
            human::size(self.size),
            self.checksum.to_string(),
            String::new(),
        ]);
        for copy in &self.copies {
            let node = copy.node.to_string();
            let error = copy.error.clone().unwrap_or_default();
            table.row(match &copy.verified {
                Some(verified) => vec![
                    node,
                    verified.version.to_string(),
                    human::size(verified.size),
                    verified.checksum.to_string(),
                    self.result(verified).to_owned(),
                ],
                None => vec![node, "-".into(), "-".into(), "-".into(), error],
            });
        }
        format!("{}\n{}{}", self.id, table.text(), self.missing_in_words())
    }

    /// A line of the copies that are not there, where some are not.
    fn missing_in_words(&self) -> String {
        let (there, wanted) = (self.copies.len(), self.copies_wanted.unwrap_or(0));
        let words = || format!("\nfewer copies than wanted: {there} of {wanted}");
        self.fewer_copies.then(words).unwrap_or_default()
    }

    fn result(&self, verified: &Verified) -> &'static str {
        if !verified.ok {
            "wrong bytes"
        } else if verified.version != self.version {
            "another version"
        } else if (verified.checksum, verified.size) != (self.checksum, self.size) {
            "another content"
        } else {
            "ok"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::{self, row, verified};

    fn copy(node: &str, change: impl FnOnce(&mut Verified)) -> Copy {
        Copy::new(node.parse().expect("a name"), Ok(Some(verified(change))))
    }

    fn refused(code: Code) -> Copy {
        Copy::new("node3".parse().expect("a name"), Err(bed::refused(code)))
    }

    // If this fails, copies that differ are said to agree, or the other way round.
    #[test]
    fn every_copy_must_be_as_the_catalog_says() {
        let kind = |copies| {
            Comparison::new(&row(), copies, Some(2))
                .failure()
                .map(|f| f.kind)
        };
        let good = || copy("node1", |_| {});
        assert_eq!(kind(vec![good(), copy("node2", |_| {})]), None);
        let wrong = [
            copy("node2", |v| v.checksum = Checksum([8; 32])),
            copy("node2", |v| v.version = 1),
            copy("node2", |v| v.size = 4),
            copy("node2", |v| v.ok = false),
            refused(Code::Damaged),
            refused(Code::NotFound),
        ];
        for copy in wrong {
            let text = format!("{copy:?}");
            assert_eq!(kind(vec![good(), copy]), Some(Kind::Integrity), "{text}");
        }
        let silent = || refused(Code::Overloaded);
        assert_eq!(kind(vec![good(), silent()]), Some(Kind::Unavailable));
        let both = vec![silent(), copy("node2", |v| v.ok = false)];
        assert_eq!(kind(both), Some(Kind::Integrity));
        assert_eq!(kind(vec![]), Some(Kind::Unavailable), "nobody has it");
    }

    // If this fails, an update under way is told as a difference, or damage waits for one to end.
    #[test]
    fn only_what_changes_explain_may_pass() {
        let may_pass = |copies| Comparison::new(&row(), copies, Some(2)).may_pass();
        let good = || copy("node1", |_| {});
        let older = || copy("node2", |v| v.version = 1);
        let passing = [
            older(),
            copy("node2", |v| v.version = 3),
            refused(Code::NotFound),
            refused(Code::Deleted),
        ];
        for copy in passing {
            let text = format!("{copy:?}");
            assert!(may_pass(vec![good(), copy]), "{text}");
        }
        assert!(may_pass(vec![older(), refused(Code::Overloaded)]));
        let lasting = [
            copy("node2", |v| v.ok = false),
            copy("node2", |v| v.checksum = Checksum([8; 32])),
            refused(Code::Damaged),
        ];
        for copy in lasting {
            let text = format!("{copy:?}");
            assert!(!may_pass(vec![older(), copy]), "{text}");
        }
        assert!(!may_pass(vec![good(), refused(Code::Overloaded)]), "silent");
        assert!(!may_pass(vec![]), "nobody has it");
    }

    // If this fails, an operator does not see which copy is the bad one.
    #[test]
    fn the_table_tells_which_copy_is_wrong() {
        let copies = vec![
            copy("node1", |_| {}),
            copy("node2", |v| v.ok = false),
            refused(Code::Damaged),
        ];
        let text = Comparison::new(&row(), copies, Some(2)).table();
        let line = |start: &str| text.lines().find(|line| line.starts_with(start));
        assert!(
            line("node1").is_some_and(|line| line.ends_with("ok")),
            "{text}"
        );
        assert!(line("node2").is_some_and(|line| line.ends_with("wrong bytes")));
        assert!(line("node3").is_some_and(|line| line.contains("damaged")));
        assert!(line("catalog").is_some());
    }
}
