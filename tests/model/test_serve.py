"""aileron-rm serve: every shape of request, what is refused, many clients at once, a full queue,
clients that leave, and its end."""
import concurrent.futures
import json
import shutil
import socket
import struct
import subprocess
import time

import pytest

import rm
from service import Service, texts

PROMPT = "Which of these would a careful person rather read, and why? " * 3
ANSWERS = ["yes red", "no blue", "green yes", "a longer answer that says no"]
CLOSE = 1e-5  # relative, fp32: alone, in a batch, with a shared prompt or without


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    data = rm.write(folder / "data.jsonl", rm.rows(40))
    rm.run("train", *rm.TINY, "--out", folder / "tiny", "--data", data, "--batch", "8", "--steps",
           "3", "--heads", "2", "--split", "all")
    return folder / "tiny"


@pytest.fixture(scope="module")
def live(model):
    with Service(model) as running:
        yield running


@pytest.fixture(scope="module")
def expected(model):
    """What `aileron-rm score` says of the answers."""
    return rm.score(model, [{"prompt": PROMPT, "completions": ANSWERS}])[0]["scores"]


def close(scores):
    return pytest.approx(scores, rel=CLOSE)


# ---- shapes ----

def test_prompt_and_completions(live, expected):
    got = live.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
    assert got["scores"] == close(expected) and got["truncated"] == 0
    assert got["model"] == "tiny" and got["object"] == "list"
    assert got["usage"]["prompt_tokens"] == got["usage"]["total_tokens"] > 4 * len(PROMPT)
    listed = live.ask("/v1/score", {"prompt": [{"role": "user", "content": PROMPT}],
                                    "completions": [{"content": text} for text in ANSWERS]})
    assert listed["scores"] == close(expected)
    again = live.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
    assert again["scores"] == got["scores"]  # the same alone: the same bits


def test_score_of_vllm(live, expected):
    got = live.ask("/score", {"model": "tiny", "text_1": PROMPT, "text_2": ANSWERS, "user": "me",
                              "truncate_prompt_tokens": -1})
    assert [one["score"] for one in got["data"]] == close(expected)
    assert [(one["index"], one["object"]) for one in got["data"]] == [(n, "score") for n in range(4)]
    one = live.ask("/score", {"text_1": PROMPT, "text_2": ANSWERS[2]})
    assert [x["score"] for x in one["data"]] == close(expected[2:3])
    for first, second in (("queries", "documents"), ("queries", "items"), ("data_1", "data_2")):
        same = live.ask("/score", {first: PROMPT, second: ANSWERS})
        assert same["data"] == got["data"]
    pairs = live.ask("/score", {"text_1": ["other", PROMPT], "text_2": [ANSWERS[0], ANSWERS[1]]})
    assert pairs["data"][1]["score"] == close(expected[1])
    assert pairs["data"][0]["score"] != close(expected[0])


def test_rerank(live, expected):
    order = sorted(range(4), key=lambda n: -expected[n])
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        got = live.ask(path, {"model": "x", "query": PROMPT, "documents": ANSWERS, "top_n": 3})
        assert [one["index"] for one in got["results"]] == order[:3]
        assert [one["document"]["text"] for one in got["results"]] == [ANSWERS[n] for n in order[:3]]
        assert [one["relevance_score"] for one in got["results"]] == close(
            [expected[n] for n in order[:3]])
        assert got["usage"]["total_tokens"] > 0 and got["model"] == "tiny"
    bare = live.ask("/v1/rerank", {"query": PROMPT, "return_documents": False, "top_n": None,
                                   "documents": [{"text": text} for text in ANSWERS]})
    assert [one["index"] for one in bare["results"]] == order
    assert all("document" not in one for one in bare["results"])


def test_whole_texts(live, expected):
    """The template is raw: a prompt, a blank line, an answer."""
    whole = [f"{PROMPT}\n\n{answer}" for answer in ANSWERS]
    got = live.ask("/classify", {"input": whole})
    assert [one["probs"] for one in got["data"]] == [[close(x)] for x in expected]
    assert {(one["label"], one["num_classes"]) for one in got["data"]} == {("LABEL_0", 1)}
    one = live.ask("/classify", {"model": "tiny", "input": whole[1]})
    assert one["data"][0]["probs"] == [close(expected[1])]
    got = live.ask("/pooling", {"input": whole, "encoding_format": "float"})
    assert [one["data"] for one in got["data"]] == [[close(x)] for x in expected]
    got = live.ask("/get_reward", {"query": whole, "prompts": [PROMPT] * 4, "labels": [None] * 4})
    assert got["rewards"] == got["scores"] == close(expected) and got["extra_logs"] == {}
    talk = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWERS[3]}]
    got = live.ask("/pooling", {"messages": talk})
    assert got["data"] == [{"index": 0, "object": "pooling", "data": [close(expected[3])]}]


def test_logistic_on_request(live, expected):
    import math
    got = live.ask("/score", {"prompt": PROMPT, "completions": ANSWERS, "use_activation": True})
    assert got["scores"] == close([1 / (1 + math.exp(-x)) for x in expected])


def test_models_health_and_metrics(live):
    listed = live.ask("/v1/models")
    assert listed["object"] == "list" and listed["data"][0]["id"] == "tiny"
    assert live.ask("/v1/models/tiny") == listed["data"][0]
    assert listed["data"][0]["heads"] == 2 and listed["data"][0]["max_model_len"] == 1024
    live.ask("/v1/models/other", status=404)
    assert live.ask("/health")["status"] == "ok"
    text = live.ask("/metrics")
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            name, kind = line.split()[2:]
            assert kind in ("counter", "gauge", "histogram") and name.startswith("aileron_rm_")
            assert kind != "counter" or name.endswith("_total")
    before = live.metrics()
    live.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
    after = live.metrics()
    assert after["aileron_rm_sequences_total"] - before["aileron_rm_sequences_total"] == 4
    assert after["aileron_rm_request_seconds_count"] == after["aileron_rm_score_requests_total"] \
        == after['aileron_rm_request_seconds_bucket{le="+Inf"}']


def test_options_are_those_of_score(model):
    lines = [{"prompt": PROMPT, "completions": ANSWERS}]
    for options in (["--combine", "min"], ["--combine", "uwo", "--lambda", "2"],
                    ["--template", "human"], ["--share=no"]):
        with Service(model, *options) as running:
            got = running.ask("/score", lines[0])["scores"]
        assert got == close(rm.score(model, lines, *options)[0]["scores"]), options


# ---- computed together ----

def test_a_prompt_is_computed_once(live):
    before = live.metrics()
    live.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
    live.ask("/get_reward", {"query": [f"{PROMPT}\n\n{answer}" for answer in ANSWERS]})
    # two prompts in one request, side by side only after sorting
    live.ask("/score", {"text_1": [PROMPT, "Other: " + PROMPT] * 4, "text_2": ["a b c"] * 8})
    after = live.metrics()
    tokens, computed = (after[f"aileron_rm_{name}_total"] - before[f"aileron_rm_{name}_total"]
                        for name in ("tokens", "tokens_computed"))
    assert tokens > 16 * len(PROMPT) and computed < 4 * (len(PROMPT) + 30) + 8 * 30


def test_requests_are_scored_together_and_alike(model):
    """64 clients, of which half ask of one prompt: each gets what it would get alone."""
    bodies = [{"prompt": PROMPT if n % 2 else f"{n} is another prompt of its own, {n}",
               "completions": [f"{answer} {n}" for answer in ANSWERS[: 1 + n % 4]]}
              for n in range(64)]
    alone = [row["scores"] for row in rm.score(model, bodies, "--share=no")]
    with Service(model) as running, concurrent.futures.ThreadPoolExecutor(64) as pool:
        got = list(pool.map(lambda body: running.ask("/score", body)["scores"], bodies))
        count = running.metrics()
    assert got == [close(scores) for scores in alone]
    assert count["aileron_rm_batch_seconds_count"] < 64
    assert count["aileron_rm_tokens_computed_total"] < 0.6 * count["aileron_rm_tokens_total"]


def test_bf16_is_close_together_and_alone(model):
    """Its products depend a little on who stands beside whom. (auto: bf16 where the processor has it)"""
    bodies = [{"prompt": f"{PROMPT}{n // 4}", "completions": [f"{answer} {n}" for answer in ANSWERS]}
              for n in range(24)]
    with Service(model, "--dtype", "auto") as running, concurrent.futures.ThreadPoolExecutor(24) as pool:
        alone = [x for body in bodies for x in running.ask("/score", body)["scores"]]
        together = [x for one in pool.map(lambda body: running.ask("/score", body)["scores"], bodies)
                    for x in one]
    assert together == pytest.approx(alone, rel=1e-3)


def test_small_batches_change_nothing(model, expected):
    with Service(model, "--batch-rows", "50") as running:
        got = running.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
        assert got["scores"] == close(expected)
        assert running.metrics()["aileron_rm_batch_seconds_count"] == 4


def busy(running, seconds, pool):
    """Keeps the model busy for at least about so long; the future of the reply."""
    fastest = seconds
    for _ in range(3):
        started = time.monotonic()
        running.ask("/classify", {"input": texts(4, 400, seed=2)})
        fastest = min(fastest, time.monotonic() - started)
    asked = pool.submit(running.ask, "/classify", {"input": texts(
        min(1000, int(4 * seconds / fastest) + 1), 400)})
    time.sleep(0.3)
    return asked


def send(running, body, part=None):
    """A request on its way whose reply nobody reads; closing the socket takes it back."""
    data = json.dumps(body).encode()
    head = (f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n").encode()
    link = socket.create_connection(("127.0.0.1", running.port))
    link.sendall((head + data)[:part])
    return link


def wait_for(running, name, value):
    deadline = time.monotonic() + 60
    while running.metrics()[f"aileron_rm_{name}"] != value:
        assert time.monotonic() < deadline, running.metrics()
        time.sleep(0.05)


def test_health_and_small_requests_do_not_wait_for_large_ones(model):
    with Service(model) as running, send(running, {"input": texts(1000, 400)}):
        wait_for(running, "requests_waiting", 1)
        for _ in range(10):
            started = time.monotonic()
            assert running.ask("/health")["waiting"] == 1
            assert time.monotonic() - started < 1
        running.ask("/score", {"prompt": "p", "completions": ["a"]})  # units of both take turns
        assert running.ask("/health")["waiting"] == 1
        assert running.metrics()["aileron_rm_sequences_total"] < 1000


# ---- limits ----

def test_what_is_too_long_is_cut_or_refused(model):
    body = {"prompt": "x" * 300 + "the end", "completions": ["yes", "no no no"]}
    with Service(model, "--max-length", "64") as running:
        got = running.ask("/score", body)
        assert got["truncated"] == 300 + 7 + 2 + 8 + 1 - 64
        assert got["scores"] == close(rm.score(model, [body], "--max-length", "64")[0]["scores"])
        whole = running.ask("/get_reward", {"query": ["y" * 500 + "z" * 63]})
        same = running.ask("/get_reward", {"query": ["z" * 63]})
        assert whole["rewards"] == close(same["rewards"])
        assert (whole["truncated"], same["truncated"]) == (500, 0)
        less = running.ask("/classify", {"input": "y" * 500 + "z" * 9, "truncate_prompt_tokens": 10})
        assert less["data"][0]["probs"] == close(
            running.ask("/classify", {"input": "z" * 9})["data"][0]["probs"])
        running.refused("/score", {"prompt": "p", "completions": ["a" * 100]}, 413, "/completions")
        assert running.metrics()["aileron_rm_truncated_requests_total"] == 3
    with Service(model, "--max-length", "64", "--overlong", "refuse") as running:
        running.refused("/score", body, 413, "/completions")
        running.refused("/get_reward", {"query": ["ok", "y" * 500]}, 413, "/query/1")


def test_a_full_queue_is_said(model):
    with Service(model, "--queue", "3") as running:
        links = [send(running, {"input": texts(300, 400, seed=n)}) for n in range(3)]
        wait_for(running, "requests_waiting", 3)
        link = running.connect()
        link.request("POST", "/score", json.dumps({"prompt": "p", "completions": ["a"]}),
                     {"Content-Type": "application/json"})
        reply = link.getresponse()
        assert reply.status == 503 and int(reply.headers["Retry-After"]) >= 1
        assert json.loads(reply.read())["status"] == 503
        assert running.ask("/health")["waiting"] == 3
        for one in links:
            one.close()
        wait_for(running, "requests_waiting", 0)
        running.ask("/score", {"prompt": "p", "completions": ["a"]})
        assert running.metrics()["aileron_rm_queue_full_total"] == 1


def test_who_waits_too_long_is_told(model):
    # (all of the large request in one batch: between two, the small one would have its turn in time)
    with Service(model, "--timeout", "1", "--batch-rows", "1000000") as running, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        large = busy(running, 3, pool)
        problem = running.ask("/score", {"prompt": "p", "completions": ["a"]}, 504)
        assert "1 s" in problem["detail"]
        assert len(large.result()["data"]) > 4  # it had begun
        assert running.metrics()["aileron_rm_timeouts_total"] == 1


def test_large_bodies_are_refused(live):
    big = b'{"input":"' + b"x" * (8 << 20) + b'"}'
    assert live.ask("/classify", big, 413)["status"] == 413

    def pieces():
        for _ in range(9):
            yield b"x" * (1 << 20)
    link = live.connect()
    link.request("POST", "/classify", pieces(), {"Content-Type": "application/json"},
                 encode_chunked=True)
    assert link.getresponse().status == 413
    assert "1024" in live.refused("/classify", {"input": ["a"] * 1025}, 422, "/input")
    live.refused("/classify", {"input": "x" * (1 << 20) + "y"}, 422, "/input")
    live.refused("/score", {"prompt": "x" * 100_000, "completions": ["a"] * 1000}, 413,
                 "/completions")
    assert live.ask("/health")["status"] == "ok"


BAD = [
    ("/score", {}, ""), ("/score", [], ""), ("/score", "text", ""), ("/score", 5, ""),
    ("/score", {"prompt": "p"}, "/completions"), ("/score", {"completions": ["a"]}, "/prompt"),
    ("/score", {"prompt": 5, "completions": ["a"]}, "/prompt"),
    ("/score", {"prompt": [], "completions": ["a"]}, "/prompt"),
    ("/score", {"prompt": [{"role": "robot", "content": "x"}], "completions": ["a"]},
     "/prompt/0/role"),
    ("/score", {"prompt": [{"role": "user"}], "completions": ["a"]}, "/prompt/0/content"),
    ("/score", {"prompt": "p", "completions": []}, "/completions"),
    ("/score", {"prompt": "p", "completions": "a"}, "/completions"),
    ("/score", {"prompt": "p", "completions": ["a", 5]}, "/completions/1"),
    ("/score", {"prompt": "p", "completions": ["a", {"content": []}]}, "/completions/1/content"),
    ("/score", {"text_1": "p"}, "/text_2"), ("/score", {"text_2": "p"}, "/text_1"),
    ("/score", {"text_1": ["p", "q"], "text_2": ["a"]}, "/text_2"),
    ("/score", {"queries": "p"}, "/documents"), ("/score", {"items": "p"}, "/queries"),
    ("/score", {"text_1": {"content": []}, "text_2": ["a"]}, "/text_1"),
    ("/classify", {"input": {}}, "/input"), ("/classify", {"input": [1, 2]}, "/input/0"),
    ("/classify", {"input": None}, "/input"), ("/classify", {"messages": []}, "/messages"),
    ("/classify", {"messages": [{"role": "user", "content": "x"}]}, "/messages"),
    ("/classify", {"input": "x", "truncate_prompt_tokens": 0}, "/truncate_prompt_tokens"),
    ("/classify", {"input": "x", "activation": "yes"}, "/activation"),
    ("/pooling", {"input": "x", "encoding_format": "base64"}, "/encoding_format"),
    ("/v1/rerank", {"documents": ["a"]}, "/query"), ("/v1/rerank", {"query": "q"}, "/documents"),
    ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": -1}, "/top_n"),
    ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": 1.5}, "/top_n"),
    ("/v1/rerank", {"query": "q", "documents": [{"text": 1}]}, "/documents/0/text"),
    ("/v1/rerank", {"query": ["q"], "documents": ["a"]}, "/query"),
    ("/v1/rerank", {"query": "q", "documents": ["a"], "return_documents": 1}, "/return_documents"),
    ("/get_reward", {"query": [["a"]]}, "/query/0"), ("/get_reward", {"prompts": ["a"]}, "/query"),
]


@pytest.mark.parametrize("path, body, pointer", BAD)
def test_a_bad_member_is_named(live, path, body, pointer):
    assert live.refused(path, body, 422, pointer)


@pytest.mark.parametrize("body", [
    b"", b"{", b'{"input": "\xff\xfe"}', b'{"input": "\\ud800"}', b'{"input": "a\\u0000b"}',
    b"[" * 100_000, b'{"input":' * 100, b'{"input":"a","input":"b"}', b"NaN", b"\x00" * 50,
    b'{"input": ["' + b'a","' * 2_000_000 + b'"]}'])
def test_what_is_no_json_is_refused(live, body):
    assert live.ask("/classify", body, 400)["status"] == 400
    assert live.ask("/health")["status"] == "ok"


def test_other_requests_are_refused(live):
    live.ask("/nothing", status=404)
    live.ask("/score", status=405)
    live.ask("/health", {}, status=405)
    live.ask("/score", b"prompt=x", 415, headers={"Content-Type": "text/plain"})
    for raw in (b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as link:
            link.sendall(raw + b"\r\n\r\n")
            link.shutdown(socket.SHUT_WR)
            assert b" 200 " not in link.recv(4096)
    assert live.ask("/health")["status"] == "ok"


# ---- clients that leave, and the end ----

def test_clients_that_leave_are_not_scored(model):
    with Service(model) as running:
        body = {"input": texts(900, 400)}
        for part in (20, 1000, 300_000):
            send(running, body, part).close()
        with send(running, body):
            wait_for(running, "requests_waiting", 1)
        wait_for(running, "abandoned_total", 1)
        assert running.ask("/health")["waiting"] == 0
        assert running.metrics()["aileron_rm_sequences_total"] < 900
        running.ask("/score", {"prompt": "p", "completions": ["a"]})


def test_sigterm_finishes_what_is_under_way(model):
    with Service(model) as running, concurrent.futures.ThreadPoolExecutor(16) as pool:
        asked = [busy(running, 2.5, pool)]
        asked += [pool.submit(running.ask, "/score", {"prompt": f"p {n}", "completions": ANSWERS})
                  for n in range(12)]
        time.sleep(0.5)
        assert running.ask("/health")["waiting"] >= 1
        running.stop()
        for one in asked:
            assert one.result()["object"] == "list"
        with pytest.raises(OSError):
            running.ask("/health")


def test_a_second_sigterm_does_not_wait(model):
    with Service(model) as running, concurrent.futures.ThreadPoolExecutor(2) as pool:
        large = busy(running, 30, pool)
        running.process.terminate()
        time.sleep(0.5)
        started = time.monotonic()
        running.stop(status=1)
        assert time.monotonic() - started < 15
        assert large.exception() is not None


def overflowing(model, letter):
    """Damages a model so that what contains the letter, and nothing else, overflows: the first unit of the
    embeddings is the letter's alone, and its part of the first layer's values is as large as floats are."""
    path = model / "model.safetensors"
    data = bytearray(path.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    token = json.loads((model / "tokenizer.json").read_text("utf-8"))["model"]["vocab"][letter]
    for name, first in (("model.embed_tokens.weight", lambda row: float(row == token)),
                        ("model.layers.0.self_attn.v_proj.weight", lambda row: 3e38)):
        tensor = json.loads(data[8:8 + length])[name]
        rows, width = tensor["shape"]
        assert tensor["dtype"] == "F32"
        for row in range(rows):
            struct.pack_into("<f", data, 8 + length + tensor["data_offsets"][0] + 4 * width * row,
                             first(row))
    path.write_bytes(data)


def test_a_score_that_is_no_number_fails_alone(model, tmp_path):
    """Who asks about what the model cannot score hears so, everybody else is served."""
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    overflowing(broken, "Q")
    with Service(broken, "--batch-rows", "100000") as running, \
            concurrent.futures.ThreadPoolExecutor(12) as pool:
        large = busy(running, 1, pool)
        asked = [pool.submit(running.ask, "/score", {"prompt": PROMPT, "completions": [
            f"a {n}", "Q" if n % 3 == 0 else "b"]}, 500 if n % 3 == 0 else 200) for n in range(9)]
        for n, one in enumerate(asked):
            if n % 3 == 0:
                assert "finite" in one.result()["detail"]
            else:
                assert len(one.result()["scores"]) == 2
        large.result()
        count = running.metrics()
        assert count["aileron_rm_score_failures_total"] == 3
        assert count["aileron_rm_batch_seconds_count"] < 9  # they were scored together


def test_what_cannot_be_served_is_said(model, live, tmp_path):
    def failing(status, *options):
        return rm.run("serve", *options, status=status).stderr
    assert "--model" in failing(2)
    assert "--listen" in failing(2, "--model", model, "--listen", "somewhere")
    assert "--queue" in failing(2, "--model", model, "--queue", "0")
    assert "numeric" in failing(1, "--model", model, "--listen", "example.org:0")
    assert "another program" in failing(1, "--model", model, "--listen", f"127.0.0.1:{live.port}")
    failing(1, "--model", tmp_path / "nothing")
    shown = subprocess.run([rm.BINARY, "serve", "--help"], capture_output=True, text=True, check=True)
    assert "/get_reward" in shown.stdout and "--batch-rows" in shown.stdout
