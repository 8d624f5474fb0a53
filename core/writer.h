/* Writing JSON and other text into a buffer that grows. A failed allocation is remembered: ask once at the end. */
#ifndef ATOLL_CORE_WRITER_H
#define ATOLL_CORE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct atoll_writer {
    char *data; /* free() it, or hand it on; not terminated unless atoll_writer_terminate was called */
    size_t bytes, capacity;
    bool failed; /* memory ran short: what is there is not whole */
    bool comma;  /* the next JSON value or name wants a comma before it */
} atoll_writer;

void atoll_writer_init(atoll_writer *writer);
void atoll_writer_free(atoll_writer *writer);
void atoll_writer_raw(atoll_writer *writer, const char *data, size_t bytes);
void atoll_writer_text(atoll_writer *writer, const char *text);
void atoll_writer_format(atoll_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool atoll_writer_terminate(atoll_writer *writer); /* adds a zero byte that does not count; false where failed */

/* JSON. Commas come by themselves. */
void atoll_json_object_begin(atoll_writer *writer);
void atoll_json_object_end(atoll_writer *writer);
void atoll_json_array_begin(atoll_writer *writer);
void atoll_json_array_end(atoll_writer *writer);
void atoll_json_name(atoll_writer *writer, const char *name);
void atoll_json_put_string(atoll_writer *writer, const char *data, size_t bytes); /* escaped; data is UTF-8 */
void atoll_json_put_text(atoll_writer *writer, const char *text);                 /* the same, terminated */
void atoll_json_put_uint(atoll_writer *writer, uint64_t value);
void atoll_json_put_int(atoll_writer *writer, int64_t value);
/* Integers below 1e15 exactly; others the shortest that reads back as the same float; null where not finite. */
void atoll_json_put_double(atoll_writer *writer, double value);
void atoll_json_put_bool(atoll_writer *writer, bool value);
void atoll_json_put_null(atoll_writer *writer);
void atoll_json_newline(atoll_writer *writer); /* ends a line of NDJSON */

#endif
