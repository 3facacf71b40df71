"""Fixtures of every Python layer: api, ui, interop, faults. The parts are tests/support/aileron.py."""
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))

import aileron  # noqa: E402  (its folder is on the path from here on)


@pytest.fixture(scope="session")
def server():
    """One real server with its embedded, durable PostgreSQL, for all tests that leave it running."""
    with aileron.Server() as running:
        yield running


@pytest.fixture
def own_server():
    """A server of the test's own, to kill, restart and fill."""
    with aileron.Server() as running:
        yield running


@pytest.fixture
def data_directory():
    """An empty data directory for commands and servers of the test's own."""
    path = aileron.make_directory("aileron-data-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres():
    """A throwaway PostgreSQL without fsync."""
    cluster = aileron.Postgres()
    yield cluster
    cluster.close()


@pytest.fixture
def fast_server(postgres):
    """A server of the test's own on a new database of the throwaway PostgreSQL."""
    with aileron.Server(database=postgres.database()) as running:
        yield running


@pytest.fixture(scope="session")
def _admin(server):
    return server.admin()


@pytest.fixture
def admin(server, _admin):
    """An administrator's client, signed in."""
    return _admin


@pytest.fixture
def project(server, _admin):
    """A fresh, empty project that the administrator owns."""
    return aileron.Project(server, owner=_admin)


@pytest.fixture
def make_project(server, _admin):
    """make_project(rows=…, overlap=3, …) with settings by name."""
    return lambda rows=None, **settings: aileron.Project(server, settings, rows, owner=_admin)
