/* Int-arrays -> bytes, 64 at a time, where the processor can shuffle bytes: SSSE3, which is any x86-64 since 2008.
 *
 * The rules are those of `_ints` in escape.py, which goes on where this stops, and does everything elsewhere. Its
 * tables need a look-up for every eight bytes that waits for the one before; here a run of bytes with the high bit set
 * is split into prefixes and values by one addition, for all 64 at once, and each eighth knows its place by itself.
 */
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <tmmintrin.h>

#define WIDE_EVEN 0x5555555555555555ULL
#define WIDE_ONES 0x0101010101010101ULL
#define WIDE_HIGH 0x8080808080808080ULL

static unsigned long long wide_kept[256];   /* by mask of prefixes: the places of the bytes that are none, in order */
static unsigned char wide_end[256 * 8];     /* and where the n-th of them ends */

static int wide_prepare(void)
{
    for (int mask = 0; mask < 256; mask++) {
        int kept = 0;
        memset(wide_end + 8 * mask, 8, 8);
        wide_kept[mask] = 0;
        for (int place = 0; place < 8; place++) {
            if (mask >> place & 1)
                continue;
            wide_kept[mask] |= (unsigned long long)place << 8 * kept;
            wide_end[8 * mask + kept++] = (unsigned char)(place + 1);
        }
    }
    return __builtin_cpu_supports("ssse3");
}

/* The number of ones in each byte. */
static inline unsigned long long wide_counts(unsigned long long bits)
{
    bits -= bits >> 1 & WIDE_EVEN;
    bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
    return (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
}

static inline unsigned long long wide_mask(const __m128i part[4])
{
    return (unsigned long long)(unsigned)_mm_movemask_epi8(part[0])
        | (unsigned long long)(unsigned)_mm_movemask_epi8(part[1]) << 16
        | (unsigned long long)(unsigned)_mm_movemask_epi8(part[2]) << 32
        | (unsigned long long)(unsigned)_mm_movemask_epi8(part[3]) << 48;
}

/* As many elements as stand in whole blocks: `*taken` of them, and `*carry` says whether a prefix came last.
 * Gives where it stopped, or -1 for anything but minimal integers up to 255. `out`, where there is one, has room for
 * 64 bytes more than there are elements.
 */
__attribute__((target("ssse3")))
static Py_ssize_t wide_ints(const unsigned char *data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count,
                            unsigned char *out, int copying, Py_ssize_t *taken, int *carry)
{
    const __m128i prefix = _mm_set1_epi8((char)0xCC);
    unsigned long long behind = 0;
    Py_ssize_t k = 0;

    while (k < count && end - at >= 64) {
        __m128i part[4], same[4];
        for (int i = 0; i < 4; i++) {
            part[i] = _mm_loadu_si128((const __m128i *)(data + at + 16 * i));
            same[i] = _mm_cmpeq_epi8(part[i], prefix);
        }
        unsigned long long high = wide_mask(part);
        /* A byte behind a prefix is its value: the run begins after it. A run that begins at an even place carries out
         * of itself when its first bit is added; those that begin at an odd one stay. */
        unsigned long long runs = high & ~behind;
        unsigned long long odd = runs & (runs + (runs & ~(runs << 1) & WIDE_EVEN));
        unsigned long long prefixes = ((runs ^ odd) & WIDE_EVEN) | (odd & ~WIDE_EVEN);
        unsigned long long faults = (prefixes & ~wide_mask(same)) | ((prefixes << 1 | behind) & ~high);
        unsigned long long sums = wide_counts(~prefixes) * WIDE_ONES;
        Py_ssize_t found = (Py_ssize_t)(sums >> 56), left = count - k;

        if (copying) {
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                __m128i order = _mm_loadl_epi64((const __m128i *)(wide_kept + (prefixes >> 8 * i & 255)));
                __m128i word = _mm_loadl_epi64((const __m128i *)(data + at + 8 * i));
                _mm_storel_epi64((__m128i *)(out + k + (sums << 8 >> 8 * i & 255)), _mm_shuffle_epi8(word, order));
            }
        }
        if (found >= left) {
            /* The first eighth that has them all, and the place in it: the sums are 64 at most. */
            int bit = __builtin_ctzll(((sums | WIDE_HIGH) - (unsigned long long)left * WIDE_ONES) & WIDE_HIGH) & 56;
            int before = (int)(sums << 8 >> bit & 255);
            int used = bit + wide_end[8 * (prefixes >> bit & 255) + (left - before - 1)];
            *taken = count;
            return faults & ~0ULL >> (64 - used) ? -1 : at + used;
        }
        if (faults)
            return -1;
        k += found;
        behind = prefixes >> 63;
        at += 64;
    }
    *taken = k;
    *carry = (int)behind;
    return at;
}

#else

static int wide_prepare(void) { return 0; }

static Py_ssize_t wide_ints(const unsigned char *data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count,
                            unsigned char *out, int copying, Py_ssize_t *taken, int *carry)
{
    (void)data, (void)end, (void)count, (void)out, (void)copying, (void)taken, (void)carry;
    return at;
}

#endif
