//! `client give-up`: records that are lost and that nobody can repair, and the choice to go on without them.

use clap::Args;
use serde::Serialize;
use wire::integrity::{GiveUp, GivenUp, LostRecords};
use wire::membership::{NodeEntry, ServiceRole};
use wire::{Code, NodeName, ShardNo};

use crate::api::Client;
use crate::ui::Format;
use crate::ui::table::Table;

use super::super::Session;
use super::super::failure::{Failure, Kind};
use super::ShardNumber;

/// Show the records that are lost, and give up those that nobody can repair.
///
/// A record is lost when not even its header can be read. As long as that is so, its node serves no older
/// content of the shard, of which it may be an update or a delete, and takes no changes of them. Where another
/// copy has it, it is repaired from there by itself: wait, or start that node. Where none has, give it up.
///
/// What was in the records is lost for good: an upload, or an update or a delete, so that a content may be
/// there again as it was before. All else of the shard is served again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The shard; without one, all that is lost is shown.
    shard: Option<ShardNumber>,
    /// Only the copy on this node.
    #[arg(long, requires = "shard", value_name = "NODE")]
    node: Option<NodeName>,
    /// Also what another copy has, or may have.
    #[arg(long, requires = "shard")]
    force: bool,
    /// Do not ask.
    #[arg(long, requires = "shard")]
    yes: bool,
}

/// What is lost of one copy.
#[derive(Debug, Serialize)]
struct Line {
    node: NodeName,
    #[serde(skip)]
    url: String,
    #[serde(flatten)]
    lost: LostRecords,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    match arguments.shard {
        Some(ShardNumber(shard)) => give_up(session, shard, &arguments).await,
        None => show(session).await,
    }
}

/// What is lost of the copies, and why some node did not tell.
async fn look(
    client: &Client,
    is_asked: impl Fn(&NodeName) -> bool,
) -> Result<(Vec<Line>, Vec<Failure>), Failure> {
    let asked = client.nodes().await;
    let answer = asked.map_err(|error| Failure::caused("cannot ask for the nodes", &error))?;
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    let is_asked =
        |name: &NodeName, entry: &NodeEntry| entry.role == ServiceRole::Node && is_asked(name);
    for (node, entry) in answer.nodes {
        if !is_asked(&node, &entry) {
            continue;
        }
        let url = entry.public_url.trim_end_matches('/');
        match client.lost_of(url).await {
            Ok(report) => lines.extend(report.replicas.into_iter().map(|lost| Line {
                node: node.clone(),
                url: url.to_owned(),
                lost,
            })),
            Err(error) => failures.push(Failure::caused(format!("cannot ask {node}"), &error)),
        }
    }
    lines.sort_by_key(|line| line.lost.shard);
    Ok((lines, failures))
}

async fn show(session: &Session) -> Result<(), Failure> {
    let (lines, failures) = look(&session.client, |_| true).await?;
    if session.ui.format() == Format::Json {
        for line in &lines {
            session.ui.data(line, String::new)?;
        }
    } else if failures.is_empty() || !lines.is_empty() {
        session.ui.data(&lines, || text(&lines))?;
    }
    if lines.iter().any(|line| is_final(&line.lost)) {
        let hint = "hint: `client give-up SHARD` goes on without what nobody has";
        session.ui.note(hint);
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn give_up(session: &Session, shard: ShardNo, arguments: &Arguments) -> Result<(), Failure> {
    let is_meant = |node: &NodeName| arguments.node.as_ref().is_none_or(|named| named == node);
    if !arguments.yes && !session.ui.can_ask() {
        let message = "what is lost by this does not come back, and nobody can be asked here";
        return Err(Failure::new(Kind::Usage, message).with_hint("--yes does it without asking"));
    }
    let (mut lines, failures) = look(&session.client, is_meant).await?;
    lines.retain(|line| line.lost.shard == shard);
    for failure in &failures {
        session.ui.note(&failure.to_string());
    }
    if lines.is_empty() {
        let message = format!("nothing of shard {shard} is lost, as far as nodes tell");
        let nothing = Failure::new(Kind::Conflict, message);
        return Err(failures.into_iter().next().unwrap_or(nothing));
    }
    if !arguments.yes {
        confirm(session, shard, &lines).await?;
    }
    let choice = GiveUp {
        force: arguments.force,
    };
    let mut failed = Vec::new();
    for line in &lines {
        match give_up_one(session, line, choice).await {
            Ok(given_up) => session.ui.data(&given_up, || told(&given_up))?,
            Err(failure) if lines.len() == 1 => return Err(failure),
            Err(failure) => {
                super::super::report(&session.ui, &failure);
                failed.push(failure);
            }
        }
    }
    Failure::several(&failed, lines.len()).map_or(Ok(()), Err)
}

async fn give_up_one(session: &Session, line: &Line, choice: GiveUp) -> Result<GivenUp, Failure> {
    let (node, shard) = (&line.node, line.lost.shard);
    let given_up = session.client.give_up(&line.url, shard, choice).await;
    given_up.map_err(|error| {
        let message = format!("cannot give up what is lost of shard {shard} on {node}");
        let failure = Failure::caused(message, &error);
        match error.code() {
            Some(Code::NeedsForce) => failure.with_hint(
                "wait until it is repaired, or start the node that may have it; --force gives it up anyway",
            ),
            _ => failure,
        }
    })
}

/// Shows what is given up, and asks.
async fn confirm(session: &Session, shard: ShardNo, lines: &[Line]) -> Result<(), Failure> {
    session.ui.note(&text(lines));
    let question = format!(
        "What was in these records is lost for good: uploads, or updates and deletes, so that contents may be \
         there again as they were before.\nEverything else of shard {shard} is served again.\nType {shard} \
         to go on:"
    );
    let (ui, word) = (session.ui.clone(), shard.to_string());
    // On a thread of its own: Ctrl-C is heard meanwhile.
    let asked = tokio::task::spawn_blocking(move || ui.confirms(&question, &word));
    match asked.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Failure::new(Kind::Interrupted, "nothing was done")),
    }
}

fn told(given_up: &GivenUp) -> String {
    let GivenUp {
        shard,
        node,
        records,
        first,
        last,
        left,
        lasting,
    } = given_up;
    if *records == 0 && *left == 0 {
        return format!("nothing of shard {shard} is lost on {node} any more");
    }
    let mut told = format!(
        "shard {shard} on {node}: {} given up",
        range(*records, (*first, *last))
    );
    if *left > 0 {
        told += &format!(", {left} are lost still, since what may be in them is served");
    }
    if !lasting {
        told += "; this does not outlive a start of the node yet: give up again after one";
    }
    told
}

fn range(records: u64, (first, last): (wire::Lsn, wire::Lsn)) -> String {
    match records {
        1 if first == last => format!("record {first}"),
        1 => format!("one record from {first} to {last}"),
        _ => format!("{records} records from {first} to {last}"),
    }
}

/// Whether no other copy has it, as far as all were asked.
fn is_final(lost: &LostRecords) -> bool {
    lost.held_by.is_none() && lost.unasked.is_empty()
}

fn text(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "nothing is lost".to_owned();
    }
    let mut table = Table::new(&[">shard", "node", ">records", ">first", ">last", "repair"]);
    for Line { node, lost, .. } in lines {
        table.row(vec![
            lost.shard.to_string(),
            node.to_string(),
            lost.records.to_string(),
            lost.first.to_string(),
            lost.last.to_string(),
            repair(lost),
        ]);
    }
    table.text()
}

fn repair(lost: &LostRecords) -> String {
    if let Some(node) = &lost.held_by {
        return format!("from {node}, by itself");
    }
    if lost.unasked.is_empty() {
        return "nobody has it".to_owned();
    }
    let nodes: Vec<&str> = lost.unasked.iter().map(NodeName::as_str).collect();
    format!("{} may have it, and does not tell", nodes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Lsn;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn line(held_by: Option<&str>, unasked: &[&str]) -> Line {
        Line {
            node: name("node1"),
            url: String::new(),
            lost: LostRecords {
                shard: ShardNo(3),
                records: 2,
                first: Lsn(7),
                last: Lsn(9),
                held_by: held_by.map(name),
                unasked: unasked.iter().copied().map(name).collect(),
            },
        }
    }

    // If this fails, an operator gives up what is about to be repaired.
    #[test]
    fn it_is_told_who_can_repair_what_is_lost() {
        assert_eq!(text(&[]), "nothing is lost");
        for (line, told, nobody) in [
            (line(None, &[]), "nobody has it", true),
            (line(Some("node2"), &[]), "from node2, by itself", false),
            (
                line(None, &["node2", "node3"]),
                "node2, node3 may have it",
                false,
            ),
        ] {
            assert_eq!(is_final(&line.lost), nobody);
            let text = text(&[line]);
            assert!(text.contains(told), "{text}");
        }
    }

    // If this fails, an operator believes that all is well, and the damage is back after a restart.
    #[test]
    fn what_was_given_up_is_told_and_what_was_not() {
        let given_up = GivenUp {
            shard: ShardNo(3),
            node: name("node1"),
            records: 1,
            first: Lsn(7),
            last: Lsn(7),
            left: 0,
            lasting: true,
        };
        assert_eq!(told(&given_up), "shard 3 on node1: record 7 given up");
        let half = GivenUp {
            last: Lsn(9),
            left: 2,
            lasting: false,
            ..given_up.clone()
        };
        let half = told(&half);
        assert!(
            half.contains("one record from 7 to 9 given up, 2 are lost still"),
            "{half}"
        );
        assert!(half.contains("give up again"), "{half}");
        let none = GivenUp {
            records: 0,
            ..given_up
        };
        assert!(told(&none).contains("any more"));
    }
}
