//! An account in words: where a content is, and why there.

use wire::NodeName;
use wire::membership::{ReplicaRole, ShardEntry};
use wire::operation::{Operation, OperationKind};
use wire::placement::Candidate;
use wire::shard::ShardState;

use crate::ui::colour::{Hue, Palette};
use crate::ui::table::Table;
use crate::ui::{human, printable};

use super::account::{Account, Copy, Listing, State};

pub(super) fn text(account: &Account, palette: Palette) -> String {
    let mut parts = vec![facts(account)];
    if !account.copies.is_empty() {
        parts.push(copies(&account.copies, palette));
    }
    parts.push(reasons(account).join("\n"));
    parts.join("\n\n")
}

fn facts(account: &Account) -> String {
    let Account {
        id, shard, minted, ..
    } = account;
    let mut lines = vec![
        ("id", id.to_string()),
        (
            "shard",
            format!("{shard}, as the id says; handed out {minted}"),
        ),
    ];
    if let Some(row) = &account.content {
        let (name, size) = (printable(&row.filename), human::size(row.size));
        let what = format!(
            "{name}, {size}, {}, version {}",
            row.content_type, row.version
        );
        lines.push(("content", what));
    }
    let detail = account.listing_detail.as_deref().map(in_brackets);
    let listed = listing(account.listing).to_owned() + &detail.unwrap_or_default();
    lines.push(("catalog", listed));
    if let Some(held) = &account.held {
        lines.push(("leader", leader(held)));
        lines.push(("in sync", names(&held.in_sync)));
        let others = held.replicas.iter().filter(|replica| !replica.in_sync);
        let others: Vec<NodeName> = others.map(|replica| replica.node.clone()).collect();
        if !others.is_empty() {
            lines.push(("not in sync", names(&others)));
        }
    }
    if let Some(change) = &account.last_change {
        lines.push(("last change", last_change(change)));
    }
    let shown = lines
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}"));
    shown.collect::<Vec<_>>().join("\n")
}

fn listing(listing: Listing) -> &'static str {
    match listing {
        Listing::Listed => "lists it",
        Listing::Pending => "does not list it yet, and will",
        Listing::Unlistable => "the database refused its row; it can be read all the same",
        Listing::Deleted => "it was deleted",
        Listing::NotFound => "there is no such content",
        Listing::Unknown => "cannot be asked now; reads by id need no catalog",
    }
}

fn leader(held: &ShardEntry) -> String {
    let state = match held.state {
        ShardState::Open => "open to new contents",
        ShardState::Closed => "closed to new contents",
    };
    let leader = held.leader.as_ref().map_or("nobody", NodeName::as_str);
    let degraded = if held.degraded { ", degraded" } else { "" };
    format!(
        "{leader}, in epoch {}; the shard is {state}{degraded}",
        held.epoch
    )
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

fn operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Upload => "upload",
        OperationKind::Update => "update",
        OperationKind::Describe => "change of metadata",
        OperationKind::Delete => "delete",
        OperationKind::Epoch => "epoch",
    }
}

fn last_change(change: &Operation) -> String {
    let kind = operation(change.operation);
    format!(
        "{kind}, record {} in epoch {}, {}",
        change.lsn, change.epoch, change.time
    )
}

fn copies(copies: &[Copy], palette: Palette) -> String {
    let mut table = Table::new(&[
        "node",
        "role",
        "in sync",
        "node is",
        "copy",
        ">version",
        ">size",
        ">record",
        ">replica at",
        ">behind",
    ]);
    for copy in copies {
        let role = match copy.role {
            ReplicaRole::Leader => "leader",
            ReplicaRole::Follower => "follower",
        };
        let (word, hue) = state(copy.state);
        table.row(vec![
            copy.node.to_string(),
            role.to_owned(),
            if copy.in_sync { "yes" } else { "no" }.to_owned(),
            if copy.up { "up" } else { "down" }.to_owned(),
            palette.paint(hue, word),
            or_dash(copy.version),
            copy.size.map_or_else(|| "-".to_owned(), human::size),
            or_dash(copy.lsn),
            or_dash(copy.replica.position),
            or_dash(copy.replica.lag),
        ]);
    }
    table.text()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn state(state: State) -> (&'static str, Hue) {
    match state {
        State::Present => ("present", Hue::Good),
        State::AnotherVersion => ("another version", Hue::Warning),
        State::AnotherContent => ("another content", Hue::Bad),
        State::WrongBytes => ("wrong bytes", Hue::Bad),
        State::Damaged => ("damaged", Hue::Bad),
        State::Absent => ("absent", Hue::Warning),
        State::Deleted => ("deleted", Hue::Warning),
        State::SentOn => ("sends readers on", Hue::Warning),
        State::Unreachable => ("not reached", Hue::Bad),
        State::Unknown => ("cannot tell now", Hue::Warning),
    }
}

fn reasons(account: &Account) -> Vec<String> {
    let shard = account.shard;
    let mut reasons = vec![format!(
        "Why shard {shard}: the id names it, for good. Who holds a shard is in the shard map, so \
         contents are found without the catalog."
    )];
    match &account.held {
        None => reasons.push(format!("The cluster knows no shard {shard}: the id is of another one, or the shard map is not known yet.")),
        Some(held) => {
            reasons.push(chosen(account, held));
            reasons.push(kept(held, account.copies_wanted));
        }
    }
    if !account.placement_now.is_empty() {
        reasons.push(format!(
            "An upload of this size would be judged so now: {}.",
            scores(&account.placement_now)
        ));
    }
    reasons.extend(account.copies.iter().filter_map(trouble));
    reasons
}

/// Why its shard is where it was uploaded to, as far as that can be known later.
fn chosen(account: &Account, held: &ShardEntry) -> String {
    let rule = "Why that node: of two nodes taken at random, an upload goes to the less loaded one, \
                into the open shard that it leads; the scores of that moment are not kept.";
    let uploaded = account.last_change.as_ref();
    let uploaded = uploaded.filter(|change| change.operation == OperationKind::Upload);
    match (uploaded, &held.leader) {
        (Some(upload), Some(leader)) if upload.epoch == held.epoch => {
            format!(
                "{rule} It was {leader}, which has led the shard since, in epoch {}.",
                held.epoch
            )
        }
        (Some(upload), _) => format!(
            "{rule} It led in epoch {}; now it is epoch {}, and who led then is not kept.",
            upload.epoch, held.epoch
        ),
        (None, _) => rule.to_owned(),
    }
}

fn kept(held: &ShardEntry, wanted: Option<u8>) -> String {
    let (in_sync, fewest) = (names(&held.in_sync), held.min_in_sync);
    if held.waits {
        let hint = "`client recover` shows what is left";
        return format!(
            "Nobody leads it, and nobody will while all who have everything of it are away: {hint}."
        );
    }
    let short = if held.degraded || held.in_sync.len() < usize::from(fewest) {
        format!(
            " That is fewer than {fewest}: a copy is made anew when a node is back, or has room."
        )
    } else {
        wanting(held.replicas.len(), wanted)
    };
    format!(
        "Why these copies: the controller puts copies of whole shards on the nodes with the most room. \
         A change is acknowledged once all in sync have it: {in_sync}.{short}"
    )
}

/// What is said of copies that do not exist.
fn wanting(kept: usize, wanted: Option<u8>) -> String {
    match wanted {
        Some(wanted) if kept < usize::from(wanted) => {
            format!(
                " There shall be {wanted}: others are made where there are enough nodes with room."
            )
        }
        Some(_) | None => String::new(),
    }
}

fn scores(candidates: &[Candidate]) -> String {
    let each = candidates.iter().map(|candidate| {
        let node = &candidate.node;
        match (candidate.score, &candidate.excluded) {
            (_, Some(why)) => format!("{node} not at all ({why})"),
            (Some(score), None) if candidate.chosen => format!("{node} {score:.2} (chosen)"),
            (Some(score), None) => format!("{node} {score:.2}"),
            (None, None) => format!("{node} not at all"),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What a copy that is not as it should be means.
fn trouble(copy: &Copy) -> Option<String> {
    let node = &copy.node;
    let why = match copy.state {
        State::Present => return None,
        State::AnotherVersion if copy.in_sync => {
            "is of another version than the catalog's: it changed meanwhile, or the catalog is behind"
        }
        State::AnotherVersion => "is of another version: it has not caught up yet",
        State::AnotherContent | State::WrongBytes | State::Damaged => {
            "is damaged: others are read instead, and it is repaired from them"
        }
        State::Absent if copy.in_sync => "is missing, although it is in sync",
        State::Absent => "is not there yet: it has not caught up",
        State::Deleted => "is deleted",
        State::SentOn | State::Unreachable | State::Unknown => "is not known",
    };
    let detail = copy.detail.as_deref().map(in_brackets);
    Some(format!(
        "The copy on {node} {why}{}.",
        detail.unwrap_or_default()
    ))
}

fn in_brackets(detail: &str) -> String {
    format!(" ({})", printable(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::{refused, row, verified};
    use crate::cli::explain::account::Asked;
    use crate::cli::explain::bed::nodes;
    use wire::{Code, Epoch, Lsn, Timestamp};

    fn uploaded(epoch: u64) -> Operation {
        let row = row();
        Operation {
            shard: row.id.shard(),
            lsn: Lsn(9),
            epoch: Epoch(epoch),
            operation: OperationKind::Upload,
            id: Some(row.id),
            version: Some(1),
            size: Some(5),
            hash: None,
            time: Timestamp(1_769_860_800_123),
        }
    }

    fn account(second: Asked) -> Account {
        let (nodes, row) = (nodes(), row());
        let replicas = &nodes.shards[0].replicas;
        let copies = vec![
            Copy::new(
                &replicas[0],
                &nodes,
                Asked::Read(verified(|_| {})),
                Some(&row),
            ),
            Copy::new(&replicas[1], &nodes, second, Some(&row)),
        ];
        let candidate = |node: &str, score, excluded: Option<&str>| Candidate {
            node: node.parse().expect("a name"),
            chosen: score == Some(0.9),
            compared: true,
            score,
            parts: None,
            degraded: false,
            excluded: excluded.map(str::to_owned),
        };
        Account {
            id: row.id,
            shard: row.id.shard(),
            minted: Timestamp(row.id.time_ms()),
            listing: Listing::Listed,
            listing_detail: None,
            content: Some(row),
            held: Some(nodes.shards[0].clone()),
            copies_wanted: Some(2),
            copies,
            last_change: Some(uploaded(4)),
            placement_now: vec![
                candidate("node1", Some(0.9), None),
                candidate("node2", None, Some("it is full")),
            ],
        }
    }

    // If this fails, an operator does not see where a content is, or which copy is bad.
    #[test]
    fn the_facts_and_every_copy_are_shown() {
        let text = text(
            &account(Asked::Failed(refused(Code::Damaged))),
            Palette::PLAIN,
        );
        for line in [
            "shard        1, as the id says; handed out 2026-01-31T12:00:00.000Z",
            "content      a.txt, 5 B, text/plain, version 2",
            "catalog      lists it",
            "leader       node1, in epoch 4; the shard is open to new contents",
            "in sync      node1, node2",
            "last change  upload, record 9 in epoch 4, 2026-01-31T12:00:00.123Z",
            "The copy on node2 is damaged: others are read instead, and it is repaired from them.",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        let row = |node: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(node))
                .expect("a row");
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            row("node1 ")[1..8],
            ["leader", "yes", "up", "present", "2", "5", "B"]
        );
        assert_eq!(
            row("node2 ")[1..6],
            ["follower", "yes", "up", "damaged", "-"]
        );
    }

    // If this fails, the reasons claim what nobody can know.
    #[test]
    fn who_led_then_is_told_only_if_it_is_known() {
        let mut account = account(Asked::Read(verified(|_| {})));
        let why = |account: &Account| reasons(account).join("\n");
        assert!(why(&account).contains("It was node1, which has led the shard since, in epoch 4."));
        assert!(
            why(&account).contains("so now: node1 0.90 (chosen), node2 not at all (it is full).")
        );
        account.last_change = Some(uploaded(2));
        let later = why(&account);
        assert!(
            later.contains("It led in epoch 2; now it is epoch 4"),
            "{later}"
        );
        account.last_change = None;
        let unknown = why(&account);
        assert!(
            !unknown.contains("It was") && unknown.contains("not kept"),
            "{unknown}"
        );
    }

    // If this fails, a shard that needs an operator reads like any other.
    #[test]
    fn a_shard_in_trouble_says_so() {
        let mut account = account(Asked::Read(verified(|_| {})));
        let why = |account: &Account| reasons(account).join("\n");
        assert!(!why(&account).contains("There shall be"));
        account.copies_wanted = Some(3);
        assert!(why(&account).contains("There shall be 3"));
        let held = account.held.as_mut().expect("held");
        held.in_sync.pop();
        assert!(why(&account).contains("fewer than 2"));
        account.held.as_mut().expect("held").waits = true;
        assert!(why(&account).contains("client recover"));
        account.held = None;
        assert!(text(&account, Palette::PLAIN).contains("knows no shard 1"));
    }
}
