/* The first process of a pod: holds its namespaces, reaps its orphans, ends on SIGINT or SIGTERM.
 *
 * With a shared PID namespace (spec.shareProcessNamespace) it is process 1 of the pod, so every orphan becomes its child:
 * it must collect each one. SIGCHLD may stand for several children, hence the loop until none is left.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number) { ended = number; }

static void reap(int number) {
    int saved = errno;
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = saved;
}

int main(int argc, char **argv) {
    struct sigaction action;
    sigset_t all, none;

    if (argc > 1 && strcmp(argv[1], "-v") == 0) {
        printf("pause.c 3.10\n");
        return 0;
    }
    sigemptyset(&none);
    sigfillset(&all);
    /* Blocked outside sigsuspend, so that a signal between the test and the wait is not lost. */
    sigprocmask(SIG_BLOCK, &all, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = end;
    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return 1;
    action.sa_handler = reap;
    action.sa_flags = SA_NOCLDSTOP;
    if (sigaction(SIGCHLD, &action, NULL) < 0)
        return 2;
    while (!ended)
        sigsuspend(&none);
    return 0;
}
