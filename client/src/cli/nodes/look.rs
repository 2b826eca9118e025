//! Looking at the cluster again and again, while somebody waits for what it does by itself.

use std::time::Duration;

use wire::membership::NodesAnswer;

use crate::api::retry::Remedy;
use crate::api::{Client, RequestError};
use crate::cli::failure::Failure;

/// Between two looks at what is left to be done.
const EVERY: Duration = Duration::from_millis(500);

const CANNOT: &str = "cannot ask for the nodes";

const HINT: &str = "what was ordered goes on without this command; it can be given again";

/// Looks again, a moment after the last time. The cluster is known to be there, so silence is borne for as long
/// as in any call, and told once: a distributor that restarts ends no wait of hours.
///
/// # Errors
/// When nobody answers for so long, or the answer is a refusal.
pub(super) async fn look_again(
    client: &Client,
    tell: impl Fn(&str),
) -> Result<NodesAnswer, Failure> {
    tokio::time::sleep(EVERY).await;
    let tell = |error: &RequestError| tell(&format!("{CANNOT}: {error}; asking again"));
    client.nodes_again(tell).await.map_err(|error| {
        let failure = Failure::caused(CANNOT, &error);
        match error.remedy() {
            Remedy::GiveUp => failure,
            _ => failure.with_hint(HINT),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;
    use crate::api::Options;
    use crate::api::retry::{PATIENCE, UNREACHABLE_PATIENCE};
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
        let borne = PATIENCE - UNREACHABLE_PATIENCE;
        assert!(begun.elapsed() > borne, "{:?}", begun.elapsed());
        assert_eq!(failure.kind, Kind::Unreachable);
        let told = told.into_inner();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with("; asking again"), "{told:?}");
    }

    // If this fails, a wait for what the cluster does by itself takes no notice of how patient somebody is.
    #[tokio::test(start_paused = true)]
    async fn it_is_as_patient_as_any_call() {
        let nobody = "http://127.0.0.1:1".parse().expect("a base URL");
        let mut options = Options::new(nobody);
        options.patience = UNREACHABLE_PATIENCE;
        let client = Client::new(options).expect("a client");
        let begun = Instant::now();
        let looked = look_again(&client, |_| {}).await;
        looked.expect_err("nobody is there");
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    }
}
