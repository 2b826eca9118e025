//! `client doctor`: what is wrong with a cluster or its settings, and what to do about it.

#[cfg(test)]
mod bed;
mod clocks;
mod examined;
mod finding;
mod here;
mod lost;
mod services;
mod shards;
mod stores;

use std::path::{Path, PathBuf};

use wire::nodes_file::NodesFile;

use crate::ui::Format;

use super::Session;
use super::failure::{Failure, Kind};
use examined::Examined;
use finding::{Finding, Level};

/// Check settings, services, clocks, disks and shards, and say what to do.
///
/// Every distributor and every node is asked by this machine, each once. Ends with 0 when nothing has
/// to be done, and with 1 when something does. `advice` is worth knowing, and no failure.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The nodes file that the services are given: it is checked, and compared with the cluster.
    #[arg(long, env = "NODES_FILE", value_name = "FILE")]
    nodes_file: Option<PathBuf>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let client = &session.client;
    let mut findings = here::settings(client.endpoints(), client.has_key());
    findings.extend(here::proxies(|name| std::env::var(name).ok()));
    findings.push(here::room(Path::new(".")));
    let mut file = None;
    if let Some(path) = &arguments.nodes_file {
        let (read, finding) = here::nodes_file(path);
        file = read;
        findings.push(finding);
    }
    let examined = Examined::ask(client, file.as_ref()).await;
    findings.extend(judge(&examined, file.as_ref()));
    show(session, &findings)
}

fn judge(examined: &Examined, file: Option<&NodesFile>) -> Vec<Finding> {
    let mut findings = services::findings(examined);
    findings.extend(clocks::findings(examined));
    findings.extend(stores::findings(examined));
    findings.extend(lost::findings(examined));
    if let Some(cluster) = &examined.cluster {
        findings.extend(shards::findings(cluster, &examined.stats()));
        findings.extend(
            file.iter()
                .flat_map(|file| shards::beside_file(file, cluster)),
        );
    }
    findings
}

fn show(session: &Session, findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        session
            .ui
            .data(finding, || finding.text(session.ui.palette()))?;
    }
    let of = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (problems, advice) = (of(Level::Problem), of(Level::Advice));
    if problems > 0 {
        let message = format!("{problems} of {} checks found a problem", findings.len());
        return Err(Failure::new(Kind::Failure, message));
    }
    if session.ui.format() == Format::Text {
        let all = findings.len();
        session.ui.note(&format!(
            "{all} checks, {advice} with advice: nothing has to be done"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::refused;

    // If this fails, a healthy cluster makes a monitoring script cry, or an ill one does not.
    #[test]
    fn all_of_a_cluster_is_judged() {
        let well = judge(&bed::examined(), None);
        assert!(
            well.iter().all(|finding| finding.level == Level::Ok),
            "{well:?}"
        );
        for check in [
            "reach",
            "access",
            "catalog",
            "placement",
            "storage",
            "versions",
            "shards",
        ] {
            assert!(well.iter().any(|finding| finding.check == check), "{check}");
        }
        let mut ill = bed::examined();
        ill.cluster.as_mut().expect("there").shards[0].waits = true;
        let found = judge(&ill, None);
        let problems = found
            .iter()
            .filter(|finding| finding.level == Level::Problem);
        assert_eq!(problems.count(), 1);
    }

    // If this fails, a cluster of which nobody answers ends the command instead of being told.
    #[test]
    fn a_cluster_that_is_away_is_judged_too() {
        let mut away = bed::examined();
        away.distributors[0].answers = Err(refused(wire::Code::Overloaded));
        (away.nodes, away.cluster, away.placement) = (Vec::new(), None, None);
        let found = judge(&away, None);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].check), (Level::Problem, "reach"));
    }
}
