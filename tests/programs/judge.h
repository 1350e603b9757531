/*
 * What every program here shares: it brings itself into a state, calls ready(), looks
 * at the state again and ends with ok() or bad().  Nothing is buffered, so that output
 * is neither lost nor repeated by whatever happens in between.
 */
#ifndef JUDGE_H
#define JUDGE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Say what is wrong and end. */
__attribute__((noreturn, format(printf, 1, 2), unused))
static void bad(const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dprintf(1, "bad: %s\n", text);
    _exit(1);
}

#define check(condition) \
    ((condition) ? (void)0 \
                 : bad("%s:%d: not %s; errno %d", __FILE_NAME__, __LINE__, #condition, \
                       errno))
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

/* Wait for a line; return the number in it, the milliseconds that nobody was there. */
__attribute__((unused))
static long wait_for_line(void)
{
    char line[32], *at = line;
    do {
        ssize_t n = read(0, at, 1);
        if (n != 1)
            bad("read of stdin returned %zd with errno %d", n, errno);
    } while (*at != '\n' && ++at < line + sizeof line - 1);
    *at = 0;
    return atol(line);
}

/* The state is there: announce it, stay in it until told, return as wait_for_line. */
__attribute__((unused))
static long ready(void)
{
    dprintf(1, "ready\n");
    return wait_for_line();
}

/* The state was still there. */
__attribute__((unused))
static int ok(void)
{
    dprintf(1, "ok\n");
    return 0;
}

/* Seconds of a clock. */
__attribute__((unused))
static double seconds(clockid_t clock)
{
    struct timespec ts;
    check(clock_gettime(clock, &ts) == 0);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

__attribute__((unused))
static pid_t thread_id(void)
{
    return syscall(SYS_gettid);
}

/* The flags that the kernel shows for the mapping at an address: proc(5), VmFlags. */
__attribute__((unused))
static void flags_of(const void *at, char *flags, size_t size)
{
    char line[512];
    unsigned long from, to;
    int here = 0;
    FILE *f = fopen("/proc/self/smaps", "r");
    check(f);
    flags[0] = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (unsigned long)at && (unsigned long)at < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, size, "%.200s", line + 8);
    }
    fclose(f);
}

/* Start a thread or end. */
__attribute__((unused))
static pthread_t start(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, arg);
    if (error)
        bad("pthread_create returned %d", error);
    return thread;
}

#endif
