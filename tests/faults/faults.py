"""What the fault tests share: counts for the record, processes looked at from outside."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

from aileron import ROOT, make_directory, process_alive


lines = []  # for people, shown by conftest.py


def record(name, **counts):
    """One line for people and one for programs (build/faults.jsonl)."""
    lines.append(f"faults: {name}: " + ", ".join(f"{what.replace('_', ' ')} {n}"
                                                 for what, n in counts.items()))
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / "faults.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, **counts}) + "\n")


def children(pid):
    """The processes whose parent it is."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def frozen(postmaster):
    """The whole of a PostgreSQL stands still, as on a machine that hangs."""
    stopped = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)
    for pid in children(postmaster):
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
    try:
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def memory_kib(server):
    """The server's own resident memory, without what it shares with files."""
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def wait_ended(pid, seconds):
    deadline = time.monotonic() + seconds
    while process_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@contextlib.contextmanager
def small_disk(mebibytes):
    """A directory on a file system of its own, or None where nothing can be mounted."""
    path = make_directory("aileron-disk-")
    options = f"size={mebibytes}m,mode=0711"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "aileron-test", str(path)],
                          capture_output=True, check=False)
    try:
        yield path if done.returncode == 0 else None
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(path)], check=False)
        path.rmdir()
