/* signals: SIGINT, SIGTERM and SIGHUP ask a run to stop after its step; a second one of any of them
 * ends it at once. What is here has static storage because a handler can reach nothing else; the
 * dispositions found are put back afterwards. */
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "run.h"

static const int asked[] = {SIGINT, SIGTERM, SIGHUP};
enum { ASKED = sizeof asked / sizeof *asked };
static volatile sig_atomic_t pending;
static struct sigaction before[ASKED + 1];   /* the last is SIGPIPE's */

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
    }
    action.sa_handler = SIG_IGN;             /* a reader that went away does not lose the run */
    sigaction(SIGPIPE, &action, &before[ASKED]);
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
    sigaction(SIGPIPE, &before[ASKED], NULL);
    pending = 0;
}
