/* Threads, floating point, signals, pipes and memory at once, with one right result. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 60

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static double sum;
static volatile sig_atomic_t rings;
static int pipe_fds[2];

static void on_alarm(int sig)
{
    rings += sig == SIGALRM;
}

static void *run(void *argument)
{
    int me = (int)(size_t)argument;
    for (int round = 0; round < ROUNDS; round++) {
        double part = 0;
        for (int i = 1; i < 2000; i++)
            part += sqrt(i * (me + 1)) / (round + 1);
        char *block = malloc(1000 + 500 * me);
        memset(block, me, 1000);
        pthread_mutex_lock(&lock);
        while (turn % THREADS != me)
            pthread_cond_wait(&turned, &lock);
        sum = sum / 2 + part;
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
        int number = me * 1000 + round, got = block[999] == me;
        got = got && write(pipe_fds[1], &number, sizeof number) == sizeof number;
        free(block);
        if (!got)
            abort();
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    if (pipe(pipe_fds))
        return 1;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
    long total = 0;
    for (int i = 0, number; i < THREADS * ROUNDS; i++) {
        if (read(pipe_fds[0], &number, sizeof number) != sizeof number)
            return 2;
        total += number;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* A fast machine is done before the first one. */
    while (!rings)
        usleep(1000);
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%ld %.12f %d\n", total, sum, rings > 0);
    return 0;
}
