//! A file's life: uploaded, found, seen, replaced, deleted.

use std::path::Path;
use std::process::Command;

use crate::stage::{PIXEL, Stage};

/// Enter, as a keyboard sends it.
const ENTER: &str = "\u{e007}";

/// Drops a file on the page's heading; tells whether the page took it.
const DROP: &str = "(() => { const data = new DataTransfer();
    data.items.add(new File(['dropped'], 'dropped.txt'));
    const event = new DragEvent('drop', { dataTransfer: data, cancelable: true, bubbles: true });
    document.querySelector('h1').dispatchEvent(event);
    return event.defaultPrevented; })()";

// If this fails, somebody without a command line cannot use the cluster at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_lives_through_the_console() {
    let stage = Stage::set(None).await;
    stage.open("/console/contents").await;
    stage.says("main", "Nothing stored yet").await;

    stage.click("main .button").await;
    let picture = stage.file("pixel été.png", PIXEL);
    let notes = stage.file("notes.txt", "First line, ünïcode & <b>.\n".as_bytes());
    stage.choose("#files", &[&picture, &notes]).await;
    stage
        .until("document.querySelectorAll('.transfer.done').length === 2")
        .await;
    stage.says("#transfers", "stored on node").await;
    stage.says("#stored", "2 of 2 stored").await;

    // Dropped, as from another window, and beside the field: a browser would leave the page for the file.
    let taken = stage.browser.eval(DROP).await.expect("is dropped");
    assert_eq!(taken, serde_json::json!(true));
    stage
        .until("document.querySelectorAll('.transfer.done').length === 3")
        .await;

    // Found by the beginning of its name, with the keyboard alone.
    stage.open("/console/contents").await;
    stage
        .until("document.querySelectorAll('tbody tr').length === 3")
        .await;
    let search = format!("pixel{ENTER}");
    stage
        .browser
        .write("input[name=name]", &search)
        .await
        .expect("types");
    stage.until("location.search.includes('name=pixel')").await;
    stage
        .until("document.querySelectorAll('tbody tr').length === 1")
        .await;
    stage.click("tbody a").await;

    stage.says("h1", "pixel été.png").await;
    stage
        .until("document.querySelector('.preview img').naturalWidth === 1")
        .await;
    stage.says(".facts", "image/png").await;
    stage.says(".copies", "leads").await;
    stage
        .says("#curl", "curl -fL -o 'pixel été.png' 'http://")
        .await;

    // A new version takes the place of the old one.
    let better = stage.file("better.txt", b"The second version.");
    stage.choose("#replace", &[&better]).await;
    stage.click("dialog .main").await;
    stage
        .says("#version", "2, only the current version is kept")
        .await;
    stage.says(".preview pre", "The second version.").await;

    stage.click("a.danger").await;
    stage.says("h1", "Delete").await;
    stage.click("button.danger").await;
    stage.says("h1", "Deleted").await;
    stage.open("/console/contents").await;
    stage.says("tbody", "notes.txt").await;
    stage
        .until("document.querySelectorAll('tbody tr').length === 2")
        .await;
    stage.end().await;
}

/// Runs a line in a folder; gives whether it succeeded.
fn run(line: &str, folder: &Path) -> bool {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", line]).current_dir(folder);
    let output = shell.env("no_proxy", "127.0.0.1").output();
    output.expect("a shell").status.success()
}

// If this fails, the line that the page gives for curl keeps a node's refusal as if it were the file.
#[tokio::test(flavor = "multi_thread")]
async fn the_copied_line_brings_the_file_or_fails() {
    let stage = Stage::set(None).await;
    let id = stage.store("notes.txt", b"The notes.").await;
    stage.open(&format!("/console/contents/{id}")).await;
    let line = stage.browser.text("#curl").await.expect("a line");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("notes.txt");
    assert!(run(&line, folder.path()), "{line}");
    assert_eq!(std::fs::read(&file).ok(), Some(b"The notes.".to_vec()));
    std::fs::remove_file(&file).expect("is removed");
    stage.click("a.danger").await;
    stage.says("h1", "Delete").await;
    stage.click("button.danger").await;
    stage.says("h1", "Deleted").await;
    assert!(!run(&line, folder.path()), "{line}");
    assert!(!file.exists());
    stage.end().await;
}

// If this fails, the log's page is empty for whoever opens it first, or has no scripts.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_its_end_though_nobody_watches() {
    let stage = Stage::set(None).await;
    let id = stage.store("last.txt", b"The last.").await;
    let mut looks = 0;
    while !stage.page("/console/log").await.contains(&id) {
        looks += 1;
        assert!(looks < 100, "the log's page does not show {id}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    stage.end().await;
}

// If this fails, somebody's file acts in the name of whoever looks at it, or is shown as it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_file_is_only_text() {
    let stage = Stage::set(None).await;
    let page = b"<script>document.title = 'taken'</script>";
    let id = stage.store("page.html", page).await;
    let drawing = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>top.document.title = 'taken'</script></svg>";
    let svg = stage.store("drawing.svg", drawing).await;
    stage.open(&format!("/console/contents/{id}")).await;
    stage.says(".preview pre", "<script>document.title").await;
    stage.open(&format!("/console/contents/{svg}")).await;
    stage
        .until("document.querySelector('.preview img').naturalWidth === 9")
        .await;
    assert_eq!(
        stage.browser.eval("document.title").await.ok(),
        Some("drawing.svg · Acequia".into())
    );
    stage.end().await;
}

// If this fails, pages of a long list are skipped or shown twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_turned_page_by_page() {
    let stage = Stage::set(None).await;
    for number in 0..53 {
        stage.store(&format!("file{number:02}"), b"x").await;
    }
    stage.open("/console/contents?sort=name").await;
    stage.says("tbody tr:first-child", "file00").await;
    stage.click("a.next").await;
    stage.says("tbody tr:first-child", "file50").await;
    stage
        .until("document.querySelectorAll('tbody tr').length === 3")
        .await;
    stage.until("!document.querySelector('a.next')").await;
    // By its headings, too.
    stage.click("thead a").await;
    stage.says("tbody tr:first-child", "file52").await;
    stage.says("th[aria-sort=descending]", "Name").await;
    stage.click("thead .wide a").await;
    stage.says("th[aria-sort=descending]", "Stored").await;
    stage.open("/console/contents?name=file5&sort=-name").await;
    stage.says("tbody tr:first-child", "file52").await;
    stage.open("/console/contents?name=none").await;
    stage.says("main", "No name begins with “none”").await;
    stage.end().await;
}
