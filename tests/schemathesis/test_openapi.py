"""Every operation of the OpenAPI description against the real server, with generated requests, as
four kinds of caller: answers are as described, and nothing is a server error."""
import itertools
import json
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from aileron import ROOT, Client, pair_rows

# of each operation, for each caller; always the same ones unless more are asked for
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))
CHECKS = [checks.not_a_server_error, checks.status_code_conformance,
          checks.content_type_conformance, checks.response_headers_conformance,
          checks.response_schema_conformance]
CALLERS = "nobody", "annotator", "owner", "admin"


class World:
    """What the generated requests can meet: a project with leases and judgments, and its people."""

    def __init__(self, server):
        self.server = server
        self.project = server.project({"overlap": 5}, pair_rows(200))
        self.admin = server.admin()
        self.annotator, self.owner = (self.project.client(role) for role in ("annotator", "owner"))
        self.turn = itertools.count()
        self.ids = []
        for client in (self.annotator, self.owner):
            leases = self.project.leases(client, 10)
            for lease in leases[:5]:
                judgment = self.project.judge(client, lease).expect(201).json()
                self.ids += [judgment["id"]]
            self.ids += [lease["id"] for lease in leases]
        self.project.owner.post(f"{self.project.path}/snapshots", {"name": "first"}).expect(201)
        self.project.owner.post(f"{self.project.path}/upstreams",
                                {"name": "demo", "url": "demo:"}).expect(201)

    def headers(self, caller):
        if caller == "nobody":
            return {}
        if caller == "admin":
            return {"Cookie": self.admin.cookie, "Origin": self.server.url}
        return {"Authorization": f"Bearer {getattr(self, caller).key}"}  # a key of that role

    def settle(self, case):
        """Three requests of four go to what exists: else nearly all would end in 404."""
        turn = next(self.turn)
        for name in case.path_parameters or {}:
            if turn % 4 == 3:
                continue
            case.path_parameters[name] = {"slug": self.project.slug, "name": "first"}.get(
                name, self.ids[turn % len(self.ids)])

    def still_there(self, caller):
        """A request may have signed the administrator out; a new one takes over."""
        signed_in = {"Cookie": self.admin.cookie}
        if caller == "admin" and \
                Client(self.server).raw("GET", "/api/v1/session", headers=signed_in).status != 200:
            self.admin = self.server.user(admin=True)


@pytest.fixture(scope="session")
def world(server):
    return World(server)


@pytest.fixture(params=CALLERS)
def caller(request):
    return request.param


@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    """Whatever was generated, as one line."""
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


DESCRIPTION = ROOT / "server" / "api" / "openapi.json"
schema = schemathesis.openapi.from_path(DESCRIPTION)


def test_the_description_served_is_the_one_tested(server):
    assert Client(server).get("/openapi.json").expect(200).content == DESCRIPTION.read_bytes()


def busy_is_said_properly(context, response, case):
    """503 may come, when it says when to come back."""
    if response.status_code == 503:
        assert "retry-after" in response.headers, "503 without Retry-After"


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES == 10,
          phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_operation(case, world, caller):
    world.settle(case)
    world.still_there(caller)
    response = case.call(base_url=world.server.url, headers=world.headers(caller))
    wanted = CHECKS[1:] if response.status_code == 503 else list(CHECKS)
    if caller in ("owner", "annotator"):
        wanted.append(checks.ignored_auth)  # the same request without, or with a wrong, key
    case.validate_response(response, checks=wanted, additional_checks=[busy_is_said_properly])
