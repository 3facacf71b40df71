"""One training by several real processes on this machine: the same result as by one, the same bits
twice, every launcher's environment, and an end for all when one of them ends or does not fit."""
import json
import os
import signal
import socket
import struct
import subprocess
import time

import pytest

import rm

COMMON = ["train", *rm.TINY, "--lr", "0.0001", "--batch", "9", "--ties", "davidson", "--heads", "2"]
LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "kubernetes": ("JOB_COMPLETION_INDEX", "WORLD_SIZE", "NOTHING"),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(rank, world, port, *arguments, launcher="torchrun", **more):
    names = LAUNCHERS[launcher]
    environment = {**os.environ, names[0]: str(rank), names[1]: str(world), names[2]: str(rank),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                   "AILERON_PARALLEL_TIMEOUT": "30", **more}
    return subprocess.Popen([str(rm.BINARY), *map(str, arguments)], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes, seconds=60):
    """(status, standard error) of each; none outlives the test."""
    until = time.monotonic() + seconds
    try:
        said = [process.communicate(timeout=max(0.1, until - time.monotonic()))[1]
                for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said)]


def together(world, *arguments, **more):
    """Runs all ranks, the last first; all must succeed."""
    port = free_port()
    ended = finish([start(rank, world, port, *arguments, **more)
                    for rank in reversed(range(world))])
    assert [status for status, _ in ended] == [0] * world, ended


def tensors(out):
    raw = (out / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, body = json.loads(raw[8:8 + size]), raw[8 + size:]
    return {name: struct.unpack(f"<{(at['data_offsets'][1] - at['data_offsets'][0]) // 4}f",
                                body[slice(*at["data_offsets"])])
            for name, at in header.items() if name != "__metadata__"}


def weights(out):
    return (out / "model.safetensors").read_bytes()


def losses(out):
    return [line["loss"] for line in rm.read(out / "train.jsonl")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rm.write(tmp_path_factory.mktemp("rows") / "data.jsonl", rm.rows(60))


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    rm.run(*COMMON, "--data", data, "--out", out)
    return out


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("pair") / "out"
    together(2, *COMMON, "--data", data, "--out", out)
    return out


def same(out, alone):
    assert losses(out) == pytest.approx(losses(alone), rel=1e-6)
    mine, other = tensors(out), tensors(alone)
    assert mine.keys() == other.keys()
    for name, values in mine.items():
        assert max(abs(a - b) for a, b in zip(values, other[name])) < 1e-5, name
    assert rm.report(out)["heldout"]["log_loss"] == pytest.approx(
        rm.report(alone)["heldout"]["log_loss"], rel=1e-5)


def test_two_processes_train_what_one_does(alone, pair):
    same(pair, alone)
    assert rm.report(pair)["processes"] == 2
    assert all(line["reduce_s"] >= 0 for line in rm.read(pair / "train.jsonl"))


@pytest.mark.parametrize("launcher, world, more", [
    ("mpirun", 3, []), ("kubernetes", 2, ["--mode", "lora", "--accumulate", "2"])])
def test_every_launcher(data, alone, tmp_path, launcher, world, more):
    together(world, *COMMON, *more, "--data", data, "--out", tmp_path / "out", launcher=launcher)
    if more:
        alone = tmp_path / "alone"
        rm.run(*COMMON, *more, "--data", data, "--out", alone)
    same(tmp_path / "out", alone)


def test_the_same_bytes_twice_and_after_an_interruption(data, pair, tmp_path):
    """Ended by SIGTERM of one rank, resumed by as many: the same bytes. Resumed by one: close."""
    ended = []
    for resumed in (2, 1):
        out = tmp_path / str(resumed)
        port = free_port()
        running = [start(rank, 2, port, *COMMON, "--data", data, "--out", out, "--checkpoint-every",
                         "1") for rank in (0, 1)]
        while not (out / "checkpoints" / "current").exists():
            assert all(process.poll() is None for process in running)
            time.sleep(0.002)
        running[1].send_signal(signal.SIGTERM)
        ended += finish(running)
        again = [*COMMON, "--data", data, "--out", out, "--resume"]
        together(2, *again) if resumed == 2 else rm.run(*again)
        assert rm.report(out)["resumed"] is True
    assert all(status == 1 and "--resume goes on" in text for status, text in ended), ended
    assert weights(tmp_path / "2") == weights(pair)
    same(tmp_path / "1", pair)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_who_is_killed_ends_the_others(data, tmp_path, victim):
    port, out = free_port(), tmp_path / "out"
    running = [start(rank, 3, port, *COMMON, "--epochs", "1000", "--data", data, "--out", out,
                     "--checkpoint-every", "1") for rank in range(3)]
    while not (out / "checkpoints" / "current").exists():
        assert all(process.poll() is None for process in running)
        time.sleep(0.01)
    running[victim].kill()
    begun = time.monotonic()
    ended = finish(running, 20)
    assert time.monotonic() - begun < 10
    for rank in {0, 1, 2} - {victim}:
        assert ended[rank][0] == 1 and f"rank {victim} is gone" in ended[rank][1], ended


def test_who_does_not_fit_is_refused(data, tmp_path):
    def both(first, second, one=None, other=None):
        port = free_port()
        return finish([start(0, 2, port, *COMMON, "--data", data, "--out", tmp_path / "a", *first,
                             **(one or {})),
                       start(1, 2, port, *COMMON, "--data", data, "--out", tmp_path / "b", *second,
                             **(other or {}))])
    for ended, says in [
            (both(["--seed", "1"], ["--seed", "2"]), "rank 1: --seed differs from rank 0's"),
            (both([], [], {}, {"WORLD_SIZE": "3"}), "rank 1 was started as one of 3, rank 0 as one"),
            (both([], ["--data", rm.write(tmp_path / "other", rm.rows(50))]),
             "rank 1: the data are not those of rank 0"),
            (both([], ["--data", tmp_path / "absent"]), "absent")]:
        assert [status for status, _ in ended] == [1, 1]
        assert all(says in text for _, text in ended), ended


def test_a_secret_keeps_strangers_out(data, tmp_path):
    """Garbage, silence and a wrong secret before the right one comes."""
    port = free_port()
    arguments = [*COMMON, "--data", data, "--steps", "1", "--out", tmp_path / "out"]
    first = start(0, 2, port, *arguments, AILERON_PARALLEL_SECRET="right")
    sockets = []
    while len(sockets) < 70:
        try:
            sockets.append(socket.create_connection(("127.0.0.1", port)))
        except OSError:
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
    for number, connection in enumerate(sockets[:40]):
        connection.sendall((b"\xff" * 200, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 88)[number % 3])
    wrong = start(1, 2, port, *arguments, AILERON_PARALLEL_SECRET="wrong")
    [(status, text)] = finish([wrong])
    assert status == 1 and "another AILERON_PARALLEL_SECRET" in text
    [(status, text)] = finish([start(1, 2, port, *arguments)])
    assert status == 1 and "rank 1 has none" in text
    second = start(1, 2, port, *arguments, AILERON_PARALLEL_SECRET="right")
    assert [status for status, _ in finish([first, second])] == [0, 0]
    for connection in sockets:
        connection.close()


def test_who_is_missing_is_named(data, tmp_path):
    arguments = [*COMMON, "--data", data, "--out", tmp_path / "out"]
    port = free_port()
    soon = {"AILERON_PARALLEL_TIMEOUT": "1"}
    ended = finish([start(0, 3, port, *arguments, **soon), start(1, 3, port, *arguments)])
    assert all(status == 1 and "rank 2 of 3 has not joined" in text for status, text in ended), ended
    [(status, text)] = finish([start(1, 2, port, *arguments, **soon)])
    assert status == 1 and "rank 0 did not answer" in text
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        [(status, text)] = finish([start(0, 2, taken.getsockname()[1], *arguments)])
    assert status == 1 and "Address already in use" in text
    for more, says in [({"RANK": "2"}, "RANK"), ({"WORLD_SIZE": "many"}, "WORLD_SIZE"),
                       ({"MASTER_ADDR": ""}, "MASTER_ADDR")]:
        [(status, text)] = finish([start(0, 2, port, *arguments, **more)])
        assert status == 1 and says in text
    [(status, text)] = finish([start(0, 2, port, *arguments, "--mode", "head")])
    assert status == 1 and "--mode head" in text
