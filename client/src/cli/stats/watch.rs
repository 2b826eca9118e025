//! `client stats --watch` on a terminal: looks, keys and signals, and the picture after each.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::Timestamp;
use wire::stats::ClusterStats;

use crate::api::{Client, RequestError};
use crate::cli::Session;
use crate::cli::failure::{Failure, Kind};
use crate::ui::human;
use crate::ui::screen::{Screen, frame};

use super::past::{COLUMN_MS, KEPT_MS, Past};
use super::picture::{View, draw};
use super::{EVERY, LATE, ask, now_ms};

/// Histories that are asked for at once.
const HISTORIES_MAX: usize = 8;

/// How long the picture waits for histories: a person waits for it.
const HISTORIES_TIME_MAX: Duration = Duration::from_secs(2);

/// Looks that may be late before it is told.
const LOOKS_MISSED_MAX: u32 = 3;

const HELP: &str = "every 2 s; q or Ctrl-C ends";
const HELP_WITHOUT_KEYS: &str = "every 2 s; Ctrl-C ends";

/// What comes from outside.
enum Event {
    Quit,
    Resized,
    Paused,
    /// A signal that ends a process.
    Ended,
}

/// Keys and signals.
struct Events {
    /// None once no more keys can come.
    keys: Option<Stdin>,
    resized: Signal,
    paused: Signal,
    hung_up: Signal,
    terminated: Signal,
    quit: Signal,
}

pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let client = session.client.with_patience(LATE);
    // Before the screen is borrowed: that nobody answers is told as by every other command.
    let mut stats = ask(&client).await?;
    let (mut past, mut trouble) = remembered(&client, &stats).await;
    past.look(now_ms(), &stats);
    let refused = |error| Failure::new(Kind::Local, format!("cannot use this terminal: {error}"));
    let mut events = Events::listen().map_err(refused)?;
    let screen = Screen::open().map_err(refused)?;
    let (mut looks, _looking) = look(client.clone());
    let (keys, mut looked_ms) = (screen.has_keys(), now_ms());
    let mut tick = tokio::time::interval(EVERY);
    events.keys = keys.then(tokio::io::stdin);
    let url = client.endpoint().to_string();
    loop {
        let silent = silence(now_ms().saturating_sub(looked_ms));
        let view = View {
            url: &url,
            now_ms: now_ms(),
            stats: &stats,
            past: &past,
            trouble: trouble.as_deref().or(silent.as_deref()),
            help: if keys { HELP } else { HELP_WITHOUT_KEYS },
        };
        let size = screen.size();
        let lines = draw(&view, size, session.ui.palette());
        session.ui.write(frame(&lines, size.1).as_bytes())?;
        tokio::select! {
            Some(looked) = looks.recv() => match looked {
                Ok(now) => {
                    looked_ms = now_ms();
                    past.look(looked_ms, &now);
                    (stats, trouble) = (now, None);
                }
                Err(error) => trouble = Some(told(&error)),
            },
            _ = tick.tick() => {}
            event = events.next() => match event {
                Event::Quit => return Ok(()),
                Event::Resized => {}
                Event::Paused => screen.pause().map_err(refused)?,
                Event::Ended => {
                    return Err(Failure::new(Kind::Interrupted, "ended by a signal"));
                }
            },
        }
    }
}

/// What is said when no look ended for so long: its answer may still come.
fn silence(ms: u64) -> Option<String> {
    let silence = Duration::from_millis(ms);
    (silence > EVERY * LOOKS_MISSED_MAX)
        .then(|| format!("nothing newer: no answer for {}", human::duration(silence)))
}

fn told(error: &RequestError) -> String {
    format!("nothing newer: {}", causes(error))
}

fn causes(error: &RequestError) -> String {
    Failure::caused("", error).causes.join(": ")
}

/// What the cluster remembers; less where it cannot tell, or not soon: charts then begin empty. With
/// it, what is to be said of that.
async fn remembered(client: &Client, stats: &ClusterStats) -> (Past, Option<String>) {
    let mut past = Past::default();
    let asked = remember(client, stats, &mut past);
    let missing = match tokio::time::timeout(HISTORIES_TIME_MAX, asked).await {
        Ok(asked) => asked.err().map(|error| causes(&error)),
        Err(_) => {
            let (url, waited) = (client.endpoint(), human::duration(HISTORIES_TIME_MAX));
            Some(format!("{url} did not tell it within {waited}"))
        }
    };
    let missing = missing.map(|why| format!("not all of the past is shown: {why}"));
    (past, missing)
}

/// Asks for all histories; the first failure is told when all have been asked for.
async fn remember(
    client: &Client,
    stats: &ClusterStats,
    past: &mut Past,
) -> Result<(), RequestError> {
    let from = Timestamp(now_ms().saturating_sub(KEPT_MS));
    let whose = std::iter::once(None).chain(stats.nodes.keys().map(Some));
    let asked = whose.map(|node| client.history(node, from, COLUMN_MS / 1000));
    let mut asked = futures_util::stream::iter(asked).buffer_unordered(HISTORIES_MAX);
    let mut failed = None;
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(history) => past.remember(&history),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Looks again and again, beside the picture: a slow answer keeps no key waiting. Ends with the set.
fn look(
    client: Client,
) -> (
    mpsc::Receiver<Result<ClusterStats, RequestError>>,
    JoinSet<()>,
) {
    let (send, receive) = mpsc::channel(1);
    let mut looking = JoinSet::new();
    looking.spawn(async move {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if send.send(client.stats().await).await.is_err() {
                break;
            }
        }
    });
    (receive, looking)
}

impl Events {
    fn listen() -> std::io::Result<Self> {
        Ok(Events {
            keys: None,
            resized: signal(SignalKind::window_change())?,
            paused: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            hung_up: signal(SignalKind::hangup())?,
            terminated: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Event {
        loop {
            let mut key = [0];
            let pressed = async {
                match &mut self.keys {
                    Some(keys) => keys.read(&mut key).await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                read = pressed => read,
                Some(()) = self.resized.recv() => return Event::Resized,
                Some(()) = self.paused.recv() => return Event::Paused,
                Some(()) = self.hung_up.recv() => return Event::Ended,
                Some(()) = self.terminated.recv() => return Event::Ended,
                Some(()) = self.quit.recv() => return Event::Ended,
            };
            match read {
                Ok(1) if matches!(key, [b'q' | b'Q']) => return Event::Quit,
                Ok(1) => {}
                // The terminal is gone, or gives no more.
                _ => self.keys = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a cluster that hangs looks like one where nothing happens.
    #[test]
    fn a_long_silence_is_told() {
        assert_eq!(silence(6_000), None);
        let told = silence(7_000).expect("told");
        assert_eq!(told, "nothing newer: no answer for 7 s");
    }
}
