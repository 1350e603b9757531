/* Leases, for reading and for writing. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    int reader = open("leased", O_RDONLY | O_CREAT, 0600);
    int writer = open("leased-alone", O_RDWR | O_CREAT, 0600);
    check(reader >= 0 && writer >= 0);
    check(fcntl(reader, F_SETLEASE, F_RDLCK) == 0 && fcntl(writer, F_SETLEASE, F_WRLCK) == 0);
    ready();
    check(fcntl(reader, F_GETLEASE) == F_RDLCK && fcntl(writer, F_GETLEASE) == F_WRLCK);
    return ok();
}
