//! Asks nodes why: the control plane does not decide on requests, so whoever wants to know is answered by those who do.
//!
//! Every node that reports is asked at its admin listener, with a proof that the platform's key is held here. Answers
//! are bounded in size and time, and only what reads as an explanation is passed on: whoever holds a node's credentials
//! chose the address and wrote the answer. Nodes that could not be asked are named, with the reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use lgsp_shared::explain::{EXPLANATION_BYTES_MAX, Explanation, Question};
use lgsp_shared::id::NodeId;
use lgsp_shared::keyspace::NodeStatus;
use lgsp_shared::seal::vouch::{VOUCH_HEADER, Vouched};
use lgsp_shared::timestamp::UnixSeconds;
use ureq::http::{Method, Request, StatusCode};

use crate::desired::Keys;
use crate::rollout::Standing;

/// Nodes asked at a time; a thread each.
const ASKED_AT_ONCE_MAX: usize = 16;
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// For one node's whole answer.
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// For all of them; who has not answered by then is named.
const ALL_WAIT: Duration = Duration::from_secs(15);

/// What nodes are asked.
#[derive(Debug, Clone)]
pub enum Inquiry {
    /// Whether a request would be refused.
    Would(Question),
    /// Why this request was refused.
    Was {
        /// The request's id: 32 hexadecimal digits.
        request_id: String,
    },
}

/// What nodes answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// By node.
    pub explanations: Vec<Explanation>,
    /// Nodes that remember nothing of the request.
    pub without: Vec<NodeId>,
    /// Nodes that could not be asked, and why.
    pub not_asked: BTreeMap<NodeId, String>,
}

enum Answer {
    Explained(Box<Explanation>),
    Without,
    Failed(String),
}

/// Asks every node that reports.
pub async fn ask(nodes: Vec<(NodeStatus, Standing)>, inquiry: &Inquiry, keys: &Keys, now: UnixSeconds) -> Answers {
    let mut answers = Answers::default();
    let mut asked = Vec::new();
    for (status, standing) in nodes {
        match (standing, status.admin) {
            (Standing::Stale, _) => {
                answers.not_asked.insert(status.node, "it no longer reports".to_owned());
            }
            (_, None) => {
                let why = "it does not say where its admin listener is: set `admin.advertise` in its settings";
                answers.not_asked.insert(status.node, why.to_owned());
            }
            (_, Some(admin)) => {
                answers.not_asked.insert(status.node.clone(), format!("it did not answer in {ALL_WAIT:?}"));
                asked.push((status.node, admin));
            }
        }
    }
    let requests = asked.into_iter().map(|(node, admin)| {
        let call = Call::new(inquiry, &node, admin, keys, now);
        async move { (node, tokio::task::spawn_blocking(move || call.run()).await) }
    });
    let answered = futures_util::stream::iter(requests).buffer_unordered(ASKED_AT_ONCE_MAX);
    let mut answered = std::pin::pin!(answered.take_until(Box::pin(tokio::time::sleep(ALL_WAIT))));
    while let Some((node, answer)) = answered.next().await {
        match answer.unwrap_or_else(|_| Answer::Failed("asking it was interrupted".to_owned())) {
            Answer::Explained(explanation) if explanation.node == node => {
                answers.not_asked.remove(&node);
                answers.explanations.push(*explanation);
            }
            Answer::Explained(other) => {
                let why = format!("`{}` answers at its address: correct `admin.advertise`", other.node);
                answers.not_asked.insert(node, why);
            }
            Answer::Without => {
                answers.not_asked.remove(&node);
                answers.without.push(node);
            }
            Answer::Failed(why) => {
                answers.not_asked.insert(node, why);
            }
        }
    }
    answers.explanations.sort_by(|one, other| one.node.cmp(&other.node));
    answers.without.sort();
    answers
}

/// One request to one node.
struct Call {
    method: Method,
    url: String,
    body: Vec<u8>,
    proof: String,
}

impl Call {
    fn new(inquiry: &Inquiry, node: &NodeId, admin: SocketAddr, keys: &Keys, now: UnixSeconds) -> Self {
        let (method, path, body) = match inquiry {
            // A question is made of strings: it can be written.
            Inquiry::Would(question) => {
                (Method::POST, "/v1/explain".to_owned(), serde_json::to_vec(question).unwrap_or_default())
            }
            Inquiry::Was { request_id } => (Method::GET, format!("/v1/decisions/{request_id}"), Vec::new()),
        };
        let proof = keys.load().vouch(&Vouched { node, method: method.as_str(), path: &path, body: &body }, now);
        Self { method, url: format!("http://{admin}{path}"), body, proof }
    }

    fn run(self) -> Answer {
        self.exchange().unwrap_or_else(|error| Answer::Failed(format!("it cannot be asked at {}: {error}", self.url)))
    }

    fn exchange(&self) -> Result<Answer, ureq::Error> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_global(Some(ANSWER_WAIT))
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        let request = Request::builder().method(self.method.clone()).uri(&self.url).header(VOUCH_HEADER, &self.proof);
        let mut response = match self.body.is_empty() {
            true => agent.run(request.body(())?)?,
            false => agent.run(request.header("content-type", "application/json").body(self.body.as_slice())?)?,
        };
        let limit = u64::try_from(EXPLANATION_BYTES_MAX).unwrap_or(u64::MAX);
        let status = response.status();
        let body = response.body_mut().with_config().limit(limit).read_to_vec()?;
        Ok(match status {
            StatusCode::OK => match Explanation::parse(&body) {
                Some(explanation) => Answer::Explained(Box::new(explanation)),
                None => Answer::Failed("its answer is no explanation: is it a node, and of this version?".to_owned()),
            },
            StatusCode::NOT_FOUND => Answer::Without,
            status => Answer::Failed(format!("it answered {status}: {}", detail(&body))),
        })
    }
}

/// The `detail` of a problem, cut to what a person reads.
fn detail(body: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = problem.get("detail").and_then(serde_json::Value::as_str).unwrap_or("no reason");
    text.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS_MAX).collect()
}
