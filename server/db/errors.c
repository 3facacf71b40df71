/* errors.c - what PostgreSQL says, in our words: one table of SQLSTATEs, one of constraints.
 *
 * Constraint names are interface: a constraint a client can run into has a row here, with the JSON
 * pointer of the field and a sentence for the person. A statement may also raise SQLSTATE 'ALnnn'
 * (nnn an HTTP status of base/err.h) with its message as the detail and its hint as the pointer. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct StateRow {
    const char *prefix; /* of the SQLSTATE; the first row that fits counts */
    ErrCode code;
    const char *detail; /* NULL: the server's own message */
} StateRow;

static const StateRow states[] = {
    {"23505", ERR_conflict, "something with the same identity is already there"},
    {"23503", ERR_not_found, "it refers to something that is not there"},
    {"23001", ERR_forbidden, "the ledger is append-only"},
    {"23", ERR_invalid, "a value is outside what is allowed"},
    {"22", ERR_invalid, NULL},
    {"40", ERR_unavailable, "others were changing the same rows; try again"},
    {"55P03", ERR_unavailable, "others hold the same rows; try again"},
    {"57014", ERR_timeout, "the statement took too long"},
    {"54", ERR_too_large, NULL},
    {"08", ERR_unavailable, NULL},
    {"25006", ERR_unavailable, NULL}, /* a standby, or a server set read-only */
    {"28", ERR_unavailable, NULL},    /* not let in */
    {"3D", ERR_unavailable, NULL},    /* no such database */
    {"53", ERR_unavailable, NULL},    /* disk full, out of memory, too many connections */
    {"57P", ERR_unavailable, NULL},   /* shutting down, starting up */
    {"58", ERR_unavailable, NULL},    /* the operating system failed it */
};

typedef struct ConstraintRow {
    const char *name;
    ErrCode code;
    const char *pointer;
    const char *detail;
    bool retry; /* two writers met: sending it again chooses otherwise */
} ConstraintRow;

static const ConstraintRow constraints[] = {
    {"account_login_unique", ERR_conflict, "/login", "this login is taken", false},
    {"account_login_valid", ERR_invalid, "/login",
     "a login has 3 to 64 of a-z 0-9 . _ @ - and begins and ends with a letter or digit", false},
    {"account_name_valid", ERR_invalid, "/name", "a name has 1 to 100 characters", false},
    {"project_slug_unique", ERR_conflict, "/slug", "this project name is taken", false},
    {"project_slug_valid", ERR_invalid, "/slug",
     "a project name has 1 to 63 of a-z 0-9 - and does not begin with -", false},
    {"project_title_valid", ERR_invalid, "/title", "a title has 1 to 200 characters", false},
    {"member_pkey", ERR_conflict, "/login", "this account is a member already", false},
    {"member_account_id_fkey", ERR_not_found, "/login", "there is no such account", false},
    {"member_project_id_fkey", ERR_not_found, NULL, "there is no such project", false},
    {"invite_uses_valid", ERR_gone, NULL, "this invitation has been used up", false},
    {"completion_content_size", ERR_too_large, "/completions", "a text is larger than 1 MiB",
     false},
    {"comparison_digest_unique", ERR_conflict, NULL, "this comparison is already there", false},
    {"comparison_completions_valid", ERR_invalid, "/completions",
     "a comparison has 2 to 9 completions", false},
    {"feedback_choice_valid", ERR_invalid, "/choice", "there is no such choice", false},
    {"feedback_strength_valid", ERR_invalid, "/strength", "strength is 1, 2 or 3", false},
    {"feedback_kind_valid", ERR_invalid, "/choice", "a judgment has a choice or a ranking", false},
    {"snapshot_name_unique", ERR_conflict, "/name", "a snapshot of this name exists", false},
    {"snapshot_name_valid", ERR_invalid, "/name",
     "a snapshot's name has 1 to 100 of letters, digits, . _ -", false},
    {"assignment_pkey", ERR_unavailable, NULL, "another lease was faster; try again", true},
};

bool result_ok(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
           status == PGRES_SINGLE_TUPLE || status == PGRES_EMPTY_QUERY;
}

static const ConstraintRow *constraint_find(const PGresult *result)
{
    const char *name = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    for (size_t i = 0; name && i < LEN(constraints); i++)
        if (strcmp(constraints[i].name, name) == 0) return &constraints[i];
    return NULL;
}

static const StateRow *state_find(const char *sqlstate)
{
    for (size_t i = 0; i < LEN(states); i++)
        if (strncmp(sqlstate, states[i].prefix, strlen(states[i].prefix)) == 0) return &states[i];
    return NULL;
}

bool result_retryable(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!state) return false;
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0) return true;
    const ConstraintRow *row = constraint_find(result);
    return row && row->retry;
}

/* SQLSTATE ALnnn: the statement itself refuses, with an HTTP status. */
static bool err_from_raise(Err *err, Arena *arena, const PGresult *result, const char *state)
{
    if (strncmp(state, "AL", 2) != 0) return false;
    int status = (int)strtol(state + 2, NULL, 10);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    Str pointer = arena_copy(arena, str_from(hint && *hint ? hint : NULL));
    for (int code = ERR_malformed; code <= ERR_timeout; code++) {
        if (err_status((ErrCode)code) != status) continue;
        err_set(err, arena, (ErrCode)code, pointer.ptr, "%s", message ? message : "refused");
        return true;
    }
    return false;
}

void err_from_result(Err *err, Arena *arena, const PGresult *result, const char *statement)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state) { /* made by libpq itself: the connection is gone */
        message = PQresultErrorMessage(result);
        err_set(err, arena, ERR_unavailable, NULL, "%s: %s", statement,
                message && *message ? message : "the connection to the database was lost");
        return;
    }
    if (!message) message = "no message";
    if (err_from_raise(err, arena, result, state)) return;
    const ConstraintRow *constraint = constraint_find(result);
    if (constraint) {
        err_set(err, arena, constraint->code, constraint->pointer, "%s", constraint->detail);
        return;
    }
    const StateRow *row = state_find(state);
    ErrCode code = row ? row->code : ERR_internal;
    if (err_status(code) >= 500) /* goes to the log, so it names the statement */
        err_set(err, arena, code, NULL, "%s: %s (SQLSTATE %s)", statement, message, state);
    else
        err_set(err, arena, code, NULL, "%s", row->detail ? row->detail : message);
}

const char *conn_message(const PGconn *conn, Arena *arena)
{
    const char *message = conn ? PQerrorMessage(conn) : "out of memory";
    size_t n = strlen(message);
    while (n > 0 && (message[n - 1] == '\n' || message[n - 1] == ' ')) n--;
    if (n == 0) return "no reason given";
    Str copy = arena_copy(arena, (Str){message, n});
    if (!copy.ptr) return "the connection failed";
    char *text = (char *)(uintptr_t)copy.ptr; /* ours: the arena's copy */
    size_t kept = 0;                          /* its lines and their indents become single spaces */
    for (size_t i = 0; i < n; i++) {
        bool space = text[i] == '\n' || text[i] == '\t' || text[i] == ' ';
        if (space && kept > 0 && text[kept - 1] == ' ') continue;
        text[kept++] = space ? ' ' : text[i];
    }
    text[kept] = '\0';
    return text;
}
