/* judgment_check.c - what a judgment may say: see judgment_check.h. */
#include "judgment_check.h"

enum {
    RATING_LIMIT = 1000000,
    PLAIN_NUMBER_DIGITS = 18, /* numbers from 10^18 on would come back as other JSON */
};

const ChoiceName choice_names[CHOICE_NAMES] = {
    {"tie", CHOICE_TIE},
    {"both_bad", CHOICE_BOTH_BAD},
    {"cannot_judge", CHOICE_CANNOT_JUDGE},
};

bool place_refuse(const Place *at, const char *message)
{
    return err_set(at->err, at->arena, ERR_invalid, at->pointer, "%s", message);
}

Place place_member(const Place *at, const char *name)
{
    Place inner = *at;
    inner.pointer = json_pointer(at->arena, at->pointer, name);
    return inner;
}

Place place_element(const Place *at, size_t index)
{
    Place inner = *at;
    inner.pointer = json_pointer_index(at->arena, at->pointer, index);
    return inner;
}

static bool index_check(const Place *at, const json_t *value, int *out)
{
    if (!json_is_integer(value))
        return place_refuse(at, "must be the number of a completion");
    json_int_t index = json_integer_value(value);
    if (index < 0 || index >= at->count)
        return err_set(at->err, at->arena, ERR_invalid, at->pointer,
                       "there is no completion %lld", (long long)index);
    *out = (int)index;
    return true;
}

bool choice_check(const Place *at, const json_t *value, int *out)
{
    if (!json_is_string(value))
        return index_check(at, value, out);
    for (size_t i = 0; i < CHOICE_NAMES; i++) {
        if (str_is(json_str(value), choice_names[i].name)) {
            *out = choice_names[i].choice;
            return true;
        }
    }
    return place_refuse(at, "must be the number of a completion, tie, both_bad or cannot_judge");
}

/* [[best,…],…,[worst,…]] names each completion exactly once. */
bool ranking_check(const Place *at, const json_t *ranking)
{
    unsigned seen = 0;
    int named = 0;
    if (!json_is_array(ranking))
        return place_refuse(at, "must be a list of lists");
    for (size_t r = 0; r < json_array_size(ranking); r++) {
        Place place = place_element(at, r);
        const json_t *rank = json_array_get(ranking, r);
        if (json_array_size(rank) == 0) /* also: not a list */
            return place_refuse(&place, "must be a list of completions");
        for (size_t i = 0; i < json_array_size(rank); i++) {
            Place inner = place_element(&place, i);
            int index;
            if (!index_check(&inner, json_array_get(rank, i), &index))
                return false;
            if (seen & 1u << index)
                return place_refuse(&inner, "this completion is ranked twice");
            seen |= 1u << index;
            named++;
        }
    }
    return named == at->count ? true : place_refuse(at, "must name each completion exactly once");
}

bool shown_check(const Place *at, const json_t *shown, RowJudgment *out)
{
    unsigned seen = 0;
    if (json_array_size(shown) != (size_t)at->count)
        return place_refuse(at, "must name each completion exactly once");
    for (int i = 0; i < at->count; i++) {
        Place inner = place_element(at, (size_t)i);
        int index;
        if (!index_check(&inner, json_array_get(shown, (size_t)i), &index))
            return false;
        if (seen & 1u << index)
            return place_refuse(&inner, "this completion is shown twice");
        seen |= 1u << index;
        out->shown[i] = (int8_t)index;
    }
    out->shown_count = at->count;
    return true;
}

static bool strength_check(const Place *at, const json_t *value)
{
    if (!value || json_is_null(value))
        return true;
    json_int_t strength = json_integer_value(value);
    if (!json_is_integer(value) || strength < 1 || strength > STRENGTH_MAX)
        return place_refuse(at, "must be 1, 2 or 3");
    return true;
}

static bool criterion_check(const Place *at, json_t *criterion)
{
    json_t *choice = NULL, *strength = NULL;
    const JsonField fields[] = {
        {.name = "choice", .kind = JSON_FIELD_ANY, .out = &choice, .required = true},
        {.name = "strength", .kind = JSON_FIELD_ANY, .out = &strength},
    };
    if (!json_decode(criterion, fields, LEN(fields), at->pointer, at->arena, at->err))
        return false;
    Place chosen = place_member(at, "choice"), strong = place_member(at, "strength");
    int ignored;
    return choice_check(&chosen, choice, &ignored) && strength_check(&strong, strength);
}

static bool flags_check(const Place *at, json_t *names)
{
    if (!json_is_array(names) || json_array_size(names) > ROW_MEMBERS_MAX)
        return place_refuse(at, "must be a list of names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        Str name = json_str(json_array_get(names, i));
        Place inner = place_element(at, i);
        if (name.len == 0 || name.len > ROW_NAME_MAX)
            return place_refuse(&inner, "must be a name");
    }
    return true;
}

static bool rating_check(const Place *at, json_t *ratings)
{
    const char *name;
    json_t *value;
    if (!json_is_object(ratings) || json_object_size(ratings) > ROW_MEMBERS_MAX)
        return place_refuse(at, "must be an object of numbers");
    json_object_foreach(ratings, name, value) {
        Place inner = place_member(at, name);
        json_int_t rating = json_integer_value(value);
        if (!json_is_integer(value) || rating < -RATING_LIMIT || rating > RATING_LIMIT)
            return place_refuse(&inner, "must be a whole number");
    }
    return true;
}

static bool text_check(const Place *at, json_t *text)
{
    if (!json_is_string(text))
        return place_refuse(at, "must be text");
    if (json_string_length(text) > ROW_TEXT_MAX)
        return err_set(at->err, at->arena, ERR_invalid, at->pointer, "must be at most %d bytes",
                       ROW_TEXT_MAX);
    return true;
}

/* {"0":…}: members named by a completion, each checked by `check`. */
static bool by_completion_check(const Place *at, json_t *object,
                                bool (*check)(const Place *, json_t *))
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        return place_refuse(at, "must be an object");
    json_object_foreach(object, name, value) {
        Place inner = place_member(at, name);
        if (name[0] < '0' || name[0] >= '0' + at->count || name[1] != '\0')
            return place_refuse(&inner, "must be named by the number of a completion");
        if (!check(&inner, value))
            return false;
    }
    return true;
}

static bool criteria_check(const Place *at, json_t *criteria)
{
    const char *name;
    json_t *value;
    if (!json_is_object(criteria) || json_object_size(criteria) > ROW_MEMBERS_MAX)
        return place_refuse(at, "must be an object");
    json_object_foreach(criteria, name, value) {
        Place inner = place_member(at, name);
        if (!criterion_check(&inner, value))
            return false;
    }
    return true;
}

/* Free content, but for numbers the database would write differently. */
static bool metadata_check(const Place *at, const json_t *value)
{
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, name, inner) {
            Place place = place_member(at, name);
            if (!metadata_check(&place, inner))
                return false;
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, inner) {
            Place place = place_element(at, i);
            if (!metadata_check(&place, inner))
                return false;
        }
    } else if (json_is_real(value)) {
        double size = json_real_value(value) < 0 ? -json_real_value(value) : json_real_value(value);
        if (size >= 1e18)
            return err_set(at->err, at->arena, ERR_invalid, at->pointer,
                           "must have at most %d digits", PLAIN_NUMBER_DIGITS);
    }
    return true;
}

bool source_check(const Place *at, Str source)
{
    if (str_is(source, "annotate") || str_is(source, "import"))
        return true;
    bool rule = str_starts(source, "implicit:") && source.len > strlen("implicit:");
    for (size_t i = strlen("implicit:"); rule && i < source.len; i++) {
        char c = source.ptr[i];
        rule = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-' || c == '@';
    }
    return rule ? true : place_refuse(at, "must be annotate, import or implicit:RULE");
}

bool detail_check(const Place *parent, const char *name, json_t *value)
{
    Place at = place_member(parent, name);
    if (strcmp(name, "ranking") == 0)
        return ranking_check(&at, value);
    if (strcmp(name, "rationale") == 0)
        return text_check(&at, value);
    if (strcmp(name, "criteria") == 0)
        return criteria_check(&at, value);
    if (strcmp(name, "flags") == 0)
        return by_completion_check(&at, value, flags_check);
    if (strcmp(name, "ratings") == 0)
        return by_completion_check(&at, value, rating_check);
    if (strcmp(name, "edits") == 0)
        return by_completion_check(&at, value, text_check);
    return json_is_object(value) ? metadata_check(&at, value)
                                 : place_refuse(&at, "must be an object");
}
