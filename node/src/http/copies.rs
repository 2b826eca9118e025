//! What this node's copies are: records for the repair of others, and hashes as they are on the disk.
//! Nothing here sends a request on to another node.

pub(super) mod lost;

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use service::access::Need;
use store::{ReadError, Reader};
use wire::integrity::Verified;
use wire::{Code, ContentId, Lsn, ShardNo};

use super::error::ApiError;
use super::{allow, content_id, frame};
use crate::driver::table::{ReplicaView, Standing};
use crate::metrics::{Metrics, Verification};
use crate::node::Node;
use crate::repair::Hashing;
use crate::routing::Misrouted;

/// `GET /record/{shard}/{lsn}`: a committed record, whole and verified; 410 when nothing needs it, and
/// it was no delete that was dropped for its age.
pub(super) async fn record(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Service)?;
    let shard = ShardNo(number(&request, "shard")?);
    let lsn = Lsn(number(&request, "lsn")?);
    let replica = held(&node, shard)?;
    let _permit = node.record_reads.try_acquire().map_err(|_| busy())?;
    let may_be_told = lsn > replica.gauge.measures().horizon;
    let read = move || match replica.reader.record(lsn) {
        Ok(record) => Ok(record.to_bytes()),
        Err(error @ ReadError::Disk(_)) => Err(error),
        Err(_) if may_be_told && replica.reader.is_dropped(lsn)? => Err(ReadError::Deleted),
        Err(error) => Err(error),
    };
    let bytes: Bytes = on_disk(read).await??;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .body(bytes))
}

/// `GET /needed/{id}`: the records that a content needs.
pub(super) async fn needed(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Service)?;
    let id = content_id(&request)?;
    let replica = held(&node, id.shard())?;
    let _permit = node.record_reads.try_acquire().map_err(|_| busy())?;
    let lsns = on_disk(move || replica.reader.needed(id)).await??;
    Ok(HttpResponse::Ok().json(lsns))
}

/// `GET /verify/{id}`: a content's hash, read from the disk now.
pub(super) async fn verify(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let id = content_id(&request)?;
    // A leader that has not confirmed its epoch does not know yet what is committed.
    node.settled(id).await;
    let replica = held(&node, id.shard())?;
    if !replica.is_readable() && replica.standing == Standing::Elected {
        return Err(ApiError::misrouted(Misrouted::NoLeader, Code::NotFound));
    }
    let _permit = node.verifications.acquire().await.map_err(|_| busy())?;
    let reader = replica.reader.clone();
    let hashed = on_disk(move || hash(&reader, id)).await?;
    tell(&node.metrics, id, &hashed);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(hashed?))
}

/// Counts what a verification came to, and tells of what is not as it should be. Of millions that agree
/// there is no line each: they are told as a sum.
fn tell(metrics: &Metrics, id: ContentId, hashed: &Result<Verified, ReadError>) {
    match hashed {
        Ok(verified) if verified.ok => {
            metrics.verified(Verification::Agrees);
            tracing::debug!(%id, version = verified.version, "verified");
        }
        Ok(verified) => {
            metrics.verified(Verification::Differs);
            tracing::error!(
                %id, version = verified.version, checksum = %verified.checksum,
                "verification failed: the bytes are not those of the content's checksum"
            );
        }
        Err(error @ (ReadError::Damaged { .. } | ReadError::Disk(_))) => {
            metrics.verified(Verification::Unreadable);
            tracing::error!(%id, %error, "verification failed");
        }
        Err(error @ (ReadError::NotFound | ReadError::Deleted)) => {
            metrics.verified(Verification::Absent);
            tracing::info!(%id, %error, "a copy to be verified is absent");
        }
    }
}

fn hash(reader: &Reader, id: ContentId) -> Result<Verified, ReadError> {
    let mut hashing = Hashing::new(reader.open_from_disk(id)?);
    let lsn = reader.needed(id)?.last().copied().unwrap_or(Lsn::ZERO);
    let checksum = loop {
        if let Some(checksum) = hashing.step()? {
            break checksum;
        }
    };
    let open = hashing.open();
    let content = open.content();
    let ok = checksum == content.checksum;
    match ok {
        true => open.trust(),
        false => open.doubt(),
    }
    Ok(Verified {
        id,
        version: content.version,
        size: content.size,
        checksum,
        lsn,
        ok,
    })
}

fn held(node: &Node, shard: ShardNo) -> Result<Arc<ReplicaView>, ApiError> {
    let replica = node.handle.table().replica(shard);
    replica.ok_or_else(|| {
        let message = format!("shard {shard} is not on this node");
        ApiError::new(Code::NotFound, message)
    })
}

fn busy() -> ApiError {
    ApiError::new(Code::Overloaded, "too many copies are being read")
}

fn number<T: std::str::FromStr>(request: &HttpRequest, name: &str) -> Result<T, ApiError> {
    let text = request.match_info().query(name);
    text.parse()
        .map_err(|_| ApiError::malformed(format!("`{text}` is not a number of a {name}")))
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use store::disk::simulated::SimulatedDisk;
    use store::{Geometry, How, NewContent, Payload, Store};
    use wire::{Checksum, Epoch};

    use super::*;

    // If this fails, a copy whose bytes are not those of its content goes on being served, though another
    // node has the right ones, and nobody tries to mend it.
    #[test]
    fn a_copy_of_another_hash_than_its_own_is_damaged() {
        let disk = Arc::new(SimulatedDisk::new(1));
        let opened = Store::open_with(disk, Path::new("/"), 5, Geometry::DEFAULT);
        let (mut store, _) = opened.expect("opens");
        store.begin_epoch(Epoch(1), 1).expect("begins");
        let [right, wrong] = [1, 2].map(|n| ContentId::mint(ShardNo(1), 1, n));
        for (id, hashed) in [(right, b"some bytes"), (wrong, b"SOME BYTES")] {
            let bytes = b"some bytes";
            let new = NewContent {
                filename: "a".to_owned(),
                content_type: "a/b".to_owned(),
                collection: None,
                attributes: None,
                size: bytes.len() as u64,
                checksum: Checksum(*blake3::hash(hashed).as_bytes()),
            };
            let payload = Payload::new(bytes.to_vec().into());
            store.put(id, new, How::Create, payload, 1).expect("stores");
        }
        let job = store.flush().expect("writes").expect("something is new");
        let synced = store.synced(job.run()).expect("syncs");
        store.commit_to(synced, &mut Vec::new());
        let reader = store.reader();
        for (id, is_right) in [(right, true), (wrong, false)] {
            let verified = hash(&reader, id).expect("is read");
            assert_eq!(verified.ok, is_right);
            assert_eq!(reader.is_damaged(id), !is_right);
        }
        let [damaged] = &reader.damage().doubted[..] else {
            panic!("one is damaged");
        };
        assert_eq!(damaged.records, reader.needed(wrong).expect("is known"));
    }
}
