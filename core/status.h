/*
 * Status codes: every function of Atoll that can fail returns one, and puts the particulars into a caller's
 * atoll_error. A code's name is stable: it is the `code` of an API problem and may be relied on by clients.
 */
#ifndef ATOLL_CORE_STATUS_H
#define ATOLL_CORE_STATUS_H

/*   identifier            stable code               general text                                                */
#define ATOLL_STATUS_MAP(X)                                                                                       \
    X(OK,                  "ok",                     "success")                                                   \
    X(INVALID_JSON,        "invalid_json",           "the body is not valid JSON")                                \
    X(INVALID_UTF8,        "invalid_utf8",           "the text is not valid UTF-8")                               \
    X(INVALID_RECORD,      "invalid_record",         "the record is not of the expected form")                    \
    X(EMPTY_RECORD,        "empty_record",           "the record has neither text nor vector")                    \
    X(EMPTY_TEXT,          "empty_text",             "the record's text holds neither word nor mark")             \
    X(TEXT_TOO_LONG,       "text_too_long",          "the record's text is over its length limit")                \
    X(LABEL_TOO_LONG,      "label_too_long",         "a label is over its length limit")                          \
    X(MISSING_LABEL,       "missing_label",          "a record to learn from has no label")                       \
    X(TOO_MANY_LABELS,     "too_many_labels",        "the model holds as many labels as it may")                  \
    X(WRONG_DIMENSION,     "wrong_dimension",        "the vector's length is not the model's")                    \
    X(TOO_MANY_TOKENS,     "too_many_tokens",        "the record holds more tokens than it may")                  \
    X(NOT_FINITE,          "not_finite",             "a number is NaN or infinite")                               \
    X(TOO_MANY_RECORDS,    "too_many_records",       "the request holds more records than it may")                \
    X(BODY_TOO_LARGE,      "body_too_large",         "the body is over its size limit")                           \
    X(INVALID_NAME,        "invalid_name",           "the model's name is not 1 to 64 of A-Z a-z 0-9 . _ -")      \
    X(UNKNOWN_MODEL,       "unknown_model",          "no model has this name")                                    \
    X(UNKNOWN_EXPERT,      "unknown_expert",         "the model has no such expert")                              \
    X(UNKNOWN_PATH,        "unknown_path",           "nothing is served at this path")                            \
    X(METHOD_NOT_ALLOWED,  "method_not_allowed",     "the path does not take this method")                        \
    X(UNSUPPORTED_TYPE,    "unsupported_media_type", "the content type is not taken here")                        \
    X(UNKNOWN_KEY,         "unknown_key",            "a key is not known here")                                   \
    X(OUT_OF_RANGE,        "out_of_range",           "a value is outside its range")                              \
    X(INVALID_VALUE,       "invalid_value",          "a value is not of the expected kind")                       \
    X(INVALID_CRON,        "invalid_cron",           "the cron expression cannot be read")                        \
    X(FIXED_SETTING,       "fixed_setting",          "the setting cannot change once the model exists")           \
    X(BAD_REQUEST,         "bad_request",            "the request cannot be understood")                          \
    X(WRONG_STATE,         "wrong_state",            "the object is not in a state that allows this")             \
    X(NOT_FOUND,           "not_found",              "what was asked for is not there")                           \
    X(BUSY,                "busy",                   "more is waiting than may wait")                             \
    X(TIMEOUT,             "timeout",                "the wait was longer than it may be")                        \
    X(EMBEDDING_DOWN,      "embedding_unreachable",  "the embedding server does not answer as it should")         \
    X(SHUTTING_DOWN,       "shutting_down",          "the server is going down")                                  \
    X(NO_SPACE,            "no_space",               "the disk or the store's map is full")                       \
    X(NO_MEMORY,           "no_memory",              "memory could not be had")                                   \
    X(NEWER_FORMAT,        "newer_format",           "the store was written by a newer version")                  \
    X(OLDER_FORMAT,        "older_format",           "the store was written by an older version")                  \
    X(DAMAGED,             "damaged",                "stored data does not pass its checks")                      \
    X(IO,                  "io",                     "the operating system refused an operation")                 \
    X(UNSUPPORTED,         "unsupported",            "this is not supported")                                     \
    X(INTERNAL,            "internal",               "an invariant of the server does not hold")

typedef enum atoll_status {
#define X(name, code, text) ATOLL_##name,
    ATOLL_STATUS_MAP(X)
#undef X
    ATOLL_STATUS_COUNT
} atoll_status;

enum { ATOLL_ERROR_DETAIL_BYTES = 256 };

/* Where a failing call leaves its particulars. Plain data; `detail` is UTF-8 and always terminated. */
typedef struct atoll_error {
    atoll_status status;
    char detail[ATOLL_ERROR_DETAIL_BYTES];
} atoll_error;

/* The stable code ("invalid_json") and the general text of a status; both live for ever. */
const char *atoll_status_code(atoll_status status);
const char *atoll_status_text(atoll_status status);

/* Fills `error` (which may be NULL) and returns `status`: a failing function ends in `return atoll_fail(…)`. */
atoll_status atoll_fail(atoll_error *error, atoll_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
