//! Whether services are reached, serve, and let this client in.

use wire::Code;
use wire::membership::{Draining, Health, ShardEntry};
use wire::placement::Place;

use crate::api::{ReadyError, RequestError};
use crate::cli::copying::{stuck, stuck_in_words};
use crate::cli::nodes::what_is_left;

use super::examined::{Answers, DistributorAnswers, Examined, NodeAnswers, Service};
use super::finding::{Finding, reason};

const CATALOG: &str = "start its database; uploads and reads by id go on meanwhile, and what is not \
                       listed yet will be";
const COORDINATOR: &str = "start ZooKeeper if COORDINATOR names it, else the database, or mend the way to it; \
                           uploads and reads go on meanwhile";
const KEY: &str = "--access-key or ACCESS_KEY gives the cluster's access key";

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in &examined.distributors {
        match &service.answers {
            Ok(answers) => findings.extend(distributor(service, answers)),
            Err(error) => {
                let name = &service.name;
                let remedy = format!("start it; if it is gone for good, `client remove {name}`");
                findings.push(away(service, error, &remedy));
            }
        }
    }
    for service in &examined.nodes {
        match &service.answers {
            Ok(answers) => findings.extend(node(examined, service, answers)),
            Err(error) => {
                let name = &service.name;
                let remedy = format!(
                    "start it; if its disk is lost, `client remove --force {name}` has its copies \
                     made anew"
                );
                findings.push(away(service, error, &remedy));
            }
        }
    }
    findings.extend(copies(&examined.distributors));
    findings.extend(examined.placement.as_ref().map(placement));
    findings
}

/// `down` is what to do when the cluster does not hear it either.
fn away<T>(service: &Service<T>, error: &RequestError, down: &str) -> Finding {
    let name = &service.name;
    let finding = Finding::ok("reach", name, reason(error));
    match service.heard {
        None => finding.demand("start it, or correct --url, ACEQUIA_URL or the nodes file"),
        Some(Health::Up) => finding.demand(
            "the cluster hears it, this machine does not reach it: look at networks and firewalls, \
             and at its public_url, which is what clients are told",
        ),
        Some(Health::Down) => finding.demand(down),
    }
}

fn distributor(
    service: &Service<DistributorAnswers>,
    answers: &Answers<DistributorAnswers>,
) -> Vec<Finding> {
    let name = &service.name;
    let mut findings = vec![Finding::ok(
        "reach",
        name,
        format!("answers at {}", service.url),
    )];
    let DistributorAnswers { nodes, catalog } = &answers.own;
    match nodes {
        Ok(_) => findings.push(Finding::ok("access", name, "lets this client read")),
        Err(error) => findings.push(refused(name, error)),
    }
    match (&answers.ready, catalog) {
        (Ok(()), Ok(_)) => findings.push(Finding::ok("catalog", name, "answers")),
        (Err(ReadyError::Request(error)), _) => findings.push(unready(name, error)),
        (Err(ReadyError::Unready(reason)), _) => {
            findings.push(Finding::ok("catalog", name, reason).demand("its log says why"));
        }
        // That it needs a key was said.
        (Ok(()), Err(error)) if error.code() == Some(Code::Unauthorized) => {}
        (Ok(()), Err(error)) => findings.push(unready(name, error)),
    }
    findings.extend(coordinator(name, answers));
    findings
}

/// A distributor that is without its catalog does not ask the coordinator: that it hears nothing of it says
/// nothing then.
fn coordinator(name: &str, answers: &Answers<DistributorAnswers>) -> Option<Finding> {
    let answers_it = answers.own.nodes.as_ref().ok()?.coordinator?;
    answers.ready.as_ref().ok()?;
    let about = |found| Finding::ok("coordinator", name, found);
    Some(match answers_it {
        true => about("answers"),
        false => about("does not answer: no leader that is lost is replaced").demand(COORDINATOR),
    })
}

/// Whoever is in office decides by its own number.
fn copies(distributors: &[Service<DistributorAnswers>]) -> Option<Finding> {
    let told = distributors.iter().filter_map(|service| {
        let nodes = service.answers.as_ref().ok()?.own.nodes.as_ref().ok()?;
        Some((&service.name, nodes.copies?))
    });
    let told: Vec<(&String, u8)> = told.collect();
    let differ = told.iter().any(|(_, copies)| *copies != told[0].1);
    differ.then(|| {
        let each = told
            .iter()
            .map(|(name, copies)| format!("{name} is told {copies}"));
        let found = each.collect::<Vec<_>>().join(", ");
        Finding::ok("copies", "distributors", found)
            .demand("give all of them the same `copies` in their nodes files, and reload them")
    })
}

fn unready(name: &str, error: &RequestError) -> Finding {
    if error.code() == Some(Code::CatalogUnavailable) {
        Finding::ok("catalog", name, "the catalog is away").demand(CATALOG)
    } else {
        let remedy = "its log says why";
        Finding::ok("catalog", name, reason(error)).demand(remedy)
    }
}

fn node(
    examined: &Examined,
    service: &Service<NodeAnswers>,
    answers: &Answers<NodeAnswers>,
) -> Vec<Finding> {
    let name = &service.name;
    let mut findings = vec![heard(examined, service)];
    match &answers.ready {
        Ok(()) => {}
        Err(ReadyError::Unready(reason)) => {
            let finding = Finding::ok("ready", name, format!("is not ready: {reason}"));
            findings.push(finding.demand(unready_remedy(reason)));
        }
        Err(ReadyError::Request(error)) => {
            findings.push(Finding::ok("ready", name, reason(error)).demand("its log says why"));
        }
    }
    match &answers.own.stats {
        Ok(_) => findings.push(Finding::ok("access", name, "lets this client read")),
        Err(error) => findings.push(refused(name, error)),
    }
    findings
}

/// What to do about what a node says of itself. A restart mends what only a new process does; it is of no use to
/// one that waits, and takes away copies meanwhile.
fn unready_remedy(reason: &str) -> &'static str {
    let ends_with_process = ["disk thread has ended", "log failed"];
    if ends_with_process.iter().any(|part| reason.contains(part)) {
        "its log says why; look after its disk, then start it again"
    } else {
        "look again in a few seconds; if it stays so, its log says why: is its distributor's address \
         right? A restart does not help"
    }
}

/// What is known of the emptying of a node.
fn emptied(examined: &Examined, service: &Service<NodeAnswers>, left: Draining) -> Finding {
    let name = &service.name;
    let left = what_is_left(left.replicas_left, left.bytes_left);
    let found = format!(
        "answers at {}; is being emptied: {left} to copy",
        service.url
    );
    let finding = Finding::ok("reach", name, found);
    let hindrance = examined.cluster.as_ref().and_then(|cluster| {
        let held = |shard: &&ShardEntry| shard.replicas.iter().any(|r| r.node.as_str() == name);
        let shards = cluster.shards.iter().filter(held);
        stuck_in_words(stuck(cluster, &examined.stats(), shards))
    });
    match hindrance {
        Some(words) => finding.demand(format!(
            "{words}; `client drain {name} --undo` lets it stay"
        )),
        None => finding.advise(format!(
            "`client drain {name}` shows how far, --undo stops it"
        )),
    }
}

/// A node that answers, and what the distributors say of it.
fn heard(examined: &Examined, service: &Service<NodeAnswers>) -> Finding {
    let finding = Finding::ok(
        "reach",
        &service.name,
        format!("answers at {}", service.url),
    );
    match service.heard {
        Some(Health::Up) => match service.draining {
            Some(left) if left.replicas_left > 0 => emptied(examined, service, left),
            Some(_) => finding.advise(format!("it is empty: `client remove {}`", service.name)),
            None => finding,
        },
        Some(Health::Down) => Finding::ok(
            "reach",
            &service.name,
            "answers, but no distributor hears it",
        )
        .demand(
            "it is being stopped, or its log says why: is its distributor's address right, and \
             CLUSTER_KEY the same?",
        ),
        None => Finding::ok(
            "reach",
            &service.name,
            "answers, but the cluster does not know it",
        )
        .demand("its log says why: does it belong to another cluster, or was it removed?"),
    }
}

fn refused(name: &str, error: &RequestError) -> Finding {
    let finding = Finding::ok("access", name, reason(error));
    if error.code() == Some(Code::Unauthorized) {
        finding.demand(format!("{KEY}; all services must be given the same"))
    } else {
        finding.demand("its log says why")
    }
}

fn placement(placed: &Result<Place, RequestError>) -> Finding {
    let about = |found: String| Finding::ok("placement", "an upload", found);
    match placed {
        Ok(place) => about(format!("would go to {} now", place.node)),
        Err(error) => match error.code() {
            Some(Code::Unauthorized) => about("is not allowed".to_owned()).advise(KEY),
            Some(Code::NoNode | Code::StorageFull) => about(reason(error)).demand(
                "start nodes that are down, or make room: `client stats` shows how full each is",
            ),
            _ => about(reason(error)).demand("see what is said of the distributors"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::refused;
    use crate::cli::doctor::bed::{answers, dist, examined, node};
    use crate::cli::doctor::finding::Level;

    fn worst(examined: &Examined, check: &str) -> Option<(Level, String)> {
        let findings = findings(examined).into_iter();
        let of = findings.filter(|finding| finding.check == check);
        let worst = of.max_by_key(|finding| finding.level)?;
        Some((worst.level, worst.remedy.unwrap_or_default()))
    }

    // If this fails, a cluster that is well is called ill.
    #[test]
    fn a_cluster_that_is_well_has_no_findings() {
        let all = findings(&examined());
        assert!(
            all.iter().all(|finding| finding.level == Level::Ok),
            "{all:?}"
        );
        assert!(all.iter().any(|finding| finding.check == "placement"));
    }

    // If this fails, an operator looks at the wrong end of a connection that does not come about.
    #[test]
    fn whoever_is_not_reached_is_told_apart_by_who_hears_it() {
        for (heard, part) in [
            (Some(Health::Up), "firewalls"),
            (Some(Health::Down), "client remove --force node1"),
            (None, "ACEQUIA_URL"),
        ] {
            let mut ill = examined();
            ill.nodes[0].heard = heard;
            ill.nodes[0].answers = Err(refused(Code::Overloaded));
            let (level, remedy) = worst(&ill, "reach").expect("told");
            assert!(
                level == Level::Problem && remedy.contains(part),
                "{heard:?}: {remedy}"
            );
        }
        for heard in [Some(Health::Down), None] {
            let mut ill = examined();
            ill.nodes[0].heard = heard;
            assert_eq!(
                worst(&ill, "reach").expect("told").0,
                Level::Problem,
                "{heard:?}"
            );
        }
        let mut drained = examined();
        drained.nodes[0].draining = Some(Draining {
            replicas_left: 0,
            bytes_left: 0,
        });
        assert_eq!(worst(&drained, "reach").expect("told").0, Level::Advice);
    }

    // If this fails, a missing key looks like a broken service, or is not noticed.
    #[test]
    fn a_refused_key_is_told_as_that() {
        let mut ill = examined();
        ill.distributors = vec![dist(|own| {
            own.nodes = Err(refused(Code::Unauthorized));
            own.catalog = Err(refused(Code::Unauthorized));
        })];
        let (level, remedy) = worst(&ill, "access").expect("told");
        assert!(
            level == Level::Problem && remedy.contains("ACCESS_KEY"),
            "{remedy}"
        );
        assert_eq!(worst(&ill, "catalog"), None);
        let mut ill = examined();
        ill.nodes = vec![node("node1", |own| {
            own.stats = Err(refused(Code::Unauthorized))
        })];
        assert_eq!(worst(&ill, "access").expect("told").0, Level::Problem);
        let mut reader = examined();
        reader.placement = Some(Err(refused(Code::Unauthorized)));
        assert_eq!(worst(&reader, "placement").expect("told").0, Level::Advice);
    }

    // If this fails, an operator is told that all is well while no leader that dies would be replaced.
    #[test]
    fn a_coordinator_that_is_away_is_told() {
        let ill = |coordinator| {
            let mut ill = examined();
            ill.distributors = vec![dist(|own| {
                own.nodes.as_mut().expect("told").coordinator = coordinator;
            })];
            ill
        };
        let (level, remedy) = worst(&ill(Some(false)), "coordinator").expect("told");
        assert!(
            level == Level::Problem && remedy.contains("ZooKeeper"),
            "{remedy}"
        );
        let well = worst(&ill(Some(true)), "coordinator");
        assert_eq!(well, Some((Level::Ok, String::new())));
        // An older distributor does not say, and without the catalog none asks.
        assert_eq!(worst(&ill(None), "coordinator"), None);
        let mut without_catalog = ill(Some(false));
        let answers = without_catalog.distributors[0].answers.as_mut();
        answers.expect("it answers").ready = Err(refused(Code::CatalogUnavailable).into());
        assert_eq!(worst(&without_catalog, "coordinator"), None);
        assert_eq!(
            worst(&without_catalog, "catalog").expect("told").0,
            Level::Problem
        );
    }

    // If this fails, copies come and go with whoever is in office, and nobody is told why.
    #[test]
    fn distributors_that_are_told_different_numbers_of_copies_are_told() {
        let told = |numbers: &[Option<u8>]| {
            let mut examined = examined();
            let each = numbers.iter().enumerate().map(|(number, copies)| {
                let mut service = dist(|own| own.nodes.as_mut().expect("told").copies = *copies);
                service.name = format!("dist{number}");
                service
            });
            examined.distributors = each.collect();
            let found = findings(&examined).into_iter();
            found
                .filter(|finding| finding.check == "copies")
                .map(|finding| (finding.level, finding.found))
                .collect::<Vec<_>>()
        };
        let differ = "dist0 is told 2, dist2 is told 3".to_owned();
        assert_eq!(told(&[Some(2), None, Some(3)]), [(Level::Problem, differ)]);
        for same in [&[Some(2), Some(2), None][..], &[None], &[]] {
            assert_eq!(told(same), [], "{same:?}");
        }
    }

    // If this fails, nobody is told that the catalog is away, or a node's disk does not work.
    #[test]
    fn a_service_that_cannot_serve_is_told() {
        let mut ill = examined();
        let ready = Err(refused(Code::CatalogUnavailable).into());
        ill.distributors[0].answers = answers(|all| all.ready = ready, |_| {});
        let (level, remedy) = worst(&ill, "catalog").expect("told");
        assert!(
            level == Level::Problem && remedy.contains("database"),
            "{remedy}"
        );
        let mut ill = examined();
        if let Ok(answers) = &mut ill.nodes[0].answers {
            answers.ready = Err(refused(Code::Internal).into());
        }
        assert_eq!(worst(&ill, "ready").expect("told").0, Level::Problem);
        let mut full = examined();
        full.placement = Some(Err(refused(Code::NoNode)));
        let (level, remedy) = worst(&full, "placement").expect("told");
        assert!(
            level == Level::Problem && remedy.contains("client stats"),
            "{remedy}"
        );
    }

    // If this fails, an operator waits for a drain that cannot end, or is alarmed by one that goes on.
    #[test]
    fn a_drain_that_cannot_end_is_a_problem() {
        let mut drained = examined();
        let left = Some(Draining {
            replicas_left: 1,
            bytes_left: 2048,
        });
        drained.nodes[1].draining = left;
        let cluster = drained.cluster.as_mut().expect("there");
        let name = |text: &str| text.parse().expect("a name");
        cluster
            .nodes
            .get_mut(&name("node2"))
            .expect("there")
            .draining = left;
        let third = cluster.nodes[&name("node1")].clone();
        let (level, remedy) = worst(&drained, "reach").expect("told");
        assert!(
            level == Level::Problem && remedy.contains("no other node can take 1 shard: add"),
            "{remedy}"
        );
        let cluster = drained.cluster.as_mut().expect("there");
        cluster.nodes.insert(name("node3"), third);
        let (level, remedy) = worst(&drained, "reach").expect("told");
        assert!(
            level == Level::Advice && remedy.contains("how far"),
            "{remedy}"
        );
    }

    // If this fails, an operator restarts a node that only waits, or does not restart one that must be.
    #[test]
    fn a_restart_is_advised_only_where_it_helps() {
        for (reason, helps) in [
            ("the disk thread has ended: restart the node", true),
            (
                "a shard's log failed: restart the node, and look after its disk",
                true,
            ),
            ("no shard is held yet: no distributor has answered", false),
        ] {
            let mut ill = examined();
            let answers = ill.nodes[0].answers.as_mut().expect("it answers");
            answers.ready = Err(ReadyError::Unready(reason.to_owned()));
            let told = findings(&ill)
                .into_iter()
                .find(|told| told.check == "ready");
            let told = told.expect("told");
            assert!(told.found.contains(reason), "{}", told.found);
            let remedy = told.remedy.unwrap_or_default();
            assert_eq!(remedy.contains("start it again"), helps, "{remedy}");
        }
    }
}
