//! The standard set of measurements, for a second.

use trials::bench::standard::{Settings, print, run};
use trials::binaries::Binaries;

// If this fails, `cargo xtask bench` prints nothing, figures of failed requests, or processor time
// and memory that nobody measured.
#[tokio::test]
async fn a_load_is_measured_on_a_whole_cluster() {
    // On a disk, as measurements are: /tmp may be memory.
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
    let folder = tempfile::tempdir_in(target).expect("a folder");
    let settings = Settings {
        binaries: Binaries::for_tests().expect("the services build"),
        folder: folder.path().to_path_buf(),
        seconds: 1,
        rounds: 1,
        rows: 3_000,
        // Neither needs nginx, which is no program of the tests.
        only: vec!["put-1k-form".to_owned(), "list".to_owned()],
        profiles: None,
    };
    let mut out = Vec::new();
    let rows = run(&settings, &mut out).await.expect("it runs");
    // Whether goals are reached is no matter of a test, which shares its machine with others.
    print(&rows, &mut out).expect("it is printed");
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("3000 rows put into the catalog"), "{text}");
    assert!(!text.contains(" failed, "), "{text}");
    for title in [
        "| upload 1 KiB, 32 files a request",
        "| GET /content, pages of 1,000",
    ] {
        let line = text.lines().find(|line| line.starts_with(title));
        let cells: Vec<&str> = line.expect(title).split('|').map(str::trim).collect();
        let number = |cell: &str| {
            cell.split([' ', ','])
                .next()
                .and_then(|n| n.parse::<f64>().ok())
        };
        assert!(number(cells[2]).is_some_and(|rate| rate > 0.0), "{text}");
        assert!(
            number(cells[9]).is_some_and(|micros| micros > 0.0),
            "{text}"
        );
        assert!(number(cells[10]).is_some_and(|mib| mib > 1.0), "{text}");
    }
}
