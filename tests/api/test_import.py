"""Import over HTTP and by the command line: streamed, idempotent, refused rows named by line."""
import csv
import gzip
import io
import itertools
import json
import pathlib
import socket
import threading
import time

import pytest

from aileron import BINARY, ROOT, make_directory, pair_rows, unique, wait_until

DATA = ROOT.parent / "shared" / "data"
ROW = {"prompt": "p", "completions": [{"content": "a"}, {"content": "b"}]}


def lines(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def counts(result):
    return [result[name] for name in ("prompts", "completions", "comparisons", "judgments",
                                      "present", "refused_count")]


def hh_file():
    path = DATA / "hh-harmless-test" / "test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def votes_of_llmfao():
    """The crowd's votes in our columns."""
    path = DATA / "llmfao" / "crowd-comparisons.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["prompt_id", "model_a", "model_b", "annotator", "winner"])
    winner = {"left": "a", "right": "b", "tie": "tie"}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            writer.writerow([row["prompt"], row["left"], row["right"], row["worker"],
                             winner[row["winner"]]])
    return out.getvalue()


# ---- what comes in ----

def test_rows_come_in_once_however_often_they_are_sent(project):
    text = lines(*pair_rows(30, judgments=[{"annotator": "w1", "choice": 0}]))
    first = project.import_text(text).expect(200).json()
    assert counts(first) == [30, 60, 30, 30, 0, 0] and first["refused"] == []
    assert first["format"] == "aileron"
    again = project.import_text(text).expect(200).json()
    assert counts(again) == [0, 0, 0, 0, 30, 0]
    more = [{**row, "judgments": [{"annotator": "w2", "choice": 1}]} for row in pair_rows(2)]
    assert counts(project.import_rows(more)) == [0, 0, 0, 2, 0, 0]
    assert project.progress()["comparisons"]["total"] == 30


def test_refused_rows_are_named_and_the_others_kept(project):
    text = lines(ROW, "nonsense", {**ROW, "prompt": "q", "extra": 1}, "",
                 {"prompt": "r", "completions": [{"content": "a"}]}, {**ROW, "prompt": "s"})
    result = project.import_text(text, first_line=101).expect(200).json()
    assert counts(result) == [2, 4, 2, 0, 0, 3]
    assert [(row["line"], row["pointer"]) for row in result["refused"]] == [
        (102, ""), (103, "/extra"), (105, "/completions")]
    assert all(row["error"] for row in result["refused"])


def test_a_list_of_refused_rows_ends_and_they_are_still_counted(project):
    result = project.import_text("x\n" * 2500).expect(200).json()
    assert len(result["refused"]) == 1000 and result["refused_count"] == 2500


@pytest.mark.parametrize("text", ["", "\n\n", " \r\n"])
def test_nothing_is_nothing(project, text):
    assert counts(project.import_text(text).expect(200).json()) == [0] * 6


def test_a_byte_order_mark_and_windows_lines_are_fine(project):
    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in pair_rows(3))
    assert counts(project.import_text(text).expect(200).json()) == [3, 6, 3, 0, 0, 0]


@pytest.mark.parametrize("text, pointer", [
    (b'{"prompt":"\xff","completions":[{"content":"a"},{"content":"b"}]}', ""),
    (b'{"prompt":"\\u0000","completions":[{"content":"a"},{"content":"b"}]}', ""),
    (b'{"prompt":"a\x00","completions":[{"content":"a"},{"content":"b"}]}', ""),
    (b'{"prompt":"p","completions":[{"content":"a"},{"content":"a"}]}', "/completions/1"),
    (b'{"prompt":"p","completions":[{"content":"' + b"x" * (1 << 20) + b'y"},{"content":"b"}]}',
     "/completions/0/content"),
    (b'{"prompt":[{"role":"god","content":"x"}],"completions":[{"content":"a"},{"content":"b"}]}',
     "/prompt/0/role"),
    (b'{"prompt":"p","completions":[{"content":"a"},{"content":"b"}],'
     b'"judgments":[{"annotator":"w","choice":2}]}', "/judgments/0/choice"),
    (b'"' + b"x" * (16 << 20) + b'"', ""),
])
def test_bad_rows_cost_nothing(project, text, pointer):
    result = project.import_text(text + b"\n" + json.dumps(ROW).encode()).expect(200).json()
    assert counts(result)[2] == 1 and result["refused_count"] == 1
    assert (result["refused"][0]["line"], result["refused"][0]["pointer"]) == (1, pointer)


def test_a_key_with_other_content_is_refused(project):
    row = {"key": "k", **ROW}
    other = {**row, "prompt": "another"}
    result = project.import_text(lines(row, other, row)).expect(200).json()
    assert counts(result) == [1, 2, 1, 0, 1, 1]
    assert result["refused"][0] == {"line": 2, "pointer": "/key",
                                    "error": "this key is already there with other content"}
    again = project.import_text(lines(other, {**row, "judgments": [
        {"annotator": "w", "choice": 0}]})).expect(200).json()
    assert counts(again) == [0, 0, 0, 1, 0, 1]


def test_the_same_row_twice_in_one_file_is_one(project):
    judged = {**ROW, "judgments": [{"annotator": "w", "choice": 0},
                                   {"annotator": "w", "choice": 0}]}
    assert counts(project.import_text(lines(judged, judged)).expect(200).json()) == [1, 2, 1, 1, 1, 0]


@pytest.mark.parametrize("query, pointer", [
    ({"format": "parquet"}, "?format"), ({"format": "trl-unpaired"}, "?format"),
    ({"first_line": "0"}, "?first_line"), ({"first_line": "x"}, "?first_line")])
def test_wrong_parameters_are_refused(project, query, pointer):
    project.import_text(lines(ROW), **query).problem(422, pointer)


def test_only_researchers_import(project, server):
    project.import_text(lines(ROW), client=project.client("annotator")).problem(403)
    project.import_text(lines(ROW), client=server.user()).expect(403, 404)
    assert counts(project.import_text(lines(ROW), client=project.client()).expect(200)
                  .json())[2] == 1


def test_imports_of_the_same_rows_at_once_add_them_once(project):
    text = lines(*pair_rows(400, judgments=[{"annotator": "w", "choice": 1}]))
    results = []

    def send(client):
        results.append(project.import_text(text, client=client).expect(200).json())

    threads = [threading.Thread(target=send, args=(project.client(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result["comparisons"] for result in results) == 400
    assert sum(result["judgments"] for result in results) == 400
    assert sum(result["present"] for result in results) == 1200
    assert project.progress()["comparisons"]["total"] == 400


# ---- formats ----

def test_every_format_is_recognised(make_project):
    turns = [{"role": "user", "content": "q"}]
    answer = [{"role": "assistant", "content": "a"}]
    for row, name in [
            ({"prompt": "p", "chosen": "a", "rejected": "b"}, "trl-preference"),
            ({"prompt": turns, "chosen": answer,
              "rejected": [{"role": "assistant", "content": "b"}]}, "trl-preference"),
            ({"chosen": "x a", "rejected": "x b"}, "trl-implicit"),
            ({"chosen": turns + answer,
              "rejected": turns + [{"role": "assistant", "content": "b"}]}, "trl-implicit"),
            ({"chosen": "\n\nHuman: q\n\nAssistant: a",
              "rejected": "\n\nHuman: q\n\nAssistant: b"}, "hh")]:
        project = make_project()
        result = project.import_text(lines(row)).expect(200).json()
        assert result["format"] == name and counts(result) == [1, 2, 1, 1, 0, 0]
        only = project.export_rows()[0]["judgments"]
        assert len(only) == 1 and only[0]["choice"] == 0 and only[0]["source"] == "import"
        assert project.import_text(lines(row), format=name).json()["present"] == 1


def parts(*texts):
    """Content as clients of OpenAI's send it."""
    return [{"type": "text", "text": text} for text in texts]


def test_content_in_parts_is_text(project):
    prompt = [{"role": "system", "content": parts("Be kind.")},
              {"role": "user", "content": parts("One?", "Two?")}]
    row = {"prompt": prompt, "chosen": [{"role": "assistant", "content": parts("a", "b")}],
           "rejected": [{"role": "assistant", "content": "c"}]}
    assert counts(project.import_rows([row]))[-1] == 0
    client = project.client("annotator")
    lease = project.leases(client)[0]
    assert [m["content"] for m in lease["task"]["prompt"]] == ["Be kind.", "One?\nTwo?"]
    assert "Two?" in lease["task"]["prompt"][1]["html"]
    project.judge(client, lease).expect(201)
    mine = client.get(f"{project.path}/judgments?mine=true").json()["items"]
    assert mine[0]["excerpt"]["prompt"] == "One?\nTwo?"
    exported = project.export_rows()
    assert exported[0]["prompt"] == prompt
    assert {c["content"] for c in exported[0]["completions"]} == {"a\nb", "c"}
    assert project.import_rows(exported)["present"] == 1
    hh = project.export_rows(format="hh")[0]
    assert hh["chosen"] == "Be kind.\n\nHuman: One?\nTwo?\n\nAssistant: a\nb"


@pytest.mark.parametrize("content, pointer", [
    ([], ""), (parts("a") + [{"type": "image_url", "image_url": {"url": "data:,"}}], "/1/type"),
    (["a"], "/0"), ([{"text": "a"}], "/0"), ([{"type": "text", "text": 1}], "/0/text"),
    (parts(*"a" * 1025), ""), (parts("a" * 600_000, "b" * 600_000), ""), ({"text": "a"}, ""),
    (5, ""), (None, "")])
def test_content_that_is_no_text_is_refused(project, content, pointer):
    result = project.import_rows([{"prompt": [{"role": "user", "content": content}],
                                   "chosen": "a", "rejected": "b"}])
    assert [row["pointer"] for row in result["refused"]] == ["/prompt/0/content" + pointer]


def test_other_columns_are_kept(project):
    project.import_rows([{"prompt": "p", "chosen": "a", "rejected": "b", "margin": 0.25,
                          "meta": {"deep": [1]}}])
    assert project.export_rows()[0]["metadata"] == {"margin": 0.25, "meta": {"deep": [1]}}


def test_the_whole_hh_file_comes_in_and_out_again(project):
    text = gzip.open(hh_file()).read()
    result = project.import_text(text).expect(200).json()
    assert result["comparisons"] == 2312 and result["refused_count"] == 0
    assert project.export_text(format="hh").encode() == text
    first = project.export_rows(limit=1)[0]
    assert [m["role"] for m in first["prompt"]][:2] == ["user", "assistant"]


def test_past_votes_come_in_without_texts(make_project):
    text = votes_of_llmfao()
    project = make_project()
    result = project.import_text(text).expect(200).json()
    assert result["format"] == "votes" and result["refused_count"] == 0
    assert result["comparisons"] == 2139 and result["judgments"] == 8931
    assert project.leases(project.client("annotator")) == []  # nothing to show
    rows = project.export_rows(identify="true")
    votes = [j for row in rows for j in row["judgments"]]
    assert len(votes) == 8931 and len({j["annotator"] for j in votes}) == 124
    assert sum(j["choice"] == "tie" for j in votes) == 3471
    assert all(row["completions"][0]["model"] < row["completions"][1]["model"] for row in rows)
    elsewhere = make_project()
    elsewhere.import_text(project.export_text()).expect(200)
    assert elsewhere.export_text() == project.export_text()
    assert project.import_text(text).json()["present"] == 8931


def test_a_csv_file_in_pieces_is_the_same_as_whole(make_project):
    header = "winner,prompt_id,annotator,model_b,model_a,response_a,response_b,prompt\n"
    rows = [f'a,{n},w{n % 3},m2,m1,"one, ""{n}""\nline",two {n},"Why {n}?"\n' for n in range(40)]
    rows[7] = "left,7,w,m2,m1,a,b,Why?\n"
    whole, parts = make_project(), make_project()
    result = whole.import_text(header + "".join(rows)).expect(200).json()
    assert counts(result)[2] == 39
    assert result["refused"][0]["line"] == 2 + 2 * 7 and result["refused"][0]["pointer"] == "/winner"
    second = header + "".join(rows[5:])
    parts.import_text(header + "".join(rows[:5])).expect(200)
    piece = parts.import_text(second, format="votes", first_line=12).expect(200).json()
    assert piece["refused"][0]["line"] == 16
    assert parts.export_text() == whole.export_text()
    assert whole.leases(whole.client("annotator"))  # with texts they can be judged again


def test_judgments_of_another_server_count_and_imported_ones_do_not(make_project):
    project = make_project(overlap=2)
    rows = pair_rows(3)
    rows[0]["judgments"] = [{"annotator": "x", "choice": 0, "source": "annotate"},
                            {"annotator": "y", "choice": 0, "source": "annotate"}]
    rows[1]["judgments"] = [{"annotator": "x", "choice": 0}, {"annotator": "y", "choice": 0}]
    project.import_rows(rows)
    people = project.annotators(2)
    given = [len(project.leases(person, 10)) for person in people]
    assert given == [2, 2]
    project.import_rows([{**pair_rows(3)[2], "judgments": [
        {"annotator": "z", "choice": 1, "source": "annotate"}]}])
    assert len(project.leases(project.client("annotator"), 10)) == 0


# ---- streaming ----

def chunked(project, client, pieces, path=None):
    """A body in pieces of its own size, without a length."""
    return client.raw("POST", f"/api/v1{path or project.path}/import", pieces,
                      {"Content-Type": "application/x-ndjson"})


def test_a_body_may_come_in_pieces_of_any_size(project):
    text = lines(*pair_rows(50)).encode()
    for size in (1, 7, 1000):
        pieces = (text[at:at + size] for at in range(0, len(text), size))
        result = chunked(project, project.client(), pieces).expect(200).json()
        assert result["comparisons"] + result["present"] == 50 and result["refused"] == []


def resident_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif("asan" in str(BINARY), reason="a sanitizer keeps what has been freed")
def test_memory_does_not_grow_with_the_file(fast_server):
    project = fast_server.project()
    row = '{"prompt":"%d","completions":[{"content":"%s"},{"content":"%s"}]}\n'
    text = ("x" * 4000, "y" * 4000)
    pieces = ((row % (n, *text)).encode() for n in range(20000))
    project.import_text(next(pieces)).expect(200)
    before, most = resident_kib(fast_server.process.pid), [0]
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            most[0] = max(most[0], resident_kib(fast_server.process.pid))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = chunked(project, project.client(), pieces).expect(200).json()
    ended.set()
    watcher.join()
    assert result["comparisons"] == 19999
    assert most[0] - before < 64 * 1024, f"{before} -> {most[0]} KiB"


def test_what_was_committed_stays_when_the_client_goes_away(project):
    client = project.client()
    body = lines(*pair_rows(5000)).encode()
    server = project.server
    with socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(f"POST /api/v1{project.path}/import HTTP/1.1\r\nHost: x\r\nAuthorization: "
                     f"Bearer {client.key}\r\nContent-Type: application/x-ndjson\r\n"
                     f"Content-Length: {2 * len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: project.progress()["comparisons"]["total"] >= 1000, 20, "a first batch")
    wait_until(lambda: client.get(project.path).status == 200, 10, "the server")
    result = project.import_text(body).expect(200).json()
    assert result["comparisons"] + result["present"] == 5000 and result["present"] >= 1000
    assert project.progress()["comparisons"]["total"] == 5000


def test_others_are_served_while_an_import_runs(project):
    client, stop, slowest = project.client(), threading.Event(), [0.0]
    other = project.client()

    def ask():
        while not stop.is_set():
            begin = time.monotonic()
            other.get(project.path).expect(200)
            slowest[0] = max(slowest[0], time.monotonic() - begin)

    asking = threading.Thread(target=ask)
    asking.start()
    long = "z" * 2000
    rows = ({**row, "completions": [{"content": long + "1"}, {"content": long + "2"}]}
            for row in pair_rows(5000))
    chunked(project, client, (lines(row).encode() for row in rows)).expect(200)
    stop.set()
    asking.join()
    assert slowest[0] < 2.0


# ---- the command line ----

@pytest.fixture
def folder():
    return make_directory("aileron-import-")


def test_the_command_imports_and_keeps_what_it_refuses(project, folder):
    path = folder / "rows.jsonl"
    path.write_bytes(lines(ROW).encode() + b"\xff broken\n" + lines({"key": "", **ROW}).encode())
    done = project.server.cli("import", "--project", project.slug, path, check=False)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == ("imported 1 prompts, 2 completions, 1 comparisons, "
                                            "0 judgments; refused 2; already present 0")
    rejects = [json.loads(line) for line in
               (folder / "rows.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [(r["line"], r["pointer"]) for r in rejects] == [(2, ""), (3, "/key")]
    assert rejects[0]["row"] == "\ufffd broken" and json.loads(rejects[1]["row"])["key"] == ""
    assert list(rejects[0]) == ["line", "error", "pointer", "row"]
    path.write_text(lines(ROW))
    again = project.server.cli("import", "--project", project.slug, path, "--json")
    result = json.loads(again.stdout)
    assert counts(result) == [0, 0, 0, 0, 1, 0] and result["rejects"] is None


def test_the_command_reads_gzip_and_standard_input(project, folder):
    path = folder / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*pair_rows(20)).encode()))
    done = project.server.cli("import", "--project", project.slug, path)
    assert "20 comparisons" in done.stdout and not list(folder.glob("*.rejects.jsonl"))
    done = project.server.cli("import", "--project", project.slug, "-",
                              input=lines(*pair_rows(21)))
    assert done.stdout.endswith("1 comparisons, 0 judgments; refused 0; already present 20\n")


def test_the_command_says_what_it_cannot_do(project, folder):
    cli = project.server.cli
    assert cli("import", folder / "x", check=False).returncode == 2
    assert cli("import", "--project", project.slug, check=False).returncode == 2
    assert cli("import", "--project", project.slug, "--format", "xls", "-",
               check=False).returncode == 2
    missing = cli("import", "--project", project.slug, folder / "x", check=False)
    assert missing.returncode == 1 and "x" in missing.stderr
    nowhere = cli("import", "--project", unique("no"), "-", input="", check=False)
    assert nowhere.returncode == 1 and "there is no project" in nowhere.stderr
    broken = folder / "broken.gz"
    broken.write_bytes(gzip.compress(lines(*pair_rows(500)).encode())[:-40])
    cut = cli("import", "--project", project.slug, broken, check=False)
    assert cut.returncode == 1 and "broken.gz" in cut.stderr


def test_many_rows_cross_many_batches(project, folder):
    path = folder / "many.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for n, row in zip(range(5500), itertools.chain(pair_rows(5500))):
            file.write("bad\n" if n % 11 == 5 else lines(row))
    done = project.server.cli("import", "--project", project.slug, path, check=False)
    assert done.returncode == 3
    assert "5000 comparisons" in done.stdout and "refused 500" in done.stdout
    rejects = (folder / "many.jsonl.rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in rejects] == list(range(6, 5501, 11))


def test_rejects_go_where_they_can_be_written_and_old_ones_go(server, project, tmp_path):
    import os
    import subprocess
    from aileron import BINARY
    where = ["--data", str(server.data)]
    folder, here = tmp_path / "sealed", tmp_path / "here"
    folder.mkdir(), here.mkdir()
    rows = folder / "rows.jsonl"
    rows.write_text('{"prompt":"p","completions":[{"content":"1"},{"content":"2"}]}\nnot json\n')
    command = [str(BINARY), "import", "--project", project.slug, str(rows), *where]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 3 and (folder / "rows.jsonl.rejects.jsonl").exists()
    rows.write_text('{"prompt":"p","completions":[{"content":"1"},{"content":"2"}]}\n')
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0 and not (folder / "rows.jsonl.rejects.jsonl").exists()
    (folder / "rows.jsonl.rejects.jsonl").mkdir()  # nobody, not even root, can write a file there
    rows.write_text("not json\n")
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 3 and os.path.getsize(here / "rows.jsonl.rejects.jsonl") > 0


def test_votes_texts_by_other_column_names(project):
    text = "prompt_id,model_a,model_b,annotator,winner,prompt,completion_a,completion_b\n" \
           "q1,m1,m2,w1,a,Why?,Because.,No idea.\n"
    got = project.owner.request("POST", f"{project.path}/import?format=votes", text.encode(),
                                {"Content-Type": "text/csv"}).expect(200).json()
    assert got["comparisons"] == 1 and got["judgments"] == 1
    assert len(project.leases(project.client("annotator"))) == 1
