/* probe_hub.c - model directories for tests that compare with other programs:
 *
 *   probe_hub export DIRECTORY OUT F32|F16|BF16 HEADS TEMPLATE   opens, loads and exports
 *   probe_hub score DIRECTORY   texts as "LENGTH\nBYTES" on standard input -> a line of scores
 * each, one score for each head, of the text as it is */
#include <stdio.h>
#include <stdlib.h>
#include "../../reward_model/hub/hub.h"
#include "../../server/base/crypto.h"

typedef struct Probe {
    Arena arena;
    Err err;
    Device *device;
    Hub hub;
    Model *model;
} Probe;

static bool open_model(Probe *p, const char *directory, int32_t heads)
{
    const Ops *ops = ops_find("cpu", &p->arena, &p->err);
    const DeviceOptions device = {.threads = 1, .compute = DTYPE_F32};
    if (ops == NULL) return false;
    p->device = ops->open(&device, &p->arena, &p->err);
    if (p->device == NULL) return false;
    if (strcmp(directory, "tiny") == 0) directory = NULL;
    if (!hub_open(&p->hub, directory, &p->arena, &p->err)) return false;
    if (heads == 0) heads = p->hub.heads;
    const ModelOptions options = {.mode = TRAIN_NOTHING, .heads = heads, .seed = 1};
    p->model = model_new(p->device, &p->hub.config, &options, &p->arena, &p->err);
    return p->model != NULL && hub_load(&p->hub, p->model, &p->arena, &p->err);
}

static bool export(Probe *p, char **argv)
{
    HubExport options = {.mean = 0.5, .deviation = 2, .report_key = "{\"made_by\": \"a test\"}"};
    options.type = strcmp(argv[4], "F32") == 0   ? TENSOR_F32
                   : strcmp(argv[4], "F16") == 0 ? TENSOR_F16
                                                 : TENSOR_BF16;
    return open_model(p, argv[2], atoi(argv[5])) &&
           template_find(str_from(argv[6]), &options.chat) &&
           hub_pad_id(&p->hub, NULL, &options.pad_id, &p->arena, &p->err) &&
           hub_export(&p->hub, p->model, argv[3], &options, &p->arena, &p->err);
}

static bool score_text(Probe *p, Str text)
{
    TokenIds ids = {0};
    Batch batch = {0};
    float scores[MODEL_HEADS_SCORE_MAX];
    if (!tokenizer_encode(p->hub.tokenizer, text, &ids)) return false;
    const Sequence sequence = {ids.ids, (int32_t)ids.count};
    const Group group = {&sequence, 1};
    bool ok = batch_build(&batch, &group, 1, (BatchOptions){0}, &p->arena, &p->err) &&
              model_forward(p->model, &batch, false, scores, &p->arena, &p->err);
    for (int32_t i = 0; ok && i < model_heads(p->model); i++)
        printf("%s%.9g", i > 0 ? " " : "", (double)scores[i]);
    printf("\n");
    token_ids_release(&ids);
    batch_free(&batch);
    return ok;
}

static bool score(Probe *p, const char *directory)
{
    size_t length;
    if (!open_model(p, directory, 0)) return false;
    while (scanf("%zu", &length) == 1 && getchar() == '\n') {
        char *bytes = malloc(length + 1);
        bool ok = bytes != NULL && fread(bytes, 1, length, stdin) == length &&
                  score_text(p, (Str){bytes, length});
        free(bytes);
        if (!ok) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    Probe p = {0};
    arena_init(&p.arena, GiB(1));
    bool ok = crypto_init() && argc > 2 && (argc == 7 ? export(&p, argv) : score(&p, argv[2]));
    if (!ok) fprintf(stderr, "%s\n", p.err.detail != NULL ? p.err.detail : "failed");
    if (p.hub.files != NULL) hub_close(&p.hub);
    if (p.model != NULL) model_free(p.model);
    if (p.device != NULL) p.device->ops->close(p.device);
    arena_release(&p.arena);
    return ok ? 0 : 1;
}
