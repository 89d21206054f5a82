"""Other people's clients, driven by `real_clients_are_accepted.rs`.

Usage: clients.py CLIENT METHOD URL [BODY_FILE]; the credential is in ACCESS_KEY and SECRET_KEY.
Prints one JSON line: {"status": 200, "body": "...", "request_id": "..."}.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import secrets
import sys
import urllib.parse
import zlib

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.session
import requests
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

ACCESS_KEY, SECRET_KEY = os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"]
REGION = "vn"


def tell(status, body, headers):
    body = body if isinstance(body, str) else body.decode()
    print(json.dumps({"status": status, "body": body, "request_id": headers.get("lgsp-request-id")}))


def send(method, url, headers, body):
    session = requests.Session()
    session.trust_env = False
    response = session.send(requests.Request(method, url, headers=headers, data=body).prepare())
    tell(response.status_code, response.text, response.headers)


def credentials():
    return botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY)


def botocore_header(method, url, body):
    """Signs as botocore does for S3: the payload as a signed hash."""
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers={"Accept": "*/*"})
    request.context["payload_signing_enabled"] = True
    botocore.auth.S3SigV4Auth(credentials(), "s3", REGION).add_auth(request)
    send(method, url, dict(request.headers.items()), body)


def botocore_other_service(method, url, body):
    """Signs as botocore does for every service but S3: paths encoded twice, no payload header."""
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body)
    botocore.auth.SigV4Auth(credentials(), "execute-api", REGION).add_auth(request)
    send(method, url, dict(request.headers.items()), body)


def botocore_presigned(method, url, body):
    request = botocore.awsrequest.AWSRequest(method=method, url=url)
    botocore.auth.S3SigV4QueryAuth(credentials(), "s3", REGION, expires=60).add_auth(request)
    send(method, request.url, {}, body)


class StreamingAuth(botocore.auth.S3SigV4Auth):
    """botocore's signer with the marker of a chunk-signed body in place of the payload's hash."""

    def payload(self, request):
        return "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

    def _should_sha256_sign_payload(self, request):
        return True


def botocore_chunked(method, url, body, chunk_bytes=64 * 1024):
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(body))}
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=b"", headers=headers)
    auth = StreamingAuth(credentials(), "s3", REGION)
    auth.add_auth(request)
    date = request.headers["X-Amz-Date"]
    previous = request.headers["Authorization"].rsplit("Signature=", 1)[1]
    key = ("AWS4" + SECRET_KEY).encode()
    scope = [date[:8], REGION, "s3", "aws4_request"]
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    framed, empty = b"", hashlib.sha256(b"").hexdigest()
    for start in [*range(0, len(body), chunk_bytes), len(body)]:
        chunk = body[start : start + chunk_bytes]
        text = ["AWS4-HMAC-SHA256-PAYLOAD", date, "/".join(scope), previous, empty, hashlib.sha256(chunk).hexdigest()]
        previous = hmac.new(key, "\n".join(text).encode(), hashlib.sha256).hexdigest()
        framed += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
    send(method, url, dict(request.headers.items()), framed)


class UnsignedTrailerAuth(StreamingAuth):
    """botocore's signer with the marker that AWS SDKs use for uploads over https by default."""

    def payload(self, request):
        return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def botocore_unsigned_trailer(method, url, body, chunk_bytes=64 * 1024, damage=b""):
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-sdk-checksum-algorithm": "CRC32",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=b"", headers=headers)
    UnsignedTrailerAuth(credentials(), "s3", REGION).add_auth(request)
    checksum = base64.b64encode(zlib.crc32(body + damage).to_bytes(4, "big"))
    framed = b""
    for start in range(0, len(body), chunk_bytes):
        chunk = body[start : start + chunk_bytes]
        framed += f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    framed += b"0\r\nx-amz-checksum-crc32:" + checksum + b"\r\n\r\n"
    send(method, url, dict(request.headers.items()), framed)


def botocore_damaged_trailer(method, url, body):
    botocore_unsigned_trailer(method, url, body, damage=b"x")


def botocore_s3_client(method, url, body):
    """A whole, unmodified S3 client: the first segment of the path is its bucket. COPY copies onto `copied`."""
    parts = urllib.parse.urlsplit(url)
    bucket, key = parts.path.lstrip("/").split("/", 1)
    config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
    session = botocore.session.Session()
    client = session.create_client(
        "s3",
        region_name=REGION,
        endpoint_url=f"{parts.scheme}://{parts.netloc}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=config,
    )
    try:
        if method == "GET":
            answer = client.get_object(Bucket=bucket, Key=key)
            body = answer["Body"].read()
        elif method == "COPY":
            source = {"Bucket": bucket, "Key": "nguồn"}
            answer = client.copy_object(
                Bucket=bucket, Key=key, CopySource=source, Metadata={"nam_sinh": "2026"}, MetadataDirective="REPLACE"
            )
            body = ""
        else:
            answer = client.put_object(Bucket=bucket, Key=key, Body=body)
            body = ""
    except botocore.exceptions.ClientError as error:
        answer, body = error.response, str(error)
    tell(answer["ResponseMetadata"]["HTTPStatusCode"], body, answer["ResponseMetadata"]["HTTPHeaders"])


def botocore_s3_retries(method, url, body):
    """What applications do: many writes through one client, which signs again and retries by itself."""
    parts = urllib.parse.urlsplit(url)
    bucket, key = parts.path.lstrip("/").split("/", 1)
    retries = {"mode": "standard", "total_max_attempts": 5}
    config = botocore.config.Config(s3={"addressing_style": "path"}, retries=retries, proxies={})
    client = botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=f"{parts.scheme}://{parts.netloc}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=config,
    )

    def write(at):
        name = {"Bucket": bucket, "Key": f"{key}/{at}"}
        try:
            answer = client.put_object(Body=body, **name) if at % 2 else client.delete_object(**name)
        except botocore.exceptions.ClientError as error:
            answer = error.response
        return answer["ResponseMetadata"]["HTTPStatusCode"]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(write, range(8)))
    tell(max(statuses), json.dumps(statuses), {})


class OneKey(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return SECRET_KEY.encode()

    def resolve_public_key(self, key_id):
        return SECRET_KEY.encode()


def http_message_signatures(method, url, body):
    request = requests.Request(method, url, data=body).prepare()
    covered = ["@method", "@authority", "@path", "@query"]
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=OneKey())
    signer.sign(
        request,
        key_id=ACCESS_KEY,
        nonce=secrets.token_hex(16),
        label="sig1",
        covered_component_ids=covered,
        body=body or None,
    )
    session = requests.Session()
    session.trust_env = False
    response = session.send(request)
    tell(response.status_code, response.text, response.headers)


def main():
    client, method, url = sys.argv[1:4]
    body = b""
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as file:
            body = file.read()
    clients = {
        "botocore": botocore_header,
        "botocore-other-service": botocore_other_service,
        "botocore-presigned": botocore_presigned,
        "botocore-chunked": botocore_chunked,
        "botocore-s3-client": botocore_s3_client,
        "botocore-s3-retries": botocore_s3_retries,
        "botocore-unsigned-trailer": botocore_unsigned_trailer,
        "botocore-damaged-trailer": botocore_damaged_trailer,
        "http-message-signatures": http_message_signatures,
    }
    clients[client](method, url, body)


main()
