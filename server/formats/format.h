/* format.h - one file per interchange shape: a text row becomes a Row, a Row becomes a text row.
 *
 * Pure functions, no I/O. A Row's Strs live in the text read or in what the RowReader owns, until
 * row_reader_reset. Choices and rankings count completions from 0, in the order listed. */
#ifndef AILERON_FORMAT_H
#define AILERON_FORMAT_H

#include "../base/crypto.h"
#include "../base/json.h"

enum {
    ROW_COMPLETIONS_MIN = 2,
    ROW_COMPLETIONS_MAX = 9,
    ROW_TEXT_MAX = 1048576,      /* bytes in one text: a message, a completion, a rationale */
    ROW_LINE_MAX = 16777216,     /* bytes in one line */
    ROW_ARENA_MAX = 134217728,   /* bytes of memory for one row */
    ROW_JUDGMENTS_MAX = 10000,
    ROW_TAGS_MAX = 64,
    ROW_NAME_MAX = 1024,         /* bytes in a key, group, model, annotator or tag */
    ROW_MESSAGES_MAX = 4096,     /* messages in one prompt */
    ROW_MEMBERS_MAX = 256,       /* flags, criteria or ratings in one judgment */
    SPLIT_BUCKETS = 10000,
    SPLIT_TRAIN_END = 8000,      /* buckets 0.. are train, */
    SPLIT_VALIDATION_END = 9000, /* from here validation, the rest test */
    CHOICE_TIE = -1,
    CHOICE_BOTH_BAD = -2,
    CHOICE_CANNOT_JUDGE = -3,
    CHOICE_NONE = -4,            /* a ranking only */
};

typedef struct RowCompletion {
    Str model;    /* ptr NULL: absent */
    Str content;  /* ptr NULL: no text known (votes) */
    Str metadata; /* JSON text of an object, or absent */
} RowCompletion;

typedef struct RowJudgment {
    Str annotator;       /* a name; read from a row always there */
    Uuid annotator_id;   /* exports only: who stands behind the pseudonym */
    int choice;          /* 0..8 or CHOICE_* */
    int strength;        /* 1..3, 0 absent */
    Str detail;          /* canonical JSON object (JUDGMENT_DETAILS), or absent */
    int shown_count;     /* 0: not known */
    int8_t shown[ROW_COMPLETIONS_MAX];
    bool has_at;
    int64_t at_us;
    int64_t duration_ms; /* -1 absent */
    Str source;          /* annotate | import | implicit:RULE */
} RowJudgment;

/* The members of RowJudgment.detail: keys of ratings, flags and edits are completion indexes
 * ("0"), a criterion's choice counts completions too. */
#define JUDGMENT_DETAILS(X)                                                                        \
    X(ranking) X(rationale) X(criteria) X(flags) X(ratings) X(edits) X(metadata)

typedef struct Row {
    Str key;
    Str prompt;      /* JSON text: a string or a message list; ptr NULL: unknown (votes) */
    Str group;
    int priority;
    int completion_count;
    RowCompletion completions[ROW_COMPLETIONS_MAX];
    int tag_count;
    Str tags[ROW_TAGS_MAX];
    Str metadata;    /* JSON text of an object, or absent */
    Str gold;        /* JSON text: {"choice":0} or {"ranking":[[0],[1]]}, or absent */
    int judgment_count;
    RowJudgment *judgments;
} Row;

/* ---- reading ---- */

enum { VOTES_COLUMNS_MAX = 64 };

/* Where the columns of a votes file are, once its header has been read. */
typedef struct VotesHeader {
    bool known;
    int count;
    int8_t role[VOTES_COLUMNS_MAX];   /* votes.c: which column this is; -1 one of its own */
    Str name[VOTES_COLUMNS_MAX];      /* in names */
    Arena names;
} VotesHeader;

/* What reading row after row needs. The Row read last is valid until the next row_reader_reset. */
typedef struct RowReader {
    Arena arena;
    json_t *json;      /* the parsed line */
    Buf scratch;
    VotesHeader votes;
} RowReader;

void row_reader_init(RowReader *reader);
void row_reader_reset(RowReader *reader);
void row_reader_release(RowReader *reader);

/* ---- writing ---- */

typedef struct PairOptions {
    bool plain;     /* strings instead of message lists */
    bool margin;    /* adds "margin" */
    bool mark_ties; /* adds "tie" */
    Str more;       /* further members as JSON text, each behind a comma, or absent */
} PairOptions;

/* One of a comparison's completions beat another (or, with tie, was as good). */
typedef struct Pair {
    int chosen;
    int rejected;
    bool tie;
    double margin;
} Pair;

typedef struct Format {
    const char *name;
    bool is_csv; /* records by RFC 4180, the first is the header */
    /* One record -> *row. NULL: a format that is only written. False: err tells what is wrong, its
     * pointer where. A votes header is no row: true with completion_count 0. */
    bool (*read)(RowReader *reader, Str text, Row *row, Err *err);
    /* A whole comparison as one line. */
    void (*write_row)(Buf *out, const Row *row, Arena *arena);
    /* One preference as one line. */
    void (*write_pair)(Buf *out, const Row *row, const Pair *pair, const PairOptions *options,
                       Arena *arena);
    /* One completion with its label as one line. */
    void (*write_label)(Buf *out, const Row *row, int completion, bool label, bool tie,
                        const PairOptions *options, Arena *arena);
} Format;

extern const Format formats[];
extern const size_t formats_count;

/* By name; NULL when there is none of that name. */
const Format *format_find(Str name);
/* Recognises a format by a file's first record; NULL when it is none we read. */
const Format *format_detect(RowReader *reader, Str first);

/* aileron.c */
bool aileron_read(RowReader *reader, Str text, Row *row, Err *err);
void aileron_write(Buf *out, const Row *row, Arena *arena);
/* trl_preference.c, trl_implicit.c, trl_unpaired.c */
bool trl_preference_read(RowReader *reader, Str text, Row *row, Err *err);
void trl_preference_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options,
                          Arena *arena);
bool trl_implicit_read(RowReader *reader, Str text, Row *row, Err *err);
void trl_implicit_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options,
                        Arena *arena);
void trl_unpaired_write(Buf *out, const Row *row, int completion, bool label, bool tie,
                        const PairOptions *options, Arena *arena);
/* hh.c */
bool hh_read(RowReader *reader, Str text, Row *row, Err *err);
void hh_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options, Arena *arena);
/* votes.c */
bool votes_read(RowReader *reader, Str text, Row *row, Err *err);
bool votes_is_header(Str record);

#endif
