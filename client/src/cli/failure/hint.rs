//! What a user can do about a failure.

use wire::Code;

use super::Kind;

/// The hint for a failure: by the service's code where it gave one, else by the kind.
pub(super) fn of(kind: Kind, code: Option<Code>) -> Option<&'static str> {
    match code {
        Some(code) => of_code(code),
        None => of_kind(kind),
    }
}

fn of_kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Unreachable => {
            Some("is the cluster running? --url or ACEQUIA_URL names its distributor")
        }
        Kind::Integrity => Some("try again; if it stays so, that copy is damaged"),
        Kind::Conflict => Some("try again"),
        Kind::OutputClosed
        | Kind::Failure
        | Kind::Usage
        | Kind::NotFound
        | Kind::Access
        | Kind::Unavailable
        | Kind::Local
        | Kind::Interrupted => None,
    }
}

fn of_code(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthorized => Some("--access-key or ACCESS_KEY gives the cluster's access key"),
        Code::NotFound => Some("`client list` shows what there is"),
        Code::Deleted => Some("a deleted content does not come back; upload it anew"),
        Code::NoRoute | Code::MethodNotAllowed => {
            Some("does --url name the distributor, and is it of this version?")
        }
        Code::Conflict => Some("did the file change during its upload? upload it again"),
        Code::InProgress => Some("another upload under this id is running; wait for its end"),
        Code::PreconditionFailed => Some("it was changed meanwhile; `client info` shows how it is"),
        Code::StorageFull | Code::NoNode => {
            Some("`client stats` shows the space on each node, `client nodes` which are up")
        }
        Code::NoLeader => Some(
            "try again; `client nodes` shows which nodes are up, `client recover` the shards that \
             wait for one that is away",
        ),
        Code::NotWaiting | Code::NoCopy => {
            Some("`client recover` shows what waits, and its copies")
        }
        Code::NeedsForce => {
            Some("`client recover` shows all copies; --force takes this one anyway")
        }
        Code::NodeUnreachable | Code::Uncertain | Code::WrongNode | Code::ShardClosed => {
            Some("`client nodes` shows which nodes are up; try again")
        }
        Code::CatalogUnavailable => Some(
            "the catalog or the coordinator is away, or just back: try again in a few seconds; \
                 uploads and reads by id work without them",
        ),
        Code::Overloaded | Code::TooSlow => Some("try again with fewer --jobs"),
        Code::Damaged => Some(
            "a damaged copy is repaired from a whole one within seconds; `client doctor` says what \
                 can be done if it stays",
        ),
        Code::Internal | Code::WrongCluster => {
            Some("the request id leads to the reason in the service's log")
        }
        Code::NodeInUse => Some("`client drain` empties a node; `client nodes` shows what is left"),
        Code::BodyCutShort | Code::DigestMismatch => Some("try again"),
        Code::InvalidMetadata => Some("--name gives it another name"),
        Code::MalformedId
        | Code::MalformedRequest
        | Code::MalformedMultipart
        | Code::NoFile
        | Code::IdRefused
        | Code::TooLarge
        | Code::RangeNotSatisfiable
        | Code::NodeRemoved
        | Code::NameTaken => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the commonest mistakes leave the user without a way on.
    #[test]
    fn the_commonest_failures_have_hints() {
        assert!(of(Kind::Unreachable, None).is_some_and(|hint| hint.contains("ACEQUIA_URL")));
        for code in [
            Code::Unauthorized,
            Code::StorageFull,
            Code::CatalogUnavailable,
            Code::NeedsForce,
        ] {
            assert!(of(Kind::Failure, Some(code)).is_some(), "{code:?}");
        }
        let no_leader = of(Kind::Unavailable, Some(Code::NoLeader));
        assert!(no_leader.is_some_and(|hint| hint.contains("client recover")));
    }
}
