"""The edge: broken requests, limits, pages, compression, health. Odd requests go by plain socket."""
import gzip
import json

import pytest

from aileron import Client, pair_rows, wait_until


def talk(server, request, timeout=10):
    """Sends bytes, returns everything until the server closes or falls silent."""
    sock = server.connect()
    sock.settimeout(timeout)
    sock.sendall(request)
    got = b""
    try:
        while chunk := sock.recv(65536):
            got += chunk
    except TimeoutError:
        pass
    finally:
        sock.close()
    return got


def status(reply):
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else None


CLOSE = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("head, expected", [
    (b"GET /healthz HTTP/1.1\r\n" + CLOSE, 400),                                   # no Host
    (b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n"
     + CLOSE + b"{}", 400),
    (b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n"
     + CLOSE + b"0\r\n\r\n", 400),
    (b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n" + CLOSE, 400),
    (b"GET /a%00b HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400),
    (b"GET /api/v1/projects/a%2Fb HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400),
    (b"GET /static/../server/main.c HTTP/1.1\r\nHost: x\r\n" + CLOSE, None),
    (b"GET /static/%2e%2e/Makefile HTTP/1.1\r\nHost: x\r\n" + CLOSE, None),
    (b"BREW /healthz HTTP/1.1\r\nHost: x\r\n" + CLOSE, 405),
    (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: x\r\n" + CLOSE, None),
])
def test_broken_requests_are_refused(server, head, expected):
    got = status(talk(server, head, 3))
    if expected:
        assert got == expected
    else:
        assert got in (400, 404, 414, 431)
    Client(server).raw("GET", "/healthz").expect(200)


def test_a_smuggled_second_request_is_not_served(server):
    reply = talk(server, b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n"
                         b"Host: x\r\nConnection: close\r\n\r\n", 3)
    assert reply.count(b"HTTP/1.1 ") == 1 and b"aileron_" not in reply


@pytest.mark.parametrize("body, code", [
    (b"", 422), (b"not json", 400), (b"[1,2]", 422), (b'{"login":"a"', 400), (b"\xff\xfe", 400),
    (b'{"login":"a","login":"b","password":"x"}', 400), (b'{"a":' * 200 + b"1" + b"}" * 200, 400),
    (b'{"login":"a\\u0000","password":"x"}', 400), (b'{"login":"a","password":"x"} trailing', 400),
])
def test_bad_json_gets_a_clear_answer(server, body, code):
    reply = Client(server).request("POST", "/session", body, {"Content-Type": "application/json"})
    assert reply.status in (code, 400, 422), reply
    assert reply.problem(reply.status)["detail"]
    assert "JSON_" not in reply.text  # a library's words


def test_errors_are_problem_json_with_the_request_id(server):
    reply = Client(server).get("/nowhere")
    problem = reply.problem(404)
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert problem["type"].startswith("urn:aileron:error:")
    reply = Client(server).request("DELETE", "/projects", None)
    assert reply.problem(405) and set(reply.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}
    Client(server).get("/projects").problem(401)
    key = Client(server, "ak_" + "x" * 43)
    key.get("/projects").problem(401)


def test_too_large_bodies_get_413_both_ways(server):
    big = b"{" + b" " * 5000 + b"}"
    Client(server).request("POST", "/session", big, {"Content-Type": "application/json"}).problem(413)
    chunked = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" \
              b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunked += b"1000\r\n" + b" " * 4096 + b"\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n0\r\n\r\n"
    assert status(talk(server, chunked, 5)) == 413
    Client(server).request("POST", "/session", b"{}", {"Content-Type": "text/plain"}).problem(415)


def test_pages_and_assets(server):
    for path in ("/", "/signin", "/p/anything/annotate", "/account"):
        reply = Client(server).raw("GET", path).expect(200)
        assert reply.headers["content-type"].startswith("text/html")
        csp = reply.headers["content-security-policy"]
        assert "default-src 'none'" in csp and "require-trusted-types-for 'script'" in csp
        assert "unsafe-inline" not in csp and "unsafe-eval" not in csp
    Client(server).raw("GET", "/static/nothing.js").expect(404)
    plain = Client(server).raw("GET", "/static/js/app.js").expect(200)
    zipped = Client(server).raw("GET", "/static/js/app.js", None, {"Accept-Encoding": "gzip"}).expect(200)
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.content) == plain.content
    assert "accept-encoding" in plain.headers["vary"].lower()
    again = Client(server).raw("GET", "/static/js/app.js", None, {"If-None-Match": plain.headers["etag"]})
    assert again.status == 304 and again.content == b""
    head = Client(server).raw("HEAD", "/static/js/app.js").expect(200)
    assert head.content == b"" and int(head.headers["content-length"]) == len(plain.content)
    assert Client(server).raw("GET", "/static/vendor/katex/katex.min.js").status == 200


def test_the_description_covers_every_route(server):
    description = Client(server).get("/openapi.json").expect(200).json()
    described = {(method.upper(), path) for path, methods in description["paths"].items()
                 for method in methods}
    source = (__import__("aileron").ROOT / "server/routes.c").read_text()
    import re
    routes = set(re.findall(r'METHOD_([A-Z]+), "([^"]+)"', source))
    assert routes == described, routes ^ described


def test_health_and_metrics(server, project):
    assert Client(server).raw("GET", "/healthz").expect(200).text.strip() == "ok"
    assert Client(server).raw("GET", "/readyz").expect(200).json() == {"ready": True}
    before = server.metrics()
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    project.judge(client, project.leases(client)[0]).expect(201)
    after = server.metrics()
    assert after["aileron_judgments_total"] == before["aileron_judgments_total"] + 1
    assert after["aileron_leases_granted_total"] == before["aileron_leases_granted_total"] + 1


def test_every_request_is_one_json_line_without_secrets(fast_server):
    client = fast_server.user()
    client.get("/projects?limit=5").expect(200)
    # The line follows the reply: its bytes and its end are in it.
    last = wait_until(lambda: next((event for event in reversed(fast_server.log_events())
                                    if event.get("path") == "/api/v1/projects"), None))
    assert last["event"] == "request"
    assert last["method"] == "GET" and last["status"] == 200 and last["duration_us"] > 0
    assert "correct horse" not in fast_server.log() and client.cookie.split("=")[1] not in fast_server.log()


def test_pipelined_requests_are_answered_in_order(server):
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = talk(server, one * 4 + b"GET /nowhere.txt HTTP/1.1\r\nHost: x\r\n" + CLOSE, 5)
    assert reply.count(b"HTTP/1.1 200") == 4 and reply.count(b"HTTP/1.1 404") == 1


def test_json_is_compressed_when_asked(server, project):
    project.owner.patch(project.path, {"settings": {"instructions": "word " * 2000}}).expect(200)
    reply = project.owner.request("GET", project.path, None, {"Accept-Encoding": "gzip"}).expect(200)
    assert reply.headers.get("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(reply.content))["slug"] == project.slug
