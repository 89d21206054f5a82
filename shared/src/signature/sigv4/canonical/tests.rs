use super::*;
use crate::head::{Field, Scheme};
use crate::seal::Secret;
use crate::signature::Claim;
use crate::signature::sigv4::sign::{SigV4Params, presign_sigv4, sign_sigv4_header};
use crate::timestamp::UnixSeconds;

fn key() -> KeyState {
    KeyState::new(&Secret::new(b"a secret of the test".to_vec()))
}

fn head<'a>(target: &'a str, fields: &'a [Field<'a>]) -> RequestHead<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RequestHead { method: "GET", scheme: Scheme::Http, authority: "lgsp.vn", path, query, fields }
}

/// What becomes of a signature over `signed`, as AWS documents it for `service`, on a request that sends `sent`.
fn verdict(service: &str, signed: &str, sent: &str) -> Result<(), String> {
    let date = AmzDate::of(UnixSeconds(1_800_000_000)).unwrap();
    let payload = crate::signature::sigv4::payload_hash(b"");
    let params = SigV4Params { access_key: "KEY12345", region: "vn", service, date, payload: &payload };
    let own = [Field { name: "x-amz-date", value: date.as_str().as_bytes() }];
    let mut authorization = Vec::new();
    sign_sigv4_header(&head(signed, &own), &["host", "x-amz-date"], &params, &key(), &mut authorization).unwrap();
    let fields = [own[0], Field { name: "authorization", value: &authorization }];
    let sent = head(sent, &fields);
    let claim = Claim::read(&sent).unwrap();
    claim.verify(&sent, &key()).map_err(|_| claim.diagnose(&sent, &key()))
}

#[test]
fn one_signature_never_covers_two_requests_that_mean_different_things() {
    for service in ["s3", "exchange"] {
        for (signed, sent, told) in [
            ("/t/1?q=1%2B1", "/t/1?q=1+1", "`@query` was signed as `q=1%2B1`"),
            ("/t/1?q=1%201", "/t/1?q=1+1", "`@query` was signed as `q=1%201`"),
            ("/t/1?a=1%3Bb=2", "/t/1?a=1;b=2", "`@query` was signed as `a=1%3Bb=2`"),
            ("/t/1?a=1%2C2", "/t/1?a=1,2", "`@query` was signed as"),
            ("/t/1?id=1&id=2", "/t/1?id=2&id=1", "`@query` was signed as `id=1&id=2`"),
            ("/t/1?id=1&%69d=2", "/t/1?%69d=2&id=1", ""),
        ] {
            let refused = verdict(service, signed, sent).unwrap_err();
            assert!(refused.starts_with(told), "{service} {sent}: {refused}");
        }
    }
    for (signed, sent) in
        [("/t/a%3Bb", "/t/a;b"), ("/t/a%2Bb", "/t/a+b"), ("/t/a%3Ab", "/t/a:b"), ("/t/a%2Cb", "/t/a,b")]
    {
        assert!(verdict("s3", signed, sent).unwrap_err().contains("send them percent-encoded"), "{sent}");
        assert!(verdict("exchange", signed, sent).is_err(), "{sent}");
        assert!(verdict("exchange", sent, signed).is_err(), "{sent}");
        // What AWS documents for other services than `s3` stays good, whatever the path.
        assert_eq!((verdict("exchange", signed, signed), verdict("exchange", sent, sent)), (Ok(()), Ok(())), "{sent}");
        assert_eq!(verdict("s3", signed, signed), Ok(()), "{sent}");
    }
}

#[test]
fn what_means_nothing_may_differ_from_what_was_signed() {
    for (signed, sent) in [
        ("/t/%E1%BB%93?a=%C3%A9&b=2", "/t/%e1%bb%93?b=2&a=%c3%a9"),
        ("/t/A?uploads=", "/t/%41?uploads"),
        ("/t/a%21?x=%24f&y=10%3A00&p=a%2Fb", "/t/a!?p=a/b&x=$f&y=10:00"),
        ("/t?id=1&id=2&x=3", "/t?x=3&id=1&id=2"),
    ] {
        assert_eq!(verdict("s3", signed, sent), Ok(()), "{sent}");
    }
}

#[test]
fn signing_in_a_way_that_is_not_accepted_is_named() {
    // What a signer that encodes paths twice under `s3` signs for `/t/a b` is what `/t/a%2520b` is signed as.
    let told = verdict("s3", "/t/a%2520b", "/t/a%20b").unwrap_err();
    assert!(told.contains("percent-encoded twice"), "{told}");

    let date = AmzDate::of(UnixSeconds(1_800_000_000)).unwrap();
    let payload = crate::signature::sigv4::EMPTY_PAYLOAD;
    let params = SigV4Params { access_key: "KEY12345", region: "vn", service: "s3", date, payload };
    let mut query = Vec::new();
    presign_sigv4(&head("/t/1", &[]), &["host"], &params, 60, &key(), &mut query).unwrap();
    let target = format!("/t/1?{}", String::from_utf8(query).unwrap());
    let sent = head(&target, &[]);
    let claim = Claim::read(&sent).unwrap();
    assert!(claim.verify(&sent, &key()).is_err());
    assert!(claim.diagnose(&sent, &key()).contains("`S3SigV4QueryAuth`"), "{}", claim.diagnose(&sent, &key()));
}
