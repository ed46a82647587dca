/* rng: random numbers as a pure function of (seed, key, step, element), Philox 4x32-10 (Salmon et
 * al., "Parallel random numbers: as easy as 1, 2, 3", SC'11). No state lives here; compiled code
 * and the interpreter compute the same words.
 *
 *   key of the cipher   (seed ^ key) as two words, low first
 *   counter             (element low, element high, step low, step high)
 *   u32                 word 0;  uniform = (word 0 >> 8) * 2^-24
 */
#include "hone/hone.h"

#include <assert.h>
#include <math.h>

enum { ROUNDS = 10 };

typedef struct Words {
    uint32_t w[4];
} Words;

static uint32_t low(uint64_t x)
{
    return (uint32_t)x;
}

static uint32_t high(uint64_t x)
{
    return (uint32_t)(x >> 32);
}

static Words philox(uint64_t key, uint64_t element, uint64_t step)
{
    uint32_t k0 = low(key), k1 = high(key);
    uint32_t c0 = low(element), c1 = high(element), c2 = low(step), c3 = high(step);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = high(p1) ^ c1 ^ k0;
        c1 = low(p1);
        c2 = high(p0) ^ c3 ^ k1;
        c3 = low(p0);
        k0 += 0x9E3779B9u;   /* golden ratio */
        k1 += 0xBB67AE85u;   /* sqrt(3) - 1 */
    }
    return (Words){{c0, c1, c2, c3}};
}

uint32_t hone_random_u32(uint64_t seed, uint64_t key, uint64_t step, uint64_t element)
{
    return philox(seed ^ key, element, step).w[0];
}

float hone_random_uniform(uint64_t seed, uint64_t key, uint64_t step, uint64_t element)
{
    return (float)(hone_random_u32(seed, key, step, element) >> 8) * 0x1p-24f;
}

/* Box-Muller from words 0 and 1; u1 in (0, 1] so that the logarithm is finite. */
double hone_random_normal(uint64_t seed, uint64_t key, uint64_t step, uint64_t element)
{
    Words words = philox(seed ^ key, element, step);
    double u1 = ((double)words.w[0] + 1.0) * 0x1p-32;
    double u2 = (double)words.w[1] * 0x1p-32;
    return sqrt(-2.0 * log(u1)) * cos(6.283185307179586 * u2);
}

/* The words as 64-bit numbers, rejecting the 2^64 mod bound smallest so that every residue is
 * equally likely; attempt a draws at step + a * 2^48, which no run reaches. */
uint64_t hone_random_below(uint64_t seed, uint64_t key, uint64_t step, uint64_t element,
                           uint64_t bound)
{
    assert(bound > 0);
    uint64_t rejected = (UINT64_MAX - bound + 1) % bound;
    for (uint64_t attempt = 0;; attempt++) {
        Words words = philox(seed ^ key, element, step + (attempt << 48));
        for (int half = 0; half < 4; half += 2) {
            uint64_t x = words.w[half] | (uint64_t)words.w[half + 1] << 32;
            if (x >= rejected)
                return x % bound;
        }
    }
}

uint64_t hone_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash;
}
