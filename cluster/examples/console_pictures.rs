//! Takes the pictures of the web console that the documents show: a cluster with some files and some
//! hours of history, before a real browser. Its argument is the folder to write to.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use cluster::{Options, Running};
use dist::catalog::Sample;
use webtest::{Browser, Look, Theme};
use wire::history::Measures;
use wire::placement::Place;
use wire::{NodeName, routes};

const DESK: Look = Look {
    width: 1200,
    height: 1010,
    theme: Theme::Light,
};

const PHONE: Look = Look {
    width: 390,
    height: 900,
    theme: Theme::Light,
};

/// A picture that a browser draws from a few lines: hills, and water between fields.
const DRAWING: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 420" width="640" height="420">
<rect width="640" height="420" fill="#f3e3c3"/><circle cx="500" cy="96" r="38" fill="#e8a55c"/>
<path d="M0 210C120 130 220 150 330 190S520 120 640 170V420H0z" fill="#b9c4a4"/>
<path d="M0 260C140 200 260 250 380 235S560 220 640 250V420H0z" fill="#8fa889"/>
<path d="M0 320C160 290 330 330 640 300V420H0z" fill="#5f8468"/>
<path d="M250 420C300 370 360 350 350 310S430 268 470 250L478 253C440 275 380 290 385 318S350 380 330 420z" fill="#2f8d93"/>
</svg>"##;

const FILES: [&str; 12] = [
    "acequia.svg",
    "annual-report-2025.pdf",
    "atlas-of-channels.tar.zst",
    "field-notes.md",
    "gate-sensors-2026-11-25.csv",
    "harvest.mp4",
    "interview-mayordomo.ogg",
    "irrigation-plan.md",
    "map-of-the-valley.png",
    "minutes-2026-10.txt",
    "rainfall.json",
    "water-rights-1907.jpg",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("the argument is the folder to write to")?;
    std::fs::create_dir_all(&folder)?;
    let data = tempfile::tempdir()?;
    let options = Options {
        data: data.path().join("data"),
        port: 0,
        max_storage: Some(2 << 30),
        ..Options::default()
    };
    std::fs::create_dir_all(&options.data)?;
    remember(&options).await?;
    let mut cluster = cluster::start(options).await?;
    let browser = Browser::start(DESK).await?;
    let taken = take_all(&mut cluster, &browser, &folder).await;
    browser.close().await;
    cluster.stop().await;
    taken
}

async fn take_all(cluster: &mut Running, browser: &Browser, folder: &Path) -> anyhow::Result<()> {
    let mut drawing = String::new();
    for (number, name) in FILES.iter().enumerate() {
        let id = store(cluster.url(), name, number).await?;
        if number == 0 {
            drawing = format!("/console/contents/{id}");
        }
    }
    let dark = |look| Look {
        theme: Theme::Dark,
        ..look
    };
    let picture = async |name: &str, path: &str, look: Look, ready: &str| {
        browser.look(look).await?;
        browser.open(&format!("{}{path}", cluster.url())).await?;
        browser.until(ready).await?;
        std::fs::write(
            folder.join(format!("console-{name}.png")),
            browser.picture().await?,
        )?;
        anyhow::Ok(())
    };
    let nodes = "document.querySelector('#figures dd').innerText === '12' \
        && ![...document.querySelectorAll('.counts')].some((line) => line.innerText.startsWith('0 '))";
    let drawn = "document.querySelector('.preview img').naturalWidth > 0";
    let there = "document.querySelector('h1')";
    let low = |look, height| Look { height, ..look };
    picture("overview", "/", DESK, nodes).await?;
    picture("overview-dark", "/", dark(DESK), nodes).await?;
    picture("overview-phone", "/", PHONE, nodes).await?;
    let node = "/console/nodes/node2";
    let lines = "document.querySelectorAll('.chart path').length === 9 \
        && document.querySelector('.loads')";
    picture("node", node, DESK, lines).await?;
    let by_name = "/console/contents?sort=name";
    picture("contents", by_name, low(DESK, 860), there).await?;
    picture("content", &drawing, low(DESK, 880), drawn).await?;
    picture("content-dark-phone", &drawing, dark(PHONE), drawn).await?;
    picture(
        "shards-dark",
        "/console/shards",
        dark(low(DESK, 420)),
        there,
    )
    .await?;
    let rows = "document.querySelector('#operations tr:nth-child(9)')";
    picture("log", "/console/log", low(DESK, 860), rows).await?;
    upload(cluster, browser, folder).await?;
    cluster.stop_node(1).await;
    let url = cluster.url().to_owned();
    browser.look(DESK).await?;
    browser.open(&url).await?;
    browser
        .until_says("#verdict", "node2 does not answer")
        .await?;
    std::fs::write(
        folder.join("console-dead-node.png"),
        browser.picture().await?,
    )?;
    Ok(())
}

/// Files that were dropped, and have arrived.
async fn upload(cluster: &Running, browser: &Browser, folder: &Path) -> anyhow::Result<()> {
    let chosen = tempfile::tempdir()?;
    let names = ["gate-7.jpg", "gate-8.jpg", "turns-of-water-2026.csv"];
    let files: Vec<PathBuf> = names.iter().map(|name| chosen.path().join(name)).collect();
    for file in &files {
        std::fs::write(file, "one turn in eight days\n".repeat(9_000))?;
    }
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    browser
        .look(Look {
            height: 660,
            ..DESK
        })
        .await?;
    browser
        .open(&format!("{}/console/upload", cluster.url()))
        .await?;
    browser.choose("#files", &paths).await?;
    browser
        .until("document.querySelectorAll('.transfer.done').length === 3")
        .await?;
    std::fs::write(folder.join("console-upload.png"), browser.picture().await?)?;
    Ok(())
}

/// Stores a file of some size under a name.
async fn store(url: &str, name: &str, number: usize) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let place = client.get(format!("{url}{}", routes::STORE)).send().await?;
    let place: Place = place.json().await?;
    let body = match number {
        0 => DRAWING.to_owned(),
        _ => format!("{name}\n").repeat(number * number * 4_000),
    };
    let to = format!("{}/{}?filename={name}", place.uri, place.id);
    let stored = client.put(to).body(body).send().await?;
    ensure!(stored.status().is_success(), "{name}: {}", stored.status());
    Ok(place.id.to_string())
}

/// Six hours of a history that could have been.
async fn remember(options: &Options) -> anyhow::Result<()> {
    let database = dist::catalog::open(&options.catalog()).await?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let names: Vec<NodeName> = ["node1", "node2", "node3"]
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()?;
    for minute in (1..=360).rev() {
        let measures = measures(minute);
        let sample = Sample {
            at_s: now_s - minute * 60,
            nodes: names
                .iter()
                .zip([0.36, 0.34, 0.3])
                .map(|(name, share)| (name.clone(), part(measures, share)))
                .collect(),
            cluster: measures,
        };
        database.catalog.record(&sample).await?;
    }
    database.catalog.close().await;
    Ok(())
}

/// Load that comes and goes, with a busy half hour.
#[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
fn measures(minute: u64) -> Measures {
    let hour = minute as f64 / 60.0;
    let wave = 1.0 + 0.45 * (hour * TAU / 5.0).sin() + 0.16 * (hour * TAU * 2.3).sin();
    let ripple = 1.0 + 0.09 * (hour * 61.0).sin() + 0.07 * (hour * 147.0).cos();
    let rush = if (95..125).contains(&minute) {
        1.7
    } else {
        1.0
    };
    let load = wave * ripple * rush;
    Measures {
        nodes: 3.0,
        uploads_per_s: 41.0 * load,
        upload_busy: 41.0 * load * 0.0046 * rush * ripple,
        bytes_in_per_s: 9.4e6 * load,
        reads_per_s: 96.0 * load * ripple,
        read_busy: 96.0 * load * 0.0011 * ripple,
        bytes_out_per_s: 21.0e6 * load * ripple,
        cpu: 14.0 * load * ripple,
        memory: 3.0 * 61.0e6 * (0.9 + 0.1 * wave),
        storage: 75e6 - 0.11e6 * minute as f64,
        ..Measures::default()
    }
}

/// What one of the nodes has of that.
fn part(all: Measures, share: f64) -> Measures {
    Measures {
        nodes: 1.0,
        uploads_per_s: all.uploads_per_s * share,
        upload_busy: all.upload_busy * share,
        bytes_in_per_s: all.bytes_in_per_s * share,
        reads_per_s: all.reads_per_s * share,
        read_busy: all.read_busy * share,
        bytes_out_per_s: all.bytes_out_per_s * share,
        cpu: all.cpu * 3.0 * share,
        memory: all.memory * share,
        storage: all.storage * share,
        ..all
    }
}
