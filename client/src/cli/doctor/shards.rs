//! Shards that nobody leads, that are short of copies, or whose copies are damaged; and who the nodes
//! file forgot.

use wire::membership::{NodesAnswer, ShardEntry};
use wire::nodes_file::NodesFile;

use super::finding::Finding;
use crate::cli::copying::{OUTAGE, Stats, is_outage, stuck, stuck_in_words};

/// What to do while nodes are away.
const DOWN: &str = "start the nodes that are down; after ten minutes its copies are made anew on others, where \
                    there are enough nodes with room";

/// What to do while copies are about to be made.
const COMING: &str = "the others are made in a moment: look again";

/// `stats`: what nodes said of themselves.
pub(super) fn findings(cluster: &NodesAnswer, stats: &Stats) -> Vec<Finding> {
    let shards = &cluster.shards;
    let ill: Vec<Finding> = shards
        .iter()
        .flat_map(|one| shard(one, cluster, stats))
        .collect();
    if ill.is_empty() {
        let of = match cluster.copies {
            Some(1) => "the one copy that is wanted of each".to_owned(),
            Some(copies) => format!("the {copies} copies that are wanted of each"),
            None => "each copy that they are said to have".to_owned(),
        };
        let found = format!("{} are led and have {of}", shards.len());
        return vec![Finding::ok("shards", "all", found)];
    }
    ill
}

fn shard(shard: &ShardEntry, cluster: &NodesAnswer, stats: &Stats) -> Vec<Finding> {
    let mut findings: Vec<Finding> = standing(shard, cluster, stats).into_iter().collect();
    for replica in &shard.replicas {
        let (node, progress) = (&replica.node, &replica.progress);
        let subject = format!("shard {} on {node}", shard.shard);
        if progress.halted {
            let remedy =
                format!("its log failed: look after the disk of {node}, then start it again");
            findings.push(Finding::ok("shards", &subject, "is halted").demand(remedy));
        }
        if progress.damaged > 0 {
            let found = format!("{} damaged contents", progress.damaged);
            let remedy = "they are repaired from another copy by themselves; if it stays so, there \
                          is none, or the disk is failing: `client verify --all` names them";
            findings.push(Finding::ok("damage", subject, found).demand(remedy));
        }
    }
    findings
}

/// Who leads it, and with how many copies.
fn standing(shard: &ShardEntry, cluster: &NodesAnswer, stats: &Stats) -> Option<Finding> {
    let about = |found: String| Finding::ok("shards", format!("shard {}", shard.shard), found);
    let (in_sync, fewest) = (shard.in_sync.len(), usize::from(shard.min_in_sync));
    if shard.waits {
        return Some(
            about("waits: all who have everything of it are away".to_owned()).demand(
                "start those nodes; if their disks are lost, `client recover` chooses another copy",
            ),
        );
    }
    if shard.leader.is_none() {
        return Some(
            about("has no leader".to_owned()).demand(
                "look again in a few seconds; if it stays so, start the nodes that are down",
            ),
        );
    }
    if shard.degraded || in_sync < fewest {
        let found = about(format!("has {in_sync} copies in sync of {fewest} or more"));
        return Some(found.demand(if is_outage(cluster) { OUTAGE } else { DOWN }));
    }
    let (kept, wanted) = (shard.replicas.len(), cluster.copies.map_or(0, usize::from));
    if kept < wanted {
        let found = about(format!("has {kept} of the {wanted} copies that are wanted"));
        let stuck = stuck_in_words(stuck(cluster, stats, std::iter::once(shard)));
        return Some(found.advise(stuck.unwrap_or_else(|| COMING.to_owned())));
    }
    let behind = kept - in_sync.min(kept);
    (behind > 0).then(|| {
        let found = format!("{behind} copies are being made, or catch up");
        about(found).advise("`client shards` shows how far behind they are")
    })
}

/// Whether the file names the services that there are, where they are.
pub(super) fn beside_file(file: &NodesFile, cluster: &NodesAnswer) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, service) in &file.nodes {
        let about = |found: String| Finding::ok("nodes file", name, found);
        match cluster.nodes.get(name) {
            None => findings.push(
                about("the cluster does not know it".to_owned())
                    .demand("start it, or take it out of the file"),
            ),
            Some(entry) => {
                let (told, written) =
                    (entry.public_url.trim_end_matches('/'), service.public_url());
                if told != written {
                    let found = format!("clients are told {told}, the file says {written}");
                    findings.push(about(found).advise("correct the file, or restart the service"));
                }
            }
        }
    }
    let missing = cluster
        .nodes
        .keys()
        .filter(|name| !file.nodes.contains_key(*name));
    findings.extend(missing.map(|name| {
        Finding::ok("nodes file", name, "is in the cluster, and not in the file")
            .advise("add it, so that all services are given the same file")
    }));
    if findings.is_empty() {
        let found = format!("names all {} services as they are", file.nodes.len());
        findings.push(Finding::ok("nodes file", "all", found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::cluster;
    use crate::cli::doctor::finding::Level;

    fn with(change: impl FnOnce(&mut ShardEntry)) -> Vec<(Level, String)> {
        let mut cluster = cluster();
        change(&mut cluster.shards[0]);
        let findings = findings(&cluster, &Stats::new());
        findings
            .into_iter()
            .map(|f| (f.level, f.found + &f.remedy.unwrap_or_default()))
            .collect()
    }

    // If this fails, a shard that needs somebody is passed over, or the wrong thing is advised.
    #[test]
    fn each_ill_of_a_shard_is_told_with_its_remedy() {
        assert_eq!(with(|_| {}).len(), 1);
        assert_eq!(with(|_| {})[0].0, Level::Ok);
        let told = |change: fn(&mut ShardEntry), level: Level, part: &str| {
            let found = with(change);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].0 == level && found[0].1.contains(part),
                "{found:?}"
            );
        };
        told(|s| s.waits = true, Level::Problem, "client recover");
        told(|s| s.leader = None, Level::Problem, "no leader");
        told(|s| s.degraded = true, Level::Problem, "ten minutes");
        told(
            |s| drop(s.in_sync.pop()),
            Level::Problem,
            "1 copies in sync of 2",
        );
        told(
            |s| (s.min_in_sync, _) = (1, s.in_sync.pop()),
            Level::Advice,
            "client shards",
        );
        told(
            |s| s.replicas[1].progress.halted = true,
            Level::Problem,
            "node2, then start",
        );
        told(
            |s| s.replicas[0].progress.damaged = 3,
            Level::Problem,
            "client verify --all",
        );
    }

    // If this fails, contents that have fewer copies than were ordered are said to have them all.
    #[test]
    fn copies_are_counted_against_those_that_are_wanted() {
        let told = |copies| {
            let cluster = NodesAnswer {
                copies,
                ..cluster()
            };
            let finding = findings(&cluster, &Stats::new()).remove(0);
            (finding.level, finding.found)
        };
        let (level, found) = told(Some(3));
        assert_eq!(level, Level::Advice);
        assert_eq!(found, "has 2 of the 3 copies that are wanted");
        let (level, found) = told(Some(2));
        assert_eq!(level, Level::Ok);
        assert_eq!(
            found,
            "1 are led and have the 2 copies that are wanted of each"
        );
        // An older distributor does not say how many are wanted.
        let (level, found) = told(None);
        assert_eq!(level, Level::Ok);
        assert!(!found.contains("wanted"), "{found}");
    }

    // If this fails, an operator waits ten minutes for copies that nobody makes, or for a node that is not there.
    #[test]
    fn copies_that_nobody_makes_are_not_promised() {
        let told = |cluster: &NodesAnswer| {
            let told = findings(cluster, &Stats::new()).remove(0);
            told.remedy.unwrap_or_default()
        };
        let mut half = cluster();
        half.shards[0].degraded = true;
        let (_, second) = half.nodes.iter_mut().next_back().expect("node2");
        second.health = wire::membership::Health::Down;
        let remedy = told(&half);
        assert!(remedy.contains("more than a third"), "{remedy}");
        assert!(!remedy.contains("ten minutes"), "{remedy}");
        let third = NodesAnswer {
            copies: Some(3),
            ..cluster()
        };
        let remedy = told(&third);
        assert!(remedy.starts_with("no other node can take 1"), "{remedy}");
    }

    // If this fails, a service that nobody started, or a wrong address in the file, is not noticed.
    #[test]
    fn the_nodes_file_is_compared_with_the_cluster() {
        let levels = |text: &str| {
            let file = NodesFile::read(text).expect("reads");
            let findings = beside_file(&file, &cluster());
            findings
                .into_iter()
                .map(|f| (f.level, f.subject))
                .collect::<Vec<_>>()
        };
        let at = |name: &str, port: u16| format!("{name}: {{host: 127.0.0.1, port: {port}}}");
        let file = |nodes: &[String]| format!("nodes: {{{}}}", nodes.join(", "));
        let whole = [at("dist", 8000), at("node1", 8001), at("node2", 8002)];
        assert_eq!(levels(&file(&whole)), [(Level::Ok, "all".to_owned())]);
        assert_eq!(
            levels(&file(&whole[..2])),
            [(Level::Advice, "node2".to_owned())]
        );
        let more = [&whole[..], &[at("node3", 8003)]].concat();
        assert_eq!(levels(&file(&more)), [(Level::Problem, "node3".to_owned())]);
        let moved = [at("dist", 8000), at("node1", 9001), at("node2", 8002)];
        assert_eq!(levels(&file(&moved)), [(Level::Advice, "node1".to_owned())]);
    }
}
