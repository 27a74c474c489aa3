/* A machine that has run out of inotify instances: Dovecot then accepts IDLE and tells nothing until its own slow look. */
#include <errno.h>

int inotify_init(void)
{
    errno = EMFILE;
    return -1;
}

int inotify_init1(int flags)
{
    (void)flags;
    return inotify_init();
}
