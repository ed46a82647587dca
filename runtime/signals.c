/* signals: SIGINT, SIGTERM and SIGHUP ask a run to stop after its step; a second one of any of them
 * ends it at once. What is here has static storage because a handler can reach nothing else; the
 * dispositions found are put back afterwards. */
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "run.h"

static const int asked[] = {SIGINT, SIGTERM, SIGHUP};
static const int quiet[] = {SIGPIPE, SIGXFSZ};
enum { ASKED = sizeof asked / sizeof *asked, QUIET = sizeof quiet / sizeof *quiet };
static volatile sig_atomic_t pending;
static struct sigaction before[ASKED + QUIET];

static void note(int number)
{
    if (pending != 0) {
        _exit(number == SIGINT ? HONE_SIGINT : HONE_SIGTERM);
    }
    pending = number;
}

void signals_arm(void)
{
    pending = 0;
    struct sigaction action = {.sa_handler = note};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ASKED; i++) {
        sigaddset(&action.sa_mask, asked[i]);
    }
    for (size_t i = 0; i < ASKED; i++) {
        sigaction(asked[i], &action, &before[i]);
        if (before[i].sa_handler == SIG_IGN) {       /* nohup, and background jobs of a script */
            sigaction(asked[i], &before[i], NULL);
        }
    }
    action.sa_handler = SIG_IGN;             /* a reader that went away does not lose the run, */
    for (size_t i = 0; i < QUIET; i++) {     /* nor does a limit on the size of files */
        sigaction(quiet[i], &action, &before[ASKED + i]);
    }
}

int signals_pending(void)
{
    return pending;
}

void signals_disarm(void)
{
    for (size_t i = 0; i < ASKED; i++) {
        sigaction(asked[i], &before[i], NULL);
    }
    for (size_t i = 0; i < QUIET; i++) {
        sigaction(quiet[i], &before[ASKED + i], NULL);
    }
    pending = 0;
}
