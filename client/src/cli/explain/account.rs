//! What is known of a content and its copies, put together from the answers.

use serde::Serialize;
use wire::content::{ContentItem, ContentRow, Status};
use wire::integrity::Verified;
use wire::membership::{Health, NodesAnswer, Progress, ReplicaRole, ShardEntry, ShardReplica};
use wire::operation::Operation;
use wire::placement::Candidate;
use wire::{Checksum, Code, ContentId, Lsn, NodeName, ShardNo, Timestamp};

use crate::api::{RequestError, Told};
use crate::cli::failure::{Caused, Failure, Kind};

/// One content.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    pub(super) id: ContentId,
    /// What the id names.
    pub(super) shard: ShardNo,
    /// When the id was handed out, by the clock of whoever did.
    pub(super) minted: Timestamp,
    pub(super) listing: Listing,
    /// Why nobody can tell what the catalog says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listing_detail: Option<String>,
    /// Its metadata, where somebody told it.
    pub(super) content: Option<ContentRow>,
    /// Who holds its shard; none if the cluster knows no such shard.
    pub(super) held: Option<ShardEntry>,
    /// How many copies it shall have, where the distributor tells that.
    pub(super) copies_wanted: Option<u8>,
    pub(super) copies: Vec<Copy>,
    /// The last operation on it, if its record is still in the log.
    pub(super) last_change: Option<Operation>,
    /// What placement thinks of each node now, for an upload of this size.
    pub(super) placement_now: Vec<Candidate>,
}

/// What the catalog says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Listing {
    Listed,
    /// Durable, and not listed yet.
    Pending,
    /// Durable; the database refused its row.
    Unlistable,
    Deleted,
    NotFound,
    /// Nobody can tell at this moment.
    Unknown,
}

/// One node's copy.
#[derive(Debug, Serialize)]
pub(super) struct Copy {
    pub(super) node: NodeName,
    pub(super) url: Option<String>,
    /// Whether the distributors hear the node.
    pub(super) up: bool,
    pub(super) role: ReplicaRole,
    pub(super) in_sync: bool,
    pub(super) state: State,
    pub(super) version: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<Checksum>,
    /// The content's last record there.
    pub(super) lsn: Option<Lsn>,
    /// How far the whole replica is.
    pub(super) replica: Progress,
    /// Why nothing is known, or where readers are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

/// What a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it should be.
    Present,
    /// Of another version than the catalog or the leader has it.
    AnotherVersion,
    /// Of this version, with other bytes.
    AnotherContent,
    /// Its bytes are not those of its own record.
    WrongBytes,
    Damaged,
    Absent,
    Deleted,
    /// The node sends readers on: it cannot vouch for what it has.
    SentOn,
    Unreachable,
    /// The node answers, and cannot tell now.
    Unknown,
}

/// What a node said of its copy.
#[derive(Debug)]
pub(super) enum Asked {
    /// It read it again.
    Read(Verified),
    /// It looked into its log.
    Told(Told),
    /// Its address is not known.
    NoAddress,
    Failed(RequestError),
}

impl Asked {
    /// Whether the node itself said something.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Asked::Read(_) | Asked::Told(_) => true,
            Asked::NoAddress => false,
            Asked::Failed(error) => error.kind() != Kind::Unreachable,
        }
    }

    /// How many bytes it said that the content has.
    pub(super) fn size(&self) -> u64 {
        match self {
            Asked::Read(verified) => verified.size,
            Asked::Told(Told::Row(row)) => row.size,
            Asked::Told(Told::Elsewhere(_)) | Asked::NoAddress | Asked::Failed(_) => 0,
        }
    }
}

impl Listing {
    pub(super) fn of(looked: &Result<ContentItem, RequestError>) -> Self {
        match looked {
            Ok(item) => match item.status {
                Status::Ok => Listing::Listed,
                Status::Pending => Listing::Pending,
                Status::Unlistable => Listing::Unlistable,
            },
            Err(error) => match error.code() {
                Some(Code::Deleted) => Listing::Deleted,
                Some(Code::NotFound) => Listing::NotFound,
                _ => Listing::Unknown,
            },
        }
    }
}

impl Copy {
    /// A replica's copy, beside what the content should be.
    pub(super) fn new(
        replica: &ShardReplica,
        nodes: &NodesAnswer,
        asked: Asked,
        row: Option<&ContentRow>,
    ) -> Self {
        let entry = nodes.nodes.get(&replica.node);
        let mut copy = Copy {
            node: replica.node.clone(),
            url: entry.map(|entry| entry.public_url.clone()),
            up: entry.is_some_and(|entry| entry.health == Health::Up),
            role: replica.role,
            in_sync: replica.in_sync,
            state: State::Unreachable,
            version: None,
            size: None,
            checksum: None,
            lsn: None,
            replica: replica.progress,
            detail: None,
        };
        match asked {
            Asked::Read(verified) => copy.is_read(&verified, row),
            Asked::Told(Told::Row(told)) => {
                copy.has((told.version, told.size, told.checksum), row);
            }
            Asked::Told(Told::Elsewhere(to)) => {
                (copy.state, copy.detail) =
                    (State::SentOn, Some(format!("readers are sent to {to}")));
            }
            Asked::NoAddress => copy.detail = Some("its address is not known".to_owned()),
            Asked::Failed(error) => copy.failed(&error),
        }
        copy
    }

    fn is_read(&mut self, verified: &Verified, row: Option<&ContentRow>) {
        self.has((verified.version, verified.size, verified.checksum), row);
        self.lsn = Some(verified.lsn);
        if !verified.ok {
            self.state = State::WrongBytes;
        }
    }

    fn has(&mut self, (version, size, checksum): (u64, u64, Checksum), row: Option<&ContentRow>) {
        (self.version, self.size, self.checksum) = (Some(version), Some(size), Some(checksum));
        self.state = match row {
            Some(row) if row.version != version => State::AnotherVersion,
            Some(row) if (row.size, row.checksum) != (size, checksum) => State::AnotherContent,
            _ => State::Present,
        };
    }

    fn failed(&mut self, error: &RequestError) {
        self.state = match error.code() {
            Some(Code::Damaged) => State::Damaged,
            Some(Code::NotFound) => State::Absent,
            Some(Code::Deleted) => State::Deleted,
            _ if error.kind() == Kind::Unreachable => State::Unreachable,
            _ => State::Unknown,
        };
        if matches!(self.state, State::Unreachable | State::Unknown) {
            self.detail = Some(causes(error));
        }
    }
}

/// Why a question was not answered, on one line.
pub(super) fn causes(error: &RequestError) -> String {
    Failure::caused("", error).causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::{refused, row, verified};
    use crate::cli::explain::bed::nodes;

    fn state(asked: Asked) -> State {
        let nodes = nodes();
        Copy::new(&nodes.shards[0].replicas[0], &nodes, asked, Some(&row())).state
    }

    // If this fails, a copy that is damaged or stale is shown as a good one.
    #[test]
    fn each_answer_is_one_state() {
        assert_eq!(state(Asked::Read(verified(|_| {}))), State::Present);
        assert_eq!(
            state(Asked::Read(verified(|v| v.ok = false))),
            State::WrongBytes
        );
        assert_eq!(
            state(Asked::Read(verified(|v| v.version = 1))),
            State::AnotherVersion
        );
        assert_eq!(
            state(Asked::Read(verified(|v| v.size = 9))),
            State::AnotherContent
        );
        assert_eq!(
            state(Asked::Told(Told::Row(Box::new(row())))),
            State::Present
        );
        assert_eq!(
            state(Asked::Told(Told::Elsewhere("http://n".to_owned()))),
            State::SentOn
        );
        assert_eq!(state(Asked::NoAddress), State::Unreachable);
        for (code, expected) in [
            (Code::Damaged, State::Damaged),
            (Code::NotFound, State::Absent),
            (Code::Deleted, State::Deleted),
            (Code::NoLeader, State::Unknown),
        ] {
            assert_eq!(state(Asked::Failed(refused(code))), expected, "{code:?}");
        }
    }

    // If this fails, a copy without a catalog to compare it with counts as a wrong one.
    #[test]
    fn without_a_row_what_is_there_is_present() {
        let nodes = nodes();
        let replica = &nodes.shards[0].replicas[1];
        let copy = Copy::new(
            replica,
            &nodes,
            Asked::Read(verified(|v| v.version = 7)),
            None,
        );
        assert_eq!(
            (copy.state, copy.version, copy.lsn),
            (State::Present, Some(7), Some(Lsn(9)))
        );
        assert!(copy.up && copy.url.is_some());
    }

    // If this fails, a catalog that is away looks like a content that never was.
    #[test]
    fn only_who_knows_says_that_there_is_none() {
        let of = |code| Listing::of(&Err(refused(code)));
        assert_eq!(of(Code::NotFound), Listing::NotFound);
        assert_eq!(of(Code::Deleted), Listing::Deleted);
        for code in [Code::CatalogUnavailable, Code::NoLeader, Code::Unauthorized] {
            assert_eq!(of(code), Listing::Unknown, "{code:?}");
        }
    }
}
