"""100 annotators, 10,000 comparisons, and somebody who kills things: nothing acknowledged is lost,
nothing is doubled, and every comparison gets exactly as many judgments as it wants."""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import faults
import ledger
from aileron import Server, pair_rows, psql, wait_until
from annotators import Crowd

PEOPLE = 100
COMPARISONS = 10_000
OVERLAP = 3
SECONDS = int(os.environ.get("FAULT_SECONDS", "60"))  # of killing
DRAIN_SECONDS = 90  # for the rest, in peace
PAUSE_SECONDS = 0.3, 3.0  # between two misfortunes


class Misfortune(threading.Thread):
    """Kills this and that at random moments until it is told to stop."""

    def __init__(self, server, url, seed):
        super().__init__(daemon=True)
        self.server, self.url = server, url
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.counts = {act.__name__: 0 for act, _ in self.acts()}
        self.failure = None

    def acts(self):
        return [(self.server_killed, 4), (self.postgres_killed, 2), (self.both_killed, 1),
                (self.backend_killed, 1), (self.backends_terminated, 4), (self.leases_expired, 2)]

    def server_killed(self):
        self.server.kill9()
        self.server.start()

    def postgres_killed(self):
        self.server.kill9_postgres()

    def both_killed(self):
        with contextlib.suppress(ProcessLookupError, TypeError):  # it may be down already
            self.server.kill9_postgres()
        self.server.kill9()
        self.server.start()

    def backend_killed(self):
        """PostgreSQL then throws everybody out and recovers."""
        pids = psql(self.url, "select pid from pg_stat_activity"
                              " where application_name like 'aileron%'")
        if pids:
            os.kill(int(self.random.choice(pids)[0]), signal.SIGKILL)

    def backends_terminated(self):
        psql(self.url, "select pg_terminate_backend(pid) from pg_stat_activity"
                       " where application_name like 'aileron%' and random() < 0.6")

    def leases_expired(self):
        ledger.take_back(self.url, 0.5)

    def run(self):
        acts, weights = zip(*self.acts())
        try:
            while not self.over.wait(self.random.uniform(*PAUSE_SECONDS)):
                act = self.random.choices(acts, weights)[0]
                wait_until(lambda act=act: self.happens(act), 60, act.__name__)
                self.counts[act.__name__] += 1
        except BaseException as failure:  # told to the test, which waits for us
            self.failure = failure

    def happens(self, act):
        """False while the database, just killed, cannot be asked to take part."""
        if act not in (self.server_killed, self.both_killed) and not self.database_answers():
            return False
        try:
            act()
        except (AssertionError, ProcessLookupError, TypeError):  # it fell while being asked
            if act in (self.server_killed, self.both_killed):
                raise
            return False
        return True

    def database_answers(self):
        done = subprocess.run(["psql", "-X", "-qAt", "-c", "select 1", self.url],
                              capture_output=True, check=False)
        return done.returncode == 0

    def finish(self):
        self.over.set()
        self.join(90)
        assert not self.is_alive(), "stuck while killing"
        if self.failure:
            raise self.failure
        time.sleep(1)  # the last misfortune may not have been noticed yet
        wait_until(self.database_answers, 60, "the database")


def finish_in_peace(server, url, crowd):
    """What was leased and lost goes back; then everybody works until nothing is left."""
    ledger.take_back(url, 1)
    wait_until(lambda: psql(url, "select count(*) from assignment where state = 'leased'"
                                 " and expires_at < now()") == [["0"]], 60, "expiry")
    crowd.leaving = crowd.thought = 0
    crowd.until_empty = True
    crowd.run(DRAIN_SECONDS)


def test_crash_loop():
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    print(f"FAULT_SEED={seed}")
    with Server() as server:
        project = server.project({"overlap": OVERLAP}, pair_rows(COMPARISONS))
        keys = [project.key("annotator") for _ in range(PEOPLE)]
        url = server.database_url()
        ledger.make_notes(url)
        crowd = Crowd(server.port, project.slug, keys, seed)
        crowd.thought = 2 * SECONDS * PEOPLE / (COMPARISONS * OVERLAP)  # so that it lasts
        misfortune = Misfortune(server, url, seed)
        misfortune.start()
        crowd.run(SECONDS)
        misfortune.finish()
        found = ledger.violations(url, project.slug, crowd.acknowledged, crowd.refused)
        assert found == [] and crowd.wrong == [], (found[:20], crowd.wrong[:20])
        stormy = crowd.counts["acknowledged"]
        finish_in_peace(server, url, crowd)
        found = ledger.violations(url, project.slug, crowd.acknowledged, crowd.refused)
        comparisons, judgments, exact = ledger.totals(url, project.slug)
        killed = sum(n for act, n in misfortune.counts.items() if act != "leases_expired")
        faults.record("crash loop", kills=killed, **misfortune.counts, people=PEOPLE,
                      comparisons=comparisons, overlap=OVERLAP, **crowd.counts,
                      acknowledged_amid_kills=stormy, judgments=judgments, exact=exact,
                      violations=len(found))
        assert found == [] and crowd.wrong == [], (found[:20], crowd.wrong[:20])
        assert crowd.counts["stuck"] == 0 and killed >= SECONDS / 12
        assert exact == comparisons and judgments == comparisons * OVERLAP
        assert judgments == len(crowd.acknowledged)
