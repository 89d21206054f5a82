//! A7.2: nothing of the payload is kept once the transfer is complete.

use std::path::Path;

use lgsp_testkit::client::Request;

use super::*;

/// Every regular file below `folder` that contains `needle`.
fn files_with(folder: &Path, needle: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_with(&path, needle, found),
            Ok(kind) if kind.is_file() => {
                let content = std::fs::read(&path).unwrap_or_default();
                if content.windows(needle.len()).any(|window| window == needle) {
                    found.push(path.display().to_string());
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_canary_in_bodies_queries_and_secrets_is_found_nowhere_afterwards() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = Resources::usual(&[target.address()]);
        let node = face.node(&resources).with(|settings| settings["log_level"] = "debug".into()).start().await;
        let client = node.client(&resources, "mot-cua");
        let canary = format!("canary-{}", lgsp_testkit::client::random_nonce());
        let target_path = format!("/ho-tich/echo?q={canary}");
        let body = format!("{canary} {}", "x".repeat(200_000));
        assert_eq!(client.send(&Request::post(&target_path, body.clone())).await.status, 200);
        assert_eq!(client.send_sigv4(&Request::post(&target_path, body)).await.status, 200);
        let refused = client.send(&Request::get(&format!("/elsewhere?q={canary}"))).await;
        assert!(!String::from_utf8_lossy(&refused.body).contains(&canary));
        node.record("the last record", |record| record["outcome"] == "route-not-found").await;

        let secret = resources.identity("mot-cua").secret;
        let secret = std::str::from_utf8(secret.expose()).unwrap();
        for needle in [canary.as_str(), secret] {
            let mut found = Vec::new();
            files_with(node.directory(), needle.as_bytes(), &mut found);
            assert_eq!(found, Vec::<String>::new(), "{face:?}");
            assert!(!node.child.output().contains(needle), "{face:?}: in the log");
            let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
            assert!(!metrics.contains(needle), "{face:?}: in the metrics");
        }
    }
}
