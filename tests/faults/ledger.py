"""What must hold between what clients were told and what the database holds."""
from aileron import psql

STANDING = """select i.id, choice_to_slot(i.shown, f.choice)
  from feedback f join impression i on i.project_id = f.project_id and i.id = f.impression_id
 where f.project_id = {project} and f.kind = 'judgment'"""

# Each row of these is a violation.
RULES = {
    "a lease with two judgments": """
        select impression_id from feedback where project_id = {project} and kind = 'judgment'
         group by impression_id having count(*) > 1""",
    "a person with two judgments of a comparison": """
        select annotator_id, comparison_id from feedback
         where project_id = {project} and kind = 'judgment'
         group by annotator_id, comparison_id having count(*) > 1""",
    "answered is not the ledger's count, or more than wanted": """
        select c.id, c.answered, c.wanted, count(f.id) from comparison c
          left join feedback f on f.project_id = c.project_id and f.comparison_id = c.id
                              and f.kind = 'judgment'
         where c.project_id = {project} group by c.project_id, c.id
        having c.answered <> count(f.id) or c.answered > c.wanted""",
    "taken is not answers and open leases": """
        select c.id, c.taken, c.answered, count(a.*) from comparison c
          left join assignment a on a.project_id = c.project_id and a.comparison_id = c.id
                                and a.state = 'leased'
         where c.project_id = {project} group by c.project_id, c.id
        having c.taken <> c.answered + count(a.*)""",
    "an assignment that does not stand on its judgment": """
        select a.comparison_id, a.annotator_id, a.state from assignment a
          left join feedback f on f.project_id = a.project_id and f.id = a.feedback_id
                              and f.annotator_id = a.annotator_id
                              and f.comparison_id = a.comparison_id and f.kind = 'judgment'
         where a.project_id = {project} and (a.state = 'answered') <> (f.id is not null)""",
    "a comparison shown again to a person who had not lost it": """
        select annotator_id, comparison_id from impression
         where project_id = {project} and surface = 'annotate'
           and (annotator_id, comparison_id) not in (select annotator_id, comparison_id
                                                       from taken_back)
         group by annotator_id, comparison_id having count(*) > 1""",
}


def project_id(url, slug):
    return int(psql(url, f"select id from project where slug = '{slug}'")[0][0])


def make_notes(url):
    """Remembers which leases a test took back, so that a second showing of them is right."""
    psql(url, "create table taken_back (annotator_id uuid, comparison_id uuid)")


def take_back(url, share):
    """Lets a share of the open leases run out at once."""
    psql(url, f"""with gone as (update assignment set expires_at = now() - interval '1 second'
                                 where state = 'leased' and random() < {share}
                             returning annotator_id, comparison_id)
                  insert into taken_back select * from gone""")


def violations(url, slug, acknowledged, refused):
    """A list of sentences; empty when everything holds."""
    project = project_id(url, slug)
    found = []
    stored = {}
    for lease, choice in psql(url, STANDING.format(project=project)):
        stored.setdefault(lease, []).append(choice)
    for lease, choice in acknowledged.items():
        if stored.get(lease) != [choice]:
            found.append(f"acknowledged {choice} of {lease}, stored {stored.get(lease)}")
    for lease, status in refused.items():
        if lease in stored and lease not in acknowledged:
            found.append(f"refused {lease} with {status}, stored {stored[lease]}")
    for name, rule in RULES.items():
        found += [f"{name}: {row}" for row in psql(url, rule.format(project=project))]
    return found


def totals(url, slug):
    """(comparisons, judgments, comparisons answered exactly as often as wanted)"""
    project = project_id(url, slug)
    row = psql(url, f"""select count(*), (select count(*) from feedback where project_id = {project}
                                             and kind = 'judgment'),
                               count(*) filter (where answered = wanted)
                          from comparison where project_id = {project}""")[0]
    return tuple(int(n) for n in row)
