//! Debian's nginx on a free port, with a configuration and folders of its own: static files are read
//! by sendfile, and put by WebDAV.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use client::bench::Target;
use rustix::process::{Pid, Signal, kill_process};

use super::{Processes, Side};
use crate::command;
use crate::fleet::free_row_of_ports;

/// How long it may take to start, and to end.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The folder that is served.
const FILES: &str = "files";

/// A running nginx. Dropped, it ends.
pub(super) struct Nginx {
    child: Child,
    folder: PathBuf,
    url: String,
    processes: Processes,
}

impl Nginx {
    /// Starts it with all of its files in `folder`; where it is not installed, Debian's is unpacked
    /// there.
    ///
    /// # Errors
    /// When there is none, or it does not serve.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join(FILES))?;
        let program = program(folder)?;
        let port = free_row_of_ports(1)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        fs::write(
            folder.join("nginx.conf"),
            configuration(folder, port, cores),
        )?;
        let child = Command::new(&program)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-e")
            .arg(folder.join("error.log"))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let services = vec![child.id()];
        let mut nginx = Nginx {
            child,
            folder: folder.to_path_buf(),
            url: format!("http://127.0.0.1:{port}"),
            processes: Processes {
                storage: services.clone(),
                services,
                database: None,
            },
        };
        nginx.serves(port).await?;
        Ok(nginx)
    }

    async fn serves(&mut self, port: u16) -> anyhow::Result<()> {
        let deadline = Instant::now() + TIME_MAX;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = self.child.try_wait()?.is_some();
            let log = || fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
            ensure!(
                !has_ended && Instant::now() < deadline,
                "nginx does not serve: {}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A folder in which nothing was ever put: to put files where many were is another thing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn fresh_folder(&self, name: &str) -> anyhow::Result<Target> {
        fs::create_dir_all(self.folder.join(FILES).join(name))?;
        Ok(Target::Plain(format!("{}/{name}", self.url)))
    }

    /// It as one who is measured.
    pub(super) fn side(&self) -> Side<'_> {
        Side {
            target: Target::Plain(self.url.clone()),
            contents: Vec::new(),
            processes: &self.processes,
        }
    }

    /// Removes all that was put: large files, which take room.
    ///
    /// # Errors
    /// When the folder cannot be emptied.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        let files = self.folder.join(FILES);
        fs::remove_dir_all(&files)?;
        Ok(fs::create_dir_all(&files)?)
    }
}

impl Drop for Nginx {
    /// Its workers end when it is told to, and not when it is killed.
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let told = pid.map(|pid| kill_process(pid, Signal::TERM));
        let ended = told.map(|_| self.child.wait());
        command::report(ended.transpose().map(|_| ()).context("nginx does not end"));
    }
}

/// nginx's program: the one that is installed, or the one out of Debian's package, which is unpacked
/// and not installed, so that no service of the machine's is started or changed.
fn program(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut installed = folders.map(|folder| folder.join("nginx"));
    if let Some(program) = installed.find(|path| path.is_file()) {
        return Ok(program);
    }
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    let script = "cd \"$1\" && apt-get -q download nginx >/dev/null 2>&1 && dpkg -x nginx_*.deb .";
    let place = unpacked.to_string_lossy();
    command::run("sh", &["-c", script, "sh", &place]).context(
        "nginx is not installed, and its package cannot be fetched with apt-get; install `nginx` \
         (Debian's name)",
    )?;
    Ok(unpacked.join("usr/sbin/nginx"))
}

fn configuration(folder: &Path, port: u16, workers: usize) -> String {
    let folder = folder.display();
    let kinds = ["fastcgi", "uwsgi", "scgi", "proxy"];
    let elsewhere: String = kinds
        .iter()
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    // Started by root, workers would be another user, who owns none of these folders.
    let user = match rustix::process::geteuid().is_root() {
        true => "user root root;\n",
        false => "",
    };
    format!(
        "{user}daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
{elsewhere}    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder}/{FILES};
        location / {{ dav_methods PUT DELETE; }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, nginx's files land in the machine's own folders.
    #[test]
    fn everything_lies_in_its_folder() {
        let text = configuration(Path::new("/x/y"), 7000, 2);
        for line in text
            .lines()
            .filter(|line| line.contains("_temp_path") || line.contains("pid "))
        {
            assert!(line.contains(" /x/y/"), "{line}");
        }
        assert!(text.contains("worker_processes 2;") && text.contains("127.0.0.1:7000 "));
    }
}
