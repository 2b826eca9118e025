//! The contents that it keeps: what uploads, reads, changes and listings do to them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::{Checksum, Code, ContentId, ShardNo};

use super::State;
use super::exchange::{Reply, Seen, parts, refuse};

/// A content at its current version.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) filename: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: u64,
}

impl State {
    pub(super) fn mint(&mut self) -> ContentId {
        self.minted += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let ms = u64::try_from(now.as_millis()).expect("before the year 584 million");
        ContentId::mint(ShardNo(1), ms + self.minted, self.minted)
    }

    pub(super) fn places(&mut self, url: &str, query: &str) -> Reply {
        let uri = format!(
            "{}/store",
            self.place.clone().unwrap_or_else(|| url.to_owned())
        );
        let mut place = || json!({"uri": uri, "node": "node1", "id": self.mint()});
        let count = query
            .strip_prefix("count=")
            .map(|text| text.parse().expect("a count"));
        match count {
            Some(count) => {
                let items: Vec<_> = (0..count).map(|_: usize| place()).collect();
                Reply::json(200, &json!({ "items": items }))
            }
            None => Reply::json(200, &place()),
        }
    }

    pub(super) fn log(&self, request: &Seen) -> Reply {
        let number = |name| request.parameter(name).map(|text| text.parse::<u64>());
        let after = number("after").and_then(Result::ok).expect("a position");
        let limit = number("limit").and_then(Result::ok).expect("a number");
        let shard = number("shard").and_then(Result::ok).expect("a shard");
        let lines = self.log.iter().filter(|line| line["shard"] == shard);
        let lines = lines.filter(|line| line["lsn"].as_u64().is_some_and(|l| l > after));
        let lines = lines.take(usize::try_from(limit).expect("a small number"));
        Reply {
            status: 200,
            headers: Vec::new(),
            body: lines
                .map(|line| format!("{line}\n"))
                .collect::<String>()
                .into(),
        }
    }

    /// How many replicas are left at this look.
    pub(super) fn left(&mut self) -> Option<u64> {
        let left = self.draining.as_mut()?;
        if left.len() > 1 {
            return Some(left.remove(0));
        }
        left.first().copied()
    }

    pub(super) fn store(&mut self, id: ContentId, filename: &str, bytes: &[u8]) -> Reply {
        if self.deleted.contains(&id) {
            return refuse(Code::Deleted);
        }
        let content = Content {
            filename: filename.to_owned(),
            bytes: bytes.to_vec(),
            version: 1,
        };
        match self.contents.get(&id) {
            Some(stored) if stored.bytes != bytes => refuse(Code::Conflict),
            Some(_) => Reply::json(200, &self.receipt(id)),
            None => {
                self.contents.insert(id, content);
                Reply::json(200, &self.receipt(id))
            }
        }
    }

    pub(super) fn store_form(&mut self, request: &Seen) -> Reply {
        let boundary = request
            .header("content-type")
            .split("boundary=")
            .nth(1)
            .expect("a boundary");
        let (mut id, mut receipts) = (None, Vec::new());
        for (name, filename, bytes) in parts(&request.body, boundary) {
            match (name.as_str(), filename) {
                ("id", _) => {
                    let text = String::from_utf8(bytes).expect("text");
                    id = Some(text.parse().expect("an id"));
                }
                ("file", Some(filename)) => {
                    let minted = id.take().unwrap_or_else(|| self.mint());
                    receipts.push(self.store(minted, &filename, &bytes));
                }
                other => panic!("an unknown field {other:?}"),
            }
        }
        if receipts.len() == 1 {
            return receipts.remove(0);
        }
        let items = receipts.iter().map(|reply| {
            let receipt: Value = serde_json::from_slice(&reply.body).expect("JSON");
            receipt
        });
        Reply::json(200, &json!({ "items": items.collect::<Vec<_>>() }))
    }

    /// What a plain server with WebDAV does: no receipts, and ETags that are no hashes.
    pub(super) fn plain(&mut self, request: &Seen, id: ContentId) -> Reply {
        let (status, body) = match request.method.as_str() {
            "PUT" => {
                self.store(id, "plain", &request.body);
                (201, Vec::new())
            }
            "DELETE" => (self.contents.remove(&id).map_or(404, |_| 204), Vec::new()),
            _ => match self.contents.get(&id) {
                Some(content) => (200, content.bytes.clone()),
                None => (404, Vec::new()),
            },
        };
        let headers = Vec::new();
        Reply {
            status,
            headers,
            body,
        }
        .with("ETag", "\"65f0-400\"")
    }

    pub(super) fn update(&mut self, id: ContentId, request: &Seen) -> Reply {
        let (name, bytes) = (request.parameter("filename"), request.body.clone());
        let condition = request.header("if-match").trim_matches('"').to_owned();
        let Some(content) = self.contents.get_mut(&id) else {
            return refuse(Code::NotFound);
        };
        let current = hash(&content.bytes).hex();
        if content.version > 1 && content.bytes == bytes {
            // The repetition of the last update.
            return Reply::json(200, &self.receipt(id));
        }
        if !condition.is_empty() && condition != current {
            return refuse(Code::PreconditionFailed);
        }
        let name = name.unwrap_or_else(|| content.filename.clone());
        *content = Content {
            filename: name,
            bytes,
            version: content.version + 1,
        };
        Reply::json(200, &self.receipt(id))
    }

    pub(super) fn delete(&mut self, id: ContentId) -> Reply {
        if !self.contents.contains_key(&id) {
            let code = if self.deleted.contains(&id) {
                Code::Deleted
            } else {
                Code::NotFound
            };
            return refuse(code);
        }
        let receipt = self.receipt(id);
        self.contents.remove(&id);
        self.deleted.push(id);
        Reply::json(200, &receipt)
    }

    pub(super) fn verify(&self, id: ContentId) -> Reply {
        let Some(content) = self.contents.get(&id) else {
            return refuse(Code::NotFound);
        };
        let checksum = hash(&content.bytes);
        Reply::json(
            200,
            &json!({
                "id": id, "version": content.version, "size": content.bytes.len(),
                "checksum": checksum, "lsn": 1, "ok": true,
            }),
        )
    }

    fn receipt(&self, id: ContentId) -> Value {
        let content = &self.contents[&id];
        json!({
            "id": id, "message": "stored", "filename": content.filename,
            "version": content.version, "size": content.bytes.len(),
            "checksum": hash(&content.bytes), "nodes": ["node1"], "degraded": false,
            "status": "OK",
        })
    }

    fn item(&self, url: &str, id: ContentId) -> Value {
        let content = &self.contents[&id];
        let uris = self.uris.clone().unwrap_or_else(|| vec![url.to_owned()]);
        let uri = uris.first().cloned().unwrap_or_default();
        json!({
            "id": id, "filename": content.filename, "size": content.bytes.len(),
            "content_type": "application/octet-stream", "checksum": hash(&content.bytes),
            "version": content.version, "created_date": "2026-01-31T12:00:00.000Z",
            "updated_date": "2026-01-31T12:00:00.000Z", "status": "OK",
            "uri": uri, "url": format!("{uri}/retrieve/{id}"), "uris": uris,
        })
    }

    pub(super) fn info(&self, url: &str, id: ContentId) -> Reply {
        match self.contents.contains_key(&id) {
            true => Reply::json(200, &self.item(url, id)),
            false if self.deleted.contains(&id) => refuse(Code::Deleted),
            false => refuse(Code::NotFound),
        }
    }

    pub(super) fn list(&self, url: &str, query: &str) -> Reply {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let limit: usize = parameter("limit")
            .expect("a limit")
            .parse()
            .expect("a number");
        let after = parameter("after").unwrap_or_default();
        let mut ids: Vec<_> = self
            .contents
            .keys()
            .filter(|id| id.to_string() > after)
            .collect();
        ids.sort();
        // Smaller pages than asked for, so that a walk has several.
        let page: Vec<_> = ids.iter().take(limit.min(2)).collect();
        let next = (page.len() < ids.len()).then(|| page.last().map(|id| id.to_string()));
        let items: Vec<_> = page.iter().map(|id| self.item(url, ***id)).collect();
        Reply::json(200, &json!({"items": items, "next": next.flatten()}))
    }

    pub(super) fn retrieve(&self, id: ContentId, request: &Seen, ignore_range: bool) -> Reply {
        let Some(content) = self.contents.get(&id) else {
            return refuse(Code::NotFound);
        };
        let tag = format!("\"{}\"", hash(&content.bytes).hex());
        if !["", tag.as_str()].contains(&request.header("if-match")) {
            return refuse(Code::PreconditionFailed);
        }
        let range = request
            .header("range")
            .strip_prefix("bytes=")
            .filter(|_| !ignore_range);
        let Some(first) = range.and_then(|text| text.strip_suffix('-')) else {
            return Reply {
                status: 200,
                headers: Vec::new(),
                body: content.bytes.clone(),
            }
            .with("ETag", &tag);
        };
        let (first, size): (usize, _) = (first.parse().expect("a number"), content.bytes.len());
        let body = content.bytes[first..].to_vec();
        Reply {
            status: 206,
            headers: Vec::new(),
            body,
        }
        .with("ETag", &tag)
        .with(
            "Content-Range",
            &format!("bytes {first}-{}/{size}", size - 1),
        )
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Checksum {
    Checksum(blake3::hash(bytes).into())
}
