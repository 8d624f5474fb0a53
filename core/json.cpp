#include "core/json.h"

#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <new>
#include <type_traits>

#include "core/limits.h"

namespace dom = simdjson::dom;

struct atoll_json_parser {
    dom::parser dom;
};

/* A parser keeps what its largest text needed, about 14 times the text; beyond this many bytes it is given back as soon
 * as a text comes that needs far less. */
static const size_t keep_bytes = 4 << 20;

static const size_t max_depth = ATOLL_JSON_MAX_DEPTH + 1; /* simdjson counts the document too */

/* A handle is the bytes of simdjson's element: a document and a place in it. */
static_assert(sizeof(dom::element) == sizeof(atoll_json), "an element is a pointer and an index");
static_assert(std::is_trivially_copyable<dom::element>::value, "an element is plain data");

static dom::element element_of(atoll_json value)
{
    dom::element element;
    std::memcpy(static_cast<void *>(&element), &value, sizeof value);
    return element;
}

static atoll_json handle_of(const dom::element &element)
{
    atoll_json value;
    std::memcpy(&value, static_cast<const void *>(&element), sizeof value);
    return value;
}

atoll_json_parser *atoll_json_parser_new(void)
{
    atoll_json_parser *parser = new (std::nothrow) atoll_json_parser;
    if (parser && parser->dom.allocate(4096, max_depth) != simdjson::SUCCESS) {
        delete parser;
        return nullptr;
    }
    return parser;
}

void atoll_json_parser_free(atoll_json_parser *parser)
{
    delete parser;
}

atoll_status atoll_json_parse(atoll_json_parser *parser, const char *text, size_t bytes, atoll_json *root,
                              atoll_error *error)
{
    size_t capacity = parser->dom.capacity();
    if (capacity > keep_bytes && bytes < capacity / 8) {
        parser->dom = dom::parser();
        if (parser->dom.allocate(4096, max_depth) != simdjson::SUCCESS)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to parse JSON");
    }
    dom::element element;
    simdjson::error_code code = parser->dom.parse(text, bytes, false).get(element);
    switch (code) {
    case simdjson::SUCCESS:
        *root = handle_of(element);
        return ATOLL_OK;
    case simdjson::MEMALLOC:
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to parse JSON");
    case simdjson::UTF8_ERROR:
        return atoll_fail(error, ATOLL_INVALID_UTF8, "the JSON text is not valid UTF-8");
    case simdjson::DEPTH_ERROR:
        return atoll_fail(error, ATOLL_INVALID_JSON, "nested deeper than %d", ATOLL_JSON_MAX_DEPTH);
    default:
        return atoll_fail(error, ATOLL_INVALID_JSON, "%s", simdjson::error_message(code));
    }
}

atoll_json_kind atoll_json_kind_of(atoll_json value)
{
    switch (element_of(value).type()) {
    case dom::element_type::ARRAY:
        return ATOLL_JSON_ARRAY;
    case dom::element_type::OBJECT:
        return ATOLL_JSON_OBJECT;
    case dom::element_type::INT64:
    case dom::element_type::UINT64:
    case dom::element_type::DOUBLE:
        return ATOLL_JSON_NUMBER;
    case dom::element_type::STRING:
        return ATOLL_JSON_STRING;
    case dom::element_type::BOOL:
        return ATOLL_JSON_BOOL;
    default:
        return ATOLL_JSON_NULL;
    }
}

bool atoll_json_bool(atoll_json value, bool *out)
{
    return element_of(value).get_bool().get(*out) == simdjson::SUCCESS;
}

bool atoll_json_double(atoll_json value, double *out)
{
    return element_of(value).get_double().get(*out) == simdjson::SUCCESS;
}

bool atoll_json_int64(atoll_json value, int64_t *out)
{
    dom::element element = element_of(value);
    if (element.get_int64().get(*out) == simdjson::SUCCESS)
        return true;
    double real;
    if (!element.is_double() || element.get_double().get(real) != simdjson::SUCCESS)
        return false;
    if (!(std::fabs(real) <= 0x1p53) || real != std::floor(real))
        return false;
    *out = static_cast<int64_t>(real);
    return true;
}

bool atoll_json_string(atoll_json value, const char **data, size_t *bytes)
{
    std::string_view view;
    if (element_of(value).get_string().get(view) != simdjson::SUCCESS)
        return false;
    *data = view.data();
    *bytes = view.size();
    return true;
}

bool atoll_json_member(atoll_json object, const char *name, atoll_json *out)
{
    dom::element member;
    if (element_of(object).at_key(name).get(member) != simdjson::SUCCESS)
        return false;
    *out = handle_of(member);
    return true;
}

bool atoll_json_each(atoll_json value, atoll_json_visit visit, void *arg)
{
    dom::element element = element_of(value);
    dom::object object;
    dom::array array;
    if (element.get_object().get(object) == simdjson::SUCCESS) {
        for (auto member = object.begin(); member != object.end(); ++member)
            if (!visit(arg, member.key_c_str(), handle_of(member.value())))
                break;
        return true;
    }
    if (element.get_array().get(array) == simdjson::SUCCESS) {
        for (dom::element each : array)
            if (!visit(arg, nullptr, handle_of(each)))
                break;
        return true;
    }
    return false;
}

atoll_status atoll_json_floats(atoll_json array, float *out, size_t capacity, size_t *count, atoll_error *error)
{
    dom::array elements;
    size_t n = 0;
    *count = 0;
    if (element_of(array).get_array().get(elements) != simdjson::SUCCESS)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "not an array of numbers");
    for (dom::element each : elements) {
        double real;
        if (each.get_double().get(real) != simdjson::SUCCESS)
            return atoll_fail(error, ATOLL_INVALID_VALUE, "element %zu is not a number", n);
        float narrow = static_cast<float>(real);
        if (!std::isfinite(narrow))
            return atoll_fail(error, ATOLL_NOT_FINITE, "element %zu is too large for a float", n);
        if (n < capacity)
            out[n] = narrow;
        n++;
    }
    *count = n;
    return ATOLL_OK;
}
