/* batch.c - see batch.h. An array is: dimensions, flags, element type, size, lower bound, and then
 * each element's length and bytes; the head is patched when the array is taken. */
#include "batch.h"

#include "identity.h"

enum {
    ARRAY_HEAD_BYTES = 20,
    ARRAY_EMPTY_BYTES = 12,        /* an empty array has no dimension */
    COLUMN_KEPT_BYTES = 4194304,   /* memory kept from batch to batch */
    OID_bool = 16, OID_int2 = 21, OID_int4 = 23, OID_text = 25, OID_json = 114,
    OID_timestamptz = 1184, OID_uuid = 2950,
};

#define POSTGRES_EPOCH_US 946684800000000 /* 2000-01-01 in Unix microseconds */

static const uint32_t element_types[BATCH_COLUMN_COUNT] = {
#define X(name, type) OID_##type,
    BATCH_COLUMNS(X)
#undef X
};

/* ---- elements ---- */

static void put_element(Batch *batch, BatchColumn column, const void *bytes, size_t n)
{
    Buf *out = &batch->columns[column].bytes;
    buf_put_be32(out, (uint32_t)n);
    buf_put(out, bytes, n);
    batch->columns[column].count++;
}

static void put_null(Batch *batch, BatchColumn column)
{
    buf_put_be32(&batch->columns[column].bytes, UINT32_MAX);
    batch->columns[column].count++;
}

static void put_text(Batch *batch, BatchColumn column, Str text)
{
    if (text.ptr)
        put_element(batch, column, text.ptr, text.len);
    else
        put_null(batch, column);
}

static void put_uuid(Batch *batch, BatchColumn column, Uuid id)
{
    put_element(batch, column, id.bytes, sizeof id.bytes);
}

static void put_int2(Batch *batch, BatchColumn column, int value)
{
    Buf *out = &batch->columns[column].bytes;
    buf_put_be32(out, 2);
    buf_put_be16(out, (uint16_t)value);
    batch->columns[column].count++;
}

static void put_int4(Batch *batch, BatchColumn column, int64_t value)
{
    Buf *out = &batch->columns[column].bytes;
    buf_put_be32(out, 4);
    buf_put_be32(out, (uint32_t)value);
    batch->columns[column].count++;
}

static void put_time(Batch *batch, BatchColumn column, int64_t unix_us)
{
    Buf *out = &batch->columns[column].bytes;
    buf_put_be32(out, 8);
    buf_put_be64(out, (uint64_t)(unix_us - POSTGRES_EPOCH_US));
    batch->columns[column].count++;
}

/* An element whose length is known only when it has been written: begin, write, end. */
static size_t begin_element(Batch *batch, BatchColumn column)
{
    Buf *out = &batch->columns[column].bytes;
    buf_put_be32(out, 0);
    batch->columns[column].count++;
    return out->len;
}

static void patch_be32(Buf *out, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out->data[at + (size_t)i] = (char)(value >> (24 - 8 * i));
}

static void end_element(Batch *batch, BatchColumn column, size_t begun)
{
    Buf *out = &batch->columns[column].bytes;
    if (buf_ok(out))
        patch_be32(out, begun - 4, (uint32_t)(out->len - begun));
}

/* ---- the parts of a row ---- */

static bool same_id(Uuid a, Uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

/* False the first time a name's id is seen in this batch (or after another took its place). */
static bool name_known(Batch *batch, Uuid id)
{
    Uuid *place = &batch->names[((unsigned)id.bytes[0] << 8 | id.bytes[1]) % BATCH_NAMES];
    if (same_id(*place, id))
        return true;
    *place = id;
    return false;
}

static void add_prompt(Batch *batch, const Row *row, const RowIds *ids)
{
    if (same_id(batch->last_prompt, ids->prompt))
        return; /* rows about one prompt usually follow each other */
    batch->last_prompt = ids->prompt;
    put_uuid(batch, COLUMN_prompt_id, ids->prompt);
    put_text(batch, COLUMN_prompt_messages, row->prompt);
    put_text(batch, COLUMN_prompt_group, row->group);
    put_int2(batch, COLUMN_prompt_bucket, ids->bucket);
}

static void add_completion(Batch *batch, const RowCompletion *completion, Uuid id, Uuid prompt)
{
    put_int4(batch, COLUMN_completion_row, batch->rows);
    put_uuid(batch, COLUMN_completion_id, id);
    put_uuid(batch, COLUMN_completion_prompt, prompt);
    put_text(batch, COLUMN_completion_content, completion->content);
    put_text(batch, COLUMN_completion_metadata, completion->metadata);
    if (!completion->model.ptr) {
        put_null(batch, COLUMN_completion_model);
        return;
    }
    Uuid model = name_id("model", completion->model);
    put_uuid(batch, COLUMN_completion_model, model);
    if (name_known(batch, model))
        return;
    put_uuid(batch, COLUMN_model_id, model);
    put_text(batch, COLUMN_model_name, completion->model);
}

static void put_shown(Batch *batch, const RowJudgment *judgment)
{
    Buf *out = &batch->columns[COLUMN_judgment_shown].bytes;
    if (judgment->shown_count == 0) {
        put_null(batch, COLUMN_judgment_shown);
        return;
    }
    size_t begun = begin_element(batch, COLUMN_judgment_shown);
    for (int i = 0; i < judgment->shown_count; i++) {
        buf_put_char(out, i ? ',' : '{');
        buf_put_int(out, judgment->shown[i]);
    }
    buf_put_char(out, '}');
    end_element(batch, COLUMN_judgment_shown, begun);
}

static void add_judgment(Batch *batch, const RowJudgment *judgment, Uuid digest, Uuid account)
{
    static const Uuid none;
    Uuid annotator = name_id("annotator", judgment->annotator);
    put_int4(batch, COLUMN_judgment_row, batch->rows);
    put_uuid(batch, COLUMN_judgment_id, judgment_id(judgment, digest));
    put_uuid(batch, COLUMN_judgment_annotator, annotator);
    if (judgment->choice == CHOICE_NONE)
        put_null(batch, COLUMN_judgment_choice);
    else
        put_int2(batch, COLUMN_judgment_choice, judgment->choice);
    if (judgment->strength == 0)
        put_null(batch, COLUMN_judgment_strength);
    else
        put_int2(batch, COLUMN_judgment_strength, judgment->strength);
    put_text(batch, COLUMN_judgment_detail, judgment->detail);
    put_shown(batch, judgment);
    if (judgment->duration_ms < 0)
        put_null(batch, COLUMN_judgment_duration);
    else
        put_int4(batch, COLUMN_judgment_duration, judgment->duration_ms);
    put_text(batch, COLUMN_judgment_source, judgment->source);
    if (judgment->has_at)
        put_time(batch, COLUMN_judgment_at, judgment->at_us);
    else
        put_null(batch, COLUMN_judgment_at);
    if (same_id(account, none))
        put_null(batch, COLUMN_judgment_account);
    else
        put_uuid(batch, COLUMN_judgment_account, account);
    if (name_known(batch, annotator))
        return;
    put_uuid(batch, COLUMN_annotator_id, annotator);
    put_text(batch, COLUMN_annotator_name, judgment->annotator);
}

/* {"a","b"} as PostgreSQL writes arrays, every element quoted. */
static void put_tags(Batch *batch, const Row *row)
{
    Buf *out = &batch->columns[COLUMN_row_tags].bytes;
    size_t begun = begin_element(batch, COLUMN_row_tags);
    buf_put_char(out, '{');
    for (int i = 0; i < row->tag_count; i++) {
        buf_put_text(out, i ? ",\"" : "\"");
        for (size_t k = 0; k < row->tags[i].len; k++) {
            char c = row->tags[i].ptr[k];
            if (c == '"' || c == '\\')
                buf_put_char(out, '\\');
            buf_put_char(out, c);
        }
        buf_put_char(out, '"');
    }
    buf_put_char(out, '}');
    end_element(batch, COLUMN_row_tags, begun);
}

bool batch_add(Batch *batch, const Row *row, const Uuid *accounts)
{
    static const Uuid none;
    static const uint8_t no = 0, yes = 1;
    RowIds ids;
    row_identify(row, &ids);
    batch->rows++;
    put_uuid(batch, COLUMN_row_id, uuid_new());
    put_uuid(batch, COLUMN_row_digest, ids.digest);
    put_uuid(batch, COLUMN_row_content, ids.content);
    put_text(batch, COLUMN_row_key, row->key);
    put_uuid(batch, COLUMN_row_prompt, ids.prompt);
    put_int4(batch, COLUMN_row_first, batch->columns[COLUMN_completion_id].count + 1);
    put_int4(batch, COLUMN_row_last,
             batch->columns[COLUMN_completion_id].count + (uint32_t)row->completion_count);
    put_tags(batch, row);
    put_text(batch, COLUMN_row_metadata, row->metadata);
    put_text(batch, COLUMN_row_gold, row->gold);
    put_int2(batch, COLUMN_row_priority, row->priority);
    put_element(batch, COLUMN_row_textless, row->completions[0].content.ptr ? &no : &yes, 1);
    add_prompt(batch, row, &ids);
    for (int i = 0; i < row->completion_count; i++)
        add_completion(batch, &row->completions[i], ids.completions[i], ids.prompt);
    for (int i = 0; i < row->judgment_count; i++)
        add_judgment(batch, &row->judgments[i], ids.digest, accounts ? accounts[i] : none);
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++)
        if (!buf_ok(&batch->columns[i].bytes))
            return false;
    return true;
}

/* ---- the batch ---- */

static void begin_columns(Batch *batch)
{
    static const char head[ARRAY_HEAD_BYTES];
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++) {
        buf_put(&batch->columns[i].bytes, head, sizeof head);
        batch->columns[i].count = 0;
    }
}

void batch_init(Batch *batch)
{
    *batch = (Batch){0};
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++)
        buf_init(&batch->columns[i].bytes, BATCH_ARRAY_MAX);
    begin_columns(batch);
}

void batch_clear(Batch *batch)
{
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++) {
        buf_clear(&batch->columns[i].bytes);
        if (batch->columns[i].bytes.cap > COLUMN_KEPT_BYTES)
            buf_release(&batch->columns[i].bytes);
    }
    batch->rows = 0;
    batch->last_prompt = (Uuid){{0}};
    memset(batch->names, 0, sizeof batch->names);
    begin_columns(batch);
}

void batch_release(Batch *batch)
{
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++)
        buf_release(&batch->columns[i].bytes);
}

size_t batch_bytes(const Batch *batch)
{
    size_t bytes = 0;
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++)
        bytes += batch->columns[i].bytes.len;
    return bytes;
}

Str batch_column(Batch *batch, BatchColumn column)
{
    PgArray *array = &batch->columns[column];
    Buf *out = &array->bytes;
    assert(out->len >= ARRAY_HEAD_BYTES);
    patch_be32(out, 0, array->count > 0);
    patch_be32(out, 4, 1); /* there may be nulls */
    patch_be32(out, 8, element_types[column]);
    patch_be32(out, 12, array->count);
    patch_be32(out, 16, 1);
    return (Str){out->data, array->count ? out->len : ARRAY_EMPTY_BYTES};
}
