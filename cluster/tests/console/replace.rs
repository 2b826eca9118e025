//! Changes at one content by two people: each is asked, and neither writes over what he has not seen.

use crate::stage::Stage;

/// Keys as a keyboard sends them.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Drops a file with these words on the page's heading.
async fn drop_file(stage: &Stage, name: &str, words: &str) {
    drop_files(stage, &[name], words).await;
}

/// Drops files, each with these words, on the page's heading.
async fn drop_files(stage: &Stage, names: &[&str], words: &str) {
    let drop = format!(
        "(() => {{ const data = new DataTransfer();
        for (const name of {names:?}) data.items.add(new File(['{words}'], name));
        document.querySelector('h1').dispatchEvent(
            new DragEvent('drop', {{ dataTransfer: data, cancelable: true, bubbles: true }}));
        return true; }})()"
    );
    stage.browser.eval(&drop).await.expect("is dropped");
}

const ASKED: &str = "document.querySelector('dialog').open";

// If this fails, a file that slipped from somebody's mouse takes the place of another one, whose bytes are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_replaces_nothing_unasked() {
    let stage = Stage::set(None).await;
    let id = stage.store("notes.txt", b"The first.").await;
    stage.open(&format!("/console/contents/{id}")).await;
    for key in [ESCAPE, ENTER] {
        drop_file(&stage, "slipped.txt", "Not meant.").await;
        stage
            .says("dialog", "Replace notes.txt (version 1) by slipped.txt?")
            .await;
        stage.browser.press(key).await.expect("pressed");
        stage.until(&format!("!{ASKED}")).await;
    }
    let sent = "document.querySelectorAll('.transfer').length";
    assert_eq!(stage.browser.eval(sent).await.ok(), Some(0.into()));
    drop_files(&stage, &["one.txt", "two.txt"], "Not meant.").await;
    stage
        .says("#transfers", "one.txt: only one file can be put here")
        .await;
    assert_eq!(stage.browser.eval(ASKED).await.ok(), Some(false.into()));
    drop_file(&stage, "meant.txt", "The second.").await;
    stage.click("dialog .main").await;
    stage.says("#version", "2").await;
    stage.says(".preview pre", "The second.").await;
    stage.end().await;
}

// If this fails, who replaces or deletes a file destroys what somebody else stored there a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_is_not_written_over() {
    let stage = Stage::set(None).await;
    let id = stage.store("notes.txt", b"The first.").await;
    let page = format!("/console/contents/{id}");
    stage.open(&page).await;
    stage.update(&id, b"Of somebody else.").await;
    drop_file(&stage, "mine.txt", "Mine.").await;
    stage.click("dialog .main").await;
    stage
        .says(".transfer.failed", "Not stored: somebody else has changed")
        .await;
    stage.says("#stored", "0 of 1 stored").await;
    stage.click(".transfer.failed button").await;
    stage.says(".preview pre", "Of somebody else.").await;
    stage.says("#version", "2").await;

    stage.click("a.danger").await;
    stage.says("h1", "Delete").await;
    stage.update(&id, b"Of somebody else again.").await;
    stage.click("button.danger").await;
    stage
        .says("main", "Somebody else has changed it meanwhile")
        .await;
    let bytes = stage.page(&format!("{page}/bytes")).await;
    assert_eq!(bytes, "Of somebody else again.");
    stage.click("button.danger").await;
    stage.says("h1", "Deleted").await;
    stage.leave().await;
}
