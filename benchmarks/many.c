/* Has many of something: `many processes files pipes`; waits for a line, and looks. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char block[65536];

static void check(int right)
{
    if (!right) {
        perror("many");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int processes = atoi(argv[1]), files = atoi(argv[2]), pipes = atoi(argv[3]);
    int end[2], (*full)[2] = calloc(pipes + 1, sizeof *full);
    struct rlimit limit;
    char line[16];

    check(argc == 4 && full && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < files; i++)
        check(open(argv[0], O_RDONLY) >= 0);
    for (int i = 0; i < pipes; i++) {
        check(pipe(full[i]) == 0);
        memset(block, i, sizeof block);
        check(write(full[i][1], block, sizeof block) == sizeof block);
    }
    check(pipe(end) == 0);
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        check(child >= 0);
        if (child == 0) {
            close(end[1]);
            _exit(read(end[0], line, 1) == 0 ? 0 : 1);
        }
    }
    puts("ready");
    fflush(stdout);
    check(fgets(line, sizeof line, stdin) != NULL);
    close(end[1]);
    for (int i = 0, status; i < processes; i++)
        check(wait(&status) > 0 && status == 0);
    for (int i = 0; i < pipes; i++) {
        check(read(full[i][0], block, sizeof block) == sizeof block);
        check(block[0] == (char)i && block[sizeof block - 1] == (char)i);
    }
    puts("ok");
    return 0;
}
