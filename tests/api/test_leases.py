"""Handing out tasks: exact overlap, never twice to one person, expiry, skip, order, sides."""
import collections
import threading
import time

from aileron import Client, pair_rows, wait_until


def drain(project, client, count=10, choice="A"):
    """Judges until nothing is left; the prompts seen."""
    seen = []
    while leases := project.leases(client, count):
        for lease in leases:
            seen.append(lease["task"]["prompt"][0]["content"])
            project.judge(client, lease, choice).expect(201)
    return seen


def test_nothing_left_is_an_empty_list(project):
    client = project.client("annotator")
    assert project.leases(client, 10) == []
    project.import_rows(pair_rows(3))
    assert len(drain(project, client)) == 3
    assert project.leases(client, 1) == []


def test_a_task_shows_the_conversation_and_the_answers(project):
    project.import_rows([{
        "prompt": [{"role": "system", "content": "Be brief."},
                   {"role": "user", "content": "What is $x^2$?"},
                   {"role": "assistant", "content": "A square."},
                   {"role": "user", "content": "Of **what**?"}],
        "completions": [{"content": "Of x & <b>y</b>"},
                        {"content": "`code`\n\n| a | b |\n|---|---|\n| ~~1~~ | 2 |"}]}])
    task = project.leases(project.client("annotator"))[0]["task"]
    assert [m["role"] for m in task["prompt"]] == ["system", "user", "assistant", "user"]
    assert "<strong>what</strong>" in task["prompt"][3]["html"]
    assert "$x^2$" in task["prompt"][1]["html"]
    assert [c["slot"] for c in task["candidates"]] == ["A", "B"]
    html = " ".join(c["html"] for c in task["candidates"])
    assert "<td><del>1</del></td>" in html
    assert "<code>code</code>" in html and "<b>" not in html and "&lt;b&gt;" in html
    assert task["kind"] == "pair" and task["strength_levels"] == 3


def test_overlap_is_exact_however_many_ask_at_once(make_project):
    project = make_project(pair_rows(120), overlap=3)
    seen = collections.Counter()
    lock = threading.Lock()

    def person(key):
        client = Client(project.server, key)
        mine = drain(project, client, 4)
        with lock:
            assert len(mine) == len(set(mine)), "the same comparison twice to one person"
            seen.update(mine)

    keys = [project.key("annotator") for _ in range(12)]
    threads = [threading.Thread(target=person, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A judgment may only be missing while its lease is held; all were judged, so all are exact.
    assert set(seen.values()) == {3} and len(seen) == 120, collections.Counter(seen.values())


def test_one_person_asking_many_times_at_once_never_gets_one_twice(make_project):
    project = make_project(pair_rows(60), overlap=5)
    key = project.key("annotator")
    got, lock = [], threading.Lock()

    def ask():
        leases = project.leases(Client(project.server, key), 5)
        with lock:
            got.extend(lease["task"]["prompt"][0]["content"] for lease in leases)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)), "two requests of one person met in one comparison"
    client = Client(project.server, key)
    while leases := project.leases(client, 10):
        got += [lease["task"]["prompt"][0]["content"] for lease in leases]
    assert sorted(got) == sorted({row["prompt"] for row in pair_rows(60)})


def test_a_lease_that_runs_out_goes_to_somebody_else(make_project):
    project = make_project(pair_rows(1), lease_seconds=30)
    one, two = project.annotators(2)
    lease = project.leases(one)[0]
    assert project.leases(two) == []
    project.server.sql(f"""update assignment set expires_at = now() - interval '1 second'
                            where impression_id = '{lease["id"]}'""")
    second = wait_until(lambda: project.leases(two), 10, "the freed lease")[0]
    one.post(f"/leases/{lease['id']}/renew").problem(409)
    project.judge(two, second).expect(201)
    project.judge(one, lease).problem(409)
    assert project.progress()["judgments"]["total"] == 1


def test_a_late_answer_counts_while_there_is_room(make_project):
    project = make_project(pair_rows(1))
    one = project.client("annotator")
    lease = project.leases(one)[0]
    project.server.sql(f"""update assignment set expires_at = now() - interval '1 second'
                            where impression_id = '{lease["id"]}'""")
    wait_until(lambda: project.server.sql(
        f"select state from assignment where impression_id = '{lease['id']}'") == [["expired"]])
    project.judge(one, lease, "B").expect(201)
    project.judge(one, lease, "B").expect(200)
    assert project.leases(project.client("annotator")) == []


def test_renewing_keeps_a_lease(make_project):
    project = make_project(pair_rows(1), lease_seconds=30)
    client = project.client("annotator")
    lease = project.leases(client)[0]
    time.sleep(1.1)
    renewed = client.post(f"/leases/{lease['id']}/renew").expect(200).json()
    assert renewed["expires_at"] > lease["expires_at"]
    project.client("annotator").post(f"/leases/{lease['id']}/renew").problem(404)


def test_skipping_frees_the_task_for_others_only(project):
    project.import_rows(pair_rows(1))
    one, two = project.annotators(2)
    lease = project.leases(one)[0]
    one.post(f"/leases/{lease['id']}/skip", {"reason": "too_hard"}).expect(200)
    one.post(f"/leases/{lease['id']}/skip", {"reason": "too_hard"}).expect(200)
    assert project.leases(one) == []
    other = project.leases(two)[0]
    project.judge(two, other).expect(201)
    two.post(f"/leases/{other['id']}/skip", {"reason": "x"}).problem(409)
    assert project.progress()["skips"] == 1
    one.post(f"/leases/{lease['id']}/skip", {"reason": ""}).problem(422, "/reason")


def test_priority_goes_first_and_arrival_decides_the_rest(project):
    rows = pair_rows(6)
    rows[4]["priority"] = 5
    rows[2]["priority"] = -1
    project.import_rows(rows)
    seen = drain(project, project.client("annotator"), 1)
    order = [4, 0, 1, 3, 5, 2]
    assert seen == [rows[i]["prompt"] for i in order]


def test_sides_are_shuffled_stored_and_mapped_back(project):
    project.import_rows(pair_rows(80))
    client = project.client("annotator")
    first_shown = 0
    while leases := project.leases(client, 10):
        for lease in leases:
            sides = {c["slot"]: c["content"] for c in lease["task"]["candidates"]}
            slot = next(s for s, text in sides.items() if "one" in text)
            first_shown += slot == "A"
            project.judge(client, lease, slot, strength=2).expect(201)
    assert 20 <= first_shown <= 60, first_shown  # 80 fair coins: outside is one in 10^5
    for row in project.export_rows(format="aileron"):
        judgment = row["judgments"][0]
        assert row["completions"][judgment["choice"]]["model"] == "model-one"
        assert sorted(judgment["shown"]) == [0, 1] and judgment["source"] == "annotate"


def test_count_is_bounded(project):
    client = project.client("annotator")
    for count in (0, 11, -1, "2", None, 1.5):
        reply = client.post(f"{project.path}/leases", {"count": count})
        if count is None:
            reply.expect(200)
        else:
            reply.problem(422, "/count")


def test_a_cursor_never_hides_what_comes_back(make_project):
    """A person moves far down the queue; earlier tasks that free up must still reach them."""
    project = make_project(pair_rows(60), overlap=1)
    holder, worker = project.annotators(2)
    held = project.leases(holder, 10)
    seen = drain(project, worker)
    assert len(seen) == 50
    time.sleep(1.2)
    assert project.leases(worker) == []  # the cursor is at the end now
    for lease in held[:5]:
        holder.post(f"/leases/{lease['id']}/skip", {"reason": "x"}).expect(200)
    project.server.sql(f"""update assignment set expires_at = now() - interval '1 second'
        where impression_id in ('{"','".join(lease["id"] for lease in held[5:])}')""")
    back = []
    wait_until(lambda: back.extend(drain(project, worker)) or len(back) == 10, 10, "the freed ten")
    assert set(back) == {lease["task"]["prompt"][0]["content"] for lease in held}
