//! Looking: the log that grows by itself, small windows, the keyboard.

use crate::stage::{DESK, PHONE, Stage};
use webtest::{Look, Theme};

/// Tab and Enter, as a keyboard sends them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

// If this fails, whoever watches the log must load it again and again.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_grows_by_itself() {
    let stage = Stage::set(None).await;
    let before = stage.store("before.txt", b"1").await;
    stage.open("/console/log").await;
    stage.says("#operations", &before).await;
    let after = stage.store("after.txt", b"2").await;
    stage.says("#operations tr:first-child", &after).await;
    stage.says("#operations tr:first-child", "upload").await;
    let twice = format!(
        "[...document.querySelectorAll('#operations tr')].filter((row) => row.innerText.includes('{after}')).length === 1"
    );
    stage.until(&twice).await;
    stage.end().await;
}

// If this fails, a page is wider than a phone, or unreadable in the dark.
#[tokio::test(flavor = "multi_thread")]
async fn pages_fit_small_windows_and_both_themes() {
    let stage = Stage::set(None).await;
    let id = stage
        .store(
            "a-rather-long-name-of-a-file-that-somebody-once-gave.txt",
            b"x",
        )
        .await;
    let content = format!("/console/contents/{id}");
    let delete = format!("{content}/delete");
    let pages = [
        "/",
        "/console/nodes/node1",
        "/console/contents",
        &content,
        &delete,
        "/console/upload",
        "/console/shards",
        "/console/log",
        "/console/sign-in",
    ];
    for look in [PHONE, DESK] {
        stage.browser.look(look).await.expect("the window changes");
        for page in pages {
            stage.open(page).await;
            stage
                .until("document.documentElement.scrollWidth <= innerWidth")
                .await;
            stage
                .until("document.querySelectorAll('h1').length === 1")
                .await;
            // Where the copies are is what one looks for, also where tables are cut off.
            let seen = "[...document.querySelectorAll('.copies li')]
                .every((copy) => copy.getBoundingClientRect().right <= innerWidth)";
            stage.until(seen).await;
        }
    }
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = stage.browser.eval(paper).await.expect("a colour");
    let dark = Look {
        theme: Theme::Dark,
        ..DESK
    };
    stage.browser.look(dark).await.expect("the window changes");
    assert_ne!(stage.browser.eval(paper).await.expect("a colour"), light);
    stage.end().await;
}

// If this fails, who looks for the slow node must ask a program, or must have a mouse and scripts.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_s_charts_are_behind_its_name() {
    let mut stage = Stage::set(None).await;
    let page = "/console/nodes/node2";
    let mut looks = 0;
    while !stage.page(page).await.contains("Storage: at most") {
        looks += 1;
        assert!(looks < 200, "no sample of node2 is drawn");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    stage.open("/").await;
    let focus = "document.querySelector('#node-node2 a').focus()";
    stage.browser.eval(focus).await.expect("the name is a link");
    stage.browser.press(ENTER).await.expect("pressed");
    stage
        .until(&format!("location.pathname === '{page}'"))
        .await;
    stage.says("h1", "node2").await;
    stage.until("document.title === 'node2 · Acequia'").await;
    stage
        .until("document.querySelectorAll('.chart path').length === 9")
        .await;
    stage.click(".ranges a:last-child").await;
    stage
        .until(&format!("location.href.includes('{page}?range=7d')"))
        .await;
    // After an interruption all nodes come as one part, of which this page shows one.
    let part = "show('nodes', element('<p id=\"nodes\"><i id=\"node-node2\">part</i></p>'))";
    let shown = format!("({part}, document.getElementById('node-node2').innerText)");
    assert_eq!(stage.browser.eval(&shown).await.ok(), Some("part".into()));
    // What it does now changes here as it does on the first page.
    stage.cluster.stop_node(1).await;
    stage.says("#node-node2.down", "does not answer").await;
    stage.cluster.start_node(1).await.expect("starts again");
    stage
        .until("document.querySelector('#node-node2:not(.down)')")
        .await;
    stage.end().await;
}

// If this fails, who cannot use a mouse does not get past the first page.
#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything() {
    let stage = Stage::set(None).await;
    stage.open("/").await;
    stage.browser.press(TAB).await.expect("pressed");
    stage
        .until("document.activeElement.className === 'skip'")
        .await;
    let (brand, overview, contents) = (TAB, TAB, TAB);
    let keys = [brand, overview, contents].concat();
    stage.browser.press(&keys).await.expect("pressed");
    stage
        .until("document.activeElement.innerText === 'Contents'")
        .await;
    // What is live does not take the focus away.
    stage.store("new.txt", b"x").await;
    stage
        .until("document.querySelector('#figures dd').innerText === '1'")
        .await;
    stage.browser.press(ENTER).await.expect("pressed");
    stage
        .until("location.pathname === '/console/contents'")
        .await;
    stage.end().await;
}
