/* data: faults while a source is opened and read. The sanitizers say what is left behind. */
#include "support/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 1000 };                /* allocations or calls of the system */

static bool one_batch(HoneDataset *(*open)(HoneSys *sys, HoneError *error), HoneSys *sys)
{
    HoneError error = {0};
    HoneDataset *data = open(sys, &error);
    HoneLoaderConfig config = {.batch = 2, .workers = 1, .depth = 1};
    HoneLoader *loader = data == NULL ? NULL : hone_loader_new(sys, data, &config, &error);
    HoneBatch batch;
    bool ok = loader != NULL && hone_loader_start(loader, 0, 0, &error) &&
              hone_loader_next(loader, &batch, &error);
    assert_true(ok || error.message[0] != '\0');
    hone_loader_free(loader);
    hone_data_close(data);
    return ok;
}

void data_survives(HoneDataset *(*open)(HoneSys *sys, HoneError *error))
{
    for (int io = 0; io < 2; io++) {
        bool ok = false;
        for (int64_t n = 1; n < MOST && !ok; n++) {
            HoneSys sys = {.fail_alloc = io ? 0 : n, .fail_io = io ? n : 0};
            ok = one_batch(open, &sys);
        }
        assert_true(ok);
    }
}
