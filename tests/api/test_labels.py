"""Labels from golden conversations: each rule against a table written by hand; exports of them; the
same bytes however often they are made."""
import json

import pytest
from aileron import Client, wait_until
from test_events import uuid7
from test_gateway import Gate, assistant, models, user  # noqa: F401  (models is a fixture)

# What each answer of the story below is labelled by each rule: 1, 0, or None where it is undecided.
#            A1    A2    B     C     D     O1    O2
GOLDEN = {
    "continue-1": (0, 1, 1, 0, 0, 1, None),
    "continue-2": (0, 1, 0, 0, 0, None, None),
    "continue-4": (0, 0, 0, 0, 0, None, None),
    "no-retry": (0, 1, 1, 1, 1, 1, None),
    "continue-no-retry": (0, 1, 0, 0, 0, None, None),
    "star": (None, 1, None, None, 0, None, None),
    "thumb": (0, None, 1, None, None, None, None),
    "edit": (None, 1, 0, None, None, 1, None),
    "reply-180s": (0, 1, 1, 0, 0, 1, None),
}
NAMES = "A1", "A2", "B", "C", "D", "O1", "O2"


@pytest.fixture(scope="module")
def story(server, models):  # noqa: F811
    """ada: asks, asks again (A1, A2), goes on from A2 (B), changes B, goes on from that (C), leaves.
    bob asks once (D) and leaves. oda's conversation (O1, O2) is still open."""
    gate = Gate(server, models.url)
    ids = {}

    def say(name, messages, who):
        _, headers, body = gate.ask(messages, "count", user=who)
        ids[name] = headers["x-aileron-completion-id"]
        return body["choices"][0]["message"]["content"]

    first = [user("Tell me about wings")]
    say("A1", first, "ada")
    kept = say("A2", first, "ada")
    second = first + [assistant(kept), user("And tails?")]
    reply = say("B", second, "ada")
    say("C", second + [assistant(reply + " indeed"), user("Thanks")], "ada")
    say("D", [user("One question only")], "bob")
    open_answer = say("O1", [user("Still talking here")], "oda")
    client = Client(server, gate.key)
    for name, kind, more in (("A1", "thumb_up", {}), ("A1", "thumb_down", {}),
                             ("B", "thumb_up", {}), ("A2", "star", {"value": 4}),
                             ("D", "star", {"value": 2})):
        client.post("/events", {"events": [{"id": uuid7(), "completion_id": ids[name],
                                            "kind": kind, **more}]}).expect(200)
    gate.project.owner.patch(gate.project.path, {"settings": {"session_seconds": 1}}).expect(200)
    wait_until(lambda: gate.signals().count("leave") == 3, 20, "the leaves")
    gate.project.owner.patch(gate.project.path, {"settings": {"session_seconds": 3600}}).expect(200)
    say("O2", [user("Still talking here"), assistant(open_answer), user("More")], "oda")
    gate.ids = ids
    return gate


def lines(gate, **query):
    return [json.loads(line) for line in gate.project.export_text(**query).splitlines()]


def test_every_rule_gives_its_golden_labels(story):
    contents = {row[0]: row[1] for row in story.sql(
        "select content, id from answer where project_id = PROJECT")}
    for rule, wanted in GOLDEN.items():
        got = {contents[line["completion"][0]["content"]]: int(line["label"])
               for line in lines(story, format="trl-unpaired", source="implicit", rule=rule)}
        labels = tuple(got.get(story.ids[name]) for name in NAMES)
        assert labels == wanted, (rule, dict(zip(NAMES, labels)))


def test_pairs_are_the_kept_over_the_retried_and_the_changed_over_the_original(story):
    pairs = lines(story, format="trl-preference", source="implicit")
    text = {row[0]: row[1] for row in story.sql(
        "select id, content from answer where project_id = PROJECT")}
    got = {(pair["rule"], pair["chosen"][0]["content"], pair["rejected"][0]["content"])
           for pair in pairs}
    assert got == {
        ("pair-retry", text[story.ids["A2"]], text[story.ids["A1"]]),
        ("pair-edit", text[story.ids["B"]] + " indeed", text[story.ids["B"]])}
    known = {row[0] for row in story.sql("select id from feedback where project_id = PROJECT")}
    for pair in pairs:
        assert pair["version"] == 1 and pair["confidence"] == 1
        assert pair["events"] and set(pair["events"]) <= known
    [edit] = [pair for pair in pairs if pair["rule"] == "pair-edit"]
    assert [message["role"] for message in edit["prompt"]] == ["user", "assistant", "user"]
    assert edit["prompt"][1]["content"] == text[story.ids["A2"]]


def test_the_native_format_tells_everything_and_the_same_again(story):
    first = story.project.export_text(source="implicit")
    assert first == story.project.export_text(source="implicit")
    rows = [json.loads(line) for line in first.splitlines()]
    assert {len(row["completions"]) for row in rows} == {1, 2}
    for row in rows:
        [judgment] = row["judgments"]
        assert judgment["source"].startswith("implicit:")
        assert judgment["annotator"].startswith("a-") and row["group"] == judgment["annotator"]
        assert set(judgment["metadata"]) == {"rule", "version", "confidence", "events"}
    pairs = [row for row in rows if len(row["completions"]) == 2]
    everything = lines(story)
    assert [row for row in everything if len(row["completions"]) == 2] == pairs
    assert lines(story, source="explicit") == []


def test_pairs_travel_to_another_project(story, server):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines(story))
    other = server.project()
    assert other.import_text(text).expect(200).json()["refused"] == []
    back = other.export_rows(source="implicit")
    assert {row["judgments"][0]["source"] for row in back} == {"implicit:pair-retry",
                                                               "implicit:pair-edit"}


def test_a_snapshot_holds_still(story):
    owner, path = story.project.owner, story.project.path
    made = owner.post(f"{path}/snapshots", {"name": "then"}).expect(201).json()
    before = story.project.export_text(snapshot="then", source="all")
    story.ask("Tell me about wings", "count", user="eve")
    story.ask("Tell me about wings", "count", user="eve")
    client = Client(story.server, story.key)
    client.post("/feedback", {"completion_id": story.ids["C"], "kind": "thumb_down"}).expect(201)
    assert story.project.export_text(snapshot="then", source="all") == before
    checked = owner.post(f"{path}/snapshots/then/verify").expect(200).json()
    assert checked["ok"] is True, (made, checked)


def test_splits_keep_a_person_together(story):
    groups = {}
    for split in ("train", "validation", "test"):
        for row in lines(story, source="implicit", split=split):
            groups.setdefault(row["group"], set()).add(split)
    assert groups and all(len(splits) == 1 for splits in groups.values())
    whole = len(lines(story, source="implicit"))
    assert sum(len(lines(story, source="implicit", split=split))
               for split in ("train", "validation", "test")) == whole


def test_rules_are_listed_with_their_definitions(story, server):
    listed = story.project.client("researcher").get(f"{story.project.path}/labels").expect(200)
    rules = {item["name"]: item for item in listed.json()["items"]}
    assert set(GOLDEN) < set(rules) and rules["pair-retry"]["positive"] == 1
    assert rules["thumb"]["positive"] == 1 and "Last" not in rules["thumb"]["definition"][:4]
    shown = server.cli("label", "list", "--project", story.project.slug).stdout
    assert all(item["definition"] in shown for item in rules.values())
    story.project.client("annotator").get(f"{story.project.path}/labels").problem(403)
    story.project.owner.get(f"{story.project.path}/export", rule="no such").problem(422, "?rule")
