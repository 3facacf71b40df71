/* format.c - the table of interchange shapes, and recognising one by its first record. */
#include "format.h"

const Format formats[] = {
    {.name = "aileron", .read = aileron_read, .write_row = aileron_write},
    {.name = "trl-preference", .read = trl_preference_read, .write_pair = trl_preference_write},
    {.name = "trl-implicit", .read = trl_implicit_read, .write_pair = trl_implicit_write},
    {.name = "trl-unpaired", .write_label = trl_unpaired_write},
    {.name = "hh", .read = hh_read, .write_pair = hh_write},
    {.name = "votes", .is_csv = true, .read = votes_read},
};
const size_t formats_count = LEN(formats);

const Format *format_find(Str name)
{
    for (size_t i = 0; i < formats_count; i++)
        if (str_is(name, formats[i].name))
            return &formats[i];
    return NULL;
}

static const char *object_format(const json_t *object)
{
    const json_t *chosen = json_object_get(object, "chosen");
    const json_t *rejected = json_object_get(object, "rejected");
    if (json_object_get(object, "completions"))
        return "aileron";
    if (!chosen || !rejected)
        return NULL;
    if (json_object_get(object, "prompt"))
        return "trl-preference";
    bool dialogues = str_starts(json_str(chosen), "\n\nHuman:") &&
                     str_starts(json_str(rejected), "\n\nHuman:");
    return dialogues && json_object_size(object) == 2 ? "hh" : "trl-implicit";
}

const Format *format_detect(RowReader *reader, Str first)
{
    if (votes_is_header(first))
        return format_find(STR("votes"));
    Err err;
    json_t *object = json_parse(first, &reader->arena, &err);
    const char *name = object_format(object);
    json_decref(object);
    return name ? format_find(str_from(name)) : NULL;
}

void row_reader_init(RowReader *reader)
{
    *reader = (RowReader){0};
    arena_init(&reader->arena, ROW_ARENA_MAX);
    arena_init(&reader->votes.names, MiB(1));
    buf_init(&reader->scratch, ROW_ARENA_MAX);
}

void row_reader_reset(RowReader *reader)
{
    enum { SCRATCH_KEPT_BYTES = 1048576 };
    json_decref(reader->json);
    reader->json = NULL;
    arena_reset(&reader->arena);
    buf_clear(&reader->scratch);
    if (reader->scratch.cap > SCRATCH_KEPT_BYTES)
        buf_release(&reader->scratch);
}

void row_reader_release(RowReader *reader)
{
    row_reader_reset(reader);
    arena_release(&reader->arena);
    arena_release(&reader->votes.names);
    buf_release(&reader->scratch);
}
