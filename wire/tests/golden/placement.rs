//! Where an upload should go.

use wire::placement::{Candidate, Place, Places, ScoreParts};

use super::{golden, id, node, refused};

fn place() -> Place {
    Place {
        uri: "http://127.0.0.1:8002/store".to_owned(),
        node: node("node2"),
        id: id(1),
        explain: None,
    }
}

const PLACE: &str = r#"{"uri":"http://127.0.0.1:8002/store","node":"node2",
    "id":"018bcfe5-6800-8000-8400-000000000001"}"#;

// If this fails, no client can upload.
#[test]
fn a_place_and_several() {
    golden(&place(), PLACE);
    let places = Places {
        items: vec![place(), place()],
    };
    golden(&places, &format!(r#"{{"items":[{PLACE},{PLACE}]}}"#));
    refused::<Place>(r#"{"uri":"x","node":"node2"}"#, "missing field `id`");
}

// If this fails, an operator cannot see why a node gets no uploads.
#[test]
fn an_explained_place() {
    let chosen = Candidate {
        node: node("node2"),
        chosen: true,
        compared: true,
        score: Some(0.75),
        parts: Some(ScoreParts {
            storage: 0.5,
            uploads: 1.0,
            cpu: 0.25,
            memory: 0.0,
        }),
        degraded: false,
        excluded: None,
    };
    let excluded = Candidate {
        node: node("node1"),
        chosen: false,
        compared: false,
        score: None,
        parts: None,
        degraded: true,
        excluded: Some("it does not answer".to_owned()),
    };
    let explained = Place {
        explain: Some(vec![chosen, excluded]),
        ..place()
    };
    let candidates = r#"[{"node":"node2","chosen":true,"compared":true,"score":0.75,
        "parts":{"storage":0.5,"uploads":1.0,"cpu":0.25,"memory":0.0},
        "degraded":false},
        {"node":"node1","chosen":false,"compared":false,"score":null,"degraded":true,
        "excluded":"it does not answer"}]"#;
    let text = PLACE.replace(
        "000000000001\"}",
        &format!(r#"000000000001","explain":{candidates}}}"#),
    );
    golden(&explained, &text);
}
