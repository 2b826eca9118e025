//! The signals that a service listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
    }
}
