//! What the admin listener tells about this node.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admin::{Condition, Facts};
use crate::edge::connections::Connections;
use crate::edge::drain::Drain;

/// The node as its admin listener sees it.
#[derive(Debug)]
pub struct NodeFacts {
    /// Whether it is stopping.
    pub drain: Drain,
    /// Its connections.
    pub connections: Arc<Connections>,
}

impl Facts for NodeFacts {
    fn conditions(&self) -> Vec<Condition> {
        let draining = self.drain.is_draining();
        vec![
            Condition { name: "configuration", holds: false, detail: "no revision yet".to_owned() },
            Condition {
                name: "accepting",
                holds: !draining,
                detail: if draining { "draining" } else { "not draining" }.to_owned(),
            },
        ]
    }

    fn metrics(&self) -> Vec<u8> {
        format!("lgsp_connections_open {}\n", self.connections.open()).into_bytes()
    }

    fn config(&self) -> Value {
        json!({ "revision": null })
    }
}
