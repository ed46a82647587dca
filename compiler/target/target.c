/* The records of all targets and the choice for this machine. What a record means for loops stands
 * in loop/schedule.c, what it means for instructions in emit/. Nothing here is measured at run
 * time: equal records give equal code and equal bits. */
#include "target/target.h"


enum { KIB = 1024, MIB = 1024 * 1024 };

/* Cache sizes are those of common server cores; scheduling uses them as orders of magnitude. They
 * are part of the record and not read from the machine, because they decide where sums are cut. */
static const Target x86_64_v4 = {
    .name = "x86-64-v4",
    .triple = "x86_64-unknown-linux-gnu",
    .cpu = "x86-64-v4",
    .features = "-prefer-256-bit",
    .lanes = 16,
    .registers = 32,
    .tile_rows = 14,
    .tile_vectors = 2,
    .tile_least = 6,
    .tile_sum = 512,
    .l1_bytes = 32 * KIB,
    .l2_bytes = 1 * MIB,
    .l3_share_bytes = 4 * MIB,
    .fma = true,
    .masks = true,
};

static const Target x86_64_v3 = {
    .name = "x86-64-v3",
    .triple = "x86_64-unknown-linux-gnu",
    .cpu = "x86-64-v3",
    .features = "",
    .lanes = 8,
    .registers = 16,
    .tile_rows = 6,
    .tile_vectors = 2,
    .tile_least = 9,
    .tile_sum = 256,
    .l1_bytes = 32 * KIB,
    .l2_bytes = 512 * KIB,
    .l3_share_bytes = 4 * MIB,
    .fma = true,
};

static const Target generic = {
    .name = "generic",
#if defined(__aarch64__)
    .triple = "aarch64-unknown-linux-gnu",
    .cpu = "generic",
    .registers = 32,
    .tile_rows = 6,
    .fma = true,
#else
    .triple = "x86_64-unknown-linux-gnu",
    .cpu = "x86-64",
    .registers = 16,
    .tile_rows = 3,
#endif
    .features = "",
    .lanes = 4,
    .tile_vectors = 2,
    .tile_least = 6,
    .tile_sum = 256,
    .l1_bytes = 32 * KIB,
    .l2_bytes = 256 * KIB,
    .l3_share_bytes = 1 * MIB,
};

static const Target *const targets[] = {&x86_64_v4, &x86_64_v3, &generic};

size_t target_list(const Target *const **all)
{
    *all = targets;
    return sizeof targets / sizeof *targets;
}

const Target *target_find(Str name)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (str_is(name, targets[i]->name))
            return targets[i];
    }
    return NULL;
}

bool target_runs_here(const Target *target)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (target == &x86_64_v4)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    if (target == &x86_64_v3)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2");
#endif
    return target == &generic;
}

const Target *target_host(void)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (target_runs_here(targets[i]))
            return targets[i];
    }
    return &generic;
}
