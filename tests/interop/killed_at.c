/* Preloaded into the reference program: it dies before its call number BATPAK_KILL_AT that changes a file of the
   store, counted from the moment when a compaction has written its marker, or from the first write, that one
   included, of bytes that hold the text BATPAK_KILL_FROM. With BATPAK_KILL_CUTS, a write is cut instead: half of
   it comes to the file. So each step can be cut short, without a race. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int counting = 0;

static int ends_in(const char *path, const char *end) {
    size_t size = strlen(path), want = strlen(end);
    return size >= want && strcmp(path + size - want, end) == 0;
}

static int is_last(void) {
    static long left = -1;
    if (!counting) return 0;
    if (left < 0) {
        const char *at = getenv("BATPAK_KILL_AT");
        left = at ? atol(at) : 0;
    }
    return left > 0 && --left == 0;
}

static void meet(void) {
    if (is_last()) kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    counting |= ends_in(to, ".compact-src");
    meet();
    return real(from, to);
}

int unlink(const char *path) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    counting |= ends_in(path, ".compact-src");
    meet();
    return real(path);
}

ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    const char *from = getenv("BATPAK_KILL_FROM");
    if (from && memmem(data, size, from, strlen(from))) counting = 1;
    if (is_last()) {
        if (getenv("BATPAK_KILL_CUTS")) real(file, data, size / 2);
        kill(getpid(), SIGKILL);
    }
    return real(file, data, size);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags) {
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = dlsym(RTLD_NEXT, "copy_file_range");
    meet();
    return real(in, in_at, out, out_at, size, flags);
}

int fsync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    meet();
    return real(file);
}
