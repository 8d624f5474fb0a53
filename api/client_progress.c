#include "api/client_progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    BAR_CELLS = 24,
    LINE_MAX_BYTES = 256,
    TERMINAL_EVERY_MS = 100,
    LOG_EVERY_MS = 3000
};

void atoll_client_progress_begin(atoll_client_progress *progress, FILE *out, int64_t now_ns)
{
    struct winsize window = {0};
    int fd = fileno(out);
    *progress = (atoll_client_progress){.out = out, .columns = 80, .started_ns = now_ns, .shown_ns = now_ns};
    progress->terminal = fd >= 0 && isatty(fd);
    if (progress->terminal && ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col)
        progress->columns = window.ws_col;
}

bool atoll_client_progress_due(const atoll_client_progress *progress, int64_t now_ns)
{
    int64_t every_ms = progress->terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS;
    return now_ns - progress->shown_ns >= every_ms * 1000000;
}

void atoll_client_progress_show(atoll_client_progress *progress, double done, const char *text, int64_t now_ns)
{
    char line[LINE_MAX_BYTES], bar[BAR_CELLS + 1];
    progress->shown_ns = now_ns;
    if (done < 0) {
        snprintf(line, sizeof line, "  %s", text);
    } else if (progress->terminal) {
        int full = (int)((done < 1 ? done : 1) * BAR_CELLS);
        memset(bar, '-', BAR_CELLS);
        memset(bar, '#', (size_t)full);
        bar[BAR_CELLS] = 0;
        snprintf(line, sizeof line, "  [%s] %3.0f %%  %s", bar, 100 * done, text);
    } else {
        snprintf(line, sizeof line, "  %3.0f %%  %s", 100 * done, text);
    }
    if (!progress->terminal)
        fprintf(progress->out, "%s\n", line);
    else /* a line that wraps could not be drawn over */
        fprintf(progress->out, "\r\033[K%.*s", (int)progress->columns - 1, line);
    fflush(progress->out);
}

void atoll_client_progress_end(atoll_client_progress *progress)
{
    if (progress->terminal)
        fputs("\r\033[K", progress->out);
    fflush(progress->out);
}

double atoll_client_progress_seconds(const atoll_client_progress *progress, int64_t now_ns)
{
    return (double)(now_ns - progress->started_ns) / 1e9;
}
