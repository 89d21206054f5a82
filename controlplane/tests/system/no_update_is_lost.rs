//! What several operators write at one instant is all kept: contacts are added and removed by the server, not by the
//! command that read them; a file that cannot be read whole is taken not at all.

use crate::platform::{Platform, RESOURCES};

#[tokio::test]
async fn contacts_added_at_one_instant_are_all_kept() {
    const AT_ONCE: usize = 8;
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let add = |number: usize| {
        let name = format!("Người {number}");
        let mut command =
            platform.command(&["contact", "add", "System/ho-tich", "--role", "kỹ thuật", "--phone", "0270 1"]);
        command.args(["--name", &name]).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let running: Vec<_> = (0..AT_ONCE).map(add).collect();
    for mut one in running {
        assert!(one.wait().unwrap().success());
    }
    let kept = platform.json(&["contact", "list", "System/ho-tich"]);
    assert_eq!(kept["contacts"].as_array().unwrap().len(), AT_ONCE, "{kept}");
    platform.ok(&["contact", "remove", "System/ho-tich", "--name", "Người 3"]);
    let missing = platform.run(&["contact", "remove", "System/ho-tich", "--name", "Người 3"]);
    assert!(missing.code == 3 && missing.err.contains("`lgspctl contact list System/ho-tich`"), "{missing:?}");
    let kept = platform.ok(&["contact", "list", "System/ho-tich"]);
    assert!(!kept.contains("Người 3") && kept.contains("Người 4"), "{kept}");
}

#[tokio::test]
async fn a_directory_with_an_open_quote_is_not_taken_in_part() {
    let platform = Platform::start().await;
    platform.write(
        "a.csv",
        "code,title\n000.00.21.H61,Sở A\n000.00.22.H61,\"Sở B\n000.00.23.H61,Sở C\n000.00.24.H61,Sở D\n",
    );
    let refused = platform.run(&["agency", "import", "a.csv"]);
    assert!(refused.code == 3 && refused.err.contains("line 3: a quote is not closed"), "{refused:?}");
    assert!(refused.err.contains("nothing was taken"), "{refused:?}");
    assert_eq!(platform.ok(&["agency", "search", "so", "-o", "name"]), "", "nothing was taken");
    platform.write("a.csv", "code,title\n000.00.21.H61,Sở A\n000.00.22.H61,\"Sở B\"\n");
    platform.ok(&["agency", "import", "a.csv"]);
    assert_eq!(platform.ok(&["agency", "search", "so", "-o", "name"]), "000.00.21.H61\n000.00.22.H61\n");
}
