/* migrate.c - `aileron migrate`: brings the schema up to date. */
#include "cli.h"
#include "common.h"

#include <stdio.h>

int migrate_command(int argc, char **argv)
{
    Cli cli;
    bool json = false;
    int status;
    const CliOption options[] = {{"json", NULL, &json, NULL, "result as JSON"}};
    if (!cli_begin(&cli, argc, argv, "aileron migrate [--data DIR | --database URL] [--json]",
                   options, LEN(options), &status))
        return status;
    if (cli.argc > 0)
        return cli_end(&cli, cli_misuse(&cli, "migrate takes no \"%s\"", cli.argv[0]));
    int applied = 0;
    if (!cli_open_database(&cli) || !migrate_run(cli.client, &applied, &cli.arena, &cli.err))
        return cli_end(&cli, cli_fail(&cli));
    if (json) {
        Buf out = cli_buf();
        buf_put_format(&out, "{\"applied\":%d}", applied);
        cli_put_json(&out);
    } else if (applied == 0) {
        printf("The schema is up to date.\n");
    } else {
        printf("Applied %d migration%s; the schema is up to date.\n", applied,
               applied == 1 ? "" : "s");
    }
    return cli_end(&cli, CLI_DONE);
}
