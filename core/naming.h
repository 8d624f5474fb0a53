/*
 * Naming: what labels' names say of a record. Labels are often called what their records are about, as transfer_money
 * and libdevel are; such a name tells of a label before a record has [Chang, Ratinov, Roth, Srikumar 2008, "Importance
 * of semantic representation: dataless classification"]. A name is cut into terms as a text is, and
 *
 *     likeness(y) = sum_f x_f n_fy        x: features of the record, n_y: those of y's name, each of unit length
 *
 * is the cosine of record and name. Of a name like label_07 no record says anything, and it is like none.
 *
 * Postings: an open table of (feature, label, weight), in which a feature may stand many times.
 */
#ifndef ATOLL_CORE_NAMING_H
#define ATOLL_CORE_NAMING_H

#include "core/features.h"
#include "core/pages.h"

/* Names of so many labels at most hold a feature; that it is in the others' as well is not known. */
enum { ATOLL_NAMING_SHARED = 32 };

/* Plain data: copy it to freeze it. */
typedef struct atoll_naming {
    uint32_t postings;
    atoll_array table;
} atoll_naming;

void atoll_naming_init(atoll_naming *naming);
void atoll_naming_clear(atoll_pager *pager, atoll_naming *naming);

/* A name as text that is cut into words: camelCase too. `text` has room for twice its bytes; the bytes written. */
size_t atoll_naming_spell(atoll_slice name, char *text);

/* Features of a label's name, with their weights of today; what it was given earlier stays where it is not among them.
 * ATOLL_NO_MEMORY may leave a part of them in. */
atoll_status atoll_naming_put(atoll_pager *pager, atoll_naming *naming, const uint32_t *bucket, const float *weight,
                              uint32_t features, uint32_t label, atoll_error *error);

/* likeness[labels] of one record; whether it is more than 0 for any. */
bool atoll_naming_hear(const atoll_naming *naming, const uint32_t *bucket, const float *weight, uint32_t features,
                       float *likeness, uint32_t labels);

uint64_t atoll_naming_bytes(const atoll_naming *naming);

#endif
