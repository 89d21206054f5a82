//! The directory: found without accents, by page, taken from files of any length with every bad line named.

use crate::platform::Platform;
use crate::registry::target;

#[tokio::test]
async fn a_directory_is_imported_with_every_bad_line_named_and_found_without_accents() {
    let platform = Platform::start().await;
    let mut lines = String::from("\u{feff}STT;Mã định danh;Tên cơ quan\r\n");
    for number in 0..2_500 {
        lines.push_str(&format!("{number};H61.{}.{};Ủy ban nhân dân xã Số {number}\r\n", number / 100, number % 100));
    }
    lines.push_str("x;61.H;Sai mã\r\nx;H61.99;\r\nx;H61.0.0;Trùng\r\nx;H62.1;Sở Tư pháp\r\n");
    platform.write("directory.csv", &lines);
    let done = platform.run(&["agency", "import", "directory.csv"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.out.contains("2501 added, 0 renamed, 0 unchanged, 3 bad"), "{}", done.out);
    for bad in ["line 2502: `61.H`", "line 2503: `H61.99`", "line 2504: `H61.0.0` is in line 2 too"] {
        assert!(done.err.contains(bad), "{bad} in {}", done.err);
    }
    let again = platform.run(&["agency", "import", "directory.csv"]);
    assert!(again.out.contains("0 added, 0 renamed, 2501 unchanged"), "{}", again.out);
    assert_eq!(platform.revision(), 0, "a directory is no configuration: no node is sent it");

    let found = platform.json(&["agency", "search", "uy", "ban", "so", "1234"]);
    assert_eq!(found["agencies"][0]["code"], "H61.12.34");
    let mut seen = 0;
    let mut after = String::new();
    loop {
        let mut arguments = vec!["agency", "search", "nhan dan", "--limit", "200"];
        if !after.is_empty() {
            arguments.extend(["--after", &after]);
        }
        let page = platform.json(&arguments);
        seen += page["agencies"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 2_500);
}

#[tokio::test]
async fn an_agency_with_a_document_is_in_the_directory() {
    let platform = Platform::start().await;
    platform.apply(target());
    let found = platform.json(&["agency", "search", "so tu phap"]);
    assert_eq!((&found["agencies"][0]["document"], &found["next"]), (&"so-tu-phap".into(), &serde_json::Value::Null));
    assert_eq!(platform.json(&["system", "search", "ho tich"])["entries"][0]["name"], "ho-tich");
    assert_eq!(platform.json(&["service", "search", "KHAI SINH"])["entries"][0]["owner"], "ho-tich");
}
