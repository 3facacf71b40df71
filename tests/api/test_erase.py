"""Figures about conversations, and taking a person's words out of them for good."""
import json

import pytest
from aileron import Client, wait_until
from test_chat import Person
from test_events import uuid7
from test_gateway import Gate, assistant, models, user  # noqa: F401  (models is a fixture)

WORDS = "zebrafinch"


@pytest.fixture
def gate(server, models):  # noqa: F811
    return Gate(server, models.url)


def talk(gate, who, words, turns=2):
    """A conversation of that many turns; the completion ids."""
    messages, ids = [], []
    for turn in range(turns):
        messages.append(user(f"{words} {turn}"))
        _, headers, body = gate.ask(messages, "count", user=who)
        ids.append(headers["x-aileron-completion-id"])
        messages.append(assistant(body["choices"][0]["message"]["content"]))
    return ids


def everywhere(gate, word):
    """Rows of any table of the project that hold the word."""
    found = []
    for table in ("turn", "answer", "feedback", "prompt", "completion", "conversation"):
        [[count]] = gate.sql(f"select count(*) from {table} t where t.project_id = PROJECT "
                             f"and t::text like '%{word}%'")
        found += [table] * int(count)
    return found


def test_erasing_one_person_leaves_nothing_of_theirs_and_all_of_the_others(gate, server):
    ids = talk(gate, "ada", WORDS, 3)
    gate.ask([user(f"{WORDS} 0")], user="ada")
    talk(gate, "bob", "wing", 3)
    client = Client(server, gate.key)
    client.post("/feedback", {"completion_id": ids[0], "kind": "thumb_down",
                              "comment": f"bad {WORDS}"}).expect(201)
    gate.project.import_rows([{"prompt": f"imported {WORDS}", "group": "ada", "completions": [
        {"content": f"one {WORDS}"}, {"content": "two"}],
        "judgments": [{"annotator": "ada", "choice": 0, "rationale": f"because {WORDS}"}]}])
    gate.project.owner.post(f"{gate.project.path}/snapshots", {"name": "before"}).expect(201)
    facts = gate.signals()
    assert everywhere(gate, WORDS)
    done = json.loads(server.cli("erase", "--project", gate.project.slug, "--user", "ada",
                                 "--json").stdout)
    assert done == {"conversations": 1, "answers": 4, "comments": done["comments"], "prompts": 1,
                    "snapshots": 1}
    assert everywhere(gate, WORDS) == []
    assert gate.signals() == facts, "the facts stay"
    for query in ({}, {"source": "implicit"}, {"snapshot": "before"},
                  {"format": "trl-preference"}, {"format": "trl-unpaired", "source": "implicit"}):
        text = gate.project.export_text(**query)
        assert WORDS not in text
    [listed] = gate.project.owner.get(f"{gate.project.path}/snapshots").expect(200).json()["items"]
    assert listed["erased_at"]
    checked = gate.project.owner.post(f"{gate.project.path}/snapshots/before/verify").expect(200)
    assert checked.json()["ok"] is False and checked.json()["erased_at"]
    verified = server.cli("snapshot", "verify", "before", "--project", gate.project.slug,
                          check=False)
    assert verified.returncode == 1 and "words were erased" in verified.stdout
    again = json.loads(server.cli("erase", "--project", gate.project.slug, "--user", "ada",
                                  "--json").stdout)
    assert again["conversations"] == 0
    text = [row[0] for row in gate.sql("select content from answer where project_id = PROJECT "
                                       "and content <> '' order by id")]
    assert len(text) == 3, "bob's answers are all there"


def test_the_ledger_still_refuses_changes(gate, server):
    talk(gate, "ada", "x")
    with pytest.raises(AssertionError, match="append-only"):
        gate.sql("update feedback set kind = 'x' where project_id = PROJECT")


def test_the_command_names_what_is_missing(server):
    assert server.cli("erase", "--user", "x", check=False).returncode == 2
    assert server.cli("erase", "--project", "x", check=False).returncode == 2
    assert server.cli("erase", "--project", "nowhere", "--user", "x", check=False).returncode == 1


def test_retention_takes_the_words_of_old_conversations(gate, server):
    talk(gate, "ada", WORDS)
    talk(gate, "bob", "recent")
    gate.sql("update conversation set at = now() - interval '40 days' where project_id = PROJECT "
             "and end_user_id = (select end_user_id from conversation c where project_id = PROJECT "
             "order by id limit 1); update answer set at = now() - interval '40 days' "
             "where project_id = PROJECT and conversation_id = (select id from conversation "
             "where project_id = PROJECT order by id limit 1)")
    assert server.sql("select erase_expired(1000)") == [["0"]], "a project keeps by default"
    gate.project.owner.patch(gate.project.path, {"settings": {"retention_days": 30}}).expect(200)
    assert server.sql("select erase_expired(1000)") in ([["1"]], [["0"]])
    wait_until(lambda: everywhere(gate, WORDS) == [], 10, "the end of the words")
    assert "turn" in everywhere(gate, "recent")


def test_retention_takes_tool_calls_and_unanswered_questions(gate, server, models):  # noqa: F811
    gate.ask([user(f"{WORDS}?")], "tools", user="t")
    gate.add(models.url, models=["alpha=count", "beta=say:no"]).expect(201)
    ada = Person(gate)
    ada.client.post(f"{ada.path}/rounds", {"conversation_id": uuid7(), "content": WORDS}).expect(201)
    assert everywhere(gate, WORDS) == ["turn", "turn"]
    for table in ("conversation", "answer", "arena_round"):
        gate.sql(f"update {table} set at = now() - interval '40 days' where project_id = PROJECT")
    gate.project.owner.patch(gate.project.path, {"settings": {"retention_days": 30}}).expect(200)
    server.sql("select erase_expired(1000)")
    assert everywhere(gate, WORDS) == []
    assert gate.sql("select count(*) from answer where project_id = PROJECT and message is not null") \
        == [["0"]]
    assert server.sql("select erase_expired(1000)") == [["0"]], "once"


def test_figures_about_conversations(gate, server):
    ids = talk(gate, "ada", "one", 4)
    first = gate.ask([user("again please, the same question")], "count", user="bob")
    gate.ask([user("again please, the same question")], "count", user="bob")
    client = Client(server, gate.key)
    for completion, kind in ((ids[0], "thumb_up"), (ids[1], "thumb_down"),
                             (first[1]["x-aileron-completion-id"], "thumb_down")):
        client.post("/events", {"events": [{"id": uuid7(), "completion_id": completion,
                                            "kind": kind}]}).expect(200)
    body = gate.project.client("researcher").get(f"{gate.project.path}/stats/conversations") \
        .expect(200).json()
    rates = body["all"]["rates"]
    assert body["all"]["answers"] == 6
    assert (rates["retry"]["count"], rates["retry"]["of"]) == (1, 6)
    assert (rates["continue"]["count"], rates["continue"]["rate"]) == (3, 0.5)
    assert (rates["thumb_up"]["count"], rates["thumb_up"]["of"]) == (1, 3)
    assert rates["edit"]["count"] == rates["stop"]["count"] == 0
    # Wilson's interval of 1 in 6, by hand
    assert (rates["retry"]["lower"], rates["retry"]["upper"]) == (0.0301, 0.5635)
    assert [model["model"] for model in body["models"]] == ["count"]
    assert body["length"]["conversations"] == 2 and body["length"]["mean"] == 2.5
    assert [step["conversations"] for step in body["funnel"]] == [2, 1, 1, 0, 0, 0]
    assert [day["answers"] for day in body["days"]] == [6]
    assert {"retry", "continue", "edit", "stop", "thumb_up", "length"} <= set(body["definitions"])
    empty = server.project()
    body = empty.owner.get(f"{empty.path}/stats/conversations").expect(200).json()
    assert body["all"]["answers"] == 0 and body["models"] == [] and body["days"] == []
    gate.project.client("annotator").get(f"{gate.project.path}/stats/conversations").problem(403)
