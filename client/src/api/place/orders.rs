//! What operators ask of the cluster: that a node be emptied or removed, that all be equally full.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde::de::DeserializeOwned;
use wire::membership::{NodeEntry, NodeRemoved, NodesAnswer};
use wire::recovery::{RecoverShard, ShardRecovered, WaitingShard, WaitingShards};
use wire::{Code, NodeName, ShardNo, routes};

use crate::api::error::RequestError;
use crate::api::exchange::read_json;
use crate::api::{Client, SMALL_EXCHANGE_MAX};

impl Client {
    /// Asks that a node be emptied; its answer tells what is on it.
    ///
    /// # Errors
    /// When there is no such node, or the distributor cannot write it down.
    pub async fn drain(&self, node: &NodeName) -> Result<NodeEntry, RequestError> {
        let path = routes::drain("", node);
        self.order(Method::POST, &path).await
    }

    /// Asks that a node be one like the others again.
    ///
    /// # Errors
    /// As [`Client::drain`].
    pub async fn undrain(&self, node: &NodeName) -> Result<NodeEntry, RequestError> {
        let path = routes::drain("", node);
        self.order(Method::DELETE, &path).await
    }

    /// Removes a node that holds nothing any more.
    ///
    /// # Errors
    /// When there is no such node, or shards still name it, or may soon.
    pub async fn remove_node(&self, node: &NodeName) -> Result<NodeRemoved, RequestError> {
        self.remove(node, &routes::node("", node)).await
    }

    /// Removes a dead node, although shards name it: its copies are then made anew elsewhere.
    ///
    /// # Errors
    /// When there is no such node, or it lives.
    pub async fn remove_dead_node(&self, node: &NodeName) -> Result<NodeRemoved, RequestError> {
        let path = routes::node("", node) + "?force=true";
        self.remove(node, &path).await
    }

    /// Asks that nodes become equally full.
    ///
    /// # Errors
    /// When the distributor cannot write it down.
    pub async fn rebalance(&self) -> Result<NodesAnswer, RequestError> {
        self.order(Method::POST, routes::REBALANCE).await
    }

    /// Asks that no further moves begin.
    ///
    /// # Errors
    /// As [`Client::rebalance`].
    pub async fn settle(&self) -> Result<NodesAnswer, RequestError> {
        self.order(Method::DELETE, routes::REBALANCE).await
    }

    /// The shards that wait for an operator, and their copies.
    ///
    /// # Errors
    /// When no distributor answers, or it cannot tell yet.
    pub async fn waiting_shards(&self) -> Result<Vec<WaitingShard>, RequestError> {
        let answer: WaitingShards = self.get_json(routes::RECOVERY, &[]).await?;
        Ok(answer.items)
    }

    /// Makes one copy the shard, and gives up the others. Asked once: after a lost answer it is
    /// [`Client::waiting_shards`] that tells whether it was done.
    ///
    /// # Errors
    /// When the shard waits for nobody, the copy is not at hand, or something speaks against it.
    pub async fn recover_shard(
        &self,
        shard: ShardNo,
        choice: &RecoverShard,
    ) -> Result<ShardRecovered, RequestError> {
        let url = routes::recover(self.endpoint().as_str(), shard);
        let request = self
            .request(Method::POST, &url)
            .json(choice)
            .timeout(SMALL_EXCHANGE_MAX);
        read_json(self.send(request, &url).await?, &url).await
    }

    /// Sends an order; repeating it is harmless, so it is repeated while that can help.
    async fn order<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, RequestError> {
        let method = &method;
        self.retrying(|base| self.order_once(method.clone(), format!("{base}{path}")))
            .await
    }

    /// Orders a removal. After an attempt whose answer was lost, a node that is not there is done.
    async fn remove(&self, node: &NodeName, path: &str) -> Result<NodeRemoved, RequestError> {
        let uncertain = &AtomicBool::new(false);
        self.retrying(|base| async move {
            let url = format!("{base}{path}");
            let error = match self.order_once(Method::DELETE, url).await {
                Ok(removed) => return Ok(removed),
                Err(error) => error,
            };
            if error.code() == Some(Code::NotFound) && uncertain.load(Ordering::Relaxed) {
                return Ok(NodeRemoved { node: node.clone() });
            }
            uncertain.fetch_or(error.may_have_changed(), Ordering::Relaxed);
            Err(error)
        })
        .await
    }

    async fn order_once<T: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
    ) -> Result<T, RequestError> {
        let request = self.request(method, &url).timeout(SMALL_EXCHANGE_MAX);
        read_json(self.send(request, &url).await?, &url).await
    }
}
