/* A directory half read goes on where it was. */
#include "judge.h"
#include <dirent.h>
#include <sys/stat.h>

#define COUNT 400

int main(void)
{
    char name[32], seen[COUNT] = {0};
    check(mkdir("many", 0700) == 0 || errno == EEXIST);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        FILE *f = fopen(name, "w");
        check(f && fclose(f) == 0);
    }
    DIR *dir = opendir("many");
    check(dir);
    int entries = 0;
    for (struct dirent *e; entries < COUNT / 2 && (e = readdir(dir)); entries++)
        if (e->d_name[0] != '.')
            seen[atoi(e->d_name)]++;
    ready();
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            seen[atoi(e->d_name)]++;
    for (int i = 0; i < COUNT; i++)
        check(seen[i] == 1);
    check(faccessat(dirfd(dir), "7", R_OK, 0) == 0);
    check(closedir(dir) == 0);
    return ok();
}
