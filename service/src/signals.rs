//! The signals that a service listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// SIGINT and SIGTERM, which no longer end the process at once.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Listens from now on: what comes before somebody waits is kept.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when one has come. May be dropped and called again; nothing is lost.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What a running service is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// To end: SIGINT or SIGTERM.
    Stop,
    /// To read its settings again: SIGHUP.
    Reload,
}

/// The signals that end a service, and SIGHUP, which has it read its settings again.
#[derive(Debug)]
pub struct Signals {
    stop: StopSignals,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on, as [`StopSignals::listen`].
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            stop: StopSignals::listen()?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// What a task gives that may block: it runs on a thread of its own. None when the service shall
    /// end first, which then waits for the task no longer.
    ///
    /// # Errors
    /// When there is no thread for it, or it panics.
    pub async fn unless_stopped<T: Send + 'static>(
        &mut self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let (give, given) = oneshot::channel();
        let thread = std::thread::Builder::new().name("settings".to_owned());
        // Nobody takes it any more when the service ends.
        thread.spawn(move || drop(give.send(task())))?;
        tokio::select! {
            biased;
            () = self.stop.received() => Ok(None),
            given = given => match given {
                Ok(given) => Ok(Some(given)),
                Err(_) => Err(io::Error::other("the thread that reads the settings panicked")),
            },
        }
    }

    /// Returns when the service shall end; one that still starts reads its settings anyway.
    pub async fn stopped(&mut self) {
        self.stop.received().await;
    }

    /// The next thing that the service is told; an end before everything else.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            biased;
            () = self.stop.received() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    // If this fails, a reload ends the service, or a service that reloads cannot be ended.
    #[tokio::test]
    async fn signals_are_told_apart_and_none_is_lost() {
        let mut signals = Signals::listen().expect("listens");
        let send = |signal| kill_process(getpid(), signal).expect("is signalled");
        send(Signal::HUP);
        assert_eq!(signals.next().await, Told::Reload);
        for stop in [Signal::TERM, Signal::INT] {
            send(stop);
            assert_eq!(signals.next().await, Told::Stop);
        }
        send(Signal::TERM);
        signals.stopped().await;

        // A service that is told to end does not wait for what blocks.
        let done = signals.unless_stopped(|| 7).await.expect("a thread");
        assert_eq!(done, Some(7));
        let (release, released) = mpsc::channel::<()>();
        send(Signal::TERM);
        let blocked = signals.unless_stopped(move || released.recv().is_ok());
        assert_eq!(blocked.await.expect("a thread"), None);
        drop(release);
    }
}
