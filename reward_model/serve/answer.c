/* answer.c - see answer.h. Members are those of vLLM (score, classify, pooling, rerank), which are
 * a superset of what Jina's and llama.cpp's clients read, and of OpenRLHF (get_reward); all of them
 * have "truncated": the most tokens that one of the sequences lost at its beginning. */
#include "answer.h"

#include <math.h>
#include <stdlib.h>

#include "../../server/base/clock.h"

static double value_of(const Ticket *ticket, size_t index)
{
    double score = ticket->scores[index];
    return ticket->request.squash ? 1 / (1 + exp(-score)) : score;
}

static void put_scores(Buf *out, const char *member, const Ticket *ticket)
{
    json_put_key(out, member);
    for (size_t i = 0; i < ticket->request.sequences; i++) {
        buf_put_char(out, i ? ',' : '[');
        json_put_real(out, value_of(ticket, i));
    }
    buf_put_char(out, ']');
}

/* What every list begins and ends with. */
static void put_head(Buf *out, const char *kind, const ServedModel *model, const char *id)
{
    buf_put_format(out, "{\"id\":\"%s-%s\",\"object\":\"list\",\"created\":%lld,\"model\":", kind,
                   id, (long long)(clock_unix_ms() / 1000));
    json_put_text(out, str_from(model->name));
}

static void put_tail(Buf *out, const Ticket *ticket)
{
    buf_put_format(out,
                   ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld,"
                   "\"completion_tokens\":0},\"truncated\":%d}",
                   (long long)ticket->tokens, (long long)ticket->tokens, ticket->cut);
}

/* ---- one object a sequence ---- */

static void put_score(Buf *out, double value)
{
    buf_put_text(out, ",\"object\":\"score\",\"score\":");
    json_put_real(out, value);
}

static void put_class(Buf *out, double value)
{
    buf_put_text(out, ",\"label\":\"LABEL_0\",\"probs\":[");
    json_put_real(out, value);
    buf_put_text(out, "],\"num_classes\":1");
}

static void put_pooling(Buf *out, double value)
{
    buf_put_text(out, ",\"object\":\"pooling\",\"data\":[");
    json_put_real(out, value);
    buf_put_char(out, ']');
}

static void put_list(Buf *out, const Ticket *ticket, void (*put)(Buf *out, double value))
{
    buf_put_text(out, ",\"data\":[");
    for (size_t i = 0; i < ticket->request.sequences; i++) {
        buf_put_format(out, "%s{\"index\":%zu", i ? "," : "", i);
        put(out, value_of(ticket, i));
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
}

/* ---- rerank: the best first ---- */

typedef struct Place {
    double score;
    size_t index;
} Place;

static int compare_places(const void *a, const void *b)
{
    const Place *x = a, *y = b;
    if (x->score > y->score) return -1;
    if (x->score < y->score) return 1;
    return x->index < y->index ? -1 : 1;
}

static void put_results(Buf *out, const Ticket *ticket)
{
    const ScoreRequest *request = &ticket->request;
    size_t count = request->sequences;
    Place *places = malloc(count * sizeof *places);
    if (!places) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) places[i] = (Place){ticket->scores[i], i};
    qsort(places, count, sizeof *places, compare_places);
    if (request->top_n > 0 && (size_t)request->top_n < count) count = (size_t)request->top_n;
    buf_put_text(out, ",\"results\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put_format(out, "%s{\"index\":%zu", i ? "," : "", places[i].index);
        if (request->return_documents) {
            buf_put_text(out, ",\"document\":{\"text\":");
            json_put_text(out, request->asks[0].answers[places[i].index]);
            buf_put_char(out, '}');
        }
        buf_put_text(out, ",\"relevance_score\":");
        json_put_real(out, value_of(ticket, places[i].index));
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
    free(places);
}

/* ---- whole replies ---- */

void answer_write(Buf *out, const Ticket *ticket, const ServedModel *model, const char *id)
{
    static const char *const kinds[SHAPE_COUNT] = {"score", "classify", "pool", "rerank", "reward"};
    ScoreShape shape = ticket->shape;
    if (shape == SHAPE_REWARD) {
        buf_put_char(out, '{');
        put_scores(out, "rewards", ticket);
        buf_put_char(out, ',');
        put_scores(out, "scores", ticket);
        buf_put_format(out, ",\"extra_logs\":{},\"truncated\":%d}", ticket->cut);
        return;
    }
    put_head(out, kinds[shape], model, id);
    if (shape == SHAPE_RERANK) {
        put_results(out, ticket);
    } else if (ticket->request.completions) {
        buf_put_char(out, ',');
        put_scores(out, "scores", ticket);
    } else {
        put_list(out, ticket,
                 shape == SHAPE_SCORE      ? put_score
                 : shape == SHAPE_CLASSIFY ? put_class
                                           : put_pooling);
    }
    put_tail(out, ticket);
}

void answer_write_models(Buf *out, const ServedModel *model, bool list)
{
    if (list) buf_put_text(out, "{\"object\":\"list\",\"data\":[");
    buf_put_text(out, "{\"id\":");
    json_put_text(out, str_from(model->name));
    buf_put_format(out,
                   ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"aileron\","
                   "\"max_model_len\":%d,\"heads\":%d,\"dtype\":\"%s\"}",
                   (long long)model->created, model->max_length, model->heads, model->dtype);
    if (list) buf_put_text(out, "]}");
}
