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
    let profile_dir = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    let path = profile_dir.join(name);
    assert!(path.exists(), "`{}` is not built: run `make build` first", path.display());
    path
}

/// A program Debian installs, such as `etcd`.
pub fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run `make tools` first"))
}
