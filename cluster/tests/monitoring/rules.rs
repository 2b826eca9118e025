//! The alert rules, by Prometheus' own checker.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::{path, text, yaml};
use crate::promtool;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// An alert.
#[derive(Deserialize)]
pub(crate) struct Rule {
    alert: String,
    /// When it fires.
    pub(crate) expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// All alerts.
pub(crate) fn alerts() -> Vec<Rule> {
    let rules: Rules = yaml("monitoring/alerts.yml");
    let groups = rules.groups.into_iter();
    groups.flat_map(|group| group.rules).collect()
}

fn check(arguments: &[&str]) {
    let (content, said) = promtool::run(&path("monitoring"), arguments, "");
    assert!(content, "{}: {said}", arguments.join(" "));
}

// If this fails, Prometheus does not start with these files, or nobody is woken.
#[test]
fn rules_are_well_formed_and_fire_when_they_should() {
    check(&["check", "config", "prometheus.yml"]);
    check(&["check", "rules", "alerts.yml"]);
    check(&["test", "rules", "alerts_test.yml"]);
}

// If this fails, an alert may fire never, or always.
#[test]
fn every_alert_is_tested() {
    let tests = text("monitoring/alerts_test.yml");
    for alert in alerts() {
        let fires = format!(
            "exp_samples: [{{labels: '{{alertname=\"{}\"}}'",
            alert.alert
        );
        assert!(
            tests.contains(&fires),
            "{} is never seen to fire",
            alert.alert
        );
        let test = format!("- name: {}\n", alert.alert);
        let (_, test) = tests.split_once(&test).expect("it has a test of its own");
        let test = test.split("\n  - name: ").next().unwrap_or(test);
        assert!(
            test.contains("exp_samples: []"),
            "{} fires at any time",
            alert.alert
        );
    }
}

// If this fails, somebody is woken and does not know what to do.
#[test]
fn every_alert_says_what_to_do() {
    for alert in alerts() {
        let name = &alert.alert;
        let severity = &alert.labels["severity"];
        assert!(
            ["critical", "warning"].contains(&severity.as_str()),
            "{name}"
        );
        assert!(alert.annotations["summary"].len() > 20, "{name}");
        assert!(alert.annotations["description"].len() > 80, "{name}");
        let runbook = &alert.annotations["runbook"];
        let (document, place) = runbook.split_once('#').expect("a place in a document");
        let headings = text(document);
        let headings = headings.lines().filter_map(|line| line.strip_prefix("## "));
        let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
        assert!(
            headings.into_iter().any(|heading| anchor(heading) == place),
            "{name}: {runbook} leads nowhere"
        );
    }
}
