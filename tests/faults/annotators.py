"""A crowd of annotators that behave like the page: every answer stays in an outbox and is sent
again, the same body, until the server has given a final answer."""
import asyncio
import collections
import json
import random

FINAL = {200, 201, 404, 409}  # of a judgment; anything else is tried again
REQUEST_SECONDS = 20
RETRY_SECONDS = 0.05, 0.4
CHOICES = "A", "B", "tie"


class Connection:
    """HTTP over one kept connection, made anew after a failure."""

    def __init__(self, port, key):
        self.port = port
        self.head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        self.reader = self.writer = None
        self.sent = False

    async def request(self, method, path, body=None):
        """(status, headers, content); OSError or EOFError when there is no answer."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._exchange(method, path, body)
        except BaseException:
            self.close()
            raise

    async def _exchange(self, method, path, body):
        self.sent = False
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        kind = "" if body is None else "Content-Type: application/json\r\n"
        head = (f"{method} /api/v1{path} HTTP/1.1\r\n{self.head}{kind}"
                f"Content-Length: {len(content)}\r\n\r\n")
        self.sent = True
        self.writer.write(head.encode() + content)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        content = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1]), headers, content

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Annotator:
    """One person with one key and one connection."""

    def __init__(self, crowd, key, seed):
        self.crowd = crowd
        self.random = random.Random(seed)
        self.connection = Connection(crowd.port, key)

    async def insist(self, method, path, body, final):
        """Sends the same until the answer is final; (status, content)."""
        while True:
            self.crowd.counts["requests"] += 1
            try:
                status, headers, content = await self.connection.request(method, path, body)
            except (OSError, EOFError, TimeoutError):
                self.crowd.counts["cut off" if self.connection.sent else "no server"] += 1
            else:
                if status in final:
                    return status, content
                self.crowd.note_refusal(status, headers, content)
            await asyncio.sleep(self.random.uniform(*RETRY_SECONDS))

    async def lease(self):
        body = {"count": self.random.randint(1, 8)}
        path = f"/projects/{self.crowd.slug}/leases"
        _, content = await self.insist("POST", path, body, {200})
        return json.loads(content)["leases"]

    async def judge(self, lease):
        path = f"/leases/{lease['id']}/judgment"
        body = {"choice": self.random.choice(CHOICES), "duration_ms": self.random.randint(1, 9999)}
        await asyncio.sleep(self.random.uniform(0, self.crowd.thought))
        status, _ = await self.insist("PUT", path, body, FINAL)
        self.crowd.note_answer(lease["id"], body["choice"], status)
        if status < 300 and self.random.random() < self.crowd.again:
            status, _ = await self.insist("PUT", path, body, FINAL)
            assert status == 200, f"an answer sent again got {status}"

    async def work(self):
        """Until the crowd is told to stop, or nothing is left for this person."""
        while not self.crowd.stopping:
            leases = await self.lease()
            if not leases:
                if self.crowd.until_empty:
                    return
                await asyncio.sleep(0.3)
            for lease in leases:
                fate = self.random.random()
                if fate < self.crowd.leaving:
                    self.crowd.counts["abandoned"] += 1
                elif fate < self.crowd.leaving * 2:
                    self.crowd.counts["skipped"] += 1
                    await self.insist("POST", f"/leases/{lease['id']}/skip", {"reason": "other"},
                                      FINAL)
                else:
                    await self.judge(lease)


class Crowd:
    """Many annotators on one event loop, and what the server told them."""

    def __init__(self, port, slug, keys, seed=1):
        self.port, self.slug, self.seed = port, slug, seed
        self.keys = keys
        self.counts = collections.Counter()
        self.acknowledged = {}  # lease id -> choice
        self.refused = {}  # lease id -> final status
        self.wrong = []  # answers no client should ever get
        self.stopping = self.until_empty = False
        self.thought = 0  # most seconds before an answer
        self.leaving = 0.01  # of the leases: neither answered nor skipped; as many skipped
        self.again = 0.05  # of the answers: sent once more after the acknowledgement

    def note_answer(self, lease, choice, status):
        if status < 300:
            self.acknowledged[lease] = choice
            self.counts["acknowledged"] += 1
        else:
            self.refused[lease] = status
            self.counts["refused"] += 1

    def note_refusal(self, status, headers, content):
        """Only 'not now' may come in between, and says when to come back."""
        self.counts[f"status {status}"] += 1
        if status != 503 or "retry-after" not in headers:
            self.wrong.append((status, content[:300]))

    async def _work(self, seconds):
        people = [Annotator(self, key, self.seed * 1000 + n) for n, key in enumerate(self.keys)]
        tasks = [asyncio.create_task(person.work()) for person in people]
        done, late = await asyncio.wait(tasks, timeout=seconds)
        self.stopping = True
        if late:
            done, late = await asyncio.wait(tasks, timeout=60)
        for person in people:
            person.connection.close()
        for task in late:
            task.cancel()
        self.counts["stuck"] += len(late)
        for task in done:
            task.result()

    def run(self, seconds):
        """Works for so long at most; then everybody empties their outbox."""
        self.stopping = False
        self.seed += 1
        asyncio.run(self._work(seconds))
