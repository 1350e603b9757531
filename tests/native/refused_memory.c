/* Memory that cannot be saved, by its name. */
#include "../programs/judge.h"
#include <linux/perf_event.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    size_t page = sysconf(_SC_PAGESIZE);
    const char *kind = argc > 1 ? argv[1] : "";
    void *m = MAP_FAILED;
    if (strcmp(kind, "secret") == 0) {
        int fd = syscall(447, 0); /* memfd_secret, Linux 5.14 */
        if (fd >= 0 && ftruncate(fd, page) == 0)
            m = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    } else if (strcmp(kind, "sealed") == 0) {
        m = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (syscall(462, m, page, 0)) /* mseal, Linux 6.10 */
            m = MAP_FAILED;
    } else if (strcmp(kind, "perf") == 0) {
        struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr};
        attr.exclude_kernel = 1;
        int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
        m = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    dprintf(1, m == MAP_FAILED ? "none\n" : "some\n");
    ready();
    return ok();
}
