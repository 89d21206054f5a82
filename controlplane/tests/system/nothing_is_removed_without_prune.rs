//! Files that lack a resource remove it only when asked to.

use crate::platform::{Platform, RESOURCES};
use crate::registry::target;

#[tokio::test]
async fn apply_removes_what_files_lack_only_with_prune_and_never_credentials() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let issued = platform.run(&["credential", "issue", "ho-tich"]);
    assert_eq!(issued.code, 0, "{issued:?}");
    platform.write("less.yaml", target());

    let kept = platform.run(&["apply", "-f", "less.yaml"]);
    assert_eq!(kept.code, 0, "{kept:?}");
    assert_eq!(platform.revision(), 2);

    let shown = platform.run(&["apply", "-f", "less.yaml", "--prune", "--dry-run"]);
    assert!(shown.code == 0 && shown.out.contains("- Permission/tra-cuu"), "{shown:?}");
    assert_eq!(platform.revision(), 2);

    let pruned = platform.run(&["apply", "-f", "less.yaml", "--prune"]);
    assert!(pruned.code == 0 && pruned.out.contains("- Permission/tra-cuu"), "{pruned:?}");
    assert_eq!(platform.revision(), 3);
    assert_eq!(platform.run(&["get", "Permission/tra-cuu"]).code, 3);
    assert_eq!(platform.run(&["get", "Credential/ho-tich-1"]).code, 0);

    let stale = platform.run(&["apply", "-f", "less.yaml", "--prune", "--base", "1"]);
    assert_eq!(stale.code, 4, "{stale:?}");
}
