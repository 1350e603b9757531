/* POSIX message queues of a test: others have names like theirs, too. */
#include <mqueue.h>
#include <sys/stat.h>

/* Return the name of a queue that is this folder's alone, or was an earlier one's. */
__attribute__((unused))
static const char *own_name(const char *what)
{
    static char name[60];
    struct stat here;
    check(stat(".", &here) == 0);
    snprintf(name, sizeof name, "/blcr-%s-%lu", what, (unsigned long)here.st_ino);
    return name;
}
