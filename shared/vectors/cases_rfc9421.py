"""RFC 9421: what verifies, and everything the verifier must refuse."""
from generate import *

PARAMS = f';created={CREATED};keyid="{KEY}";alg="hmac-sha256";nonce="n-1"'


def post(headers=()):
    return request("POST", headers=[*WITH_BODY, ("Content-Digest", DIGEST), *headers])


def verified():
    ok = "verified"
    yield case("the four derived components", rfc9421(request()), ok, body="empty", nonce="n-1")
    yield case("a query", rfc9421(request(query="a=1&b=%C3%A9")), ok)
    yield case("a query mark with nothing behind it", rfc9421(request(query="")), ok)
    yield case("@target-uri in place of host, path and query",
               rfc9421(request(query="a=1", scheme="https"), ["@method", "@target-uri"]), ok)
    yield case("@request-target in place of path and query",
               rfc9421(request(query="a=1"), ["@authority", "@method", "@request-target"]), ok)
    yield case("host in upper case with the default port",
               rfc9421(request(authority="LGSP.VinhLong.gov.vn:443", scheme="https")), ok)
    yield case("no host field, as in HTTP/2", rfc9421(request(host=False)), ok)
    yield case("a body with its digest", rfc9421(post(), [*DERIVED, "content-digest"]), ok, body="digest")
    yield case("a digest in a member of its own spacing",
               rfc9421(post(), [*DERIVED, "content-digest"], member="(  {}   )"), ok, body="digest")
    yield case("parameters in another order, with a tag and an unknown one",
               rfc9421(request(), params=f';nonce="n-1";x=?0;tag="t";keyid="{KEY}";created={CREATED}'), ok)
    yield case("spaces before the parameters are part of what is signed",
               rfc9421(request(), params=f'; nonce="n-1";  keyid="{KEY}"; created={CREATED}'), ok)
    yield case("expires", rfc9421(request(), params=PARAMS + f";expires={CREATED + 60}"), ok, expires=CREATED + 60)
    yield case("a signed lgsp-nonce is the nonce",
               rfc9421(request(headers=[("LGSP-Nonce", "h-1")]), [*DERIVED, "lgsp-nonce"]), ok, nonce="h-1")
    yield case("a signed lgsp-nonce instead of the parameter",
               rfc9421(request(headers=[("lgsp-nonce", "h-1")]), [*DERIVED, "lgsp-nonce"],
                       f';created={CREATED};keyid="{KEY}"'), ok, nonce="h-1")
    yield case("a field in two lines and an empty one",
               rfc9421(request(headers=[("X-A", "1"), ("X-B", ""), ("x-a", " 2")]), [*DERIVED, "x-a", "x-b"]), ok)
    yield case("a field wrapped with bs",
               rfc9421(request(headers=[("X-A", "1, 2"), ("x-a", "3")]), [*DERIVED, '"x-a";bs']), ok)
    yield case("a bearer token for the target", rfc9421(request(headers=[("Authorization", "Bearer t")])), ok)
    yield case("a length of zero is no body", rfc9421(request("POST", headers=[("Content-Length", "0")])), ok, body="empty")


def incomplete():
    code = "signature-incomplete"
    for missing in DERIVED:
        yield case(f"{missing} is not covered", rfc9421(request(), [c for c in DERIVED if c != missing]), code, missing)
    yield case("nothing is covered", rfc9421(request(), []), code, "@method")
    yield case("the host as a field is not @authority",
               rfc9421(request(), ["@method", "host", "@path", "@query"]), code, "@authority")
    yield case("created is missing", rfc9421(request(), params=f';keyid="{KEY}";nonce="n"'), code, "created")
    yield case("keyid is missing", rfc9421(request(), params=f';created={CREATED};nonce="n"'), code, "keyid")
    for name in ["lgsp-source", "LGSP-Nonce", "X-Amz-Meta-A", "x-amz-date"]:
        yield case(f"{name} is present but not signed", rfc9421(request(headers=[(name, "1")])), code, name)
    yield case("an own header added behind the signature",
               rfc9421(request(), extra=[("lgsp-agency", "H61")]), code, "lgsp-agency")
    yield case("the digest is present but not signed", rfc9421(post()), code, "Content-Digest")
    yield case("a signed header is absent", rfc9421(request(), [*DERIVED, "x-a"]), code, "x-a")
    yield case("a signed digest is absent", rfc9421(request(), [*DERIVED, "content-digest"]), code, "content-digest")
    yield case("a signed header was removed",
               drop_header(rfc9421(request(headers=[("X-A", "1")]), [*DERIVED, "x-a"]), "x-a"), code, "x-a")
    yield case("nonce is missing", rfc9421(request(), params=f';created={CREATED};keyid="{KEY}"'), "nonce-missing", "nonce")
    yield case("a body without a digest", rfc9421(request("POST", headers=WITH_BODY)), "digest-missing", "content-digest")
    yield case("a chunked body without a digest",
               rfc9421(request("POST", headers=[("Transfer-Encoding", "chunked")])), "digest-missing")
    yield case("no signature at all", request(), "signature-missing")
    yield case("a bearer token is no signature",
               request(headers=[("Authorization", "Bearer t")]), "signature-missing")


def malformed():
    code = "signature-malformed"
    extra = lambda *fields: rfc9421(request(), extra=fields)
    yield case("two Signature fields", extra(("Signature", "x=:AA==:")), code, "Signature")
    yield case("two Signature-Input fields", extra(("signature-input", "x=()")), code, "signature-input")
    yield case("two digests", rfc9421(post([("Content-Digest", DIGEST)]), [*DERIVED, "content-digest"]), code, "Content-Digest")
    yield case("two nonces",
               rfc9421(request(headers=[("lgsp-nonce", "a"), ("lgsp-nonce", "b")]), [*DERIVED, "lgsp-nonce"]), code, "lgsp-nonce")
    yield case("an own header twice",
               rfc9421(request(headers=[("x-amz-a", "1"), ("X-Amz-A", "1")]), [*DERIVED, "x-amz-a"]), code, "x-amz-a")
    yield case("two labels", set_header(rfc9421(request()), "signature-input", "sig1=", 'a=("@method"), sig1='), code, "more than one")
    yield case("one label twice", set_header(rfc9421(request()), "signature-input", "sig1=", "sig1=(), sig1="), code, "more than one")
    yield case("two signatures", set_header(rfc9421(request()), "signature", "sig1=", "a=:AA==:, sig1="), code, "more than one")
    yield case("another label", set_header(rfc9421(request()), "signature", "sig1=", "sig2="), code, "label")
    yield case("Signature is missing", drop_header(rfc9421(request()), "signature"), code, "Signature")
    yield case("Signature-Input is missing", drop_header(rfc9421(request()), "signature-input"), code, "Signature-Input")
    yield case("a component twice", rfc9421(request(), [*DERIVED, "@method"]), code, "twice")
    for parameter in ["sf", 'key="a"', "req", "tr", "bs=?0", "bs;bs", "x"]:
        component = f'"x-a";{parameter}'
        yield case(f"the component parameter {parameter}",
                   rfc9421(request(headers=[("X-A", "a=1")]), [*DERIVED, component]), code, "parameter")
    yield case("@method;bs", rfc9421(request(), [*DERIVED, '"@scheme";bs']), code, "parameter")
    for component in ["@status", "@query-param", "@unknown", "X-A", "x a", ""]:
        yield case(f"the component {component!r}",
                   rfc9421(request(headers=[("X-A", "1")]), [*DERIVED, f'"{component}"']), code, "component")
    yield case("a component as a token", set_header(rfc9421(request()), "signature-input", '"@path"', "path"), code)
    yield case("another algorithm", rfc9421(request(), params=PARAMS.replace("hmac-sha256", "rsa-pss-sha512")), code, "hmac-sha256")
    yield case("an algorithm as a token", rfc9421(request(), params=PARAMS.replace('"hmac-sha256"', "hmac-sha256")), code, "alg")
    for parameter in [f"created={CREATED}", f'keyid="{KEY}"', 'nonce="n-1"', 'alg="hmac-sha256"']:
        yield case(f"{parameter} twice", rfc9421(request(), params=f"{PARAMS};{parameter}"), code, "twice")
    yield case("created as a string", rfc9421(request(), params=PARAMS.replace(str(CREATED), f'"{CREATED}"')), code, "created")
    yield case("created as a decimal", rfc9421(request(), params=PARAMS.replace(str(CREATED), "1.5")), code, "created")
    yield case("keyid with an escape", rfc9421(request(), params=PARAMS.replace(KEY, 'A\\"B')), code, "keyid")
    yield case("keyid is empty", rfc9421(request(), params=PARAMS.replace(KEY, "")), code, "keyid")
    yield case("keyid is too long", rfc9421(request(), params=PARAMS.replace(KEY, "A" * 129)), code, "keyid")
    yield case("nonce is empty", rfc9421(request(), params=PARAMS.replace("n-1", "")), code, "nonce")
    yield case("nonce is too long", rfc9421(request(), params=PARAMS.replace("n-1", "n" * 129)), code, "nonce")
    for params in [f'{PARAMS};tag="lgsp-forwarded"', f';tag="lgsp-forwarded"{PARAMS}', f'{PARAMS};x;tag="lgsp-forwarded"']:
        yield case(f"the platform's own tag at {params.index('tag')}", rfc9421(request(), params=params), code, "lgsp-forwarded")
    yield case("expires before created", rfc9421(request(), params=f"{PARAMS};expires={CREATED - 1}"), code, "expires")
    yield case("too many components",
               rfc9421(request(headers=[(f"h{i}", "1") for i in range(30)]), DERIVED + [f"h{i}" for i in range(30)]), code, "32")
    for input_ in ["", "sig1", "sig1=?1", "sig1=(", 'sig1=("@method"', "=()", "sig1=();", "sig1=() x", "sig1=(),"]:
        req = rfc9421(request())
        req["headers"] = [[n, input_ if n == "Signature-Input" else v] for n, v in req["headers"]]
        yield case(f"Signature-Input {input_!r}", req, code)
    for value in ["", "sig1", "sig1=AAAA", "sig1=:AAAA:", "sig1=:", "sig1=:%:", "sig1=::", "sig1=:" + "A" * 44 + ":"]:
        req = rfc9421(request())
        req["headers"] = [[n, value if n == "Signature" else v] for n, v in req["headers"]]
        yield case(f"Signature {value!r}", req, code)
    for digest in ["", "md5=:AAAA:", "sha-256=:AAAA:", "sha-256", DIGEST + ", " + DIGEST]:
        req = request("POST", headers=[*WITH_BODY, ("Content-Digest", digest)])
        yield case(f"Content-Digest {digest!r}", rfc9421(req, [*DERIVED, "content-digest"]), code, "content-digest")
    yield case("both schemes at once", sigv4(rfc9421(request())), code, "more than one way")
    yield case("both schemes at once, the other in the query",
               rfc9421(presigned(request())), code, "more than one way")


def altered():
    code, full = "signature-invalid", [*DERIVED, "content-digest", "x-a"]
    signed = lambda: rfc9421(post([("X-A", "1")]), full)
    yield case("another secret", rfc9421(request(), secret="another"), code)
    yield case("the method was changed", change(signed(), method="PUT"), code)
    yield case("the path was changed", change(signed(), path="/v1/dossier"), code)
    yield case("a query was added", change(signed(), query="a=1"), code)
    yield case("the host was changed", set_header(change(signed(), authority="x.gov.vn"), "host", HOST, "x.gov.vn"), code)
    yield case("the scheme was changed", change(rfc9421(request(), ["@method", "@target-uri"]), scheme="https"), code)
    yield case("a header was changed", set_header(signed(), "x-a", "1", "2"), code)
    yield case("a header line was added", change(signed(), headers=signed()["headers"] + [["x-a", ""]]), code)
    yield case("the digest was changed", set_header(signed(), "content-digest", "sha-256", "sha-512"), "signature-malformed")
    yield case("created was changed", set_header(signed(), "signature-input", str(CREATED), str(CREATED + 1)), code)
    yield case("the nonce was changed", set_header(signed(), "signature-input", "n-1", "n-2"), code)
    yield case("components were reordered",
               set_header(signed(), "signature-input", '"@method" "@authority"', '"@authority" "@method"'), code)
    yield case("the platform's tag was taken off",
               set_header(rfc9421(request(), params=f'{PARAMS};tag="lgsp-forwarded"'), "signature-input", ';tag="lgsp-forwarded"', ""), code)
    yield case("the parameters were re-serialised", set_header(signed(), "signature-input", ";created", "; created"), code)


def heads():
    code = "request-malformed"
    for path in ["//", "/a//b", "/./a", "/a/../b", "/a/..", "/a/.", "/%2e%2e/a", "/a%2fb", "/a%5cb", "/a%00", "/a\\b",
                 "/a b", "/a%4", "a", "*", "/é", "/..;/a"]:
        yield case(f"the path {path!r}", rfc9421(request(path=path)), code)
    for query in ["a=%00", "a b", "a=%", "é"]:
        yield case(f"the query {query!r}", rfc9421(request(query=query)), code)
    yield case("Host differs from the authority", set_header(rfc9421(request()), "host", HOST, "x.gov.vn"), code, "Host")
    yield case("two hosts", rfc9421(request(), extra=[("host", HOST)]), "signature-malformed", "host")
    yield case("a host with a path", rfc9421(request(authority="a/b")), code, "host")
    yield case("an empty host", rfc9421(request(authority="")), code, "host")
    yield case("a method with a space", rfc9421(request("GET /x")), code, "method")
    many = [(f"x-amz-h{i}", "1") for i in range(33)]
    yield case("more own headers than anyone needs", rfc9421(request(headers=many)), "header-too-large", "32")


def cases():
    return [*verified(), *incomplete(), *malformed(), *altered(), *heads()]
