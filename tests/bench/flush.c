/* LD_PRELOAD: another disk than there is, for whoever flushes through libc.
 *
 * FLUSH_US=N: every flush takes N microseconds longer: fsync, fdatasync, msync, and writes to a file that was opened
 * with O_DSYNC (so LMDB writes its meta page).
 * FLUSH_US=none: nothing is flushed at all. For making test data quickly, where nothing is at stake.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

/* Microseconds that a flush is to take longer; -1: there are no flushes. */
static long longer_us(void) {
    static long us = -2;
    if (us == -2) {
        const char *said = getenv("FLUSH_US");
        us = !said ? 0 : strcmp(said, "none") ? atol(said) : -1;
    }
    return us;
}

static void wait_for_the_disk(void) {
    long us = longer_us();
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    if (us > 0) nanosleep(&pause, NULL);
}

static int flushes(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DSYNC;
}

typedef int (*Flush)(int);
typedef int (*FlushMap)(void *, size_t, int);
typedef ssize_t (*Write)(int, const void *, size_t, off_t);
typedef int (*Open)(const char *, int, ...);
typedef ssize_t (*Write64)(int, const void *, size_t, off64_t);

int fsync(int fd) {
    static Flush original;
    if (!original) original = (Flush)dlsym(RTLD_NEXT, "fsync");
    wait_for_the_disk();
    return longer_us() < 0 ? 0 : original(fd);
}

int fdatasync(int fd) {
    static Flush original;
    if (!original) original = (Flush)dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return longer_us() < 0 ? 0 : original(fd);
}

int msync(void *start, size_t length, int flags) {
    static FlushMap original;
    if (!original) original = (FlushMap)dlsym(RTLD_NEXT, "msync");
    wait_for_the_disk();
    return longer_us() < 0 ? 0 : original(start, length, flags);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
    static Write original;
    if (!original) original = (Write)dlsym(RTLD_NEXT, "pwrite");
    if (flushes(fd)) wait_for_the_disk();
    return original(fd, from, length, at);
}

ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    static Write64 original;
    if (!original) original = (Write64)dlsym(RTLD_NEXT, "pwrite64");
    if (flushes(fd)) wait_for_the_disk();
    return original(fd, from, length, at);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    Open original = (Open)dlsym(RTLD_NEXT, name);
    return original(path, longer_us() < 0 ? flags & ~(O_DSYNC | O_SYNC) : flags, mode);
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(rest, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened("open64", path, flags, mode);
}
