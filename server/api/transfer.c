/* transfer.c - import's side, and the people of a project: see transfer.h. The other side is in
 * transfer_export.c. */
#include "transfer.h"

#include <stdlib.h>

/* ---- batches ---- */

void transfer_import_params(DbParam params[IMPORT_PARAMS], int64_t project_id,
                            const Uuid *principal, Batch *batch)
{
    params[0] = db_int(project_id);
    params[1] = principal ? db_uuid(*principal) : db_null();
    for (int i = 0; i < BATCH_COLUMN_COUNT; i++) {
        Str column = batch_column(batch, (BatchColumn)i);
        params[2 + i] = db_binary(column.ptr, column.len);
    }
}

/* "{1,5}" -> numbers; at most `max`. */
static size_t read_numbers(Str text, int32_t *out, size_t max)
{
    size_t count = 0;
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < '0' || c > '9') {
            inside = false;
            continue;
        }
        if (!inside && count == max)
            break;
        if (!inside)
            out[count++] = 0;
        inside = true;
        out[count - 1] = out[count - 1] * 10 + (c - '0');
    }
    return count;
}

bool transfer_import_result(const Rows *rows, ImportResult *result,
                            int32_t conflicts[BATCH_ROWS_MAX])
{
    *result = (ImportResult){0};
    if (rows_count(rows) == 0)
        return false;
    result->counts.prompts = rows_int(rows, 0, rows_column(rows, "prompts"));
    result->counts.completions = rows_int(rows, 0, rows_column(rows, "completions"));
    result->counts.comparisons = rows_int(rows, 0, rows_column(rows, "comparisons"));
    result->counts.judgments = rows_int(rows, 0, rows_column(rows, "judgments"));
    result->rows_adding = rows_int(rows, 0, rows_column(rows, "rows_adding"));
    result->again = rows_bool(rows, 0, rows_column(rows, "raced"));
    result->conflicts = conflicts;
    result->conflict_count = read_numbers(rows_text(rows, 0, rows_column(rows, "conflicts")),
                                          conflicts, BATCH_ROWS_MAX);
    return true;
}

/* ---- people ---- */

enum { PEOPLE_BYTES_MAX = 268435456 };

typedef struct Person {
    char pseudonym[CRYPTO_PSEUDONYM_CHARS + 1];
    Uuid id;
    Str name; /* ptr NULL: an account or a key */
} Person;

struct People {
    size_t count;
    Person *list; /* by pseudonym */
    Arena names;
};

static int person_order(const void *a, const void *b)
{
    return strcmp(((const Person *)a)->pseudonym, ((const Person *)b)->pseudonym);
}

People *transfer_people_new(const Rows *rows, const uint8_t key[CRYPTO_KEY_BYTES])
{
    size_t count = (size_t)rows_count(rows);
    People *people = calloc(1, sizeof *people);
    Person *list = calloc(count + 1, sizeof *list);
    if (!people || !list) {
        free(people);
        free(list);
        return NULL;
    }
    people->list = list;
    arena_init(&people->names, PEOPLE_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        Person *person = &list[people->count];
        Str name = rows_text(rows, (int)i, 1);
        if (name.ptr && crypto_is_pseudonym(name))
            continue; /* is its own pseudonym: nothing to look up */
        person->id = rows_uuid(rows, (int)i, 0);
        person->name = arena_copy(&people->names, name);
        annotator_pseudonym(person->pseudonym, person->id, name, key);
        if (!name.ptr || person->name.ptr)
            people->count++;
    }
    qsort(list, people->count, sizeof *list, person_order);
    return people;
}

void transfer_people_free(People *people)
{
    if (!people)
        return;
    arena_release(&people->names);
    free(people->list);
    free(people);
}

bool transfer_people_find(const People *people, Str pseudonym, Str *name, Uuid *account)
{
    Person wanted = {{0}, {{0}}, {NULL, 0}};
    if (!people || pseudonym.len != CRYPTO_PSEUDONYM_CHARS)
        return false;
    memcpy(wanted.pseudonym, pseudonym.ptr, pseudonym.len);
    const Person *found = bsearch(&wanted, people->list, people->count, sizeof wanted,
                                  person_order);
    if (!found)
        return false;
    if (found->name.ptr)
        *name = found->name;
    else
        *account = found->id;
    return true;
}
