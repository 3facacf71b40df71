"""What happens on the wire: methods, origins, conditions, codings, refused and broken bodies."""
import gzip
import json
import re
import signal
import socket
import time

import pytest
import zstandard

from aileron import Server, pair_rows, wait_until


def talk(server, data, seconds=10, host=True):
    """Sends raw bytes, reads until the server closes; (statuses, everything)."""
    if isinstance(data, str):
        data = data.encode("latin-1")
    if host:
        data = data.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: example.test\r\n")
    got = b""
    with server.connect() as link:
        link.settimeout(seconds)
        try:
            link.sendall(data)
            while piece := link.recv(65536):
                got += piece
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)], got


CLOSE = "Connection: close\r\n\r\n"


def test_head_is_get_without_a_body(server):
    for path in ("/healthz", "/", "/api/v1/openapi.json", "/static/app.css"):
        status, got = talk(server, f"GET {path} HTTP/1.1\r\n{CLOSE}")
        assert status == [200]
        length = re.search(rb"Content-Length: (\d+)", got).group(1)
        status, head = talk(server, f"HEAD {path} HTTP/1.1\r\n{CLOSE}")
        assert status == [200] and head.endswith(b"\r\n\r\n")
        assert re.search(rb"Content-Length: (\d+)", head).group(1) == length


def test_head_of_an_export_has_no_body_either(server, make_project):
    project = make_project(pair_rows(3))
    lines = f"Authorization: Bearer {project.key()}\r\n"
    status, got = talk(server, f"HEAD /api/v1{project.path}/export HTTP/1.1\r\n{lines}\r\n", 2)
    assert status == [200] and got.endswith(b"\r\n\r\n") and not got.endswith(b"0\r\n\r\n"), got
    assert b"Content-Length" not in got and b"application/x-ndjson" in got


@pytest.mark.parametrize("method,path,allow", [
    ("OPTIONS", "/api/v1/projects", "GET, POST"),
    ("PUT", "/api/v1/session", "POST, GET, DELETE"),
    ("TRACE", "/healthz", "GET"),
    ("POST", "/", "GET"),
    ("DELETE", "/static/app.css", "GET"),
])
def test_other_methods_get_405_and_allow(server, method, path, allow):
    status, got = talk(server, f"{method} {path} HTTP/1.1\r\n{CLOSE}")
    assert status == [405]
    assert f"Allow: {allow}\r\n".encode() in got


@pytest.mark.parametrize("headers,expected", [
    ("", 403),
    ("Sec-Fetch-Site: same-origin\r\n", 201),
    ("Sec-Fetch-Site: none\r\n", 201),
    ("Sec-Fetch-Site: same-site\r\n", 403),
    ("Sec-Fetch-Site: cross-site\r\nOrigin: http://example.test\r\n", 403),
    ("Origin: http://example.test\r\n", 201),
    ("Origin: https://example.test\r\n", 201),
    ("Origin: http://example.test:81\r\n", 403),
    ("Origin: http://example.test.evil\r\n", 403),
    ("Origin: null\r\n", 403),
    ("Origin: http://example.test\r\nX-Forwarded-Host: evil\r\n", 201),
    ("Origin: http://evil\r\nX-Forwarded-Host: evil\r\n", 403),
])
def test_a_change_by_cookie_needs_our_own_origin(server, headers, expected):
    client = server.user()
    body = json.dumps({"slug": f"wire-{time.time_ns()}"})
    status, got = talk(server, f"POST /api/v1/projects HTTP/1.1\r\nCookie: {client.cookie}\r\n{headers}"
                       "Content-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n{CLOSE}{body}")
    assert status == [expected], got


def test_nobody_is_signed_in_from_another_site(server):
    status, _ = talk(server, "POST /api/v1/session HTTP/1.1\r\nOrigin: http://evil\r\n"
                     f"Content-Type: application/json\r\nContent-Length: 2\r\n{CLOSE}{{}}")
    assert status == [403]


def test_documents_are_revalidated(server):
    for coding in ("identity", "gzip"):
        ask = f"GET /static/app.css HTTP/1.1\r\nAccept-Encoding: {coding}\r\n"
        status, got = talk(server, ask + CLOSE)
        assert status == [200] and b"Cache-Control: no-cache" in got
        tag = re.search(rb'ETag: ("[^"]+")', got).group(1).decode()
        for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            status, got = talk(server, f"{ask}If-None-Match: {condition}\r\n{CLOSE}")
            assert status == [304] and got.endswith(b"\r\n\r\n"), condition
        status, _ = talk(server, f'{ask}If-None-Match: "other"\r\n{CLOSE}')
        assert status == [200]
    version = tag.strip('"').removesuffix("-gz")
    _, got = talk(server, f"GET /static/app.css?v={version} HTTP/1.1\r\n{CLOSE}")
    assert b"immutable" in got


def test_a_connection_survives_a_refused_body(server):
    after = f"GET /healthz HTTP/1.1\r\n{CLOSE}"
    head = "POST /api/v1/session HTTP/1.1\r\nContent-Type: application/json\r\n"
    body = "x" * 200_000
    status, _ = talk(server, f"{head}Content-Length: {len(body)}\r\n\r\n{body}{after}")
    assert status == [413, 200]
    chunks = "8000\r\n" + "x" * 0x8000 + "\r\n"
    status, _ = talk(server, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunks * 6}0\r\n\r\n{after}")
    assert status == [413, 200]
    status, _ = talk(server, f"PUT /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{after}")
    assert status == [405, 200]


def test_expectations_are_answered_before_the_body(server):
    head = ("POST /api/v1/session HTTP/1.1\r\nExpect: 100-continue\r\n"
            "Content-Type: application/json\r\n")
    status, _ = talk(server, f"{head}Content-Length: 900000000\r\n\r\n")
    assert status == [413]
    status, _ = talk(server, f"{head}Content-Length: 2\r\n{CLOSE}{{}}")
    assert status == [100, 422]


def test_nobody_streams_a_body_in_without_being_allowed_to(server, project):
    path = f"/api/v1/projects/{project.slug}/import"
    chunk = "8000\r\n" + "x" * 0x8000 + "\r\n"
    status, _ = talk(server, f"POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{CLOSE}"
                     f"{chunk * 40}0\r\n\r\n")
    assert status == [401]
    status, _ = talk(server, f"POST {path} HTTP/1.1\r\nExpect: 100-continue\r\n"
                     f"Content-Length: 1000000\r\n\r\n")
    assert status == [401]


def test_exports_are_packed_as_asked(server, make_project):
    project = make_project(rows=[
        {"prompt": f"question {i}", "completions": [{"content": f"a{i}"}, {"content": f"b{i}"}]}
        for i in range(50)])
    key = project.key("researcher") if callable(getattr(project, "key", None)) else project.key
    key = getattr(key, "key", key)
    path = f"/api/v1/projects/{project.slug}/export?format=aileron"
    bodies = {}
    for coding in ("identity", "gzip", "zstd", "gzip;q=0, zstd;q=0"):
        status, got = talk(server, f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {key}\r\n"
                           f"Accept-Encoding: {coding}\r\n{CLOSE}")
        assert status == [200], got
        head, _, chunked = got.partition(b"\r\n\r\n")
        body = b""
        while chunked:
            size, _, rest = chunked.partition(b"\r\n")
            body += rest[:int(size, 16)]
            chunked = rest[int(size, 16) + 2:]
        found = re.search(rb"Content-Encoding: (\w+)", head)
        bodies[coding] = (found.group(1).decode() if found else None, body)
    plain = bodies["identity"]
    assert plain[0] is None and plain[1].count(b"\n") == 50
    assert bodies["gzip;q=0, zstd;q=0"] == plain
    assert bodies["gzip"][0] == "gzip" and gzip.decompress(bodies["gzip"][1]) == plain[1]
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(bodies["zstd"][1])
    assert bodies["zstd"][0] == "zstd" and unpacked == plain[1]


def test_clients_that_leave_leave_nothing_behind(server, project):
    before = server.metrics()["aileron_http_in_flight"]
    for size in (0, 1000, 50_000, 200_000):
        for _ in range(5):
            with server.connect() as link:
                link.sendall(b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\n"
                             b"Content-Type: application/json\r\nContent-Length: 16777000\r\n\r\n"
                             + b"x" * size)
    for _ in range(5):
        with server.connect() as link:
            link.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: server.metrics()["aileron_http_in_flight"] <= before, 10, "their end")


def test_forwarded_addresses_count_only_from_trusted_proxies(postgres):
    ask = f"GET /healthz HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n{CLOSE}"
    for trusted, seen in (("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")):
        with Server("--trusted-proxies", trusted, database=postgres.database()) as own:
            talk(own, ask)
            wait_until(lambda: [e for e in own.log_events() if e.get("path") == "/healthz"], 5)
            last = [e for e in own.log_events() if e.get("path") == "/healthz"][-1]
            assert last["address"] == seen


def test_headers_that_drip_are_cut_off(fast_server):
    started = time.monotonic()
    with fast_server.connect() as link:
        link.settimeout(0.01)
        link.sendall(b"GET /")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() - started < 40:
                link.sendall(b"a")
                time.sleep(0.2)
    assert 10 < time.monotonic() - started < 30


def test_a_port_in_use_is_said_clearly(server):
    with pytest.raises(AssertionError, match="another program already does"):
        own = Server(start=False)
        own.port = server.port
        try:
            own.start()
        finally:
            own.close()


def test_requests_under_way_finish_when_the_server_stops(postgres):
    own = Server(database=postgres.database())
    with own.connect() as link:
        link.settimeout(10)
        link.sendall(b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Type: application/json\r\nContent-Length: 46\r\n\r\n"
                     b'{"login":"nobody",')
        time.sleep(0.2)
        own.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError):  # nobody new is let in
            socket.create_connection((own.host, own.port), timeout=2).close()
        link.sendall(b'"password":"wrong password"}')
        got = b""
        while piece := link.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 401") and b"Connection: close" in got
    assert own.process.wait(20) == 0
    own.close()
