/* connect.c - how every connection is made: the keywords both the lanes and the client use.
 *
 * A dead peer must be noticed: keepalives find one that vanished while we wait, and the lanes' own
 * watch (lane.c) one that hangs. Keywords before dbname are defaults that the URL may override. */
#include "internal.h"

void db_keywords(DbKeywords *out, const char *url, const char *application)
{
    const DbKeywords keywords = {
        {"keepalives_idle", "keepalives_interval", "keepalives_count", "connect_timeout", "dbname",
         "application_name", "client_encoding", NULL},
        {"30", "10", "3", "10", url, application, "UTF8", NULL},
    };
    *out = keywords;
}

/* Server notices are of no interest to anyone; libpq would print them on standard error. */
void db_drop_notice(void *context UNUSED, const PGresult *result UNUSED)
{
}

PGconn *db_connect_start(const char *url, const char *application)
{
    DbKeywords with;
    db_keywords(&with, url, application);
    PGconn *conn = PQconnectStartParams(with.keywords, with.values, 1);
    if (conn) PQsetNoticeReceiver(conn, db_drop_notice, NULL);
    return conn;
}
