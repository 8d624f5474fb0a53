#include "api/route.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SEGMENTS_MAX = 8 };

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place; false for a bad escape or an encoded zero byte. */
static bool decode(char *text, bool plus_is_space)
{
    char *out = text;
    for (char *in = text; *in; in++) {
        char c = *in;
        if (c == '%') {
            int high = hex(in[1]), low = high < 0 ? -1 : hex(in[2]);
            if (low < 0 || !(high | low))
                return false;
            c = (char)(high << 4 | low);
            in += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        *out++ = c;
    }
    *out = 0;
    return true;
}

/* Cuts "/a/b" into its segments, each decoded. */
static atoll_status cut_path(char *path, char *segment[SEGMENTS_MAX], uint32_t *count, atoll_error *error)
{
    *count = 0;
    for (char *p = path + 1; p;) {
        if (*count == SEGMENTS_MAX)
            return atoll_fail(error, ATOLL_UNKNOWN_PATH, "nothing is served at this path");
        char *slash = strchr(p, '/');
        if (slash)
            *slash = 0;
        segment[(*count)++] = p;
        if (!decode(p, false))
            return atoll_fail(error, ATOLL_BAD_REQUEST, "bad percent-encoding in the path");
        p = slash ? slash + 1 : NULL;
    }
    return ATOLL_OK;
}

/* Whether the pattern fits the segments; tells where {model} and {id} stand. */
static bool fits(const char *pattern, char *const *segment, uint32_t count, atoll_target *out)
{
    const char *p = pattern + 1;
    out->model = out->id = "";
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strcspn(p, "/");
        if (bytes == 7 && !memcmp(p, "{model}", 7))
            out->model = segment[i];
        else if (bytes == 4 && !memcmp(p, "{id}", 4))
            out->id = segment[i];
        else if (strlen(segment[i]) != bytes || memcmp(p, segment[i], bytes))
            return false;
        p += bytes;
        if (i + 1 == count)
            return !*p;
        if (*p++ != '/')
            return false;
    }
    return false;
}

static bool serves(const atoll_route *route, const char *method)
{
    return !strcmp(route->method, method) || (!strcmp(method, "HEAD") && !strcmp(route->method, "GET"));
}

static void allow(atoll_target *out, const char *method)
{
    size_t used = strlen(out->allow);
    snprintf(out->allow + used, sizeof out->allow - used, "%s%s%s", used ? ", " : "", method,
             strcmp(method, "GET") ? "" : ", HEAD");
}

/* `known` holds the names, each followed by a space. */
static bool knows(const char *known, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *p = known; p && *p; p += strcspn(p, " ") + 1)
        if (strcspn(p, " ") == bytes && !memcmp(p, name, bytes))
            return true;
    return false;
}

static atoll_status cut_query(char *query, atoll_target *out, atoll_error *error)
{
    for (char *p = query; p;) {
        char *next = strchr(p, '&');
        if (next)
            *next++ = 0;
        char *value = strchr(p, '=');
        if (value)
            *value++ = 0;
        if (!decode(p, true) || (value && !decode(value, true)))
            return atoll_fail(error, ATOLL_BAD_REQUEST, "bad percent-encoding in the query");
        if (*p) {
            if (!knows(out->route->query, p))
                return atoll_fail(error, ATOLL_UNKNOWN_KEY, "unknown query parameter \"%.64s\"", p);
            if (atoll_target_query(out, p) || out->query_count == ATOLL_QUERY_MAX)
                return atoll_fail(error, ATOLL_UNKNOWN_KEY, "query parameter \"%.64s\" comes twice", p);
            out->query[out->query_count].name = p;
            out->query[out->query_count++].value = value ? value : "";
        }
        p = next;
    }
    return ATOLL_OK;
}

/* A target from where its path begins: an absolute one, as proxies send, is taken as well [RFC 9112, 3.2.2]. NULL for
 * what has none. */
static const char *path_of(const char *target)
{
    static const char scheme[] = "http://";
    if (strncasecmp(target, scheme, sizeof scheme - 1))
        return target[0] == '/' ? target : NULL;
    target += sizeof scheme - 1;
    target += strcspn(target, "/?");
    return *target == '/' ? target : NULL;
}

atoll_status atoll_route_match(const atoll_route *routes, uint32_t count, const char *method, const char *target,
                               atoll_target *out, atoll_error *error)
{
    char *segment[SEGMENTS_MAX];
    uint32_t segments;
    out->route = NULL;
    out->model = out->id = "";
    out->query_count = 0;
    out->allow[0] = 0;
    size_t bytes = strlen(target);
    if (bytes >= sizeof out->space)
        return atoll_fail(error, ATOLL_BAD_REQUEST, "the target is over %d bytes", ATOLL_TARGET_MAX_BYTES - 1);
    target = path_of(target);
    if (!target)
        return atoll_fail(error, ATOLL_BAD_REQUEST, "the target is no path");
    memcpy(out->space, target, strlen(target) + 1);
    char *query = strchr(out->space, '?');
    if (query)
        *query++ = 0;
    atoll_status status = cut_path(out->space, segment, &segments, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        if (!fits(routes[i].path, segment, segments, out))
            continue;
        if (serves(&routes[i], method)) {
            out->route = &routes[i];
            out->allow[0] = 0; /* for refused methods only */
            return cut_query(query, out, error);
        }
        allow(out, routes[i].method);
    }
    if (out->allow[0])
        return atoll_fail(error, ATOLL_METHOD_NOT_ALLOWED, "this path takes %s", out->allow);
    return atoll_fail(error, ATOLL_UNKNOWN_PATH, "nothing is served at this path");
}

const char *atoll_target_query(const atoll_target *target, const char *name)
{
    for (uint32_t i = 0; i < target->query_count; i++)
        if (!strcmp(target->query[i].name, name))
            return target->query[i].value;
    return NULL;
}
