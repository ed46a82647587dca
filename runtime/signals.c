/* signals: SIGINT, SIGTERM and SIGHUP ask a run to stop after its step; a second one ends it at once.
 * The flag is the one variable of the runtime with static storage: a handler can reach nothing else. */
#include <signal.h>
#include <stddef.h>

#include "run.h"

static volatile sig_atomic_t pending;
static const int asked[] = {SIGINT, SIGTERM, SIGHUP};

static void note(int signal_number)
{
    pending = signal_number;
}

static void install(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        sigaction(asked[i], &action, NULL);
    }
}

void signals_arm(void)
{
    pending = 0;
    install(note, (int)SA_RESETHAND);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);       /* a reader that went away does not lose the run */
}

int signals_pending(void)
{
    return pending;
}

void signals_disarm(void)
{
    install(SIG_DFL, 0);
}
