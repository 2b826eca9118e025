//! Programs that people have already: curl, wget and aria2c, whole, in ranges and interrupted.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cluster::{Options, Running};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use wire::Checksum;

/// Large enough for eight connections with a mebibyte each, and for an interruption in between.
const CONTENT_BYTES: usize = 24 << 20;

/// How slow an interrupted transfer runs, so that there is time to interrupt it.
const SLOW: &str = "4M";

/// What an interrupted transfer must have got before it is killed.
const SOME_BYTES: u64 = 1 << 20;

struct Stage {
    cluster: Running,
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let options = Options {
            data,
            port: 0,
            nodes: 2,
            ..Options::default()
        };
        let cluster = cluster::start(options).await.expect("the cluster starts");
        // A cheap generator: no two blocks are alike, so that a range put in the wrong place shows.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let bytes: Vec<u8> = words.take(CONTENT_BYTES / 8).flatten().collect();
        std::fs::write(folder.path().join("up.bin"), &bytes).expect("writes the file");
        Stage {
            cluster,
            folder,
            bytes,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program in the stage's folder; gives its standard output.
    async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().await;
        let output = output.unwrap_or_else(|error| panic!("{program} is needed here: {error}"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {} {error}",
            output.status
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path())
            .kill_on_drop(true);
        // A proxy of the machine's has no business on loopback.
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command
    }

    /// Starts a program and kills it when `file` has got some of its bytes.
    async fn interrupt(&self, program: &str, arguments: &[&str], file: &str) {
        let mut command = self.command(program, arguments);
        let mut child: Child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let deadline = Instant::now() + Duration::from_secs(30);
        while allocated(&self.path().join(file)) < SOME_BYTES {
            assert!(Instant::now() < deadline, "{program} got nothing in 30 s");
            let ended = child.try_wait().expect("can be asked");
            assert!(
                ended.is_none(),
                "{program} ended before it was interrupted: {ended:?}"
            );
            sleep(Duration::from_millis(10)).await;
        }
        child.kill().await.expect("can be killed");
    }

    /// The link of the content, uploaded with `curl -T` to where the distributor said.
    async fn link(&self) -> String {
        let place = self
            .json("curl", &["-sS", &format!("{}/store", self.cluster.url())])
            .await;
        let (uri, id) = (text(&place, "uri"), text(&place, "id"));
        let receipt = self
            .json("curl", &["-sS", "-T", "up.bin", &format!("{uri}/{id}")])
            .await;
        self.check_receipt(&receipt);
        assert_eq!(text(&receipt, "id"), id);
        let url = format!("{}/content/{id}", self.cluster.url());
        text(&self.json("curl", &["-sS", &url]).await, "url")
    }

    async fn json(&self, program: &str, arguments: &[&str]) -> Value {
        let output = self.run(program, arguments).await;
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    fn check_receipt(&self, receipt: &Value) {
        let checksum = Checksum(*blake3::hash(&self.bytes).as_bytes()).to_string();
        assert_eq!(receipt["checksum"], Value::String(checksum), "{receipt}");
        assert_eq!(receipt["size"], CONTENT_BYTES, "{receipt}");
    }

    fn check_file(&self, name: &str) {
        let got = std::fs::read(self.path().join(name)).expect("the file is there");
        assert!(
            got == self.bytes,
            "{name} is not what was uploaded ({} bytes)",
            got.len()
        );
    }
}

/// What a file has got so far: programs may give it its length before its bytes.
fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map_or(0, |file| (file.blocks() * 512).min(file.len()))
}

fn text(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no `{key}` in {value}"))
        .to_owned()
}

// If this fails, plain curl cannot upload a form, or not go on after an interruption.
#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_forms_and_resumes() {
    let stage = Stage::set().await;
    let node = stage.cluster.nodes().next().expect("a node").1.to_owned();
    let form = [
        "-sS",
        "-F",
        "file=@up.bin;type=video/mp4",
        &format!("{node}/store"),
    ];
    stage.check_receipt(&stage.json("curl", &form).await);

    let link = stage.link().await;
    stage
        .interrupt(
            "curl",
            &["-sS", "--limit-rate", SLOW, "-o", "c.bin", &link],
            "c.bin",
        )
        .await;
    stage
        .run("curl", &["-sS", "--fail", "-C", "-", "-o", "c.bin", &link])
        .await;
    stage.check_file("c.bin");
    // Once more, with nothing left to get: curl takes a refused range for done.
    stage
        .run("curl", &["-sS", "-C", "-", "-o", "c.bin", &link])
        .await;
    stage.check_file("c.bin");
    stage.cluster.stop().await;
}

// If this fails, who uploads over a thin line to a cluster where nothing else happens loses the upload to a
// leader that takes itself for slow.
#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_slowly() {
    let stage = Stage::set().await;
    let slow = &stage.bytes[..5 << 20];
    std::fs::write(stage.path().join("slow.bin"), slow).expect("writes the file");
    let place = format!("{}/store", stage.cluster.url());
    let place = stage.json("curl", &["-sS", &place]).await;
    let to = format!("{}/{}", text(&place, "uri"), text(&place, "id"));
    let begun = Instant::now();
    let arguments = ["-sS", "--limit-rate", "1M", "-T", "slow.bin", &to];
    let receipt = stage.json("curl", &arguments).await;
    let checksum = Checksum(*blake3::hash(slow).as_bytes()).to_string();
    assert_eq!(receipt["checksum"], Value::String(checksum), "{receipt}");
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(3), "was not slow: {took:?}");
    stage.cluster.stop().await;
}

// If this fails, wget starts from the beginning after an interruption, or spoils the file.
#[tokio::test(flavor = "multi_thread")]
async fn wget_continues() {
    let stage = Stage::set().await;
    let link = stage.link().await;
    let slow = format!("--limit-rate={}", SLOW.to_lowercase());
    stage
        .interrupt("wget", &["-q", &slow, "-O", "w.bin", &link], "w.bin")
        .await;
    stage.run("wget", &["-q", "-c", "-O", "w.bin", &link]).await;
    stage.check_file("w.bin");
    stage.cluster.stop().await;
}

// If this fails, parallel ranges are mixed up, or a download cannot be taken up again.
#[tokio::test(flavor = "multi_thread")]
async fn aria2c_takes_eight_ranges_at_once_and_goes_on() {
    let stage = Stage::set().await;
    let link = stage.link().await;
    let ranges = [
        "-x",
        "8",
        "-s",
        "8",
        "-k",
        "1M",
        "--file-allocation=none",
        "--no-conf=true",
    ];
    let whole = [&ranges[..], &["-q", "-o", "a.bin", &link]].concat();
    stage.run("aria2c", &whole).await;
    stage.check_file("a.bin");

    let limit = format!("--max-overall-download-limit={SLOW}");
    let slow = [
        &ranges[..],
        &["-q", &limit, "--auto-save-interval=1", "-o", "b.bin", &link],
    ];
    stage.interrupt("aria2c", &slow.concat(), "b.bin").await;
    let rest = [
        &ranges[..],
        &["-q", "-c", "--allow-overwrite=true", "-o", "b.bin", &link],
    ];
    stage.run("aria2c", &rest.concat()).await;
    stage.check_file("b.bin");
    stage.cluster.stop().await;
}
