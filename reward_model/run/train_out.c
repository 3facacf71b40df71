/* train_out.c - what stands in --out before a run, that no other run writes there, and what is left
 * when one fails. See train.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train.h"

enum { PATH_BYTES = PATH_MAX };

const char *train_out_file(Training *training, const char *name)
{
    Session *s = &training->session;
    Str path = arena_printf(&s->arena, "%s/%s", s->options.out, name);
    return path.ptr ? path.ptr : "";
}

bool train_make_out(Training *training)
{
    Session *s = &training->session;
    char part[PATH_BYTES];
    const char *out = s->options.out;
    if (strlen(out) >= sizeof part)
        return err_set(&s->err, &s->arena, ERR_invalid, NULL, "--out: the path is too long");
    memcpy(part, out, strlen(out) + 1);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(part, 0777);
        *slash = '/';
    }
    struct stat there;
    bool made = mkdir(part, 0777) == 0 || errno == EEXIST;
    if (made && stat(out, &there) == 0 && !S_ISDIR(there.st_mode)) {
        errno = ENOTDIR;
        made = false;
    }
    if (made && access(out, W_OK | X_OK) == 0) return true;
    return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "cannot write in --out %s: %s", out,
                   strerror(errno));
}

/* A second run would take the first one's checkpoints from under it. The lock goes with the
 * process, however it ends; a file system without such locks is used without. */
static bool lock_directory(Training *training)
{
    Session *s = &training->session;
    training->out_lock = open(s->options.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (training->out_lock < 0 || flock(training->out_lock, LOCK_EX | LOCK_NB) == 0 ||
        errno != EWOULDBLOCK)
        return true;
    return err_set(&s->err, &s->arena, ERR_conflict, NULL,
                   "--out %s: another aileron-rm trains there at this moment", s->options.out);
}

/* What stands in --out already: nothing, a run to go on with, or something to leave alone.
 * *finished: there is nothing to do. */
bool train_look_at_out(Training *training, bool *finished)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    if (!lock_directory(training)) return false;
    bool checkpoint = access(train_out_file(training, TRAIN_CHECKPOINTS "/current"), F_OK) == 0;
    bool model = access(train_out_file(training, "config.json"), F_OK) == 0;
    bool report = access(train_out_file(training, TRAIN_REPORT), F_OK) == 0;
    char base[PATH_BYTES], out[PATH_BYTES];
    if (o->base[0] && realpath(o->base, base) && realpath(o->out, out) && strcmp(base, out) == 0)
        return err_set(&s->err, &s->arena, ERR_conflict, NULL,
                       "--out is the directory of --base: it would be overwritten");
    *finished = o->resume && report && !checkpoint;
    if (*finished) {
        checkpoint_remove_all(training); /* what a kill at the very end has left of them */
        return true;
    }
    if (o->overwrite) {
        checkpoint_remove_all(training);
        /* no longer a model, until the new one is whole */
        unlink(train_out_file(training, TRAIN_REPORT));
        unlink(train_out_file(training, "config.json"));
        return true;
    }
    if (o->resume) return checkpoint_find(training, &training->resumed);
    if (checkpoint)
        return err_set(&s->err, &s->arena, ERR_conflict, NULL,
                       "--out %s holds a run that has not ended: --resume goes on with it, "
                       "--overwrite begins anew",
                       o->out);
    return !model || err_set(&s->err, &s->arena, ERR_conflict, NULL,
                             "--out %s holds a model already; name another directory, or give "
                             "--overwrite",
                             o->out);
}

void train_say_what_is_kept(Training *training)
{
    char name[NAME_MAX + 1];
    ssize_t length =
        readlink(train_out_file(training, TRAIN_CHECKPOINTS "/current"), name, sizeof name - 1);
    if (length <= 0) return;
    name[length] = '\0';
    fprintf(stderr, "aileron-rm: the checkpoint %s is kept: --resume goes on from it\n", name);
}
