"""aileron-rm serve for tests: starts it on a free port and talks to it. Only the standard library."""
import http.client
import json
import random
import re
import subprocess

import rm

SECONDS = 120


class Service:
    """A running service; `process` is its program."""

    def __init__(self, model, *options):
        self.process = subprocess.Popen(
            [str(rm.BINARY), "serve", "--model", str(model), "--listen", "127.0.0.1:0", "--dtype",
             "fp32", "--threads", "2", "--quiet", *map(str, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"aileron-rm: listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert found, (line, self.process.communicate()[1])
        self.url, self.port = found[1], int(found[2])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def ask(self, path, body=None, status=200, method=None, headers=None):
        """The parsed reply to a body (an object, or bytes as they are)."""
        link = self.connect()
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        link.request(method or ("GET" if body is None else "POST"), path, data,
                     {"Content-Type": "application/json"} if headers is None else headers)
        reply = link.getresponse()
        text = reply.read()
        link.close()
        assert reply.status == status, (reply.status, text[:500])
        is_json = "json" in reply.headers.get("Content-Type", "")
        return json.loads(text, parse_constant=pytest_fail) if is_json else text.decode()

    def refused(self, path, body, status, pointer, **more):
        problem = self.ask(path, body, status, **more)
        assert (problem["status"], problem["pointer"]) == (status, pointer), problem
        return problem["detail"]

    def metrics(self):
        lines = self.ask("/metrics").splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if line[0] != "#"}

    def stop(self, status=0):
        self.process.terminate()
        errors = self.process.communicate(timeout=SECONDS)[1]
        assert self.process.returncode == status, (self.process.returncode, errors[-2000:])
        return errors

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if failure[0]:
            self.process.kill()
            self.process.communicate()
        elif self.process.poll() is None:
            self.stop()


def pytest_fail(constant):
    raise AssertionError(f"{constant} in JSON")


def texts(count, size, seed=1):
    """Texts without a common beginning: nothing of them can be shared."""
    source = random.Random(seed)
    return [source.randbytes(size // 2).hex() for _ in range(count)]
