//! Maintenance is announced ahead of time: to one agency, which reads it and no other does, or to all of them.

use serde_json::Value;

use crate::platform::{Platform, agency};

const PASSWORD: &str = "gió mùa đông bắc";
const AHEAD: [&str; 4] = ["--from", "2099-12-05T22:00:00+07:00", "--lasting", "2h"];

/// A platform with two agencies, each with an administrator of its own.
async fn two_agencies() -> Platform {
    let platform = Platform::start().await;
    platform.apply(&(agency("so-tu-phap", "Sở Tư pháp") + "---\n" + &agency("so-y-te", "Sở Y tế")));
    for (name, of) in [("tu-phap", "so-tu-phap"), ("y-te", "so-y-te")] {
        platform.join(name, &["--role", "agency-administrator", "--agency", of], PASSWORD);
    }
    platform
}

fn texts(listed: &str) -> Vec<String> {
    let listed: Value = serde_json::from_str(listed).unwrap();
    let notices = listed["notices"].as_array().unwrap();
    notices.iter().map(|notice| notice["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_agency_reads_the_notices_to_it_and_to_all_and_none_to_another() {
    let platform = two_agencies().await;
    let read = |who: &str| texts(&platform.ok_as(who, &["notice", "list", "--all", "-o", "json"], ""));
    let add = |arguments: &[&str]| platform.ok(&[&["notice", "add"], &AHEAD[..], arguments].concat());
    add(&["--agency", "so-tu-phap", "--text", "Nâng cấp kết nối của Sở Tư pháp"]);
    add(&["--text", "Nâng cấp máy chủ", "--text-en", "Upgrade"]);
    assert_eq!(read("tu-phap"), ["Nâng cấp kết nối của Sở Tư pháp", "Nâng cấp máy chủ"]);
    assert_eq!(read("y-te"), ["Nâng cấp máy chủ"]);
    let announced = platform.run_as("tu-phap", &[&["notice", "add"], &AHEAD[..], &["--text", "x"]].concat(), "");
    assert!(announced.code != 0 && announced.err.contains("`register`"), "{announced:?}");
}

#[tokio::test]
async fn a_notice_has_a_start_and_an_end_ahead_and_is_called_off_once() {
    let platform = two_agencies().await;
    platform.ok(&[&["notice", "add"], &AHEAD[..], &["--text", "Nâng cấp"]].concat());
    let list = platform.json(&["notice", "list"]);
    assert_eq!(
        (&list["notices"][0]["state"], &list["notices"][0]["ends"]),
        (&"ahead".into(), &"2099-12-05T17:00:00Z".into())
    );
    platform.ok(&["notice", "cancel", "1"]);
    assert_eq!(platform.json(&["notice", "list"])["notices"][0]["state"], "cancelled");
    assert_eq!(platform.run(&["notice", "cancel", "1"]).code, 4);
    let past = platform.run(&["notice", "add", "--from", "2020-01-01", "--lasting", "2h", "--text", "x"]);
    assert!(past.code == 3 && past.err.contains("the end has passed"), "{past:?}");
    let to_nobody = platform.run(&[&["notice", "add"], &AHEAD[..], &["--text", "x", "--agency", "nowhere"]].concat());
    assert!(to_nobody.code == 3 && to_nobody.err.contains("Agency/nowhere"), "{to_nobody:?}");
}
