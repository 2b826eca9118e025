//! What alerts and the dashboard ask for is what services expose.

use std::collections::BTreeSet;

use crate::exposed::Scene;
use crate::files::text;
use crate::rules::alerts;

/// What a distributor shows of others only, and where that is done.
const OF_OTHERS: (&str, &str) = ("distributor_up", "dist/src/metrics/moment.rs");

/// The names of series in the text of `/metrics`: those of its families, with what their kind adds.
fn exposed(openmetrics: &str) -> BTreeSet<String> {
    let types = openmetrics.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name, kind))
    });
    let endings = |kind: &str| -> &[&str] {
        match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        }
    };
    types
        .flat_map(|(name, kind)| endings(kind).iter().map(move |end| format!("{name}{end}")))
        .collect()
}

/// The names of series in an expression.
fn asked(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("acequia_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The names that documents use: a histogram has one for all its series.
fn families(openmetrics: &str) -> BTreeSet<String> {
    let types = openmetrics.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let end = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Some(format!("{name}{end}"))
    });
    types.collect()
}

/// Every `expr` in a dashboard.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "expr") {
                    Some(expression) => found.push(expression.to_owned()),
                    None => expressions(value, found),
                }
            }
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| expressions(value, found));
        }
        _ => {}
    }
}

/// Words of the documents that look like names of series.
fn told(document: &str) -> BTreeSet<String> {
    let words = text(document);
    let words = words.split('`').skip(1).step_by(2);
    words
        .flat_map(asked)
        .filter(|word| !word.ends_with('_'))
        .collect()
}

// If this fails, an alert never fires and a panel stays empty, since a name was changed; or nobody learns that
// something is measured.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_exposed_and_what_is_exposed_is_told() {
    let scene = Scene::start().await;
    let (mut names, mut families) = (BTreeSet::new(), BTreeSet::new());
    let nodes: Vec<&str> = scene.cluster.nodes().map(|(_, url)| url).collect();
    for url in nodes.into_iter().chain([scene.cluster.url()]) {
        let (text, _) = scene.text(url, "*/*").await;
        names.extend(exposed(&text));
        families.extend(self::families(&text));
    }
    let mut in_dashboard = Vec::new();
    let dashboard = text("monitoring/grafana/dashboards/acequia.json");
    let dashboard = serde_json::from_str(&dashboard).expect("JSON");
    expressions(&dashboard, &mut in_dashboard);
    assert!(in_dashboard.len() > 40, "the dashboard is read");
    let in_alerts = alerts().into_iter().map(|alert| alert.expr);
    for expression in in_alerts.chain(in_dashboard) {
        for name in asked(&expression) {
            assert!(names.contains(&name), "{name} is not exposed: {expression}");
        }
    }
    let told = told("docs/operating.md");
    let untold: Vec<&String> = families.difference(&told).collect();
    assert!(
        untold.is_empty(),
        "docs/operating.md does not tell of {untold:?}"
    );
    let (others, source) = OF_OTHERS;
    assert!(text(source).contains(&format!("\"{others}\"")));
    names.insert(format!("acequia_dist_{others}"));
    for name in told {
        let histogram = format!("{name}_count");
        assert!(
            names.contains(&name) || names.contains(&histogram),
            "docs/operating.md: {name} is not exposed"
        );
    }
    scene.cluster.stop().await;
}

// If this fails, the test above asks for nothing.
#[test]
fn names_are_found() {
    let text = "# TYPE a counter\n# TYPE b_seconds histogram\n# TYPE c gauge\n";
    let names: Vec<String> = exposed(text).into_iter().collect();
    let expected = [
        "a_total",
        "b_seconds_bucket",
        "b_seconds_count",
        "b_seconds_sum",
        "c",
    ];
    assert_eq!(names, expected);
    let names: Vec<String> = families(text).into_iter().collect();
    assert_eq!(names, ["a_total", "b_seconds", "c"]);
    let names = asked("sum by (le) (rate(acequia_x_bucket{job=~\"acequia-.+\"}[5m])) > up");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["acequia_x_bucket"]);
}
