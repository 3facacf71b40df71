/* fuzz_import.h - hostile files of one format through the whole import engine. The first byte tells
 * in how large pieces the rest arrives. Whatever is accepted must be good: written in the native
 * shape and read again it has the same ids and the same text. */
#include "../../server/formats/identity.h"
#include "../../server/formats/importer.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void heard(void *context, const ImportRefusal *refusal)
{
    (void)context;
    if (refusal->line < 1 || !refusal->error || !refusal->error[0] || !refusal->pointer) abort();
    if (!utf8_valid(str_from(refusal->error), NULL)) abort();
    if (refusal->pointer[0] && refusal->pointer[0] != '/') abort();
}

static void land(Importer *importer)
{
    for (Batch *batch; (batch = importer_ready(importer));) {
        for (int i = 0; i < BATCH_COLUMN_COUNT; i++)
            if (batch_column(batch, (BatchColumn)i).len < 12) abort();
        importer_landed(importer, &(ImportResult){.rows_adding = batch->rows});
    }
}

static void import_bytes(const Format *format, Str bytes, size_t step)
{
    const ImporterOptions options = {.format = format, .first_line = 1, .keep_text = true,
                                     .refuse = heard};
    Importer *importer = importer_new(&options);
    if (!importer) return;
    while (bytes.len) {
        Str piece = {bytes.ptr, step < bytes.len ? step : bytes.len};
        bytes = str_skip(bytes, importer_feed(importer, piece));
        land(importer);
    }
    importer_end(importer);
    land(importer);
    if (!importer_idle(importer) || importer_failed(importer)) abort();
    importer_free(importer);
}

/* One record by itself: what was accepted survives the native shape. */
static void check_row(const Format *format, Str text)
{
    RowReader first, second;
    Row row, again;
    RowIds ids, ids_again;
    Buf out, out_again;
    Err err = {0};
    row_reader_init(&first);
    row_reader_init(&second);
    buf_init(&out, MiB(64));
    buf_init(&out_again, MiB(64));
    bool ready = !format->is_csv ||
                 format->read(&first, STR("prompt_id,model_a,model_b,annotator,winner,prompt,"
                                          "response_a,response_b,other"), &row, &err);
    if (ready && format->read(&first, text, &row, &err)) {
        row_identify(&row, &ids);
        aileron_write(&out, &row, &first.arena);
        out.len--;
        if (!aileron_read(&second, buf_str(&out), &again, &err)) abort();
        row_identify(&again, &ids_again);
        aileron_write(&out_again, &again, &second.arena);
        out_again.len--;
        if (!str_equal(buf_str(&out), buf_str(&out_again))) abort();
        if (memcmp(&ids, &ids_again, sizeof(Uuid)) != 0) abort();
        for (int i = 0; i < row.judgment_count; i++) {
            Uuid a = judgment_id(&row.judgments[i], ids.digest);
            Uuid b = judgment_id(&again.judgments[i], ids_again.digest);
            if (memcmp(&a, &b, sizeof a) != 0) abort();
        }
    } else if (!err.detail || !err.pointer) {
        abort();
    }
    buf_release(&out);
    buf_release(&out_again);
    row_reader_release(&first);
    row_reader_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const Format *format = format_find(STR(FUZZ_FORMAT));
    if (!crypto_init() || !format || size == 0) return 0;
    Str bytes = {(const char *)data + 1, size - 1};
    import_bytes(format, bytes, (size_t)data[0] + 1);
    import_bytes(NULL, bytes, (size_t)data[0] + 1);
    check_row(format, bytes);
    return 0;
}
