/* Limits of everything whose size comes from outside. A value over its limit is refused with a status, never cut. */
#ifndef ATOLL_CORE_LIMITS_H
#define ATOLL_CORE_LIMITS_H

enum {
    ATOLL_NAME_MAX_BYTES = 64,           /* a model's name */
    ATOLL_ID_MAX_BYTES = 256,            /* a record's id */
    ATOLL_LABEL_MAX_BYTES = 256,         /* a label */
    ATOLL_DOMAIN_MAX_BYTES = 256,        /* a domain hint */
    ATOLL_TEXT_MAX_BYTES = 64 * 1024,    /* a record's text */
    ATOLL_FEATURES_MAX = 8192,           /* distinct features kept of one text; later ones are not read */
    ATOLL_VECTOR_MAX_DIM = 16384,        /* a record's vector, or each of its tokens */
    ATOLL_TOKENS_MAX = 256,              /* vectors among a record's tokens; words of a text that are routed apart */
    ATOLL_NUMBERS_MAX = 65536,           /* of a record, in its vector or all its tokens */
    ATOLL_COMMIT_MAX_RECORDS = 1024,     /* records in one journal entry */
    ATOLL_REQUEST_MAX_RECORDS = 100000,  /* records in one request */
    ATOLL_BODY_MAX_BYTES = 64 << 20,     /* a request's body, unless the server is told otherwise */
    ATOLL_JSON_MAX_DEPTH = 32,           /* nesting of a JSON body */
    ATOLL_LABELS_MAX = 16384,            /* labels of one model */
    ATOLL_DOMAINS_MAX = 4096,            /* named domains of one model */
    ATOLL_EXPERTS_MAX = 1024,            /* experts of one model, archived ones included */
    ATOLL_TOP_MAX = 256,                 /* labels in one answer */
    ATOLL_NEIGHBOURS = 16,               /* neighbours that retrieval looks at */
    ATOLL_REPLAYS_MAX = 16,              /* exemplars that are learned again with a new record */
    ATOLL_EXPLAIN_NEIGHBOURS = 8,        /* neighbours in one answer */
    ATOLL_EXPLAIN_TOKENS = 64,           /* tokens in one answer, */
    ATOLL_EXPLAIN_EXPERTS = 8,           /* experts of each, */
    ATOLL_EXPLAIN_WORD_BYTES = 63,       /* and what is shown of a word */
    ATOLL_EMBEDDING_MAX_DIM = 4096
};

#endif
