//! A cluster that is well, for tests to make ill.

use wire::content::ContentPage;
use wire::integrity::LostReport;
use wire::membership::Health;
use wire::placement::Place;
use wire::stats::NodeStats;
use wire::{ContentId, ShardNo};

use super::examined::{Answers, DistributorAnswers, Examined, NodeAnswers, Service};
use crate::api::RequestError;
use crate::cli::bed::cluster;

pub(super) fn answers<T: Default>(
    change: impl FnOnce(&mut Answers<T>),
    own: impl FnOnce(&mut T),
) -> Result<Answers<T>, RequestError> {
    let mut answers = Answers {
        clock: None,
        ready: Ok(()),
        version: Ok(env!("CARGO_PKG_VERSION").to_owned()),
        own: T::default(),
    };
    own(&mut answers.own);
    change(&mut answers);
    Ok(answers)
}

impl Default for DistributorAnswers {
    fn default() -> Self {
        let (items, next) = (Vec::new(), None);
        DistributorAnswers {
            nodes: Ok(cluster()),
            catalog: Ok(ContentPage { items, next }),
        }
    }
}

impl Default for NodeAnswers {
    fn default() -> Self {
        let stats = NodeStats {
            storagep: 10.0,
            disk_free: 1 << 40,
            ..NodeStats::default()
        };
        NodeAnswers {
            stats: Ok(stats),
            lost: Ok(LostReport::default()),
        }
    }
}

fn service<T: Default>(name: &str, port: u16, own: impl FnOnce(&mut T)) -> Service<T> {
    Service {
        name: name.to_owned(),
        url: format!("http://127.0.0.1:{port}"),
        heard: Some(Health::Up),
        draining: None,
        answers: answers(|_| {}, own),
    }
}

pub(super) fn dist(own: impl FnOnce(&mut DistributorAnswers)) -> Service<DistributorAnswers> {
    service("dist", 8000, own)
}

pub(super) fn node(name: &str, own: impl FnOnce(&mut NodeAnswers)) -> Service<NodeAnswers> {
    service(name, 8001, own)
}

pub(super) fn examined() -> Examined {
    let place = Place {
        uri: "http://127.0.0.1:8001/store".to_owned(),
        node: "node1".parse().expect("a name"),
        id: ContentId::mint(ShardNo(1), 1, 1),
        explain: None,
    };
    Examined {
        distributors: vec![dist(|_| {})],
        nodes: vec![node("node1", |_| {}), node("node2", |_| {})],
        cluster: Some(cluster()),
        placement: Some(Ok(place)),
    }
}
