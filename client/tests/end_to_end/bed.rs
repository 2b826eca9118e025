//! A cluster of its own for each test, and the binary run against it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgtest::Postgres;
use serde_json::Value;
use tokio::runtime::Runtime;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster, and a folder for files beside it.
pub(crate) struct Bed {
    runtime: Runtime,
    cluster: Option<cluster::Running>,
    options: cluster::Options,
    folder: tempfile::TempDir,
}

/// A run of the binary that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

impl Ran {
    /// The output of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// The output's lines as JSON, of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        self.ok()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// The exit code and what was said, of a run that must have failed.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.err
    }
}

impl Bed {
    pub(crate) fn on_sqlite() -> Self {
        Self::start(None)
    }

    pub(crate) fn on_postgres() -> Self {
        Self::on(Postgres::shared())
    }

    /// On a fresh database of this server.
    pub(crate) fn on(postgres: &Postgres) -> Self {
        Self::start(Some(postgres.fresh_database().expect("a database")))
    }

    fn start(database_url: Option<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("cluster");
        let session = Duration::from_secs(2);
        let options = cluster::Options {
            data,
            port: 0,
            database_url,
            session,
            ..Default::default()
        };
        std::fs::create_dir(folder.path().join("files")).expect("makes");
        let runtime = Runtime::new().expect("a runtime");
        let cluster = None;
        let mut bed = Bed {
            runtime,
            cluster,
            options,
            folder,
        };
        bed.start_again();
        bed
    }

    /// Stops the whole cluster.
    pub(crate) fn stop(&mut self) {
        let cluster = self.cluster.take().expect("it runs");
        self.runtime.block_on(cluster.stop());
    }

    /// Starts the cluster on what it left.
    pub(crate) fn start_again(&mut self) {
        let started = self.runtime.block_on(cluster::start(self.options.clone()));
        self.cluster = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    pub(crate) fn stop_node(&mut self, place: usize) {
        let cluster = self.cluster.as_mut().expect("it runs");
        self.runtime.block_on(cluster.stop_node(place));
    }

    pub(crate) fn start_node(&mut self, place: usize) {
        let cluster = self.cluster.as_mut().expect("it runs");
        let started = self.runtime.block_on(cluster.start_node(place));
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs something asynchronous beside the cluster.
    pub(crate) fn wait_for<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.as_ref().expect("it runs").url().to_owned()
    }

    /// The place (from 0) of the node with this base URI.
    pub(crate) fn place_of(&self, uri: &str) -> usize {
        let mut nodes = self.cluster.as_ref().expect("it runs").nodes();
        nodes
            .position(|(_, url)| url == uri)
            .expect("one of the nodes")
    }

    /// Flips a bit of these bytes in one of their copies.
    pub(crate) fn damage_a_copy(&self, bytes: &[u8]) {
        let mut folders = vec![self.options.data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("lists").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "seg") {
                    let stored = std::fs::read(&path).expect("reads");
                    let mut windows = stored.windows(bytes.len());
                    let Some(at) = windows.position(|window| window == bytes) else {
                        continue;
                    };
                    let file = OpenOptions::new().write(true).open(&path).expect("opens");
                    let flipped = file.write_all_at(&[bytes[0] ^ 1], at as u64);
                    return flipped.expect("writes");
                }
            }
        }
        panic!("no copy has these bytes");
    }

    /// Makes the header of each copy of a content's record unreadable, so that nothing tells whose it was. Nothing
    /// runs meanwhile.
    pub(crate) fn break_headers(&self, id: &str) -> usize {
        /// Where the id stands in a header.
        const ID_AT: usize = 40;
        let id: wire::ContentId = id.parse().expect("an id");
        let mut folders = vec![self.options.data.clone()];
        let mut broken = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("lists").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "seg") {
                    let stored = std::fs::read(&path).expect("reads");
                    let mut windows = stored.windows(16);
                    let Some(at) = windows.position(|window| window == id.bytes()) else {
                        continue;
                    };
                    let file = OpenOptions::new().write(true).open(&path).expect("opens");
                    for at in [at - ID_AT, at - ID_AT + 9] {
                        let flipped = file.write_all_at(&[stored[at] ^ 8], at as u64);
                        flipped.expect("writes");
                    }
                    broken += 1;
                }
            }
        }
        broken
    }

    /// How much lies in the data folder of the node at this place.
    pub(crate) fn stored_bytes(&self, place: usize) -> u64 {
        let mut folders = vec![self.options.data.join(format!("node{}", place + 1))];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            // Files come and go while the node works.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => bytes += metadata.len(),
                    Err(_) => {}
                }
            }
        }
        bytes
    }

    /// The folder that the binary runs in.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Writes a file there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.files().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        std::fs::write(path, bytes).expect("writes");
    }

    /// Reads a file there.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.files().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of the files there that are not in folders.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files()).expect("lists").flatten();
        let files = entries.filter(|entry| entry.path().is_file());
        let mut names: Vec<_> = files
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        binary(&self.url(), &self.files(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("runs");
        ran(output)
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("ends");
        writer
            .join()
            .expect("the writer ends")
            .expect("all of it was read");
        ran(output)
    }

    /// Uploads one file and gives its id.
    #[track_caller]
    pub(crate) fn upload(&self, name: &str) -> String {
        let out = self.run(&["upload", name]).ok();
        let (id, stored) = out.trim_end().split_once('\t').expect("an id and a name");
        assert_eq!(
            stored,
            Path::new(name)
                .file_name()
                .expect("a name")
                .to_string_lossy()
        );
        id.to_owned()
    }

    /// Waits until so many contents are listed, and gives the lines of the list.
    #[track_caller]
    pub(crate) fn until_listed(&self, contents: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.until("all contents are listed", || {
            lines = self
                .run(&["list"])
                .ok()
                .lines()
                .map(str::to_owned)
                .collect();
            lines.len() == contents
        });
        lines
    }

    /// Waits until every shard has both its copies: a cluster that has just started makes them.
    pub(crate) fn until_mirrored(&self) {
        self.until("every shard has two copies", || {
            let shards = self.run(&["shards", "--json"]).json();
            let whole = |shard: &Value| {
                let set = shard["in_sync"].as_array();
                set.is_some_and(|set| set.len() == 2)
            };
            !shards.is_empty() && shards.iter().all(whole)
        });
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            self.runtime.block_on(cluster.stop());
        }
    }
}

/// The binary with this URL, in this folder, with nothing else of this environment.
pub(crate) fn binary(url: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("ACEQUIA_URL", url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a run left.
pub(crate) fn ran(output: std::process::Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        bytes: output.stdout,
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        all.extend_from_slice(&next());
    }
    all.truncate(bytes);
    all
}
