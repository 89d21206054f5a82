//! Where the workspace, its programs and Debian's programs are.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the testkit is two levels deep").to_path_buf()
}

/// A program of this workspace, such as `lgsp-dataplane`, built in the same profile as the running test.
///
/// Tests of one package run the programs of others, which cargo does not build for them: `make test` builds all of
/// them first, and so does `make build`.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let places = places(&test, std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from));
    let found = places.iter().map(|place| place.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{name}` is not built, in none of {places:?}: run `make build` first"))
}

/// Where the programs built with this test may be: above it, in `<target>[/<triple>]/<profile>/deps`; or, where cargo keeps
/// what it builds apart from what it delivers (`build.build-dir`), at the same place below the target folder.
fn places(test: &Path, target: Option<PathBuf>) -> Vec<PathBuf> {
    let profile_dir = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    let below = |levels: usize| -> PathBuf {
        let names: Vec<_> = profile_dir.iter().rev().take(levels).collect();
        names.into_iter().rev().collect()
    };
    // A relative folder is below the workspace, where cargo was started.
    let target = workspace_root().join(target.unwrap_or_else(|| "target".into()));
    vec![profile_dir.to_owned(), target.join(below(1)), target.join(below(2))]
}

/// A program Debian installs, such as `etcd`.
pub fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run `make tools` first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_beside_their_tests_or_at_the_same_place_below_the_target_folder() {
        let test = Path::new("/a b/build/x86_64-unknown-linux-gnu/debug/deps/system-1");
        let root = workspace_root();
        assert_eq!(
            places(test, Some("my target".into())),
            [
                PathBuf::from("/a b/build/x86_64-unknown-linux-gnu/debug"),
                root.join("my target/debug"),
                root.join("my target/x86_64-unknown-linux-gnu/debug"),
            ]
        );
        assert_eq!(places(test, Some("/t".into()))[1], Path::new("/t/debug"));
        assert_eq!(places(test, None)[1], root.join("target/debug"));
    }
}
