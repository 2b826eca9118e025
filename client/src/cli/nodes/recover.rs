//! `client recover`: shards that wait for a copy that does not come back, and the choice of another.

use clap::Args;
use wire::recovery::{
    HeldCopy, KnownCopy, Loss, Objection, Part, RecoverShard, ShardRecovered, WaitingShard,
};
use wire::{NodeName, ShardNo};

use crate::ui::Format;
use crate::ui::table::Table;

use super::super::Session;
use super::super::failure::{Failure, Kind};
use super::ShardNumber;

/// Show the shards that wait, and choose which copy is one of them from now on.
///
/// A shard waits when no node lives that has everything that was acknowledged. Start those nodes if
/// you can: then nothing is lost. When their disks are gone, choose a copy: what only others had is
/// lost. Their logs go to quarantine for a day should they come back, and copies are made anew.
///
/// `loses` counts records, chunks of large contents among them, that another copy or the catalog is
/// known to have had; `+?` says that more may be lost, which only those know who are away.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The shard; without one, all that wait are shown.
    #[arg(requires = "from")]
    shard: Option<ShardNumber>,
    /// The node whose copy is to be the shard.
    #[arg(long, requires = "shard", value_name = "NODE")]
    from: Option<NodeName>,
    /// Whatever speaks against that copy.
    #[arg(long, requires = "from")]
    force: bool,
    /// Do not ask.
    #[arg(long, requires = "from")]
    yes: bool,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let (force, yes) = (arguments.force, arguments.yes);
    match (arguments.shard, arguments.from) {
        (Some(ShardNumber(shard)), Some(node)) => {
            let choice = RecoverShard { node, force };
            if !yes {
                confirm(session, shard, &choice).await?;
            }
            recover(session, shard, &choice).await
        }
        _ => show(session).await,
    }
}

async fn look(session: &Session) -> Result<Vec<WaitingShard>, Failure> {
    let asked = session.client.waiting_shards().await;
    asked.map_err(|error| Failure::caused("cannot ask for the shards that wait", &error))
}

async fn show(session: &Session) -> Result<(), Failure> {
    let waiting = look(session).await?;
    if session.ui.format() == Format::Json {
        for shard in &waiting {
            session.ui.data(shard, String::new)?;
        }
        return Ok(());
    }
    session.ui.data(&waiting, || text(&waiting))?;
    if !waiting.is_empty() {
        let hint = "hint: start the nodes that are away if you can; if their disks are lost, \
                    `client recover SHARD --from NODE` chooses a copy";
        session.ui.note(hint);
    }
    Ok(())
}

async fn recover(session: &Session, shard: ShardNo, choice: &RecoverShard) -> Result<(), Failure> {
    let recovered = session.client.recover_shard(shard, choice).await;
    let recovered = recovered
        .map_err(|error| Failure::caused(format!("cannot recover shard {shard}"), &error))?;
    session.ui.data(&recovered, || told(&recovered))?;
    Ok(())
}

/// Shows what the choice costs, and asks. Where nobody can be asked, nothing is done.
async fn confirm(session: &Session, shard: ShardNo, choice: &RecoverShard) -> Result<(), Failure> {
    if !session.ui.can_ask() {
        let message = "what is lost by this does not come back, and nobody can be asked here";
        return Err(Failure::new(Kind::Usage, message).with_hint("--yes does it without asking"));
    }
    let waiting = look(session).await?;
    let Some(waiting) = waiting.into_iter().find(|waiting| waiting.shard == shard) else {
        return Err(Failure::new(
            Kind::Conflict,
            format!("shard {shard} waits for nobody"),
        ));
    };
    session.ui.note(&text(&[waiting]));
    let node = &choice.node;
    let question = format!(
        "The copy on {node} is to be shard {shard}; what only others had is lost for good, and a \
         node that is away must not be serving somewhere.\nType {node} to go on:"
    );
    let (ui, word) = (session.ui.clone(), node.to_string());
    // On a thread of its own: Ctrl-C is heard meanwhile.
    let asked = tokio::task::spawn_blocking(move || ui.confirms(&question, &word));
    match asked.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Failure::new(Kind::Interrupted, "nothing was done")),
    }
}

fn told(recovered: &ShardRecovered) -> String {
    let over: Vec<&str> = recovered.over.iter().map(NodeName::as_str).collect();
    format!(
        "shard {} is led by {} in epoch {}, over {}; lost: {}",
        recovered.shard,
        recovered.node,
        recovered.epoch,
        if over.is_empty() {
            "nobody".to_owned()
        } else {
            over.join(", ")
        },
        lost(recovered.loss)
    )
}

fn lost(loss: Loss) -> String {
    match (loss.records, loss.more) {
        (0, false) => "nothing".to_owned(),
        (0, true) => "nothing that is known".to_owned(),
        (records, false) => format!("at most {records} records"),
        (records, true) => format!("at most {records} records that are known of, maybe more"),
    }
}

fn text(waiting: &[WaitingShard]) -> String {
    if waiting.is_empty() {
        return "nothing waits".to_owned();
    }
    let shards = waiting
        .iter()
        .map(|shard| head(shard) + "\n" + &table(shard));
    shards.collect::<Vec<_>>().join("\n\n")
}

fn head(shard: &WaitingShard) -> String {
    let WaitingShard {
        shard: number,
        epoch,
        listed,
        ..
    } = shard;
    let why = match &shard.leader {
        _ if shard.restored => {
            "restored after its register went back, waits for all copies".to_owned()
        }
        Some(leader) => format!("last led by {leader}, in epoch {epoch}"),
        None => "led by nobody".to_owned(),
    };
    format!("shard {number}: {why}; the catalog has it up to {listed}")
}

fn table(shard: &WaitingShard) -> String {
    let headings = [
        "node",
        "part",
        "node is",
        ">end",
        ">committed",
        ">contents",
        ">loses",
        "against it",
    ];
    let mut table = Table::new(&headings);
    for copy in &shard.copies {
        let known = |value: fn(&HeldCopy) -> String| {
            copy.held.as_ref().map_or_else(|| "?".to_owned(), value)
        };
        table.row(vec![
            copy.node.to_string(),
            part(copy.part).to_owned(),
            if copy.alive { "up" } else { "away" }.to_owned(),
            known(|held| held.end.to_string()),
            known(|held| held.committed.to_string()),
            known(|held| held.contents.to_string()),
            copy.loss.map_or_else(|| "-".to_owned(), short),
            against(copy),
        ]);
    }
    table.text()
}

fn part(part: Part) -> &'static str {
    match part {
        Part::InSync => "in sync",
        Part::Eligible => "eligible",
        Part::Outside => "outside",
        Part::Unnamed => "unnamed",
    }
}

fn short(loss: Loss) -> String {
    format!("{}{}", loss.records, if loss.more { "+?" } else { "" })
}

fn against(copy: &KnownCopy) -> String {
    if copy.alive && copy.held.is_none() {
        return "not there".to_owned();
    }
    let each = copy.objections.iter().map(|objection| match objection {
        Objection::Behind => "behind",
        Objection::Halted => "halted",
        Objection::Damaged => "damaged",
        Objection::Incomplete => "incomplete",
        Objection::Empty => "empty",
    });
    let all: Vec<&str> = each.collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wire::shard::ShardState;
    use wire::{Epoch, Lsn, Position};

    fn at(lsn: u64) -> Position {
        Position {
            epoch: Epoch(3),
            lsn: Lsn(lsn),
        }
    }

    fn copy(node: &str, held: Option<u64>) -> KnownCopy {
        let held = held.map(|lsn| HeldCopy {
            end: at(lsn),
            committed: Lsn(lsn - 1),
            contents: 7,
            bytes: 1,
            damaged: 0,
            halted: false,
            complete: true,
        });
        KnownCopy {
            node: node.parse().expect("a name"),
            replica: Uuid::nil(),
            part: Part::Outside,
            alive: true,
            held,
            loss: held.map(|_| Loss {
                records: 20,
                more: true,
            }),
            objections: Vec::new(),
        }
    }

    fn shard() -> WaitingShard {
        let mut behind = copy("node3", Some(90));
        behind.objections = vec![Objection::Behind, Objection::Halted];
        let mut gone = copy("node1", Some(120));
        (gone.alive, gone.loss, gone.part) = (false, None, Part::InSync);
        WaitingShard {
            shard: ShardNo(5),
            state: ShardState::Open,
            epoch: Epoch(3),
            leader: Some("node1".parse().expect("a name")),
            restored: false,
            listed: at(110),
            copies: vec![copy("node2", Some(100)), behind, gone, copy("node4", None)],
        }
    }

    // If this fails, an operator chooses blindly.
    #[test]
    fn each_copy_is_shown_with_what_it_would_cost() {
        let text = text(&[shard()]);
        let rows: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            rows,
            [
                "shard 5: last led by node1, in epoch 3; the catalog has it up to (3, 110)",
                "node part node is end committed contents loses against it",
                "node2 outside up (3, 100) 99 7 20+? -",
                "node3 outside up (3, 90) 89 7 20+? behind,halted",
                "node1 in sync away (3, 120) 119 7 - -",
                "node4 outside up ? ? ? - not there",
            ]
        );
        let restored = WaitingShard {
            restored: true,
            leader: None,
            ..shard()
        };
        assert!(head(&restored).contains("register went back"));
    }

    // If this fails, an operator believes that something waits, or that nothing is lost.
    #[test]
    fn the_empty_case_and_losses_are_told_in_words() {
        assert_eq!(text(&[]), "nothing waits");
        let loss = |records, more| lost(Loss { records, more });
        assert_eq!(loss(0, false), "nothing");
        assert_eq!(loss(0, true), "nothing that is known");
        assert_eq!(loss(3, false), "at most 3 records");
        assert!(loss(3, true).ends_with("maybe more"));
    }
}
