use super::*;
use crate::seal::Secret;

fn field(name: &'static str, value: &'static str) -> Field<'static> {
    Field { name, value: value.as_bytes() }
}

/// The request of RFC 9421 section 2.4 and appendix B.2.
fn request<'a>(fields: &'a [Field<'a>]) -> RequestHead<'a> {
    RequestHead {
        method: "POST",
        scheme: Scheme::Https,
        authority: "example.com",
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        fields,
    }
}

const PARAMS: Rfc9421Params<'_> =
    Rfc9421Params { created: UnixSeconds(1_618_884_479), expires: None, nonce: "n-1", key_id: "KEY1", label: "lgsp" };
const COVERED: [Covered<'_>; 4] =
    [Covered::Status, Covered::Field("content-digest"), Covered::Request("@method"), Covered::Request("signature")];

#[test]
fn the_base_of_appendix_b_2_4_comes_out() {
    let digest = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
    let fields = [
        field("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        field("Content-Type", "application/json"),
        field("Content-Digest", digest),
        field("Content-Length", "23"),
    ];
    let covered = [
        Covered::Status,
        Covered::Field("content-type"),
        Covered::Field("content-digest"),
        Covered::Field("content-length"),
    ];
    let member = concat!(
        "(\"@status\" \"content-type\" \"content-digest\" \"content-length\")",
        ";created=1618884473;keyid=\"test-key-ecc-p256\""
    );
    let base = response_base(&ResponseHead { status: 200, fields: &fields }, &request(&[]), &covered, member).unwrap();
    let expected = format!(
        "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": {digest}\n\"content-length\": 23\n\
         \"@signature-params\": {member}"
    );
    assert_eq!(String::from_utf8(base).unwrap(), expected);
}

#[test]
fn components_of_the_request_are_named_as_in_section_2_4() {
    let asked = [field("Content-Digest", "sha-512=:WZDP:")];
    let fields = [field("Content-Type", "application/json")];
    let covered = [
        Covered::Status,
        Covered::Field("content-type"),
        Covered::Request("@authority"),
        Covered::Request("@method"),
        Covered::Request("@path"),
        Covered::Request("content-digest"),
    ];
    let base = response_base(&ResponseHead { status: 503, fields: &fields }, &request(&asked), &covered, "()").unwrap();
    let expected = concat!(
        "\"@status\": 503\n\"content-type\": application/json\n\"@authority\";req: example.com\n",
        "\"@method\";req: POST\n\"@path\";req: /foo\n\"content-digest\";req: sha-512=:WZDP:\n",
        "\"@signature-params\": ()"
    );
    assert_eq!(String::from_utf8(base).unwrap(), expected);
}

/// A signed answer: status and fields.
struct Answer {
    status: u16,
    digest: &'static str,
    input: String,
    signature: String,
}

fn signed(asked: &RequestHead<'_>, key: &KeyState) -> Answer {
    let digest = "sha-256=:AAAA:";
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    let head = ResponseHead { status: 200, fields: &[field("content-digest", digest)] };
    sign_response(&head, asked, &COVERED, &PARAMS, key, &mut input, &mut signature).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { status: 200, digest, input: text(input), signature: text(signature) }
}

fn verify(answer: &Answer, asked: &RequestHead<'_>, key: &KeyState) -> Result<ResponseSignature, ResponseError> {
    let fields = [
        field("content-digest", answer.digest),
        Field { name: "Signature-Input", value: answer.input.as_bytes() },
        Field { name: "Signature", value: answer.signature.as_bytes() },
    ];
    verify_response(&ResponseHead { status: answer.status, fields: &fields }, asked, &COVERED, key)
}

#[test]
fn an_answer_verifies_under_its_key_for_its_request_only() {
    let key = |byte| KeyState::new(&Secret::new(vec![byte; 32]));
    let (mine, other) = ([field("signature", "sig1=:AAAA:")], [field("signature", "sig1=:AAAB:")]);
    let asked = request(&mine);
    let answer = signed(&asked, &key(1));
    let said = verify(&answer, &asked, &key(1)).unwrap();
    assert_eq!((said.created, said.key_id.as_str()), (UnixSeconds(1_618_884_479), "KEY1"));
    let mismatch = Err(ResponseError::Mismatch);
    assert_eq!(verify(&answer, &asked, &key(2)), mismatch);
    assert_eq!(verify(&answer, &request(&other), &key(1)), mismatch, "the answer to another request");
    assert_eq!(verify(&Answer { status: 201, ..signed(&asked, &key(1)) }, &asked, &key(1)), mismatch);
    assert_eq!(verify(&Answer { digest: "sha-256=:AAAB:", ..signed(&asked, &key(1)) }, &asked, &key(1)), mismatch);
    assert_eq!(verify(&answer, &asked, &KeyState::decoy()), mismatch);
}

#[test]
fn an_answer_that_leaves_out_what_matters_is_not_trusted() {
    let key = KeyState::new(&Secret::new(vec![1; 32]));
    let fields = [field("signature", "sig1=:AAAA:")];
    let asked = request(&fields);
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    let head = ResponseHead { status: 200, fields: &[field("content-digest", "sha-256=:AAAA:")] };
    sign_response(&head, &asked, &COVERED[..3], &PARAMS, &key, &mut input, &mut signature).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let short = Answer { status: 200, digest: "sha-256=:AAAA:", input: text(input), signature: text(signature) };
    assert!(matches!(verify(&short, &asked, &key), Err(ResponseError::NotCovered(_))));
    for (input, signature) in [("", ""), ("lgsp=()", "lgsp=:AAAA:"), ("lgsp=1", "x"), ("a=(), b=()", "a=:AAAA:")] {
        let odd = Answer { input: input.into(), signature: signature.into(), ..signed(&asked, &key) };
        assert!(verify(&odd, &asked, &key).is_err(), "{input}");
    }
}
