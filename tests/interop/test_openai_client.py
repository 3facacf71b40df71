"""The gateway under the client people use: 500 scripted conversations of 50 people, interleaved, some of
whom nobody names, streamed and not; the signals that are recovered are those of the script."""
import collections
import json
import random
import threading

import pytest
import upstream as scripted
from aileron import wait_until

openai = pytest.importorskip("openai", reason="the library openai is not installed")

CONVERSATIONS, PEOPLE, THREADS, SEED = 500, 50, 8, 20261121
WORDS = ("wing tail rudder flap engine runway tower pilot cloud storm wind lift drag thrust glide "
         "bank climb stall landing takeoff altitude heading compass radar beacon hangar").split()


@pytest.fixture(scope="module")
def models():
    running = scripted.Upstream()
    yield running
    running.close()


class Script:
    """One person's conversation: what they do, drawn once; `expected` is what must be recovered."""

    def __init__(self, number, source):
        self.number, self.source = number, source
        self.person = f"person-{number % PEOPLE}"
        self.named = source.random() < 0.8
        self.chat = f"chat-{number}" if source.random() < 0.5 else None
        self.stream = source.random() < 0.5
        self.expected = collections.Counter()
        self.messages = []
        self.model = "count"

    def question(self):
        words = [self.source.choice(WORDS) for _ in range(14)]
        return f"In conversation {self.number}, " + " ".join(words)

    def ask(self, client, messages):
        """The answer's text, and its completion id."""
        extra = {}
        if self.named:
            extra["user"] = self.person
            if self.chat:
                extra["extra_headers"] = {"X-Conversation-Id": self.chat}
        if not self.stream:
            raw = client.chat.completions.with_raw_response.create(
                model=self.model, messages=messages, **extra)
            return raw.parse().choices[0].message.content, raw.headers["x-aileron-completion-id"]
        text = ""
        with client.chat.completions.create(model=self.model, messages=messages, stream=True,
                                            **extra) as stream:
            for chunk in stream:
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
            return text, stream.response.headers["x-aileron-completion-id"]

    def stop(self, client, messages):
        """Reads a little of a slow answer and goes away."""
        extra = {"user": self.person} if self.named else {}
        if self.named and self.chat:
            extra["extra_headers"] = {"X-Conversation-Id": self.chat}
        with client.chat.completions.create(model="slow", messages=messages, stream=True,
                                            **extra) as stream:
            next(iter(stream))
            return stream.response.headers["x-aileron-completion-id"]

    def tell(self, kind, completion):
        self.expected[(kind, completion)] += 1

    def run(self, client):
        self.messages = [{"role": "user", "content": self.question()}]
        answer, completion = self.ask(client, self.messages)
        for _ in range(self.source.randint(1, 4)):
            act = self.source.choice(("retry", "continue", "continue", "edit", "rephrase", "stop"))
            if act == "retry":
                self.tell("retry", completion)
                answer, completion = self.ask(client, self.messages)
                continue
            if act == "rephrase" and len(self.messages) < 3:
                act = "continue"
            if act == "rephrase":  # another wording of the last question
                self.messages = self.messages[:-1] + [{"role": "user", "content": self.question()}]
                self.tell("rephrase", completion)
                answer, completion = self.ask(client, self.messages)
                continue
            said = answer
            if act == "edit":
                said = answer + " and " + self.source.choice(WORDS)
            self.tell("edit" if act == "edit" else "continue", completion)
            self.messages = self.messages + [{"role": "assistant", "content": said},
                                             {"role": "user", "content": self.question()}]
            if act == "stop":
                completion = self.stop(client, self.messages)
                self.tell("stop", completion)
                self.tell("retry", completion)  # then they ask again, and read it
            answer, completion = self.ask(client, self.messages)
        self.last = completion


def recovered(server, slug):
    rows = server.sql("select f.kind, f.detail ->> 'answer' from feedback f join project p "
                      f"on p.id = f.project_id where p.slug = '{slug}'")
    return collections.Counter((kind, answer) for kind, answer in rows)


@pytest.fixture(scope="module")
def played(server, models):
    project = server.project({"session_seconds": 7200})
    project.owner.post(f"{project.path}/upstreams",
                       {"name": "scripted", "url": models.url}).expect(201)
    key = project.key("annotator")
    source = random.Random(SEED)
    scripts = [Script(number, random.Random(source.random())) for number in range(CONVERSATIONS)]
    failures = []

    def play(mine):
        client = openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=key, max_retries=0,
                               timeout=60)
        for script in mine:
            try:
                script.run(client)
            except Exception as error:  # told below, with the conversation it is of
                failures.append((script.number, repr(error)))

    threads = [threading.Thread(target=play, args=(scripts[n::THREADS],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    stops = sum(count for script in scripts for (kind, _), count in script.expected.items()
                if kind == "stop")
    wait_until(lambda: sum(count for (kind, _), count in recovered(server, project.slug).items()
                           if kind == "stop") >= stops, 20, "the last stops")
    project.owner.patch(project.path, {"settings": {"session_seconds": 1}}).expect(200)
    wait_until(lambda: sum(count for (kind, _), count in recovered(server, project.slug).items()
                           if kind == "leave") >= CONVERSATIONS * 0.98, 60, "the departures")
    return server, project, scripts


def split(played):
    """(expected, got) for those who were named, and for those who were not."""
    server, project, scripts = played
    got = recovered(server, project.slug)
    owner = {row[0]: row[1] == "1" for row in server.sql(
        "select a.id, c.confidence from answer a join conversation c on c.project_id = a.project_id "
        "and c.id = a.conversation_id join project p on p.id = a.project_id "
        f"where p.slug = '{project.slug}'")}
    sides = []
    for named in (True, False):
        expected = collections.Counter()
        for script in scripts:
            if script.named == named:
                expected += script.expected
                expected[("leave", script.last)] += 1
        mine = collections.Counter({key: count for key, count in got.items()
                                    if owner[key[1]] == named})
        sides.append((expected, mine))
    return sides


def test_signals_of_named_people_are_those_of_the_script(played):
    expected, got = split(played)[0]
    common = sum((expected & got).values())
    recall, precision = common / sum(expected.values()), common / sum(got.values())
    print(json.dumps({"named": {"signals": sum(expected.values()), "recall": recall,
                                "precision": precision}}))
    missing, extra = expected - got, got - expected
    assert recall >= 0.99 and precision >= 0.99, (missing.most_common(5), extra.most_common(5))
    assert not any(kind == "retry" for kind, _ in extra), "a retry between different people"


def test_signals_of_nobody_in_particular_are_right_where_they_are_told(played):
    expected, got = split(played)[1]
    common = sum((expected & got).values())
    precision = common / sum(got.values())
    print(json.dumps({"unnamed": {"signals": sum(expected.values()), "precision": precision,
                                  "recall": common / sum(expected.values())}}))
    assert precision >= 0.98, (got - expected).most_common(10)


def test_every_answer_is_a_row(played, models):
    server, project, _ = played
    [[answers]] = server.sql("select count(*) from answer a join project p on p.id = a.project_id "
                             f"where p.slug = '{project.slug}' and a.edit_of is null")
    assert int(answers) == len(models.requests)


def test_the_asynchronous_client_tools_and_errors(server, models):
    import asyncio
    project = server.project()
    project.owner.post(f"{project.path}/upstreams", {"name": "s", "url": models.url}).expect(201)
    key = project.key("annotator")

    async def use():
        client = openai.AsyncOpenAI(base_url=f"{server.url}/openai/v1", api_key=key, max_retries=0)
        named = [model.id async for model in client.models.list()]
        assert named == ["echo", "slow"]
        reply = await client.chat.completions.create(
            model="tools", messages=[{"role": "user", "content": "weather?"}],
            tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}])
        assert reply.choices[0].message.tool_calls[0].function.name == "weather"
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(
                model="error:429", messages=[{"role": "user", "content": "x"}])
        assert "scripted 429" in str(caught.value)
        with pytest.raises(openai.AuthenticationError):
            await openai.AsyncOpenAI(base_url=f"{server.url}/openai/v1", api_key="ak_no") \
                .models.list()
        await client.close()

    asyncio.run(use())
