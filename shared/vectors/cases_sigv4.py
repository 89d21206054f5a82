"""AWS SigV4: what verifies, and everything the verifier must refuse."""
from generate import *

SHA = ("x-amz-content-sha256", HASH)
S3 = ("host", "x-amz-content-sha256", "x-amz-date")
CHUNKED = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ("x-amz-decoded-content-length", "18")]
TRAILER = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), ("x-amz-trailer", "x-amz-checksum-crc32")]


def put(headers=(), **more):
    return request("PUT", headers=[*WITH_BODY, *headers], **more)


def verified():
    ok = "verified"
    hairy = dict(path="/a%20b/c:d/%7e%e1", query="z=1&a=%7e2&b&a=1&c=x+y&%C3%A9=1")
    yield case("header form", sigv4(request()), ok, body="empty")
    yield case("s3: encoded once, sorted", sigv4(request(**hairy)), ok)
    yield case("s3: raw path, sorted query (newer curl)", sigv4(request(**hairy), path_form="raw"), ok)
    yield case("s3: raw path, raw query (curl 7.88)", sigv4(request(**hairy), path_form="raw", query_form="raw"), ok)
    yield case("s3: raw path, query sorted as sent (botocore)", sigv4(request(**hairy), path_form="raw", query_form="sent"), ok)
    yield case("other: encoded twice, query sorted as sent (botocore)", sigv4(request(**hairy), service="lgsp", query_form="sent"), ok)
    yield case("other: encoded twice, sorted (newer curl)", sigv4(request(**hairy), service="lgsp"), ok)
    yield case("other: raw path, raw query (curl 7.88)",
               sigv4(request(**hairy), service="lgsp", path_form="raw", query_form="raw"), ok)
    yield case("other: encoded once", sigv4(request(**hairy), service="lgsp", path_form="once"), ok)
    yield case("other: an encoded percent sign, encoded twice", sigv4(request(path="/a%2520b"), service="lgsp"), ok)
    yield case("s3: an encoded percent sign", sigv4(request(path="/a%2520b")), ok)
    yield case("no host field, as in HTTP/2", sigv4(request(host=False)), ok)
    yield case("no spaces in Authorization", set_header(sigv4(request()), "authorization", ", ", ","), ok)
    yield case("a signed hash", sigv4(put([SHA]), S3), ok, body="digest")
    yield case("a signed empty hash without a body", sigv4(request(headers=[("x-amz-content-sha256", EMPTY)]), S3), ok, body="empty")
    yield case("a signed empty hash with a body is checked", sigv4(put([("x-amz-content-sha256", EMPTY)]), S3), ok, body="digest")
    yield case("an unsigned payload", sigv4(put([("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]), S3), ok, body="unsigned")
    yield case("an unsigned payload with a signed digest",
               sigv4(put([("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("content-digest", DIGEST)]), ("content-digest", *S3)),
               ok, body="digest")
    yield case("a signed digest alone", sigv4(put([("content-digest", DIGEST)]), ("content-digest", "host", "x-amz-date")), ok, body="digest")
    yield case("chunks", sigv4(put(CHUNKED), (*S3, "x-amz-decoded-content-length")), ok, body="chunked")
    yield case("chunks and trailers", sigv4(put(TRAILER), (*S3, "x-amz-trailer")), ok, body="chunked")
    yield case("the Date header instead of x-amz-date",
               sigv4(request(), ("date", "host"), date="Mon, 23 Nov 2026 08:00:00 GMT", date_header="Date"), ok)
    yield case("a signed lgsp-nonce", sigv4(request(headers=[("lgsp-nonce", "h-1")]), ("host", "lgsp-nonce", "x-amz-date")), ok, nonce="h-1")
    yield case("a field in two lines with inner spaces",
               sigv4(request(headers=[("X-A", " 1   2 "), ("x-a", "3")]), ("host", "x-a", "x-amz-date")), ok)
    yield case("presigned", presigned(request(query="a=1")), ok, body="unsigned", expires=CREATED + 3600)
    yield case("presigned for another service", presigned(request(path="/a%20b"), service="lgsp"), ok, body="empty")
    yield case("presigned for seven days", presigned(request(), expires="604800"), ok, expires=CREATED + 604800)
    yield case("presigned with a hash in the query",
               presigned(request("PUT", headers=WITH_BODY), payload=HASH, more=[("X-Amz-Content-Sha256", HASH)]), ok, body="digest")
    yield case("presigned with headers and a session token",
               presigned(request(headers=[("x-amz-meta-a", "1")]), ("host", "x-amz-meta-a"), more=[("X-Amz-Security-Token", "t/=")]), ok)


def incomplete():
    code = "signature-incomplete"
    yield case("x-amz-meta unsigned (CVE-2026-97731)", sigv4(request(headers=[("X-Amz-Meta-A", "1")])), code, "X-Amz-Meta-A")
    yield case("a session token unsigned", sigv4(request(headers=[("x-amz-security-token", "t")])), code, "x-amz-security-token")
    yield case("the payload hash unsigned", sigv4(put([SHA])), code, "x-amz-content-sha256")
    yield case("lgsp-nonce unsigned", sigv4(request(headers=[("lgsp-nonce", "n")])), code, "lgsp-nonce")
    yield case("content-digest unsigned", sigv4(put([SHA, ("Content-Digest", DIGEST)]), S3), code, "Content-Digest")
    yield case("host not signed", sigv4(request(), ("x-amz-date",)), code, "host")
    yield case("the date not signed", sigv4(request(), ("host",)), code, "x-amz-date")
    yield case("the Date header not signed",
               sigv4(request(), ("host",), date="Mon, 23 Nov 2026 08:00:00 GMT", date_header="Date"), code, "date")
    yield case("a fresh unsigned x-amz-date beside a signed Date",
               sigv4(request(headers=[("date", "Mon, 23 Nov 2026 08:00:00 GMT")]), ("date", "host")), code, "x-amz-date")
    yield case("no date at all", sigv4(request(), ("host",), date_header=None), code, "x-amz-date")
    yield case("a signed header is absent", sigv4(request(), ("host", "x-a", "x-amz-date")), code, "x-a")
    yield case("trailers not announced", sigv4(put(TRAILER[:1]), S3), code, "x-amz-trailer")
    yield case("trailers announced, unsigned (CVE-2025-31489)", sigv4(put(TRAILER), S3), code, "x-amz-trailer")
    yield case("the decoded length unsigned", sigv4(put(CHUNKED), S3), code, "x-amz-decoded-content-length")
    yield case("presigned without host", presigned(request(headers=[("a", "1")]), ("a",)), code, "host")
    yield case("presigned with an unsigned own header", presigned(request(headers=[("x-amz-acl", "p")])), code, "x-amz-acl")
    yield case("a body without a hash", sigv4(put()), "digest-missing", "x-amz-content-sha256")
    yield case("a presigned body without a hash", presigned(put(), service="lgsp"), "digest-missing", "x-amz-content-sha256")


def malformed():
    code = "signature-malformed"
    twice = lambda req, *field: change(req, headers=req["headers"] + [list(field)])
    yield case("two Authorization headers", twice(sigv4(request()), "authorization", "Bearer t"), code, "authorization")
    yield case("two dates", twice(sigv4(request()), "x-amz-date", DATE), code, "X-Amz-Date")
    yield case("two payload hashes", twice(sigv4(put([SHA]), S3), *SHA), code, "x-amz-content-sha256")
    yield case("header and query form at once", sigv4(presigned(request())), code, "more than one way")
    for payload in ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
                    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", "unsigned-payload", "", HASH[1:], "x" * 64]:
        yield case(f"the payload {payload!r}", sigv4(put([("x-amz-content-sha256", payload)]), S3, payload=payload or " "),
                   code, "x-amz-content-sha256")
    yield case("trailers announced without the trailer marker",
               sigv4(put(CHUNKED[:1] + TRAILER[1:]), (*S3, "x-amz-trailer")), code, "x-amz-trailer")
    yield case("a decoded length that is no number",
               sigv4(put([CHUNKED[0], ("x-amz-decoded-content-length", "+18")]), (*S3, "x-amz-decoded-content-length")),
               code, "x-amz-decoded-content-length")
    yield case("chunks with a content-digest",
               sigv4(put([*CHUNKED, ("content-digest", DIGEST)]), ("content-digest", *S3, "x-amz-decoded-content-length")),
               code, "content-digest")
    yield case("a digest and a hash that contradict each other",
               sigv4(put([("x-amz-content-sha256", EMPTY), ("content-digest", DIGEST)]), ("content-digest", *S3)), code, "contradict")
    scope = f"{DATE[:8]}/vn/s3/aws4_request"
    for credential in [f"{KEY}/20261124/vn/s3/aws4_request", f"{KEY}/{DATE[:8]}/vn/s3/aws4", KEY, f"/{scope}", f"{KEY}//{scope}",
                       f"{KEY}/{scope}/", f"{KEY}/{DATE[:8]}//s3/aws4_request", f"{KEY}/{DATE[:8]}/v n/s3/aws4_request",
                       f"{KEY}%2F{scope}", f"{'A' * 129}/{scope}", ""]:
        yield case(f"the credential {credential!r}", sigv4(request(), credential=credential or " "), code)
    for old, new in [("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
                     ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"), ("SignedHeaders=", "signedheaders="), ("Signature=", "Signature=00"),
                     ("Signature=", "Signature=z"), (", SignedHeaders", " SignedHeaders"), ("Credential=", "Credential=a, Credential="),
                     ("Signature=", "Extra=1, Signature="), ("host;", "Host;"), ("host;", "host;host;"), ("host;", "host;;"),
                     ("host;", "host;a b;"), ("host;", "host%3B")]:
        yield case(f"Authorization with {new!r} for {old!r}", set_header(sigv4(request()), "authorization", old, new), code)
    for date in ["20261123T080000", "2026-11-23T08:00:00Z", "20261123T250000Z", "20261323T080000Z", "", "Mon, 23 Nov 2026 08:00:00 GMT"]:
        yield case(f"the date {date!r}", sigv4(request(), date=date), code, "x-amz-date")
    for date in ["Monday, 23-Nov-26 08:00:00 GMT", "Mon Nov 23 08:00:00 2026", "1795420800"]:
        yield case(f"the Date {date!r}", sigv4(request(), ("date", "host"), date=date, date_header="Date"), code, "date")
    for expires in ["0", "604801", "-1", "1.5", "", "99999999999999999999"]:
        yield case(f"presigned for {expires!r} seconds", presigned(request(), expires=expires), code, "X-Amz-Expires")
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]:
        yield case(f"presigned without {name}", presigned(request(), drop=[name]), code, name)
        yield case(f"presigned with {name} twice", presigned(request(query=name + "=1")), code, name)
    yield case("presigned without a signature", change(presigned(request()), query="X-Amz-Algorithm=AWS4-HMAC-SHA256"), code)
    yield case("presigned with two signatures", presigned(request(query="X-Amz-Signature=1")), code, "X-Amz-Signature")
    yield case("presigned with another algorithm", presigned(request(), more=[("X-Amz-Algorithm", "AWS4-X")]), code, "X-Amz-Algorithm")
    yield case("presigned chunks", presigned(put(CHUNKED[:1]), ("host", "x-amz-content-sha256"), payload=CHUNKED[0][1]), code, "x-amz-content-sha256")
    yield case("presigned with a hash in the query and another in the header",
               presigned(put([SHA]), ("host", "x-amz-content-sha256"), more=[("X-Amz-Content-Sha256", EMPTY)]), code, "x-amz-content-sha256")
    yield case("more parameters than are sorted", sigv4(request(query="&".join(f"a{i}=1" for i in range(129)))), code, "128")
    names = [f"h{i:02}" for i in range(64)]
    yield case("more headers than are looked up",
               sigv4(request(headers=[(n, "1") for n in names]), (*names, "host", "x-amz-date")), code, "64")


def altered():
    code = "signature-invalid"
    signed = lambda: sigv4(put([SHA, ("X-A", "1")], query="a=1&b=2"), ("host", "x-a", *S3[1:]))
    yield case("another secret", sigv4(request(), secret="another"), code)
    yield case("the method was changed", change(signed(), method="POST"), code)
    yield case("the path was changed", change(signed(), path="/v1/dossier"), code)
    yield case("the query was changed", change(signed(), query="a=1&b=3"), code)
    yield case("the query was dropped", change(signed(), query=None), code)
    yield case("the host was changed", set_header(change(signed(), authority="x.gov.vn"), "host", HOST, "x.gov.vn"), code)
    yield case("a header was changed", set_header(signed(), "x-a", "1", "2"), code)
    yield case("the hash was changed", set_header(signed(), "x-amz-content-sha256", HASH, EMPTY), code)
    yield case("the hash was replaced with the unsigned marker",
               set_header(signed(), "x-amz-content-sha256", HASH, "UNSIGNED-PAYLOAD"), code)
    yield case("the time was changed", set_header(signed(), "x-amz-date", "080000", "080001"), code)
    yield case("the region was changed", set_header(signed(), "authorization", "/vn/", "/vm/"), code)
    yield case("the service was changed", set_header(signed(), "authorization", "/s3/", "/s4/"), code)
    yield case("a twice-encoded path read as a raw one (other services)",
               change(sigv4(request(path="/a%20b"), service="lgsp"), path="/a%2520b"), code)
    yield case("a raw path is not accepted where it holds an encoded percent sign (other services)",
               sigv4(request(path="/a%2520b"), service="lgsp", path_form="raw"), code)
    yield case("s3 does not encode twice", sigv4(request(path="/a%20b"), path_form="twice"), code)
    yield case("presigned, the expiry was changed",
               (lambda req: change(req, query=req["query"].replace("Expires=3600", "Expires=7200")))(presigned(request())), code)
    yield case("presigned, a parameter was added",
               (lambda req: change(req, query=req["query"] + "&a=1"))(presigned(request())), code)
    yield case("presigned with another secret", presigned(request(), secret="another"), code)


def cases():
    return [*verified(), *incomplete(), *malformed(), *altered()]
