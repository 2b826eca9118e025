//! What pages say when something is away.

use crate::stage::Stage;
use pgtest::Postgres;

// If this fails, a page goes on showing a node that is dead, until somebody loads it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_and_returns_is_seen_at_once() {
    let mut stage = Stage::set(None).await;
    stage.open("/").await;
    stage.says("#verdict", "All is well: 3 nodes are up").await;
    stage
        .until("document.querySelectorAll('.node').length === 3")
        .await;
    stage.until("(document.body.dataset.same = 'yes')").await;
    stage.cluster.stop_node(1).await;
    stage.says("#node-node2.down", "does not answer").await;
    stage.says("#verdict", "node2 does not answer").await;
    stage.cluster.start_node(1).await.expect("starts again");
    stage
        .until("document.querySelector('#node-node2:not(.down)')")
        .await;
    stage.says("#verdict", "All is well: 3 nodes are up").await;
    // It is the page that was opened first.
    stage.until("document.body.dataset.same === 'yes'").await;
    stage.end().await;
}

// If this fails, whoever looks for the reason of an outage sees a blank page.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_explained() {
    let mut postgres = Postgres::start().expect("PostgreSQL starts");
    let database = postgres.fresh_database().expect("a database");
    let stage = Stage::set(Some(database)).await;
    let id = stage.store("kept.txt", b"still there").await;
    stage.open("/").await;
    stage.says("#verdict", "All is well").await;
    postgres.stop_server();
    stage
        .says("#verdict", "The catalog database does not answer")
        .await;
    stage.open("/").await;
    stage
        .until("document.querySelectorAll('.node:not(.down)').length === 3")
        .await;
    stage.says("#charts", "which does not answer").await;
    stage.open("/console/contents").await;
    stage
        .says("h1", "The catalog database does not answer")
        .await;
    stage.says("main", "Try again").await;
    stage.open(&format!("/console/contents/{id}")).await;
    stage.says(".preview pre", "still there").await;
    postgres.start_server().expect("starts again");
    stage.open("/").await;
    stage.says("#verdict", "All is well").await;
    stage.open("/console/contents").await;
    stage.says("tbody", "kept.txt").await;
    stage.leave().await;
}

// If this fails, an upload that failed looks like one that is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_says_why_and_can_be_tried_again() {
    let mut stage = Stage::set(None).await;
    for place in 0..3 {
        stage.cluster.stop_node(place).await;
    }
    stage.open("/").await;
    stage.says("#verdict", "No storage node answers").await;
    stage.open("/console/upload").await;
    let file = stage.file("a.txt", b"a");
    stage.choose("#files", &[&file]).await;
    stage
        .says(
            ".transfer.failed",
            "Not stored: no storage node can take an upload",
        )
        .await;
    stage.cluster.start_stopped().await.expect("start again");
    stage.click(".transfer button").await;
    stage.says(".transfer.done", "stored on").await;
    stage.open("/console/contents/no-id").await;
    stage.says("h1", "The address cannot be read").await;
    stage.open("/console/nowhere").await;
    stage.says("h1", "There is no such page").await;
    stage.leave().await;
}

// If this fails, a wrong file that was dropped cannot be stopped any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_can_be_cancelled() {
    let stage = Stage::set(None).await;
    stage.open("/console/upload").await;
    // Three are on their way at a time: the last one waits.
    let drop = "(() => { const data = new DataTransfer();
        const bytes = new Uint8Array(64 << 20);
        for (let n = 1; n <= 4; n += 1) data.items.add(new File([bytes], `${n}.bin`));
        document.body.dispatchEvent(
            new DragEvent('drop', { dataTransfer: data, cancelable: true, bubbles: true }));
        const buttons = [...document.querySelectorAll('.transfer button')];
        for (const button of buttons.slice(1)) button.click();
        return buttons.map((button) => button.textContent); })()";
    let buttons = stage.browser.eval(drop).await.expect("is dropped");
    assert_eq!(
        buttons,
        serde_json::json!(["Cancel", "Cancel", "Cancel", "Cancel"])
    );
    stage.says(".transfer.done", "1.bin").await;
    stage
        .until("document.querySelectorAll('.transfer.failed').length === 3")
        .await;
    stage
        .says(".transfer.failed", "Not stored: it was cancelled")
        .await;
    stage
        .until("document.querySelectorAll('.transfer.done button').length === 0")
        .await;
    // Whoever thinks better of it need not choose the file again.
    stage.click(".transfer.failed button").await;
    stage
        .until("document.querySelectorAll('.transfer.done').length === 2")
        .await;
    stage.open("/console/contents").await;
    stage
        .until("document.querySelectorAll('tbody tr').length === 2")
        .await;
    stage.end().await;
}

// If this fails, somebody believes that a folder is stored of which nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_folder_is_refused_in_words() {
    let stage = Stage::set(None).await;
    stage.open("/console/upload").await;
    // What a script may put together has no folders: this is what a browser gives for them.
    let drop = "(() => { const event = new Event('drop', { cancelable: true, bubbles: true });
        const folder = { kind: 'file', getAsFile: () => new File([], 'holiday'),
            webkitGetAsEntry: () => ({ isDirectory: true, name: 'holiday' }) };
        const file = { kind: 'file', getAsFile: () => new File(['x'], 'x.txt'),
            webkitGetAsEntry: () => ({ isDirectory: false, name: 'x.txt' }) };
        const words = { kind: 'string' };
        event.dataTransfer = { items: [words, folder, file], files: [] };
        document.querySelector('h1').dispatchEvent(event);
        return event.defaultPrevented; })()";
    let taken = stage.browser.eval(drop).await.expect("is dropped");
    assert_eq!(taken, serde_json::json!(true));
    stage
        .says(
            ".transfer.failed",
            "holiday: it is a folder; client upload -r takes it",
        )
        .await;
    stage.says(".transfer.done", "x.txt").await;
    stage.says("#stored", "1 of 2 stored, 1 failed").await;
    // It is the line on which a screen reader speaks up, and the bars are silent.
    stage
        .until("document.querySelector('[aria-live]').id === 'stored'")
        .await;
    stage
        .until("document.querySelectorAll('[aria-live]').length === 1")
        .await;
    stage.end().await;
}
