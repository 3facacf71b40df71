"""make bench: every figure beside its limit or its peer, measured in the same run.

Each benchmark starts the real server on a data directory of its own, with fsync on, and talks to it
over loopback. Peers: pgbench and psql on the same cluster. Results: a table, and JSON lines in
build/bench/NAME.jsonl.
"""
import argparse
import hashlib
import importlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "bench"
LOAD = ROOT / "build" / "release" / "tests" / "bench" / "bench_http"
BINARY = pathlib.Path(os.environ.get("AILERON_BINARY", ROOT / "build" / "aileron"))
PROJECT = 1
RESULTS = []
LANE = ("-c plan_cache_mode=force_generic_plan -c jit=off -c enable_seqscan=off -c enable_sort=off "
        "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off")


def result(bench, name, value, unit, against, against_value, reach, higher=True):
    """Records a figure; reach is the least (higher) or the most (not higher) that it should be."""
    ratio = value / against_value if against_value else None
    line = {"name": name, "value": value, "unit": unit, "against": against,
            "against_value": against_value, "ratio": ratio, "reach": reach}
    with open(OUT / f"{bench}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    compared = ratio if ratio is not None else value
    met = compared >= reach if higher else compared <= reach
    RESULTS.append((name, value, unit, against, against_value, ratio, reach, higher, met))
    print(f"  {name}: {value:.4g} {unit}"
          + (f", {against} {against_value:.4g}, ratio {ratio:.3g}" if ratio is not None else "")
          + f" (reach {'>=' if higher else '<='} {reach}) {'ok' if met else 'MISSED'}", flush=True)


class Server:
    """One aileron serve with its embedded cluster; the data directory may outlive it."""

    def __init__(self, data=None):
        self.keep = data is not None
        self.data = data or tempfile.mkdtemp(prefix="aileron-bench.")
        self.log = open(os.path.join(self.data, "server.log"), "ab")
        env = dict(os.environ, AILERON_RATE_LIMIT="0")
        started = time.monotonic()
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", self.data, "--log-level", "warn"],
            stdout=subprocess.PIPE, stderr=self.log, env=env, text=True)
        for line in self.process.stdout:
            if "listening on http://" in line:
                self.url = line.split("listening on ")[1].strip()
                break
        else:
            raise RuntimeError("the server did not start: " + open(self.log.name).read()[-2000:])
        self.start_s = time.monotonic() - started
        self.port = self.url.rsplit(":", 1)[1]

    def psql(self, sql, *options):
        done = subprocess.run(
            ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *options, self.database()],
            input=sql, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout

    def database(self):
        shown = subprocess.run([BINARY, "doctor", "--data", self.data, "--json"],
                               capture_output=True, text=True).stdout
        return json.loads(shown)["database"]

    def rss_kib(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        if not self.keep:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def now_prefix():
    """The first 48 bits of a UUIDv7 of now, as text."""
    digits = f"{int(time.time() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def seed_project(server, overlap, keys):
    """A project with API keys for annotators; returns the file of keys."""
    tokens = [f"bench{i:038d}" for i in range(keys)]
    hashes = [hashlib.blake2b(t.encode(), digest_size=32).hexdigest() for t in tokens]
    values = ",".join(f"({PROJECT},'019c0000-0000-7000-8000-{i:012d}','\\x{h}','ak_bench','annotator','k')"
                      for i, h in enumerate(hashes))
    server.psql(f"""insert into project (slug, title, settings)
                      values ('bench', 'Bench', '{{"overlap": {overlap}, "lease_seconds": 86400}}');
                    insert into api_key (project_id, id, token_hash, prefix, role, name) values {values};""")
    path = os.path.join(server.data, "keys")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"ak_{t}\n" for t in tokens)
    return path


def seed_comparisons(server, count, wanted, taken=0, first=0):
    """Comparisons of 300 to 1,000 byte answers over 1,000 prompts."""
    if first == 0:
        server.psql(f"""
            insert into prompt select {PROJECT}, ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
                   to_json('Question ' || i || repeat(' why', 60)), null, 0 from generate_series(0, 999) i;
            insert into completion select {PROJECT}, ('00000001-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
                   ('00000000-0000-7000-8000-' || lpad((i % 1000)::text, 12, '0'))::uuid, null,
                   'Answer ' || i || repeat(' because', 36 + i % 80), null from generate_series(0, 1999) i;""")
    server.psql(f"""
        insert into comparison (project_id, id, digest, content_digest, prompt_id, completion_ids,
                                wanted, taken, created_xid, queued_xid)
        select {PROJECT}, ('019a0000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
               ('00000002-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
               ('00000002-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
               ('00000000-0000-7000-8000-' || lpad((i % 1000)::text, 12, '0'))::uuid,
               array[('00000001-0000-7000-8000-' || lpad((i % 1000)::text, 12, '0'))::uuid,
                     ('00000001-0000-7000-8000-' || lpad((i % 1000 + 1000)::text, 12, '0'))::uuid],
               {wanted}, {taken}, x, x
          from generate_series({first}, {first + count - 1}) i, (select ledger_xid() as x) z;
        analyze comparison;""")


def seed_leases(server, first, count, keys):
    """Open leases of comparisons first..; lease n belongs to key n % keys."""
    server.psql(f"""
        insert into impression (project_id, id, surface, annotator_id, comparison_id, shown, policy,
                                propensity, at)
        select {PROJECT}, ('{now_prefix()}-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'annotate',
               ('019c0000-0000-7000-8000-' || lpad((i % {keys})::text, 12, '0'))::uuid,
               ('019a0000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, '{{1,0}}', 'queue', 1, now()
          from generate_series({first}, {first + count - 1}) i;
        insert into assignment (project_id, annotator_id, comparison_id, impression_id, state, expires_at)
        select project_id, annotator_id, comparison_id, id, 'leased', now() + interval '1 day'
          from impression
         where comparison_id >= ('019a0000-0000-7000-8000-' || lpad('{first}', 12, '0'))::uuid
           and comparison_id < ('019a0000-0000-7000-8000-' || lpad('{first + count}', 12, '0'))::uuid;
        analyze impression; analyze assignment;""")
    rows = server.psql(f"""select id, right(comparison_id::text, 12)::integer % {keys} from impression
        where comparison_id >= ('019a0000-0000-7000-8000-' || lpad('{first}', 12, '0'))::uuid
          and comparison_id < ('019a0000-0000-7000-8000-' || lpad('{first + count}', 12, '0'))::uuid
        order by id""", "-F", " ")
    path = os.path.join(server.data, f"leases-{first}")
    with open(path, "w", encoding="ascii") as file:
        file.write(rows)
    return path


def load(*arguments):
    done = subprocess.run([LOAD, *map(str, arguments)], capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(done.stderr[-2000:])
    figures = json.loads(done.stdout)
    if figures["errors"]:
        print("  errors:", figures["errors"], done.stderr[:600])
    return figures


def pgbench_judge(server, first, count, keys, clients=64):
    """The same statement, one transaction per judgment, by pgbench."""
    prefix = now_prefix()
    leases = server.psql(f"select left(id::text, 13) from impression where comparison_id = "
                         f"('019a0000-0000-7000-8000-' || lpad('{first}', 12, '0'))::uuid").strip()
    statement = (ROOT / "schema/queries/judgment_put.sql").read_text(encoding="utf-8")
    statement = "\n".join(line.split("--")[0] for line in statement.splitlines())
    each = count // clients
    for number, text in {
            "$1::uuid[]": f"array[('{leases}-7000-8000-' || lpad(:n::text, 12, '0'))::uuid]",
            "$2::uuid[]": "array[('019c0000-0000-7000-8000-' || "
                          f"lpad((:n::integer % {keys})::text, 12, '0'))::uuid]",
            "$3::uuid[]": f"array[('{prefix}-7000-9000-' || lpad(:n::text, 12, '0'))::uuid]",
            "$4::text[]": "array['A'::text]", "$5::integer[]": "array[2::integer]",
            "$6::jsonb[]": "array[null::jsonb]", "$7::integer[]": "array[4200::integer]"}.items():
        assert number in statement, number
        statement = statement.replace(number, text)
    script = os.path.join(server.data, "judge.pgbench")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"\\set i :i + 1\n\\set n {first} + :client_id * {each} + :i\n{statement};\n")
    done = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-t", str(each - 1),
         "-D", "i=0", "-f", script, server.database()],
        capture_output=True, text=True, env=dict(os.environ, PGOPTIONS=LANE))
    for line in done.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise RuntimeError(done.stdout[-500:] + done.stderr[-1500:])


def bench_judgments():
    """Durable judgments a second, fsync on, against pgbench doing the same one a transaction."""
    keys, each = 256, 24000
    with Server() as server:
        key_file = seed_project(server, 1, keys)
        seed_comparisons(server, 5 * each, wanted=1, taken=1)
        files = [seed_leases(server, i * each, each, keys) for i in range(4)]
        seed_leases(server, 4 * each, each, keys)
        server.psql("checkpoint; vacuum analyze;")
        at64 = load("judge", server.port, 64, key_file, files[0])
        peer = [pgbench_judge(server, 4 * each, each // 2, keys)]
        at256 = load("judge", server.port, 256, key_file, files[1])
        peer.append(pgbench_judge(server, 4 * each + each // 2, each // 2, keys))
        again64 = load("judge", server.port, 64, key_file, files[2])
        again256 = load("judge", server.port, 256, key_file, files[3])
        rows = int(server.psql("select count(*) from feedback where kind = 'judgment' and source = "
                               "'annotate' and id::text not like '%-7000-9000-%'"))
        tps = statistics.mean(peer)
        acknowledged = sum(f["count"] - f["errors"] for f in (at64, at256, again64, again256))
        result("judgments", "judgments/s, 64 connections",
               statistics.mean([at64["per_second"], again64["per_second"]]), "/s",
               "pgbench, 64 clients", tps, 2)
        result("judgments", "judgments/s, 256 connections",
               statistics.mean([at256["per_second"], again256["per_second"]]), "/s",
               "pgbench, 64 clients", tps, 2)
        result("judgments", "judgment p99, 64 connections", min(at64["p99"], again64["p99"]), "ms",
               "limit", 50, 1, higher=False)
        result("judgments", "rows per acknowledged judgment", rows, "rows", "acknowledged",
               acknowledged, 1)


def bench_leases():
    """The lease of the next task: 200 annotators who judge one task each 0.4 s (ten times faster than
    people read), with 10,000 and 1,000,000 open; and one alone who has judged 50,000."""
    figures = {}
    people = 200
    for count in (10_000, 1_000_000):
        with Server() as server:
            key_file = seed_project(server, 3, people + 1)
            lines = open(key_file, encoding="ascii").read().splitlines()
            alone = key_file + "-alone"
            with open(alone, "w", encoding="ascii") as file:
                file.write(lines[-1] + "\n")
            with open(key_file, "w", encoding="ascii") as file:
                file.write("\n".join(lines[:-1]) + "\n")
            seed_comparisons(server, count, wanted=3)
            server.psql("checkpoint; vacuum analyze;")
            load("lease", server.port, people, key_file, "bench", 1000, 0)  # warm-up
            figures[count] = load("lease", server.port, people, key_file, "bench", 10000, 400)
            busy = load("lease", server.port, people, key_file, "bench", 10000, 0)
            print(f"  {count} open, 200 annotators without a pause: {busy['per_second']:.0f} leases/s, "
                  f"p50 {busy['p50']:.1f} ms, p99 {busy['p99']:.1f} ms")
            if count == 1_000_000:
                server.psql(f"""
                    insert into assignment (project_id, annotator_id, comparison_id, impression_id,
                                            state, expires_at, feedback_id)
                    select {PROJECT}, '019c0000-0000-7000-8000-{people:012d}', id, id, 'answered',
                           now(), id
                      from comparison where taken = 0 order by id limit 50000;
                    update comparison set taken = 1, answered = 1 where id in
                        (select comparison_id from assignment
                          where annotator_id = '019c0000-0000-7000-8000-{people:012d}');
                    update comparison set taken = wanted, answered = wanted
                     where taken > 0 and id not in (select comparison_id from assignment
                          where annotator_id = '019c0000-0000-7000-8000-{people:012d}');
                    vacuum analyze comparison; vacuum analyze assignment; checkpoint;""")
                load("lease", server.port, 1, alone, "bench", 20, 0)  # the first moves the cursor
                figures["alone"] = load("lease", server.port, 1, alone, "bench", 2000, 0)
    result("leases", "lease p99, 200 annotators, 10,000 open", figures[10_000]["p99"], "ms", "limit",
           10, 1, higher=False)
    result("leases", "lease p99, 200 annotators, 1,000,000 open", figures[1_000_000]["p99"], "ms",
           "p99 with 10,000", figures[10_000]["p99"], 1.5, higher=False)
    result("leases", "lease p99, alone after 50,000 judged", figures["alone"]["p99"], "ms",
           "p99 with 10,000", figures[10_000]["p99"], 1.5, higher=False)


def make_pairs(path, count, text_bytes, judged=False):
    words = ("the model answers with care and shows each step so that a reader may follow it "
             "from the first line to the last without asking twice ").split()
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            texts = []
            for part in range(3):
                text = f"{i} {part} " + " ".join(words[(i * 7 + part * 3 + k) % len(words)]
                                                 for k in range(text_bytes // 5))
                texts.append(text[:text_bytes])
            row = {"prompt": texts[0], "completions": [{"model": "a", "content": texts[1]},
                                                       {"model": "b", "content": texts[2]}]}
            if judged:
                row["judgments"] = [{"annotator": f"w{i % 50}", "choice": i % 2}]
            file.write(json.dumps(row) + "\n")


PEER_TABLES = """
    create unlogged table if not exists peer_nothing (n integer);
    drop table if exists peer_prompt, peer_completion, peer_comparison;
    create table peer_prompt (project_id integer, id uuid, messages json, group_name text,
        split_bucket smallint, primary key (project_id, id));
    create table peer_completion (project_id integer, id uuid, prompt_id uuid, model_id uuid,
        content text, metadata json, primary key (project_id, id));
    create table peer_comparison (like comparison including defaults);
    alter table peer_comparison add primary key (project_id, id);
    alter table peer_comparison add unique (project_id, digest);
    create index on peer_comparison (project_id, priority desc, queued_xid, id) where taken < wanted;
"""


def bench_import():
    """aileron import of 200,000 pairs of 1 KiB texts against \\copy into bare tables."""
    count = 200_000
    with Server() as server:
        seed_project(server, 1, 1)
        pairs = os.path.join(server.data, "pairs.jsonl")
        make_pairs(pairs, count, 1024)
        started = time.monotonic()
        done = subprocess.run([BINARY, "import", "--data", server.data, "--project", "bench", pairs],
                              capture_output=True, text=True)
        ours = time.monotonic() - started
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        print("  " + done.stdout.strip().splitlines()[-1])
        files = {}
        for table in ("prompt", "completion", "comparison"):
            files[table] = os.path.join(server.data, table + ".copy")
            server.psql(f"\\copy {table} to '{files[table]}'")
        server.psql(PEER_TABLES + "checkpoint;")
        started = time.monotonic()
        for table, path in files.items():
            server.psql(f"\\copy peer_{table} from '{path}'")
        peer = time.monotonic() - started
        result("import", "import, pairs/s", count / ours, "/s", "\\copy of the same rows", count / peer,
               0.3)


def bench_export():
    """export of 1,000,000 judged pairs over HTTP against \\copy (the same query) to a file."""
    count = 1_000_000
    with Server() as server:
        key_file = seed_project(server, 1, 1)
        server.psql("update api_key set role = 'researcher'")
        key = open(key_file, encoding="ascii").readline().strip()
        pairs = os.path.join(server.data, "pairs.jsonl")
        make_pairs(pairs, count, 300, judged=True)
        done = subprocess.run([BINARY, "import", "--data", server.data, "--project", "bench", pairs],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        server.psql("checkpoint; vacuum analyze;")
        query = export_query()
        path = os.path.join(server.data, "peer.copy")

        def peer():
            started = time.monotonic()
            server.psql(f"\\copy ({query}) to '{path}'")
            return os.path.getsize(path) / (time.monotonic() - started)

        def ours():
            size, started = 0, time.monotonic()
            request = urllib.request.Request(
                server.url + "/api/v1/projects/bench/export?format=aileron",
                headers={"Authorization": "Bearer " + key})
            with urllib.request.urlopen(request) as reply:
                while chunk := reply.read(1 << 20):
                    size += len(chunk)
            return size / (time.monotonic() - started), size

        before = server.rss_kib()
        first_peer = peer()
        rate, size = ours()
        second_peer = peer()
        grown = (server.rss_kib("VmHWM") - before) / 1024
        print(f"  {size / 1e6:.0f} MB exported")
        result("export", "export, MB/s", rate / 1e6, "MB/s", "\\copy (the same query) to",
               (first_peer + second_peer) / 2e6, 0.6)
        result("export", "server memory grown by", grown, "MiB", "limit", 64, 1, higher=False)


def export_query():
    """The export's own statement with its parameters filled in, on one line for \\copy."""
    text = (ROOT / "schema/queries/export_rows.sql").read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("-- $")]
    body = " ".join(line.split("--")[0] for line in text.splitlines())
    values = {1: str(PROJECT)}
    for number in range(len(header), 0, -1):
        body = body.replace(f"${number}", values.get(number, "null"))
    return " ".join(body.split())


def bench_start():
    """Start on an existing cluster, and the idle memory of the server process."""
    data = tempfile.mkdtemp(prefix="aileron-bench.")
    try:
        Server(data).stop()
        times = []
        for _ in range(3):
            server = Server(data)
            times.append(server.start_s)
            time.sleep(1)
            idle = server.rss_kib() / 1024
            server.stop()
        result("start", "start on an existing cluster", statistics.median(times), "s", "limit", 1.5, 1,
               higher=False)
        result("start", "idle memory of the server", idle, "MiB", "limit", 40, 1, higher=False)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def bench_page():
    """First load of the annotate page, compressed, and key to paint, in Chromium."""
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    import page  # needs Playwright; kept apart so that the rest runs without
    with Server() as server:
        figures = page.measure(server)
    result("page", "annotate page, first load", figures["kib"], "KiB", "limit", 80, 1, higher=False)
    result("page", "key to painted task, p95", figures["paint_ms"], "ms", "limit", 50, 1, higher=False)


def bench_gateway():
    """The gateway before a model server that answers at once, everything recorded; LiteLLM beside it."""
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    import gateway
    gateway.measure(sys.modules[__name__])


def bench_serve():
    """aileron-rm serve: 8 candidates of one prompt against each by itself, and 16 clients at once."""
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    import rm_serve
    figures = rm_serve.measure()
    alone, clients = figures["alone_s"], rm_serve.CLIENTS
    for lengths, (shared, separate, difference) in figures["shared"].items():
        result("serve", f"8 candidates of one prompt, {lengths}, {figures['dtype']}", shared, "s",
               "each by itself", separate, 0.4, higher=False)
        result("serve", f"a score computed together differs, {lengths}", difference, "sd", "limit",
               0.1, 1, higher=False)
    result("serve", f"requests of {clients} clients", figures["per_second"], "/s",
           "one after the other", 1 / alone, 0.9)
    result("serve", f"p99 of {clients} clients", figures["p99_s"], "s", f"{clients} times one alone",
           clients * alone, 1.5, higher=False)


def bench_trainer():
    """Training pairs a second beside TRL and tuned PyTorch on the same cores, peak memory, losses."""
    reward_model("rm_trainer").measure(sys.modules[__name__])


def bench_products():
    """The products of whole training steps beside bare oneDNN."""
    reward_model("rm_trainer").measure_products(sys.modules[__name__])


def bench_head():
    """Training score heads on 5,500 labels whose features are cached."""
    reward_model("rm_trainer").measure_head(sys.modules[__name__])


def bench_learning():
    """Accuracy on held-out prompts of HH and PandaLM beside the baselines."""
    reward_model("rm_learning").measure(sys.modules[__name__])


def reward_model(name):
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    return importlib.import_module(name)


BENCHES = {"gateway": bench_gateway, "judgments": bench_judgments, "leases": bench_leases, "import": bench_import,
           "export": bench_export, "page": bench_page, "start": bench_start,
           "serve": bench_serve,
           "trainer": bench_trainer, "products": bench_products, "head": bench_head,
           "learning": bench_learning}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    names = parser.parse_args().names or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)} (there are {', '.join(BENCHES)})")
    OUT.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        (OUT / f"{name}.jsonl").unlink(missing_ok=True)
        print(f"{name}: {BENCHES[name].__doc__}", flush=True)
        try:
            BENCHES[name]()
        except Exception as error:  # one benchmark's failure is a line in the table, not the end
            failed += 1
            print(f"  FAILED: {error}")
    print(f"\n{'what':46} {'value':>12} {'against':>28} {'ratio':>7} {'reach':>8}")
    for what, value, unit, against, against_value, ratio, reach, higher, met in RESULTS:
        print(f"{what:46} {value:>9.4g} {unit:2} {against + f' {against_value:.4g}':>28} "
              f"{ratio if ratio is not None else float('nan'):>7.3g} "
              f"{('>=' if higher else '<=') + str(reach):>8} {'' if met else 'MISSED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
