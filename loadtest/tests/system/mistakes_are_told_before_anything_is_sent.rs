//! What is wrong with a command or a scenario is told by name, with exit code 1, and nobody is asked anything.

use std::net::{Ipv4Addr, TcpListener};

use crate::bench::{Bench, PLAIN};

#[test]
fn every_mistake_is_named_and_ends_with_one() {
    let bench = Bench::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let signed = PLAIN.replace("sign: none, ", "");
    let cases: [(&str, String, &[&str], &str); 9] = [
        ("run", PLAIN.replace("path: /bytes/100", "pfad: /bytes/100"), &[], "`requests[0].pfad`: unknown field"),
        ("run", PLAIN.replace("expect: {bytes: 100}", "expect: {status: 99}"), &[], "`requests[0].expect.status`: 99"),
        ("run", PLAIN.into(), &["--slo", "p99=1ms"], "is not a criterion"),
        ("run", PLAIN.into(), &["--slo", "sut_cpu<75%"], "name it with `--sut`"),
        ("run", PLAIN.into(), &["--sut", "no-such-program"], "there is no process `no-such-program`"),
        ("run", PLAIN.into(), &["--shard", "3/2"], "`--shard 3/2` is not a part"),
        ("run", signed, &[], "give a credential with `--as FILE`"),
        ("compliance", PLAIN.into(), &[], "name its processes with `--sut`"),
        ("run", PLAIN.into(), &["--no-such-flag"], "--no-such-flag"),
    ];
    for (verb, scenario, more, message) in cases {
        let ended = bench.run(verb, &scenario, address, "out", more);
        assert!(ended.code == 1 && ended.output.contains(message), "{message}: {ended:?}");
    }
    assert!(listener.accept().is_err(), "nobody was asked");
    drop(listener);
    let ended = bench.run("run", PLAIN, address, "out", &[]);
    assert!(ended.code == 1 && ended.output.contains("connections to"), "{ended:?}");
}
