/*
 * Reads the tree as text and holds it to the house rules that a program can check: width and length, white space,
 * layers, third-party headers, a test for each source file, documented settings.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LINE_MAX_BYTES = 120,
    FUNCTION_MAX_LINES = 80,
    SOURCE_MAX_LINES = 700,
    HEADER_MAX_LINES = 200,
    PATH_MAX_BYTES = 1024,
    FILES_MAX = 4096,
};

typedef struct file {
    char *path; /* below the root */
    char *text;
} file;

static file files[FILES_MAX];
static size_t file_count;
static int findings;

/* Lowest first: a folder may include from itself and from those before it. */
static const char *const layers[] = {"core", "retrieval", "learner", "api"};
enum { LAYERS = sizeof layers / sizeof layers[0] };

/* Headers of the C library and of the system. Every other <name.h> is somebody else's. */
static const char *const system_headers[] = {
    "assert.h", "complex.h", "ctype.h", "errno.h", "fenv.h", "float.h", "inttypes.h", "iso646.h", "limits.h",
    "locale.h", "math.h", "setjmp.h", "signal.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdio.h", "stdlib.h", "stdnoreturn.h", "string.h", "strings.h", "tgmath.h", "threads.h", "time.h",
    "uchar.h", "wchar.h", "wctype.h", "cpuid.h", "dirent.h", "dlfcn.h", "fcntl.h", "fnmatch.h", "ftw.h", "getopt.h",
    "glob.h", "libgen.h", "malloc.h", "netdb.h", "poll.h", "pthread.h", "pwd.h", "sched.h", "semaphore.h", "spawn.h",
    "sysexits.h", "syslog.h", "termios.h", "ucontext.h", "unistd.h", "utime.h", "immintrin.h", "x86intrin.h",
    "arm_neon.h", "execinfo.h", "endian.h", "byteswap.h", "link.h", "paths.h", "regex.h",
};
static const char *const system_folders[] = {"sys/", "netinet/", "arpa/", "net/", "linux/", "bits/"};

static void report(const file *f, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void report(const file *f, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", f->path, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    findings++;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool is_source(const file *f)
{
    return ends_with(f->path, ".c") || ends_with(f->path, ".cpp");
}

static bool is_code(const file *f)
{
    return is_source(f) || ends_with(f->path, ".h");
}

static int layer_of(const char *path)
{
    for (int i = 0; i < LAYERS; i++) {
        size_t length = strlen(layers[i]);
        if (strncmp(path, layers[i], length) == 0 && path[length] == '/')
            return i;
    }
    return -1;
}

static const file *find(const char *path)
{
    for (size_t i = 0; i < file_count; i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

static char *read_text(const char *path, size_t bytes)
{
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    text[fread(text, 1, bytes, stream)] = '\0';
    fclose(stream);
    return text;
}

/* A folder that no one wrote: hidden, built, or the data of a running service. */
static bool is_foreign(const char *name)
{
    return (name[0] == '.' && strcmp(name, ".ci") != 0) || starts_with(name, "build") || ends_with(name, "-data");
}

static bool is_text(const char *name)
{
    static const char *const ends[] = {".c",  ".cpp", ".h",   ".sh",   ".awk",  ".cmake", ".txt",
                                       ".md", ".js",  ".css", ".html", ".json", ".yml",   ".yaml"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(name, ends[i]))
            return true;
    return strcmp(name, "run") == 0;
}

static void load(const char *folder)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s/%s", ATOLL_SOURCE_DIR, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char below[PATH_MAX_BYTES / 2];
        struct stat info;
        if (is_foreign(entry->d_name))
            continue;
        snprintf(below, sizeof below, "%s%s%s", folder, *folder ? "/" : "", entry->d_name);
        snprintf(path, sizeof path, "%s/%s", ATOLL_SOURCE_DIR, below);
        if (lstat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode)) {
            load(below);
        } else if (S_ISREG(info.st_mode) && is_text(entry->d_name)) {
            assert_true(file_count < FILES_MAX);
            files[file_count].path = strdup(below);
            files[file_count++].text = read_text(path, (size_t)info.st_size);
        }
    }
    closedir(dir);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const file *)a)->path, ((const file *)b)->path);
}

static int load_tree(void **state)
{
    (void)state;
    load("");
    qsort(files, file_count, sizeof files[0], compare_paths);
    return file_count ? 0 : -1;
}

static int free_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].path);
        free(files[i].text);
    }
    return 0;
}

static int reset(void **state)
{
    (void)state;
    findings = 0;
    return 0;
}

/* The start of the next line, or NULL behind the last; `*length` is that of the line at `line`. */
static const char *next_line(const char *line, size_t *length)
{
    *length = strcspn(line, "\n");
    return line[*length] && line[*length + 1] ? line + *length + 1 : NULL;
}

/* Scripts of shell and CMake, but for cmake/faiss.sh: another byte in that, and FAISS is built anew everywhere. */
static bool is_script(const file *f)
{
    const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
    return strcmp(name, "run") == 0 || strcmp(name, "CMakeLists.txt") == 0 || ends_with(name, ".awk") ||
           (ends_with(name, ".sh") && strcmp(f->path, "cmake/faiss.sh") != 0);
}

/* Whether a line can be broken: of pages, rows of tables cannot; what is quoted, indented or fenced, stays as it is. */
static bool breaks(const file *f, const char *line, bool *fenced)
{
    if (is_code(f) || is_script(f))
        return true;
    *fenced ^= starts_with(line, "```");
    return ends_with(f->path, ".md") && !*fenced && *line != '|' && !starts_with(line, "    ");
}

static void check_lines(const file *f)
{
    size_t length;
    int number = 0;
    bool fenced = false;
    for (const char *line = f->text, *next; line && *line; line = next) {
        next = next_line(line, &length);
        number++;
        if (breaks(f, line, &fenced) && length > LINE_MAX_BYTES)
            report(f, number, "%zu bytes wide, over %d", length, LINE_MAX_BYTES);
        if (memchr(line, '\t', length))
            report(f, number, "a tab");
        if (length && isspace((unsigned char)line[length - 1]))
            report(f, number, "white space at the end of the line");
        if (memmem(line, length, "TO" "DO", 4) || memmem(line, length, "FIX" "ME", 5))
            report(f, number, "an unfinished matter");
    }
    if (*f->text && !ends_with(f->text, "\n"))
        report(f, number, "no newline at the end of the file");
    int most = ends_with(f->path, ".h") ? HEADER_MAX_LINES : SOURCE_MAX_LINES;
    if (is_code(f) && number > most)
        report(f, number, "a file of %d lines, over %d", number, most);
}

static void lines_are_narrow_and_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++)
        check_lines(&files[i]);
    assert_int_equal(findings, 0);
}

/* A function's braces stand alone in the first column, and nothing else does so. */
static void functions_are_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++) {
        size_t length;
        int number = 0, start = 0;
        if (!is_source(&files[i]))
            continue;
        for (const char *line = files[i].text, *next; line && *line; line = next) {
            next = next_line(line, &length);
            number++;
            if (length == 1 && *line == '{')
                start = number;
            if (length == 1 && *line == '}' && start) {
                if (number - start - 1 > FUNCTION_MAX_LINES)
                    report(&files[i], start, "a function of %d lines", number - start - 1);
                start = 0;
            }
        }
    }
    assert_int_equal(findings, 0);
}

/* Calls `visit` with the name in each #include; `open` is '"' or '<'. */
static void each_include(const file *f, void (*visit)(const file *f, int line, char open, const char *name))
{
    size_t length;
    int number = 0;
    for (const char *line = f->text, *next; line && *line; line = next) {
        char open, name[256];
        next = next_line(line, &length);
        number++;
        if (sscanf(line, " # include %c%255[^\">\n]", &open, name) == 2)
            visit(f, number, open, name);
    }
}

static void check_layer(const file *f, int line, char open, const char *name)
{
    int own = layer_of(f->path), other = layer_of(name);
    if (open != '"')
        return;
    if (other < 0)
        report(f, line, "\"%s\" does not begin with the folder of a layer", name);
    else if (other > own)
        report(f, line, "%s stands below %s and may not include from it", layers[own], layers[other]);
    else if (!find(name))
        report(f, line, "\"%s\" is not there", name);
}

static void folders_include_only_lower_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++)
        if (is_code(&files[i]) && layer_of(files[i].path) >= 0)
            each_include(&files[i], check_layer);
    assert_int_equal(findings, 0);
}

static bool is_third_party(const char *name)
{
    if (!ends_with(name, ".h") && !strchr(name, '/'))
        return false; /* the C++ library */
    for (size_t i = 0; i < sizeof system_headers / sizeof system_headers[0]; i++)
        if (strcmp(name, system_headers[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof system_folders / sizeof system_folders[0]; i++)
        if (starts_with(name, system_folders[i]))
            return false;
    return true;
}

/* The first file seen to include each library; the headers of one folder (faiss/…) are one library. */
static struct {
    char library[256];
    const file *owner;
} owners[64];
static size_t owner_count;

static void check_owner(const file *f, int line, char open, const char *name)
{
    char library[256];
    if (open != '<' || !is_third_party(name))
        return;
    snprintf(library, sizeof library, "%.*s", (int)strcspn(name, "/"), name);
    if (!is_source(f)) {
        report(f, line, "<%s> in a header", name);
        return;
    }
    for (size_t i = 0; i < owner_count; i++) {
        if (strcmp(owners[i].library, library) != 0)
            continue;
        if (owners[i].owner != f)
            report(f, line, "<%s> belongs to %s", name, owners[i].owner->path);
        return;
    }
    assert_true(owner_count < sizeof owners / sizeof owners[0]);
    strcpy(owners[owner_count].library, library);
    owners[owner_count++].owner = f;
}

static void libraries_have_one_owner(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++)
        if (is_code(&files[i]) && layer_of(files[i].path) >= 0)
            each_include(&files[i], check_owner);
    assert_int_equal(findings, 0);
}

static void sources_have_tests(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++) {
        const file *f = &files[i];
        int layer = layer_of(f->path);
        if (layer < 0 || !is_source(f) || strcmp(f->path, "api/main.c") == 0)
            continue;
        char test[PATH_MAX_BYTES];
        const char *name = strrchr(f->path, '/') + 1;
        snprintf(test, sizeof test, "tests/%s/test_%.*s.c", layers[layer], (int)strcspn(name, "."), name);
        if (!find(test))
            report(f, 1, "has no %s", test);
    }
    assert_int_equal(findings, 0);
}

/* Whether the line is a row of a table, {"name", … or MACRO("name", …; its name is then in `name`. */
static bool is_row(const char *line, char *name, size_t bytes)
{
    line += strspn(line, " ");
    size_t macro = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    line += macro;
    if (line[0] != (macro ? '(' : '{') || line[1] != '"')
        return false;
    size_t length = strspn(line + 2, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    if (length == 0 || length >= bytes || !starts_with(line + 2 + length, "\","))
        return false;
    snprintf(name, bytes, "%.*s", (int)length, line + 2);
    return true;
}

/* Reports each row of the table that the page does not name in back quotes. */
static void check_table(const file *table, const file *page, const char *prefix)
{
    size_t length;
    int number = 0;
    for (const char *line = table->text, *next; line && *line; line = next) {
        char name[128], marked[sizeof name + 8];
        next = next_line(line, &length);
        number++;
        if (!is_row(line, name, sizeof name))
            continue;
        snprintf(marked, sizeof marked, "`%s%s`", prefix, name);
        if (!strstr(page->text, marked))
            report(table, number, "%s does not mention %s", page->path, marked);
    }
}

static void settings_are_documented(void **state)
{
    (void)state;
    const file *page = find("docs/configuration.md"), *model = find("core/config.c"), *server = find("api/options.c");
    if (!page)
        skip();
    if (model)
        check_table(model, page, "");
    if (server)
        check_table(server, page, "--");
    assert_int_equal(findings, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_are_narrow_and_clean, reset),
        cmocka_unit_test_setup(functions_are_short, reset),
        cmocka_unit_test_setup(folders_include_only_lower_ones, reset),
        cmocka_unit_test_setup(libraries_have_one_owner, reset),
        cmocka_unit_test_setup(sources_have_tests, reset),
        cmocka_unit_test_setup(settings_are_documented, reset),
    };
    return cmocka_run_group_tests(tests, load_tree, free_tree);
}
