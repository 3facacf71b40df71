"""The gateway's figures: added latency, throughput with everything recorded, first byte, events, open
streams; beside the same model server called directly and beside LiteLLM's proxy, in the same run."""
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "build" / "release" / "tests" / "bench" / "bench_gateway"
LITELLM = ROOT / "build" / "venv-litellm"
# no look-up of prices on the network, and no key of its own: only the proxy's work is measured
LITELLM_ENVIRONMENT = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                       "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
PATH, DIRECT = "/openai/v1/chat/completions", "/v1/chat/completions"
PACE_PER_SECOND = 400  # of all connections together: latency without a queue
PACED, FLOOD, PEER_FLOOD = 2000, 20000, 500
FIRST_BYTE_RUNS = 5
EVENT_BATCHES, EVENTS_EACH, EVENT_THREADS = 400, 50, 8
STREAMS = 1000


def load(port, path, connections, requests, keys, paced=False, stream=False):
    """One run of the load; its figures."""
    think_us = connections * 1_000_000 // PACE_PER_SECOND if paced else 0
    done = subprocess.run([TOOL, "load", str(port), path, str(connections), str(requests),
                           str(think_us), "1" if stream else "0", keys],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"load: {done.stdout} {done.stderr}"[-2000:])
    return json.loads(done.stdout)


class Stub:
    def __enter__(self):
        self.process = subprocess.Popen([TOOL, "stub"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def prepared(run, stub, ack):
    """A server with a project that is served by the stub; (server, file of keys)."""
    os.environ["AILERON_GATEWAY_ACK"] = ack
    server = run.Server()
    del os.environ["AILERON_GATEWAY_ACK"]
    keys = run.seed_project(server, 1, 8)
    server.psql(f"insert into upstream (project_id, id, name, url, concurrency) "
                f"values (1, gen_random_uuid(), 'stub', '{stub.url}', 100000)")
    load(server.port, PATH, 16, 500, keys)
    return server, keys


def latencies(run, stub):
    """Added to the direct call, paced: before the commit (ack=stream) and with it."""
    for ack, figure, reach in (("stream", "p50", 0.5), ("commit", "p99", 3.0)):
        server, keys = prepared(run, stub, ack)
        with server:
            for connections in (16, 64):
                direct = load(stub.port, DIRECT, connections, PACED, keys, paced=True)
                ours = load(server.port, PATH, connections, PACED, keys, paced=True)
                before = "before the commit" if ack == "stream" else "with the commit"
                run.result("gateway", f"added {figure} {before}, {connections} connections",
                           ours[figure] - direct[figure], "ms", "limit", reach, 1, higher=False)
                if (ack, connections) == ("commit", 64):
                    added = ours["p99"] - direct["p99"]
    return added


def throughput(run, stub):
    """Requests per second, all recorded; rows against answers; time to the first byte."""
    server, keys = prepared(run, stub, "commit")
    with server:
        flood = load(server.port, PATH, 64, FLOOD, keys)
        run.result("gateway", "requests/s, 64 connections, recorded", flood["per_second"], "/s",
                   "limit", 4000, 1)
        rows = int(server.psql("select count(*) from answer"))
        run.result("gateway", "rows per answer", rows, "", "answers", FLOOD + 500, 1)
        run.result("gateway", "first byte later than direct, median", first_byte(stub, server, keys),
                   "ms", "limit", 0.3, 1, higher=False)
        streams(run, server, keys)
        events(run, server, keys)
    return flood["per_second"]


def first_byte(stub, server, keys):
    """How much later a stream begins than direct, in ms: the median of pairs of runs."""
    later = []
    for _ in range(FIRST_BYTE_RUNS):
        direct = load(stub.port, DIRECT, 16, PACED // 2, keys, paced=True, stream=True)
        ours = load(server.port, PATH, 16, PACED // 2, keys, paced=True, stream=True)
        later.append(ours["first_p50"] - direct["first_p50"])
    return statistics.median(later)


def streams(run, server, keys):
    """Memory of streams that stay open."""
    with open(keys, encoding="ascii") as file:
        key = file.readline().strip()
    before, links = server.rss_kib(), []
    body = json.dumps({"model": "hold", "stream": True, "messages": [
        {"role": "user", "content": "x" * 1500}]}, separators=(",", ":")).encode()
    for _ in range(STREAMS):
        link = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=30)
        link.request("POST", PATH, body, {"Content-Type": "application/json",
                                          "Authorization": f"Bearer {key}"})
        links.append((link, link.getresponse()))
    for _, response in links:
        response.read1(10)
    run.result("gateway", "memory of an open stream", (server.rss_kib() - before) / STREAMS, "KiB",
               "limit", 64, 1, higher=False)
    for link, response in links:
        response.close()
        link.close()


def uuid7():
    value = int(time.time() * 1000) << 80 | 7 << 76 | uuid.uuid4().int & ((1 << 76) - 1)
    return str(uuid.UUID(int=value & ~(3 << 62) | 2 << 62))


def events(run, server, keys):
    """Rows per second by the API, and by one connection that inserts the same rows 256 at a time."""
    with open(keys, encoding="ascii") as file:
        tokens = [line.strip() for line in file]
    answers = server.psql("select id from answer limit 1000").split()
    batches = [[{"id": uuid7(), "completion_id": answers[(n * EVENTS_EACH + k) % len(answers)],
                 "kind": "copy", "value": k} for k in range(EVENTS_EACH)]
               for n in range(EVENT_BATCHES)]
    bodies = [json.dumps({"events": batch}).encode() for batch in batches]
    failed = []

    def send(mine, token):
        link = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=60)
        for body in mine:
            link.request("POST", "/api/v1/events", body, {
                "Content-Type": "application/json", "Authorization": f"Bearer {token}"})
            reply = link.getresponse()
            if reply.status != 200 or len(json.loads(reply.read())["accepted"]) != EVENTS_EACH:
                failed.append(reply.status)

    threads = [threading.Thread(target=send, args=(bodies[n::EVENT_THREADS], tokens[n % len(tokens)]))
               for n in range(EVENT_THREADS)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours = EVENT_BATCHES * EVENTS_EACH / (time.monotonic() - begin)
    if failed:
        raise RuntimeError(f"events: {failed[:5]}")
    run.result("gateway", "event rows/s, batches of 50", ours, "/s", "one connection, 256 at a time",
               inserted(server, [event for batch in batches for event in batch]), 0.4)


def inserted(server, rows):
    """The same rows as feedback, by jsonb_to_recordset, a transaction each 256."""
    statement = ("insert into feedback (project_id, id, impression_id, kind, detail, source, xid, at) "
                 "select 1, id, completion_id, kind, jsonb_build_object('answer', completion_id, "
                 "'value', value), 'bench', ledger_xid(), now() from jsonb_to_recordset($j${}$j$) "
                 "as e (id uuid, completion_id uuid, kind text, value float8);")
    for row in rows:
        row["id"] = uuid7()
    script = "\n".join(statement.format(json.dumps(rows[n:n + 256]))
                       for n in range(0, len(rows), 256))
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        begin = time.monotonic()
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.name,
                        server.database()], check=True, capture_output=True)
        return len(rows) / (time.monotonic() - begin)


def litellm(run, stub, added_p99, per_second):
    """LiteLLM's proxy before the same stub; it writes nothing down."""
    program = LITELLM / "bin" / "litellm"
    if not program.exists():
        subprocess.run(["python3", "-m", "venv", LITELLM], check=True)
        subprocess.run([LITELLM / "bin" / "pip", "install", "--quiet", "litellm[proxy]"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        config, keys = pathlib.Path(folder) / "config.yaml", pathlib.Path(folder) / "keys"
        config.write_text("model_list:\n  - model_name: stub\n    litellm_params:\n"
                          f"      model: openai/stub\n      api_base: {stub.url}\n"
                          "      api_key: none\ngeneral_settings: {}\n")
        keys.write_text("sk-none\n")
        port = 20000 + os.getpid() % 10000
        process = subprocess.Popen([program, "--config", config, "--port", str(port), "--host",
                                    "127.0.0.1", "--num_workers", "2", "--telemetry", "False"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
                                   env={**os.environ, **LITELLM_ENVIRONMENT}, start_new_session=True)
        try:
            wait_for(port)
            load(port, "/chat/completions", 16, 200, keys)
            direct = load(stub.port, DIRECT, 64, PEER_FLOOD, keys, paced=True)
            flood = load(port, "/chat/completions", 64, PEER_FLOOD, keys)
            paced = load(port, "/chat/completions", 64, PEER_FLOOD, keys, paced=True)
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)
    run.result("gateway", "LiteLLM's added p99 over ours, 64 connections",
               paced["p99"] - direct["p99"], "ms", "ours", max(added_p99, 0.001), 20)
    run.result("gateway", "requests/s over LiteLLM's", per_second, "/s", "LiteLLM",
               flood["per_second"], 10)


def wait_for(port, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", "/health/liveliness")
            if link.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError("LiteLLM's proxy did not start")


def measure(run):
    with Stub() as stub:
        added = latencies(run, stub)
        per_second = throughput(run, stub)
        litellm(run, stub, added, per_second)
