//! Merges questions for single contents: what is asked while a query runs is the next query.
//!
//! It owns who waits for which content. It must not know SQL or HTTP.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use wire::ContentId;

use crate::catalog::{Catalog, Listed, QueryError};

/// Queries that run at the same time: while the database works on one, the answers of another are
/// given.
const QUERIES_MAX: usize = 2;

/// Contents of one query: enough to make its costs vanish, few enough to be read in a millisecond.
const IDS_MAX: usize = 256;

type Answer = oneshot::Sender<Result<Option<Listed>, QueryError>>;

/// Who asks for what.
type Question = (ContentId, Answer);

/// The queue of questions. Clones share it.
#[derive(Clone)]
pub(crate) struct Lookups(Arc<Inner>);

struct Inner {
    catalog: Arc<dyn Catalog>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// In order of arrival.
    waiting: VecDeque<Question>,
    /// Turns that run, each of which asks for whatever waits.
    turns: usize,
}

impl Lookups {
    pub(crate) fn new(catalog: Arc<dyn Catalog>) -> Self {
        let queue = Mutex::default();
        Lookups(Arc::new(Inner { catalog, queue }))
    }

    /// One content's row, if it is listed when the question is asked or later.
    pub(crate) async fn content(&self, id: ContentId) -> Result<Option<Listed>, QueryError> {
        let (answer, answered) = oneshot::channel();
        self.enter((id, answer));
        answered.await.unwrap_or_else(|_| {
            let cut = "the question was cut short".to_owned();
            Err(QueryError::Unavailable(cut))
        })
    }

    /// A turn runs on the thread of whoever finds too few of them: nobody has to be woken to ask.
    fn enter(&self, question: Question) {
        let mut queue = lock(&self.0.queue);
        queue.waiting.push_back(question);
        if queue.turns < QUERIES_MAX {
            queue.turns += 1;
            let inner = Arc::clone(&self.0);
            let is_over = false;
            tokio::spawn(Turn { inner, is_over }.run());
        }
    }
}

fn lock(mutex: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    mutex.lock().expect("no thread panics while it holds this")
}

/// One who asks, until nobody waits.
struct Turn {
    inner: Arc<Inner>,
    is_over: bool,
}

impl Turn {
    async fn run(mut self) {
        loop {
            // What has arrived at this thread is read first, and goes together.
            tokio::task::yield_now().await;
            let Some(questions) = self.next() else { return };
            let ids: Vec<ContentId> = questions.iter().map(|(id, _)| *id).collect();
            match self.inner.catalog.contents(&ids).await {
                // Nobody else shall wait as long to be told the same.
                Err(error @ (QueryError::Unavailable(_) | QueryError::Ended(_))) => {
                    let waiting = std::mem::take(&mut lock(&self.inner.queue).waiting);
                    answer(questions.into_iter().chain(waiting), &Err(error));
                }
                Err(_) if questions.len() > 1 => self.ask_singly(questions).await,
                found => answer(questions, &by_id(found)),
            }
        }
    }

    /// One row that cannot be read is no reason not to answer for the others.
    async fn ask_singly(&self, questions: Vec<Question>) {
        for question in questions {
            let found = self.inner.catalog.contents(&[question.0]).await;
            answer([question], &by_id(found));
        }
    }

    /// The next questions; those are left out whose askers are gone.
    fn next(&mut self) -> Option<Vec<Question>> {
        let mut queue = lock(&self.inner.queue);
        queue.waiting.retain(|(_, answer)| !answer.is_closed());
        let count = queue.waiting.len().min(IDS_MAX);
        if count == 0 {
            queue.turns -= 1;
            self.is_over = true;
            return None;
        }
        Some(queue.waiting.drain(..count).collect())
    }
}

/// Cut short, by a panic or the end of its thread: the next one who asks finds a turn free.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = lock(&self.inner.queue);
        queue.turns -= 1;
        if queue.turns == 0 {
            // Whoever waits is told so, as the answers go with the questions.
            queue.waiting.clear();
        }
    }
}

type Found = Result<HashMap<ContentId, Listed>, QueryError>;

fn by_id(found: Result<Vec<Listed>, QueryError>) -> Found {
    let by_id = |listed: Listed| (listed.row.id, listed);
    found.map(|all| all.into_iter().map(by_id).collect())
}

fn answer(questions: impl IntoIterator<Item = Question>, found: &Found) {
    for (id, asker) in questions {
        let answer = match found {
            Ok(found) => Ok(found.get(&id).cloned()),
            Err(error) => Err(error.clone()),
        };
        // Whoever asked may be gone.
        asker.send(answer).ok();
    }
}

#[cfg(test)]
#[path = "lookups_tests.rs"]
mod tests;
