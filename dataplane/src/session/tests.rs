use super::*;

#[test]
fn what_lies_below_the_reserved_path_is_the_platforms() {
    for (path, reserved) in [("/lgsp/v1/sessions", true), ("/lgsp/", true), ("/lgsp", false), ("/lgsp-khac/x", false)] {
        assert_eq!(is_for_platform(path), reserved, "{path}");
    }
}
