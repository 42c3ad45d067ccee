"""What is sent: each attack once by name, then what chance makes, without end."""

from __future__ import annotations

import base64
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from apimachinery.api.catalogue import CATALOGUE
from tests.hostile import documents

JSON = "application/json"
MEDIA = [
    JSON, "application/yaml", "application/vnd.kubernetes.protobuf", "application/json-patch+json",
    "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    "text/plain", "application/json; charset=\xff", "/", "", "application/cbor", "a" * 5000,
]  # fmt: skip
DEEP = 100_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a brace": b"{",
    "not utf-8": b"\xff\xfe{}",
    "half a letter": b'{"metadata":{"name":"\xc3\x28"}}',
    "lone surrogate": b'{"metadata":{"name":"\\ud800"}}',
    "lone surrogate in a key": b'{"\\udfff":1,"metadata":{"name":"a"}}',
    "NUL": b'{"metadata":{"name":"a\\u0000b"}}',
    "raw NUL": b'{"metadata":{"name":"a\0b"}}',
    "NaN": b'{"metadata":{"name":"a"},"data":NaN}',
    "Infinity": b'{"metadata":{"name":"a"},"data":-Infinity}',
    "1e400": b'{"metadata":{"name":"a","generation":1e400}}',
    "beyond 64 bits": b'{"metadata":{"name":"a","generation":' + b"9" * 30 + b"}}",
    "5,000 digits": b'{"metadata":{"generation":' + b"9" * 5000 + b"}}",
    "keys twice": b'{"metadata":{"name":5},"metadata":{"name":[]}}',
    "brackets": b"[" * DEEP,
    "closed brackets": b"[" * DEEP + b"]" * DEEP,
    "braces": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "braces in data": b'{"metadata":{"name":"a"},"data":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "mixed brackets": b"{" + b"[{" * 600,
    "null": b"null",
    "a text": b'"text"',
    "true": b"true",
    "a list": b"[{}]",
    "two documents": b"{}{}",
    "3 MiB and one": b'{"metadata":{"name":"a"},"data":{"a":"' + b"x" * (3 << 20) + b'"}}',
    "8 MiB": b" " * (8 << 20),
    "no protobuf": b"k8s\0",
    "endless protobuf": b"k8s\0\x0a\xff\xff\xff\xff\x0f",
    "nested protobuf": b"k8s\0" + b"\x0a\x7f" * 60,
    "a group in protobuf": b"k8s\0\x0b\x0b\x0b",
    "alias": b"- &a [*a]",
    "alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"\n".join(b"%c: &%c [%s]" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110)),
    "yaml tag": b"!!python/object/apply:os.system [id]",
    "yaml merge": b"<<: {a: 1}\nmetadata: {}",
    "yaml deep": b"[" * 20_000,
    "yaml flow of keys": b"? " * 5_000 + b"a",
    "yaml two documents": b"a: 1\n---\nb: 2",
    "yaml binary": b"metadata: {name: !!binary aGk=}",
    "yaml set": b"metadata: !!set {a, b}",
    "yaml nan": b"data: .nan",
}  # fmt: skip
PATCHES = [
    b'[{"op":"add"}]', b'[{"op":"test","path":"/metadata/name","value":{}}]',
    b'[{"op":"copy","from":"/","path":"/a/b"}]',
    b'[{"op":"replace","path":"/spec/~2","value":1}]', b'[{"op":"add","path":"/data","value":[[]]}]', b"[5]", b"5",
    b'[{"op":"move","from":"/data","path":"/data/a/b"}]', b'[{"op":"remove","path":""}]', b'[{"op":5,"path":[]}]',
    b'[{"op":"add","path":"/data/' + b"a/" * 5000 + b'","value":1}]',
    b"[" + b",".join(b'{"op":"copy","from":"/data","path":"/data/%d"}' % n for n in range(99)) + b"]",
    b"[" + b",".join(b'{"op":"add","path":"/data%b","value":{}}' % (b"/a" * n) for n in range(600)) + b"]",
    b'{"data":[1]}', b'{"data":{"a":{}}}', b'{"metadata":[]}', b'{"metadata":{"name":"other"}}', b'{"metadata":null}',
    b'{"metadata":{"labels":{"$patch":5}}}', b'{"metadata":{"labels":{"a":{}}}}', b'{"$patch":"nonsense"}',
    b'{"metadata":{"finalizers":{"$deleteFromPrimitiveList/":1}}}', b'{"$retainKeys":5}', b'{"kind":null}',
    b'{"metadata":{"$setElementOrder/finalizers":5,"finalizers":["a"]}}', b'{"metadata":{"ownerReferences":[5]}}',
    b'{"metadata":{"ownerReferences":[{"$patch":"delete"}]}}', b'{"metadata":{"managedFields":[{},{"manager":5}]}}',
    b'{"metadata":{"managedFields":[{"operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1",'
    b'"fieldsV1":{"f:data":{"k:5":{}}}}]}}', b'{"metadata":{"resourceVersion":"abc"}}', b'{"metadata":{"uid":"x"}}',
    b'{"apiVersion":"v1","kind":"ConfigMap","$patch":"delete"}', b'{"metadata":{"creationTimestamp":"never"}}',
]  # fmt: skip
NAMES = [
    "foo\n", "..", ".", "%2F", "%2f..%2f", "a/b", "a" * 254, "a" * 5000, "A", "-a", "a\0", "\x7f", "é", "\u202e", " ",
    "%",
    "%00", "%ff", "a%20b", "*", "?", "#", ";", "a,b", "'", '"', "<script>", "${x}", "a\\b", "\U0001f600",
]  # fmt: skip
PATHS = [
    "/api/v1/namespaces/a/../kube-system/secrets", "/api/v1/namespaces/a/%2e%2e/kube-system/secrets",
    "//api/v1/secrets",
    "/api//v1/namespaces", "/api/v1/namespaces//pods", "/api/v1/./secrets", "/./api/v1/secrets", "/api/v1/secrets/..",
    "/api/v1/namespaces/default/pods/x/..%2f..%2fsecrets", "/api/v1/namespaces/default%2fpods", "/%61pi/v1/secrets/..",
    "/api/v1/namespaces/default/pods/x/exec/..", "/apis/apps/v1/../../api/v1/secrets", "/api/v1\\namespaces",
    "/api/v1/namespaces/%00/pods", "/api/v1/proxy/nodes/x", "/api/v2/pods", "/apis/nowhere/v1/things", "/apis///",
    "/api/v1/namespaces/default/pods/x/nonsense", "/api/v1/watch", "/api/v1/watch/..", "/openapi/v3/../v2", "/..",
    "/metrics/..%2f", "/healthz/nonsense", "/" + "a" * 5000, "/" + "a/" * 3000, "/api/v1/" + "%25" * 1000, "*",
    "http://169.254.169.254/latest/meta-data", "/api/v1/namespaces/default/pods/x/log?container=%00&tailLines=-1",
]  # fmt: skip
METHODS = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO"]
VALUES = [
    "", "abc", "-1", "0x10", "1e3", "999999999999999999999", "%00", "%ff", "é", "a=b=c", "a in (", "a in ()", "!",
    "a==b,c notin (d", ",", "=", "a" * 300, "x/y/z", "metadata.name", "metadata.name=%2e%2e", "spec.nothing=1", "()",
    "!!a", "\t",
    ",".join(["a=b"] * 3000), "a in (" + ",".join("x" * 60 for _ in range(500)) + ")", "true", "All", "NotOlderThan",
]  # fmt: skip
PARAMETERS = [
    "labelSelector", "fieldSelector", "limit", "continue", "resourceVersionMatch", "timeoutSeconds", "watch", "pretty",
    "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "force",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "includeObject", "tailLines", "nonsense", "history",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attack:
    """silent: the server may close the connection without an answer, as what was said is no HTTP. finish: the sender
    says no more. refused: the answer has to be a refusal."""

    name: str
    request: bytes
    silent: bool = False
    finish: bool = False
    refused: bool = False


def request(method: str, path: str, body: bytes = b"", media: str = JSON, extra: bytes = b"") -> bytes:
    """A request whose HTTP is well formed."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode("latin-1", "replace") + extra + b"\r\n" + body


def named(namespace: str) -> Iterator[Attack]:
    """The ones that are known by name."""
    maps, target = f"/api/v1/namespaces/{namespace}/configmaps", f"/api/v1/namespaces/{namespace}/configmaps/held"
    for (name, body), media in itertools.product(BODIES.items(), MEDIA):
        yield Attack(f"POST {name}, {media[:40]}", request("POST", maps, body, media), refused=True)
        for method in ("PUT", "PATCH", "DELETE"):
            # What deletes or changes something in earnest is no test of refusals; a deletion does not heed the query
            # beside a body.
            path = f"{maps}/nothing" if method == "DELETE" else f"{target}?fieldManager=f&dryRun=All"
            yield Attack(f"{method} {name}, {media[:40]}", request(method, path, body, media))
    for patch, media in itertools.product(PATCHES, MEDIA[3:7]):
        yield Attack(f"PATCH {patch[:60]!r}", request("PATCH", f"{target}?fieldManager=f&dryRun=All", patch, media))
    for name in NAMES:
        body = orjson.dumps({"metadata": {"name": name}})
        spelled = quote(name, safe="%")
        yield Attack(f"create {name[:20]!r}", request("POST", maps, body), refused=True)
        yield Attack(f"create namespace {name[:20]!r}", request("POST", "/api/v1/namespaces", body), refused=True)
        silent = name == "%"  # which is no HTTP in a path
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            data = request(method, f"{maps}/{spelled}", b"{}")
            yield Attack(f"{method} {name[:20]!r}", data, silent=silent, refused=True)
            data = request(method, f"/api/v1/namespaces/{spelled}/pods/x", b"{}")
            yield Attack(f"{method} in {name[:20]!r}", data, silent=silent, refused=True)
    for path, method in itertools.product(
        PATHS, ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO")
    ):
        yield Attack(f"{method} {path[:60]}", request(method, path, b"{}"), silent=True)
    for parameter, value in itertools.product(PARAMETERS, VALUES):
        query = f"?{parameter}={quote(value, safe='%=,()!')}"
        if parameter == "watch":
            query += "&timeoutSeconds=1"
        yield Attack(f"GET {query[:60]}", request("GET", f"/api/v1/namespaces/{namespace}/pods{query}"))
        yield Attack(f"DELETE {query[:60]}", request("DELETE", f"{maps}/nothing{query}", b"{}"), refused=True)
    yield from tokens(namespace)
    yield from broken_http(target)


def tokens(namespace: str) -> Iterator[Attack]:
    """Forged continue tokens."""
    for version, start in itertools.product(
        (0, -1, 1, 1 << 63, "x", None, [], 1.5), ("", "../x", "/", "a\0", "é", 5, None)
    ):
        said = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})
        forged = base64.urlsafe_b64encode(said).decode()
        path = f"/api/v1/namespaces/{namespace}/pods?limit=1&continue={forged}"
        yield Attack(f"continue {version} {start!r}", request("GET", path))
    for token in ("%00", "a" * 5000, "e30", "W10", "bnVsbA", "-" * 7, "====", "eyJ2Ijo1fQ"):
        yield Attack(f"continue {token[:20]}", request("GET", f"/api/v1/pods?continue={token}"))


def broken_http(path: str) -> Iterator[Attack]:
    """What is no HTTP, or hardly any."""
    start = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    post = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    lines = {
        "a flood of headers": start + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        "a header of 1 MiB": start + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
        "a path of 1 MiB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        "a header without a name": start + b": x\r\n\r\n",
        "a header without a colon": start + b"nonsense\r\n\r\n",
        "NUL in a header": start + b"X: a\0b\r\n\r\n",
        "no host": b"GET / HTTP/1.1\r\n\r\n",
        "two lengths": post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "a length and chunks": post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a negative length": post + b"Content-Length: -1\r\n\r\n{}",
        "a length that is none": post + b"Content-Length: 0x2\r\n\r\n{}",
        "a length beyond all": post + b"Content-Length: 999999999999999999999\r\n\r\n{}",
        "chunks of nonsense": post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "an endless chunk": post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
        "a foreign encoding": post + b"Transfer-Encoding: gzip\r\n\r\n{}",
        "gzip that is none": post + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/9": b"GET / HTTP/9.9\r\n\r\n",
        "HTTP/0.9": b"GET /\r\n",
        "no request line": b"\r\n\r\n\r\n",
        "binary": bytes(range(256)) * 8,
        "a method of 10,000 letters": b"A" * 10_000 + b" / HTTP/1.1\r\n\r\n",
        "half a request": start[:-4],
        "half a body": post + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "a bearer of nonsense": start + b"Authorization: Bearer " + b"\xff" * 50 + b"\r\n\r\n",
        "an expectation": post + b"Expect: 200-nonsense\r\nContent-Length: 2\r\n\r\n{}",
        "impersonation of nobody": start + b"Impersonate-Group: x\r\n\r\n",
        "an upgrade to nothing": start + b"Connection: Upgrade\r\nUpgrade: nonsense\r\n\r\n",
    }
    for name, data in lines.items():
        yield Attack(name, data, silent=True, finish=True)


def drawn(namespace: str, chance: random.Random) -> Iterator[Attack]:
    """What chance makes of the schema, of bytes and of words."""
    resources = documents.creatable()
    others = list(CATALOGUE)
    while True:
        resource = chance.choice(resources)
        space = namespace if resource.namespaced else ""
        path = resource.path(space) + "?dryRun=All&fieldValidation=" + chance.choice(("Strict", "Warn", "Ignore"))
        whole = orjson.dumps(documents.document(resource, chance))
        yield Attack(f"{resource.kind} {whole[:2000]!r}", request("POST", path, whole))
        at = chance.randrange(len(whole))
        cut = whole[:at] + bytes([chance.randrange(256)]) + whole[at + chance.randrange(3) :]
        yield Attack(f"{resource.kind} {cut[:2000]!r}", request("POST", path, cut, chance.choice(MEDIA[:3])))
        held = f"/api/v1/namespaces/{namespace}/configmaps/held?fieldManager=f&dryRun=All"
        patch = documents.document(chance.choice(resources), chance)
        yield Attack(f"patch {patch}"[:2000], request("PATCH", held, orjson.dumps(patch), chance.choice(MEDIA[3:7])))
        protobuf = b"k8s\0" + chance.randbytes(chance.randrange(60))
        yield Attack(f"protobuf {protobuf!r}", request("POST", path, protobuf, MEDIA[2]))
        word = quote("".join(chance.choices("%(),=!<>/.\\&?aé$ \0\t{}[]'\"", k=12)), safe="%=,()!")
        other = chance.choice(others)
        where = other.path(namespace if other.namespaced else "")
        parameter = chance.choice(PARAMETERS)
        if parameter != "watch" and "watch" not in word:
            yield Attack(f"GET {where}?{parameter}={word}", request("GET", f"{where}?{parameter}={word}"))
        yield Attack(f"GET {where}/{word}", request("GET", f"{where}/{word}"), silent=True)
