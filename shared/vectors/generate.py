#!/usr/bin/env python3
"""Writes rfc9421.json and sigv4.json: requests in, verdicts out.

The signing here is independent of the Rust code (it shares no line with it), so that a vector which verifies proves
agreement, and one which is refused is refused for its own reason: its signature is right over what it covers, unless
the case says otherwise. Run it again after adding a case; the output is stable.
"""
import base64
import hashlib
import hmac
import json
import pathlib
import urllib.parse

SECRET, KEY = "a secret of the source system", "SOURCEKEY1"
HOST = "lgsp.vinhlong.gov.vn"
CREATED, DATE = 1795420800, "20261123T080000Z"
EMPTY = hashlib.sha256(b"").hexdigest()
BODY = b'{"hello": "world"}'
DIGEST = "sha-256=:" + base64.b64encode(hashlib.sha256(BODY).digest()).decode() + ":"
HASH = hashlib.sha256(BODY).hexdigest()
DERIVED = ["@method", "@authority", "@path", "@query"]
WITH_BODY = [("Content-Length", str(len(BODY)))]


def request(method="GET", path="/v1/dossiers", query=None, headers=(), authority=HOST, scheme="http", host=True):
    fields = ([("Host", authority)] if host else []) + list(headers)
    return {"method": method, "scheme": scheme, "authority": authority, "path": path, "query": query,
            "headers": [list(field) for field in fields]}


def values(req, name):
    return [v.strip() for n, v in req["headers"] if n.lower() == name]


# RFC 9421 ---------------------------------------------------------------------------------------------------------

def component_value(req, name):
    port = {"http": ":80", "https": ":443"}[req["scheme"]]
    authority = req["authority"].lower().removesuffix(port)
    target = req["path"] + ("" if req["query"] is None else "?" + req["query"])
    derived = {"@method": req["method"], "@authority": authority, "@path": req["path"], "@scheme": req["scheme"],
               "@query": "?" + (req["query"] or ""), "@request-target": target,
               "@target-uri": req["scheme"] + "://" + authority + target}
    if name.startswith('"'):  # with parameters, written out by the case; only `bs` has a value here
        plain = name.split('"')[1]
        return ", ".join(":" + base64.b64encode(v.encode()).decode() + ":" for v in values(req, plain))
    return derived.get(name, ", ".join(values(req, name)))


def rfc9421(req, components=None, params=None, label="sig1", secret=SECRET, member=None, extra=()):
    components = DERIVED if components is None else components
    quoted = [c if c.startswith('"') else f'"{c}"' for c in components]
    params = f';created={CREATED};keyid="{KEY}";alg="hmac-sha256";nonce="n-1"' if params is None else params
    member = (member or "({})").format(" ".join(quoted)) + params
    lines = [f"{q}: {component_value(req, c)}" for q, c in zip(quoted, components)]
    base = "\n".join(lines + [f'"@signature-params": {member}'])
    mac = base64.b64encode(hmac.new(secret.encode(), base.encode(), "sha256").digest()).decode()
    req["headers"] += [["Signature-Input", f"{label}={member}"], ["Signature", f"{label}=:{mac}:"], *map(list, extra)]
    return req


# SigV4 ------------------------------------------------------------------------------------------------------------

def encode(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-._~")


def canonical_path(path, form):
    if form == "raw":
        return path
    return encode(path, "/") if form == "twice" else encode(urllib.parse.unquote_to_bytes(path), "/")


def canonical_query(query, form):
    if form == "raw" or not query:
        return query or ""
    pairs = [part.partition("=")[::2] for part in query.split("&")]
    if form == "sent":
        return "&".join(f"{n}={v}" for n, v in sorted(pairs))
    pairs = sorted((encode(urllib.parse.unquote_to_bytes(n)), encode(urllib.parse.unquote_to_bytes(v))) for n, v in pairs)
    return "&".join(f"{n}={v}" for n, v in pairs)


def derive(secret, day, region, service):
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


def signature(req, signed, payload, date, region, service, path_form, query_form, secret):
    lines = [f"{n}:{req['authority'] if n == 'host' else ','.join(' '.join(v.split()) for v in values(req, n))}" for n in signed]
    text = "\n".join([req["method"], canonical_path(req["path"], path_form), canonical_query(req["query"], query_form),
                      *lines, "", ";".join(signed), payload])
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(text.encode()).hexdigest()])
    return hmac.new(derive(secret, date[:8], region, service), to_sign.encode(), "sha256").hexdigest()


def sigv4(req, signed=("host", "x-amz-date"), payload=None, service="s3", path_form=None, query_form="sorted",
          credential=None, date=DATE, date_header="X-Amz-Date", secret=SECRET, authorization="{}"):
    if date_header:
        req["headers"].append([date_header, date])
    hashes = values(req, "x-amz-content-sha256")
    payload = payload or (hashes[0] if hashes else EMPTY)
    path_form = path_form or ("once" if service == "s3" else "twice")
    mac = signature(req, signed, payload, DATE, "vn", service, path_form, query_form, secret)
    credential = credential or f"{KEY}/{DATE[:8]}/vn/{service}/aws4_request"
    value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(signed)}, Signature={mac}"
    req["headers"].append(["Authorization", authorization.format(value)])
    return req


def presigned(req, signed=("host",), expires="3600", service="s3", payload=None, more=(), drop=(), secret=SECRET):
    query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{KEY}/{DATE[:8]}/vn/{service}/aws4_request",
             "X-Amz-Date": DATE, "X-Amz-Expires": expires, "X-Amz-SignedHeaders": ";".join(signed), **dict(more)}
    text = "&".join(f"{n}={encode(v)}" for n, v in query.items() if n not in drop)
    req["query"] = text if not req["query"] else req["query"] + "&" + text
    payload = payload or ("UNSIGNED-PAYLOAD" if service == "s3" else EMPTY)
    form = "once" if service == "s3" else "twice"
    req["query"] += "&X-Amz-Signature=" + signature(req, signed, payload, DATE, "vn", service, form, "sorted", secret)
    return req


def change(req, **changes):
    """The same request after somebody changed it on the way."""
    return {**req, **changes}


def drop_header(req, name):
    req["headers"] = [field for field in req["headers"] if field[0].lower() != name]
    return req


def set_header(req, name, old, new):
    req["headers"] = [[n, v.replace(old, new) if n.lower() == name else v] for n, v in req["headers"]]
    return req


def case(name, req, verdict, detail="", secret=SECRET, **expected):
    out = {"name": name, "secret": secret, "request": req, "verdict": verdict}
    if detail:
        out["detail"] = detail
    return {**out, **expected}


def write(file, cases):
    names = [c["name"] for c in cases]
    assert len(names) == len(set(names)), "names are unique"
    path = pathlib.Path(__file__).with_name(file)
    path.write_text("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")


if __name__ == "__main__":
    import cases_rfc9421
    import cases_sigv4
    write("rfc9421.json", cases_rfc9421.cases())
    write("sigv4.json", cases_sigv4.cases())
