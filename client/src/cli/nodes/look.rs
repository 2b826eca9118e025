//! Looking at the cluster again and again, while somebody waits for what it does by itself.

use std::time::Duration;

use tokio::time::Instant;
use wire::membership::NodesAnswer;

use crate::api::Client;
use crate::api::retry::{PATIENCE, Remedy};
use crate::cli::failure::Failure;

/// Between two looks at what is left to be done.
const EVERY: Duration = Duration::from_millis(500);

/// Looks again, a moment after the last time. The cluster is known to be there, so silence is borne for as long
/// as in any call, and told once: a distributor that restarts ends no wait of hours.
///
/// # Errors
/// When nobody answers for so long, or the answer is a refusal.
pub(super) async fn look_again(
    client: &Client,
    tell: impl Fn(&str),
) -> Result<NodesAnswer, Failure> {
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let error = match client.nodes().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let failure = Failure::caused("cannot ask for the nodes", &error);
        if error.remedy() == Remedy::GiveUp {
            return Err(failure);
        }
        if begun.elapsed() > PATIENCE {
            let hint = "what was ordered goes on without this command; it can be given again";
            return Err(failure.with_hint(hint));
        }
        if !is_told {
            is_told = true;
            tell(&format!("{}: {error}; asking again", failure.message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::api::Options;
    use crate::cli::failure::Kind;

    // If this fails, a wait of hours ends because the only distributor is restarted, or never ends.
    #[tokio::test(start_paused = true)]
    async fn silence_is_borne_for_a_while_and_told_once() {
        let nobody = "http://127.0.0.1:1".parse().expect("a base URL");
        let client = Client::new(Options::new(nobody)).expect("a client");
        let told = RefCell::new(Vec::new());
        let begun = Instant::now();
        let looked = look_again(&client, |text| told.borrow_mut().push(text.to_owned())).await;
        let failure = looked.expect_err("nobody is there");
        assert!(begun.elapsed() > PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(failure.kind, Kind::Unreachable);
        let told = told.into_inner();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with("; asking again"), "{told:?}");
    }
}
