/* memory: what the system says about this process and about itself. Measurements only: where the
 * system does not tell, the answer is 0 and nothing fails. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "run.h"

uint64_t memory_available(HoneSys *sys)
{
    char text[512];
    const char *line = hone_read_some(sys, "/proc/meminfo", text, sizeof text)
                           ? strstr(text, "MemAvailable:")
                           : NULL;
    return line == NULL ? 0 : strtoull(line + 13, NULL, 10) * 1024;
}

uint64_t memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

uint64_t memory_present(HoneSys *sys)
{
    char text[64];
    const char *second = hone_read_some(sys, "/proc/self/statm", text, sizeof text)
                             ? strchr(text, ' ')
                             : NULL;
    long page = sysconf(_SC_PAGESIZE);
    return second == NULL || page < 0 ? 0 : strtoull(second, NULL, 10) * (uint64_t)page;
}

void memory_reset_peak(HoneSys *sys)
{
    int fd = hone_open_write(sys, "/proc/self/clear_refs", true);
    if (fd >= 0) {
        (void)hone_write_all(sys, fd, "5", 1);
        hone_close(sys, fd);
    }
}
