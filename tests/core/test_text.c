#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/text.h"

static atoll_slice slice(const char *text)
{
    return (atoll_slice){text, strlen(text)};
}

/* The words as text: code points below 128 as they are, others as <hex>, words parted by a space. */
static const char *spell(atoll_words *words, atoll_slice text)
{
    static char out[4096];
    atoll_error error;
    size_t used = 0;
    assert_int_equal(atoll_words_cut(words, text, &error), ATOLL_OK);
    out[0] = 0;
    for (uint32_t w = 0, i = 0; w < words->count; w++) {
        if (w > 0)
            out[used++] = ' ';
        assert_true(words->ends[w] > i);
        for (; i < words->ends[w]; i++) {
            int32_t point = words->points[i];
            const char *format = point < 128 ? "%c" : "<%x>";
            used += (size_t)snprintf(out + used, sizeof out - used, format, point);
            assert_true(used < sizeof out - 32);
        }
    }
    return out;
}

static void cuts_ascii(void **state)
{
    (void)state;
    atoll_words words = {0};
    assert_string_equal(spell(&words, slice("Hello, World! It's 42_x")), "hello world it s 42 x");
    assert_string_equal(spell(&words, slice("")), "");
    assert_string_equal(spell(&words, slice(" .\t\n-- ")), "");
    assert_string_equal(spell(&words, slice("AZaz09@[`{/:")), "azaz09");
    assert_string_equal(spell(&words, (atoll_slice){"a\0b\x7f" "c", 5}), "a b c");
    atoll_words_free(&words);
}

static void ascii_shortcut_is_the_general_path(void **state)
{
    (void)state;
    atoll_words words = {0};
    for (int c = 0; c < 128; c++) {
        char text[16], shortcut[64];
        /* An em dash is no word and forces the general path. */
        size_t bytes = (size_t)snprintf(text, sizeof text, "ab%cCd \xe2\x80\x94", c ? c : ' ');
        text[2] = (char)c;
        strcpy(shortcut, spell(&words, (atoll_slice){text, bytes - 3}));
        assert_string_equal(spell(&words, (atoll_slice){text, bytes}), shortcut);
    }
    atoll_words_free(&words);
}

static void normalises(void **state)
{
    (void)state;
    atoll_words words = {0};
    /* Full width. */
    assert_string_equal(spell(&words, slice("\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3 \xef\xbc\x92")), "abc 2");
    assert_string_equal(spell(&words, slice("stra\xc3\x9f" "e STRASSE")), "strasse strasse");
    assert_string_equal(spell(&words, slice("\xef\xac\x81ne")), "fine"); /* the ligature fi */
    char composed[64];
    strcpy(composed, spell(&words, slice("CAF\xc3\x89")));
    assert_string_equal(composed, "caf<e9>");
    assert_string_equal(spell(&words, slice("cafe\xcc\x81")), composed);
    assert_string_equal(spell(&words, slice("co\xc2\xadop")), "coop"); /* a soft hyphen is no boundary */
    /* Marks in either order: dot below (class 220), acute (230). */
    strcpy(composed, spell(&words, slice("a\xcc\xa3\xcc\x81")));
    assert_string_equal(spell(&words, slice("a\xcc\x81\xcc\xa3")), composed);
    /* Hangul jamo compose to a syllable. */
    strcpy(composed, spell(&words, slice("\xed\x95\x9c")));
    assert_string_equal(composed, "<d55c>");
    assert_string_equal(spell(&words, slice("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab")), composed);
    atoll_words_free(&words);
}

static void ideographs_stand_alone(void **state)
{
    (void)state;
    atoll_words words = {0};
    assert_string_equal(spell(&words, slice("x\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9ey")), "x <65e5> <672c> <8a9e> y");
    /* Kana run on. */
    assert_string_equal(spell(&words, slice("\xe3\x81\x8b\xe3\x81\xaa")), "<304b><306a>");
    atoll_words_free(&words);
}

static void marks_continue_words_only(void **state)
{
    (void)state;
    atoll_words words = {0};
    assert_string_equal(spell(&words, slice("\xcc\x81 \xcc\xa3")), "");
    /* Devanagari: letter, vowel sign, virama. */
    assert_string_equal(spell(&words, slice("\xe0\xa4\x95\xe0\xa4\xbe\xe0\xa4\x95\xe0\xa5\x8d")),
                        "<915><93e><915><94d>");
    atoll_words_free(&words);
}

static void long_runs_of_marks_are_cut(void **state)
{
    (void)state;
    atoll_words words = {0};
    size_t bytes = ATOLL_TEXT_MAX_BYTES, used = 0;
    char *text = malloc(bytes);
    assert_non_null(text);
    text[used++] = 'q';
    while (used + 4 <= bytes) {
        memcpy(text + used, "\xcc\x81\xcc\xa3", 4);
        used += 4;
    }
    atoll_error error;
    assert_int_equal(atoll_words_cut(&words, (atoll_slice){text, used}, &error), ATOLL_OK);
    assert_int_equal(words.count, 1);
    assert_int_equal(words.ends[0], 31);
    for (int i = 1; i <= 15; i++)
        assert_int_equal(words.points[i], 0x323);
    for (int i = 16; i <= 30; i++)
        assert_int_equal(words.points[i], 0x301);
    free(text);
    atoll_words_free(&words);
}

static void longest_expansion_fits(void **state)
{
    (void)state;
    atoll_words words = {0};
    size_t bytes = ATOLL_TEXT_MAX_BYTES / 3 * 3;
    char *text = malloc(bytes);
    assert_non_null(text);
    for (size_t i = 0; i < bytes; i += 3)
        memcpy(text + i, "\xef\xb7\xba", 3); /* U+FDFA: 18 code points, 4 words */
    atoll_error error;
    assert_int_equal(atoll_words_cut(&words, (atoll_slice){text, bytes}, &error), ATOLL_OK);
    assert_true(words.count > bytes / 3);
    free(text);
    atoll_words_free(&words);
}

static const struct {
    const char *text;
    bool valid;
} utf8_cases[] = {
    {"", true},
    {"plain ascii of more than eight bytes", true},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"\xf4\x90\x80\x80", false}, /* beyond U+10FFFF */
    {"\xed\xa0\x80", false},     /* a surrogate */
    {"\xc0\x80", false},         /* overlong */
    {"\xe0\x80\xaf", false},
    {"\xff", false},
    {"12345678\x80", false},
    {"12345678\xe2\x82", false}, /* cut short */
    {"\xc3", false},
};

static void checks_utf8(void **state)
{
    (void)state;
    atoll_words words = {0};
    for (size_t i = 0; i < sizeof utf8_cases / sizeof *utf8_cases; i++) {
        atoll_slice text = slice(utf8_cases[i].text);
        atoll_error error;
        assert_int_equal(atoll_utf8_valid(text.data, text.bytes), utf8_cases[i].valid);
        assert_int_equal(atoll_words_cut(&words, text, &error), utf8_cases[i].valid ? ATOLL_OK : ATOLL_INVALID_UTF8);
    }
    atoll_words_free(&words);
}

static void clips_between_code_points(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa9\xe2\x82\xac";
    static const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6};
    for (size_t most = 0; most < sizeof lengths / sizeof *lengths; most++)
        assert_int_equal(atoll_utf8_clip(text, 6, most), lengths[most]);
}

static void tells_a_word_by_itself(void **state)
{
    (void)state;
    static const char *const words_of[] = {"na\xc3\xafve", "caf\xc3\xa9s"};
    atoll_words words = {0};
    atoll_error error;
    char out[16];
    assert_int_equal(atoll_words_cut(&words, slice("Na\xc3\xafve, CAF\xc3\x89S!"), &error), ATOLL_OK);
    assert_int_equal(words.count, 2);
    for (uint32_t w = 0; w < 2; w++) {
        size_t bytes = atoll_words_utf8(&words, w, out, sizeof out);
        assert_int_equal(bytes, strlen(words_of[w]));
        assert_memory_equal(out, words_of[w], bytes);
    }
    assert_int_equal(atoll_words_utf8(&words, 0, out, 3), 2); /* no half of a code point */
    assert_int_equal(atoll_words_utf8(&words, 0, out, 4), 4);
    atoll_words_free(&words);
}

static void refuses_long_text(void **state)
{
    (void)state;
    atoll_words words = {0};
    char *text = malloc(ATOLL_TEXT_MAX_BYTES + 1);
    assert_non_null(text);
    memset(text, 'a', ATOLL_TEXT_MAX_BYTES + 1);
    atoll_error error;
    assert_int_equal(atoll_words_cut(&words, (atoll_slice){text, ATOLL_TEXT_MAX_BYTES}, &error), ATOLL_OK);
    assert_int_equal(atoll_words_cut(&words, (atoll_slice){text, ATOLL_TEXT_MAX_BYTES + 1}, &error),
                     ATOLL_TEXT_TOO_LONG);
    assert_int_equal(words.count, 0);
    free(text);
    atoll_words_free(&words);
}

/* The classes of a text's points, a letter each: space, letter, capital, digit, mark. */
static const char *classes(const char *text)
{
    static char out[64];
    atoll_points points;
    size_t used = 0;
    for (size_t i = 0, bytes = strlen(text); i < bytes;) {
        i += atoll_points_read(text + i, bytes - i, &points);
        for (uint32_t p = 0; p < points.count; p++)
            out[used++] = " aA0."[points.class[p]];
    }
    out[used] = 0;
    return out;
}

static void tells_what_points_are(void **state)
{
    (void)state;
    assert_string_equal(classes("Ab 1.\t_"), "Aa 0. .");
    assert_string_equal(classes("\xc3\x89t\xc3\xa9 e\xcc\x81"), "Aaa a");          /* composed and decomposed */
    assert_string_equal(classes("\xef\xbc\xa1\xef\xbc\x91\xef\xbc\x81"), "A0."); /* of full width */
    assert_string_equal(classes("\xe2\x80\xa6\xc2\xa0\xc2\xbd"), "... 0.0");       /* dots, no break, a half */
    assert_string_equal(classes("\xe4\xb8\xad\xd7\x90\xf0\x9f\x98\x80"), "aa.");  /* an emoji is a mark */
    assert_string_equal(classes("\xe2\x9d\xa4\xef\xb8\x8f\xe2\x80\x8b"), ".");    /* ignorable ones are none */
    for (int c = 0; c < 128; c++) {
        atoll_points points;
        char byte = (char)c;
        assert_int_equal(atoll_points_read(&byte, 1, &points), 1);
        assert_int_equal(points.count, 1);
        assert_int_equal(points.point[0], c);
        assert_int_equal(points.class[0], atoll_point_ascii((uint8_t)c));
    }
}

static void blank_is_what_holds_nothing(void **state)
{
    (void)state;
    static const char *const blank[] = {"", " \t\r\n\v\f", "\x01\x7f", "\xc2\xa0\xe3\x80\x80\xe2\x80\xa8",
                                        "\xe2\x80\x8b\xef\xbb\xbf", "\xcc\x81"};
    static const char *const not_blank[] = {" .", "a", "7", "\xe2\x80\xa6", "\xc3\xa9", "\xf0\x9f\x91\x8d",
                                            "\xef\xbf\xbd", "\xee\x80\x80"};
    for (size_t i = 0; i < sizeof blank / sizeof *blank; i++)
        assert_true(atoll_text_blank(slice(blank[i])));
    for (size_t i = 0; i < sizeof not_blank / sizeof *not_blank; i++)
        assert_false(atoll_text_blank(slice(not_blank[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_ascii),
        cmocka_unit_test(ascii_shortcut_is_the_general_path),
        cmocka_unit_test(normalises),
        cmocka_unit_test(ideographs_stand_alone),
        cmocka_unit_test(marks_continue_words_only),
        cmocka_unit_test(long_runs_of_marks_are_cut),
        cmocka_unit_test(longest_expansion_fits),
        cmocka_unit_test(checks_utf8),
        cmocka_unit_test(clips_between_code_points),
        cmocka_unit_test(tells_a_word_by_itself),
        cmocka_unit_test(refuses_long_text),
        cmocka_unit_test(tells_what_points_are),
        cmocka_unit_test(blank_is_what_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
