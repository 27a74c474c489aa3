/* Dovecot waits 500 ms (compiled in) between seeing a change of a mailbox and telling an idling client. Under this library it
 * waits 1 ms, so that our own share of a latency can be measured. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

typedef void *(*adder)(unsigned int, const char *, unsigned int, void *, void *);

void *timeout_add_short(unsigned int msecs, const char *source, unsigned int line, void *callback, void *context)
{
    static adder next;

    if (next == NULL)
        next = (adder)dlsym(RTLD_NEXT, "timeout_add_short");
    if (source != NULL && strstr(source, "mailbox-watch") != NULL)
        msecs = 1;
    return next(msecs, source, line, callback, context);
}
