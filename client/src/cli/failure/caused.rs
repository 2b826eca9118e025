//! Which kind of failure each error of the client is.

use wire::Code;

use crate::api::{
    ClientError, DeleteError, LeaderError, LogError, ReadError, RequestError, SourceError,
    UpdateError, UploadError,
};
use crate::bench::BenchError;
use crate::local::folder::FolderError;
use crate::local::part::PartError;
use crate::local::special::SpecialError;
use crate::local::walk::WalkError;
use crate::ui::PrintError;

use super::{Caused, Failure, Kind};

impl Caused for RequestError {
    fn kind(&self) -> Kind {
        match self {
            RequestError::Unreachable { .. }
            | RequestError::Lost { .. }
            | RequestError::Stalled { .. }
            | RequestError::Foreign { .. } => Kind::Unreachable,
            RequestError::Refused { body, .. } => kind_of(body.code),
        }
    }

    fn code(&self) -> Option<Code> {
        RequestError::code(self)
    }
}

/// The kind of failure that a service's code stands for.
pub fn kind_of(code: Code) -> Kind {
    match code {
        Code::NotFound | Code::Deleted => Kind::NotFound,
        Code::BodyCutShort | Code::DigestMismatch => Kind::Integrity,
        Code::Unauthorized => Kind::Access,
        Code::Conflict
        | Code::InProgress
        | Code::PreconditionFailed
        | Code::NodeInUse
        | Code::NotWaiting
        | Code::NoCopy
        | Code::NeedsForce => Kind::Conflict,
        Code::TooSlow
        | Code::ShardClosed
        | Code::WrongNode
        | Code::NodeUnreachable
        | Code::Damaged
        | Code::NoLeader
        | Code::Overloaded
        | Code::CatalogUnavailable
        | Code::NoNode
        | Code::Uncertain
        | Code::StorageFull => Kind::Unavailable,
        Code::MalformedId
        | Code::MalformedRequest
        | Code::MalformedMultipart
        | Code::NoFile
        | Code::InvalidMetadata
        | Code::IdRefused
        | Code::NoRoute
        | Code::MethodNotAllowed
        | Code::TooLarge
        | Code::RangeNotSatisfiable
        | Code::Internal
        | Code::WrongCluster
        | Code::NodeRemoved
        | Code::NameTaken => Kind::Failure,
    }
}

impl Caused for UploadError {
    fn kind(&self) -> Kind {
        match self {
            UploadError::Source(error) => error.kind(),
            UploadError::Place(error)
            | UploadError::Store(error)
            | UploadError::Uncertain { source: error, .. } => error.kind(),
            UploadError::Mismatch { .. } => Kind::Integrity,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            UploadError::Place(error)
            | UploadError::Store(error)
            | UploadError::Uncertain { source: error, .. } => error.code(),
            UploadError::Source(_) | UploadError::Mismatch { .. } => None,
        }
    }
}

impl Caused for UpdateError {
    fn kind(&self) -> Kind {
        match self {
            UpdateError::Source(error) => error.kind(),
            UpdateError::Leader(error) => error.kind(),
            UpdateError::Look { source: error, .. }
            | UpdateError::Store(error)
            | UpdateError::Uncertain { source: error, .. } => error.kind(),
            UpdateError::Mismatch { .. } => Kind::Integrity,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            UpdateError::Leader(error) => error.code(),
            UpdateError::Look { source: error, .. }
            | UpdateError::Store(error)
            | UpdateError::Uncertain { source: error, .. } => error.code(),
            UpdateError::Source(_) | UpdateError::Mismatch { .. } => None,
        }
    }
}

impl Caused for LeaderError {
    fn kind(&self) -> Kind {
        match self {
            LeaderError::Ask { source, .. } => source.kind(),
            LeaderError::None(_) => Kind::Unavailable,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            LeaderError::Ask { source, .. } => source.code(),
            LeaderError::None(_) => Some(Code::NoLeader),
        }
    }
}

impl Caused for LogError {
    fn kind(&self) -> Kind {
        match self {
            LogError::Request(error) => error.kind(),
            LogError::Leader(error) => error.kind(),
            LogError::NoneYet => Kind::Unavailable,
            LogError::NoShard(_) => Kind::NotFound,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            LogError::Request(error) => error.code(),
            LogError::Leader(error) => error.code(),
            LogError::NoneYet | LogError::NoShard(_) => None,
        }
    }
}

impl Caused for DeleteError {
    fn kind(&self) -> Kind {
        self.0.kind()
    }

    fn code(&self) -> Option<Code> {
        self.0.code()
    }
}

impl Caused for ReadError {
    fn kind(&self) -> Kind {
        match self {
            ReadError::Request(error) => error.kind(),
            ReadError::Changed(_) => Kind::Conflict,
            ReadError::Mismatch { .. } => Kind::Integrity,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            ReadError::Request(error) => error.code(),
            ReadError::Changed(_) | ReadError::Mismatch { .. } => None,
        }
    }
}

impl Caused for SourceError {
    fn kind(&self) -> Kind {
        Kind::Local
    }
}

impl Caused for PartError {
    fn kind(&self) -> Kind {
        Kind::Local
    }
}

impl Caused for SpecialError {
    fn kind(&self) -> Kind {
        Kind::Local
    }
}

impl Caused for FolderError {
    fn kind(&self) -> Kind {
        Kind::Local
    }
}

impl Caused for WalkError {
    fn kind(&self) -> Kind {
        Kind::Local
    }
}

impl Caused for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::AccessKey => Kind::Usage,
            ClientError::Http(_) => Kind::Failure,
        }
    }
}

impl Caused for PrintError {
    fn kind(&self) -> Kind {
        match self {
            PrintError::Closed => Kind::OutputClosed,
            PrintError::Write(_) => Kind::Local,
            PrintError::Json(_) => Kind::Failure,
        }
    }
}

impl From<PrintError> for Failure {
    fn from(error: PrintError) -> Self {
        Failure::caused("cannot print", &error)
    }
}

impl Caused for BenchError {
    fn kind(&self) -> Kind {
        match self {
            BenchError::Address(_) => Kind::Usage,
            BenchError::Exchange { .. } | BenchError::Unreadable(_) => Kind::Unreachable,
            BenchError::Refused { code, .. } => code.map_or(Kind::Failure, kind_of),
            BenchError::Ids { .. } | BenchError::Probe { .. } => Kind::Local,
            BenchError::NoContent => Kind::Usage,
            BenchError::NoLeader(_) | BenchError::Upload(_) => Kind::Unavailable,
            BenchError::Runtime(_) | BenchError::Thread => Kind::Failure,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            BenchError::Refused { code, .. } => *code,
            _ => None,
        }
    }
}
