//! The memory of a node holds secrets and bodies: a crash writes none of it to a file, unless a setting allows that.

use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;

use super::target;

/// Soft and hard limit, as the kernel says them.
fn core_limits(node: &Node) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_ascii_whitespace().skip(4).take(2).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_dumps_no_core_unless_it_is_told_to() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    assert_eq!(core_limits(&node), ["0", "0"]);
    let mut own = std::fs::read_to_string("/proc/self/limits").unwrap();
    own = own.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    let allowed = Node::new(&resources).with(|settings| settings["core_dumps"] = json!(true)).start().await;
    let inherited: Vec<&str> = own.split_ascii_whitespace().skip(4).take(2).collect();
    assert_eq!(core_limits(&allowed), inherited);
}
